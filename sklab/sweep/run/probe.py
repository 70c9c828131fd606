"""Ask for the price of runs that nothing is known of: a few steps of each, on the devices that will train them.

Every slot works at once, as in the sweep: what runs take from each other is in the price. An answer is kept for as
long as torch, devices, slots and experiment stay the same.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from sklab.launch.base import Job, Launcher
from sklab.spec.jobs import Probe, ProbeOrder
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Sweep
from sklab.store.files import read_kept, write_whole
from sklab.store.versions import installed
from sklab.sweep.design.cells import run_spec
from sklab.sweep.run.failures import and_last

_PROBES = ".probes"
_LOOK_EVERY = 60.0


def probe(experiments: Mapping[str, Experiment], launcher: Launcher, results: Path) -> dict[str, Probe]:
    """A probe of each experiment, by its name; one that could not be made has its `fault`."""
    folders = {name: _folder(experiment, launcher, results) for name, experiment in experiments.items()}
    waiting = deque(name for name, folder in folders.items() if _kept(folder) is None)
    running = 0
    while waiting or running:
        while waiting and running < launcher.capacity:
            name = waiting.popleft()
            launcher.submit(_job(experiments[name], folders[name]))
            running += 1
        running -= len(launcher.wait(_LOOK_EVERY))
    return {name: _answer(folder) for name, folder in folders.items()}


def kept_probes(sweep: Sweep, launcher: Launcher, results: Path) -> dict[str, Probe]:
    """The probes that were made of cells of the sweep, as its runs would run now, by cell."""
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
    write_whole(folder / "probe.json", ProbeOrder(experiment=experiment).model_dump_json(indent=1))
    return Job("probe", folder)


def _kept(folder: Path) -> Probe | None:
    """The answer of an earlier time, unless its fault may have been mended since."""
    probe = read_kept(folder / "result.json", Probe)
    return probe if probe and not probe.fault else None


def _answer(folder: Path) -> Probe:
    log = folder / "log.txt"
    without = Probe(fault=f"ended without an answer; see {log}{and_last(log)}")
    return read_kept(folder / "result.json", Probe) or without
