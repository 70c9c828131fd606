"""What networks cost, kept: counting needs torch, whose import takes seconds, and a search asks for its whole space at
every start."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter

import sklab.models.families
import sklab.spec
from sklab.spec.model import ModelSpec
from sklab.spec.run import Experiment
from sklab.store.files import content, write_whole
from sklab.store.versions import installed
from sklab.system.machine import cache_folder

MOST_KEPT = 20_000  # networks: twice the largest space of a search
_LARGEST_FILE = 100 * MOST_KEPT  # bytes

Count = tuple[int, int]  # parameters and multiply-accumulates of one image
_Number = Annotated[int, Field(ge=0)]
_KEPT = TypeAdapter(dict[str, tuple[_Number, _Number]])


class Network(NamedTuple):
    """A network at an input size, in pixels a side."""

    model: ModelSpec
    image_size: int


class Counted:
    """`count`, asked once for each distinct network. Answers are kept in `$SKLAB_CACHE` for as long as the code that
    networks are made of, torch and the library that a network comes from stay the same; the oldest ones go first. A
    file that can't be read or written is done without."""

    def __init__(self, count: Callable[[list[Network]], Sequence[Count]]) -> None:
        self._count, self._file = count, cache_folder() / "counts.json"
        self._known = _read(self._file)

    def __call__(self, networks: Sequence[Network]) -> list[Count]:
        """Their costs, in their order."""
        names = [_name(network) for network in networks]
        new = {name: network for name, network in zip(names, networks, strict=True) if name not in self._known}
        if new:
            counted = dict(zip(new, self._count(list(new.values())), strict=True))
            self._known |= counted
            _keep(self._file, counted)
        return [self._known[name] for name in names]

    def of(self, experiments: Sequence[Experiment]) -> list[Count]:
        """The costs of their networks, in their order."""
        return self([Network(experiment.model, experiment.data.image_size) for experiment in experiments])


def _name(network: Network) -> str:
    """What a count stands under: all that decides it."""
    versions = " ".join(installed(("torch", *network.model.libraries)).values())
    what = f"{_code()} {versions} {network.image_size} {network.model.model_dump_json()}"
    return hashlib.sha256(what.encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """The contents of the files that say what a network is."""
    folders = (*sklab.models.__path__, *sklab.models.families.__path__, *sklab.spec.__path__)
    files = sorted({file for folder in folders for file in Path(folder).rglob("*.py")})
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def _read(file: Path) -> dict[str, Count]:
    with suppress(OSError, ValueError):
        return _KEPT.validate_json(content(file, _LARGEST_FILE), strict=True)
    return {}


def _keep(file: Path, new: dict[str, Count]) -> None:
    """Add `new` to what the file holds by now: others may have written since it was read."""
    kept = list({**_read(file), **new}.items())[-MOST_KEPT:]
    with suppress(OSError):  # they are counted again
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, _KEPT.dump_json(dict(kept)))
