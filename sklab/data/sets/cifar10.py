"""CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes (Krizhevsky 2009), from its binary version.

The binary version is plain bytes, a record per image, so nothing is unpickled. CIFAR-100 uses the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sklab.data.base import ArraySplit, Splits
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Images
from sklab.store.files import content

__all__ = ["Spec", "load"]
SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_MOST_BYTES = 2**28  # of a file; the largest one has 154 million


class CifarSpec(DataSpec):
    """Settings of both sets.

    root  the unpacked folder of the binary version, or the folder that holds it; `~` is the home folder
    """

    places: ClassVar[frozenset[str]] = frozenset({"root"})
    # Published names of files and folder. A record's pixels follow `header` bytes, of which the last is the class.
    folder: ClassVar[str]
    train_files: ClassVar[tuple[str, ...]]
    val_file: ClassVar[str]
    names_file: ClassVar[str]
    header: ClassVar[int]

    channels: Literal[3] = 3
    image_size: Literal[32] = 32
    root: str = Field(min_length=1)

    @property
    def images(self) -> Images:
        """The numbers of images, the same in both sets."""
        return Images(50_000, 10_000, arrays=True)


def load(spec: Any) -> Splits:
    """50,000 training and 10,000 test images. Raises SklabError if a file is missing, torn or has other classes."""
    root = Path(spec.root).expanduser()
    folder = root / spec.folder if (root / spec.folder).is_dir() else root
    classes = tuple(_bytes(folder / spec.names_file).decode("ascii", "replace").split())
    if len(classes) != spec.num_classes:
        raise SklabError(f"{folder / spec.names_file}: {len(classes)} classes; data.num_classes = {spec.num_classes}")
    train, val = (_split(spec, [folder / name for name in names]) for names in (spec.train_files, (spec.val_file,)))
    return Splits(train, val, classes)


def _split(spec: CifarSpec, files: list[Path]) -> ArraySplit:
    records = np.concatenate([_records(spec, file) for file in files])
    images = records[:, spec.header :].reshape(-1, 3, SIDE, SIDE)
    return ArraySplit(np.ascontiguousarray(images), records[:, spec.header - 1].astype(np.int64))


def _records(spec: CifarSpec, file: Path) -> np.ndarray:
    length, data = spec.header + _PIXELS, _bytes(file)
    if not data or len(data) % length:
        raise SklabError(f"{file}: {len(data)} bytes, not a multiple of {length}: torn or another version; get it anew")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, length)
    if records[:, spec.header - 1].max() >= spec.num_classes:
        raise SklabError(f"{file}: class numbers above {spec.num_classes - 1}; it is damaged: get it anew")
    return records


def _bytes(file: Path) -> bytes:
    try:
        return content(file, _MOST_BYTES)
    except OSError as error:
        raise SklabError(
            f"{file}: {error.strerror}; data.root is the unpacked folder of the binary version (not the Python one)"
        ) from error


class Spec(CifarSpec):
    """Settings of the set: `root` alone."""

    # Of the 50,000 training images, over all pixels (RGB).
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    folder: ClassVar[str] = "cifar-10-batches-bin"
    train_files: ClassVar[tuple[str, ...]] = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
    val_file: ClassVar[str] = "test_batch.bin"
    names_file: ClassVar[str] = "batches.meta.txt"
    header: ClassVar[int] = 1

    name: Literal["cifar10"] = "cifar10"
    num_classes: Literal[10] = 10
