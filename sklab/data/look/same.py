"""Image files with the same content, which belong on one side of a split."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sklab.data.formats.encoded import file_bytes
from sklab.errors import SklabError


def by_content(files: Sequence[str]) -> NDArray[np.int64]:
    """int64 [n]: for each file the place of the first one with the same content, often its own.

    Only files of equal size are read, which are few among photographs. Raises SklabError for one that can't be.
    """
    first = np.arange(len(files), dtype=np.int64)
    sizes: dict[int, list[int]] = defaultdict(list)
    try:
        for place, file in enumerate(files):
            sizes[Path(file).stat().st_size].append(place)
        for places in sizes.values():
            seen: dict[bytes, int] = {}
            for place in places if len(places) > 1 else ():
                digest = hashlib.sha256(file_bytes(files[place])).digest()
                first[place] = seen.setdefault(digest, place)
    except OSError as error:
        raise SklabError(f"{error.filename}: can't be read ({error.strerror})") from error
    return first
