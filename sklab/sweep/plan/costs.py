"""The costs of networks, which are counted, and of runs, which a probe of a few steps measures. Both are kept.

Counting needs torch, whose import takes seconds, and a search needs the costs of its whole space at every start. Probes
run in all slots at once, as runs do in the sweep, so that a price includes how runs slow each other down. The result of
a probe is kept as long as torch, devices, slots and experiment stay the same.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter

import sklab.models.families
import sklab.spec
from sklab.launch.base import Job, Launcher
from sklab.own.files import keep_copies
from sklab.spec.jobs import Probe, ProbeOrder
from sklab.spec.model import ModelSpec
from sklab.spec.own.parts import codes_in
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Sweep
from sklab.store.files import content, last_line_suffix, read_kept, write_whole
from sklab.store.versions import installed
from sklab.sweep.design.cells import run_spec
from sklab.system.machine import cache_folder

MOST_KEPT = 20_000  # networks: twice the largest space of a search
_LARGEST_FILE = 100 * MOST_KEPT  # bytes

Count = tuple[int, int]  # parameters and multiply-accumulates of one image
_Number = Annotated[int, Field(ge=0)]
_KEPT = TypeAdapter(dict[str, tuple[_Number, _Number]])
_PROBES = ".probes"
_LOOK_EVERY = 60.0


class Network(NamedTuple):
    """A network at an input size, in pixels a side."""

    model: ModelSpec
    image_size: int


class CostCounter:
    """Counts the costs of networks: calls `count` once for each distinct one. Answers are kept in `$SKLAB_CACHE` as
    long as the code of networks, torch and the network's library stay the same; the oldest ones are dropped first. A
    file that can't be read or written is ignored."""

    def __init__(self, count: Callable[[list[Network]], Sequence[Count]]) -> None:
        self._count, self._file = count, cache_folder() / "counts.json"
        self._known = _read(self._file)

    def __call__(self, networks: Sequence[Network]) -> list[Count]:
        """The costs of the networks, in their order."""
        names = [_name(network) for network in networks]
        new = {name: network for name, network in zip(names, networks, strict=True) if name not in self._known}
        if new:
            counts = dict(zip(new, self._count(list(new.values())), strict=True))
            self._known |= counts
            _keep(self._file, counts)
        return [self._known[name] for name in names]

    def of(self, experiments: Sequence[Experiment]) -> list[Count]:
        """The costs of the experiments' networks, in their order."""
        return self([Network(experiment.model, experiment.data.image_size) for experiment in experiments])


def _name(network: Network) -> str:
    """The key of a network's costs, made from all that decides them."""
    versions = " ".join(installed(("torch", *network.model.libraries)).values())
    text = f"{_code()} {versions} {network.image_size} {network.model.model_dump_json()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """A hash of the source files that define networks."""
    folders = (*sklab.models.__path__, *sklab.models.families.__path__, *sklab.spec.__path__)
    files = sorted({file for folder in folders for file in Path(folder).rglob("*.py")})
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def _read(file: Path) -> dict[str, Count]:
    with suppress(OSError, ValueError):
        return _KEPT.validate_json(content(file, _LARGEST_FILE), strict=True)
    return {}


def _keep(file: Path, new: dict[str, Count]) -> None:
    """Add `new` to the file's content, which others may have changed since it was read."""
    kept = list({**_read(file), **new}.items())[-MOST_KEPT:]
    with suppress(OSError):  # then they are counted again
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, _KEPT.dump_json(dict(kept)))


def probe(experiments: Mapping[str, Experiment], launcher: Launcher, results: Path) -> dict[str, Probe]:
    """A probe of each experiment, by its name; one that could not be made has its `fault`."""
    folders = {name: _folder(experiment, launcher, results) for name, experiment in experiments.items()}
    waiting = deque(name for name, folder in folders.items() if _kept(folder) is None)
    running = 0
    while running or (waiting and launcher.capacity):
        while waiting and running < launcher.capacity:
            name = waiting.popleft()
            launcher.submit(_job(experiments[name], folders[name]))
            running += 1
        running -= len(launcher.wait(_LOOK_EVERY))
    return {name: _answer(folder) for name, folder in folders.items()}


def kept_probes(sweep: Sweep, launcher: Launcher, results: Path) -> dict[str, Probe]:
    """The kept probes of cells of the sweep, made under the conditions that its runs would have now, by cell."""
    if not (results / _PROBES).is_dir():
        return {}
    experiments = {cell.name: run_spec(sweep, cell, sweep.seeds[0]).experiment for cell in sweep.cells}
    kept = {name: _kept(_folder(experiment, launcher, results)) for name, experiment in experiments.items()}
    return {name: probe for name, probe in kept.items() if probe is not None}


def _folder(experiment: Experiment, launcher: Launcher, results: Path) -> Path:
    versions = " ".join(installed(("sklab", "torch")).values())
    question = f"{versions} {launcher.kind} {launcher.capacity} {experiment.model_dump_json()}"
    return results / _PROBES / hashlib.sha256(question.encode()).hexdigest()[:16]


def _job(experiment: Experiment, folder: Path) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").unlink(missing_ok=True)
    keep_copies(folder, codes_in(experiment))
    write_whole(folder / "probe.json", ProbeOrder(experiment=experiment).model_dump_json(indent=1))
    return Job("probe", folder)


def _kept(folder: Path) -> Probe | None:
    """The stored answer of an earlier probe, unless its fault may have been mended since."""
    probe = read_kept(folder / "result.json", Probe)
    return probe if probe and not probe.fault else None


def _answer(folder: Path) -> Probe:
    log = folder / "log.txt"
    without = Probe(fault=f"ended without an answer; see {log}{last_line_suffix(log)}")
    return read_kept(folder / "result.json", Probe) or without
