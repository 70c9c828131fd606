"""The price of a run of each cell, and the cost of the remaining runs of a sweep on the available slots."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from statistics import fmean
from typing import Any

from pydantic import ConfigDict, Field

from sklab.errors import SklabError
from sklab.launch.slots import Slot
from sklab.spec.jobs import Probe
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Cell, Sweep
from sklab.spec.values import Value
from sklab.store.files import content
from sklab.store.reader import RecordReader
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder

_NOTHING_KNOWN: Mapping[str, Any] = {}
_OVERDUE = 0.1  # share of its age that a run still takes which takes longer than usual
_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}


@dataclass(frozen=True)
class Resources:
    """The part of the machine that a run gets.

    slots    runs at a time
    gpu      whether their devices are GPUs, else shares of the CPU
    threads  of each run; None: not known
    others   runs that share its device with a run
    device   the name of its device, or of several of them
    """

    slots: int
    gpu: bool = False
    threads: int | None = None
    others: int = 0
    device: str = ""


ANY = Resources(slots=1)


def resources_of(slots: Sequence[Slot]) -> Resources:
    """The resources of a run in the first of these slots. A share of the CPU counts as a device of its own."""
    on_gpu = slots[0].gpu is not None
    others = sum(slot.gpu == slots[0].gpu for slot in slots) - 1 if on_gpu else 0
    return Resources(len(slots), on_gpu, slots[0].threads, others, slots[0].name)


class Price(Value):
    """The time and memory of one run of a cell. `source` is where they were measured: in `runs` of the cell, in
    `study NAME`, or by a `probe`.

    comparable  whether they were measured on the device that a run would get now, with the same number of threads and
                so of runs at a time: runs that share a device slow each other down
    """

    model_config = ConfigDict(serialize_by_alias=True)

    seconds: float
    peak_memory_mb: float
    source: str
    comparable: bool = Field(default=True, serialization_alias="alike")


class Bill(Value):
    """The cost of the remaining runs: hours of all their devices together, and seconds of wall time in the slots.

    A run without a price counts with the average of the others.
    """

    device_hours: float
    seconds: float


def prices(
    sweep: Sweep, folder: StudyFolder, records: Mapping[str, RunRecord], resources: Resources = ANY
) -> dict[str, Price]:
    """The price of each cell that has finished runs in this study or, if not, in another one beside it. Runs with the
    same resources are preferred."""
    by_cell = {cell.name: _mean(_complete(cell, records), "runs", resources) for cell in sweep.cells}
    for study in _others(folder):
        without = [cell for cell in sweep.cells if by_cell[cell.name] is None]
        elsewhere, source = _records(study, without), f"study {study.path.name}"
        by_cell |= {cell.name: _mean(_complete(cell, elsewhere), source, resources) for cell in without}
    return {name: price for name, price in by_cell.items() if price is not None}


def probed_prices(probes: Mapping[str, Probe]) -> dict[str, Price]:
    """The prices from probes, by cell."""
    return {
        name: Price(seconds=probe.run_seconds, peak_memory_mb=probe.peak_memory_mb, source="probe")
        for name, probe in probes.items()
        if not probe.fault
    }


def bill(
    sweep: Sweep,
    experiments: Mapping[str, Experiment],
    records: Mapping[str, RunRecord],
    priced: Mapping[str, Price],
    asked: int,
    resources: Resources,
) -> Bill | None:
    """The cost of the remaining runs and those of `asked` cells that a search will find; None while no cell is priced.

    Runs that share a device count with their part of it, if their prices were measured like that.
    """
    usual = {name: price.seconds for name, price in priced.items()}
    remaining = list(unfinished(sweep, records, usual))
    if not priced:
        return None if remaining or asked else Bill(device_hours=0.0, seconds=0.0)
    average = fmean(usual.values())
    names = [cell.name for cell in remaining] + [sweep.baseline] * (asked * len(sweep.seeds))
    seconds = [usual.get(cell.name, average) for cell in remaining]
    seconds += [average] * (len(names) - len(remaining))
    comparable = all(price.comparable for price in priced.values())
    part = 1 / (1 + resources.others) if comparable else 1.0
    devices = {name: experiment.train.devices * part for name, experiment in experiments.items()}
    hours = sum(run_seconds * devices[name] for name, run_seconds in zip(names, seconds, strict=True)) / 3600
    return Bill(device_hours=hours, seconds=packed(seconds, [0.0] * resources.slots))


def unfinished(
    sweep: Sweep, records: Mapping[str, RunRecord], usual: Mapping[str, float] = _NOTHING_KNOWN
) -> Iterator[Cell]:
    """The cell of every run that is left, in the order of their start: by seed, then by `start_order`."""
    for seed in sweep.seeds:
        for cell in sorted(sweep.cells, key=lambda cell: start_order(sweep, cell.name, usual)):
            record = records.get(cell.runs.get(seed, ""))
            if seed in cell.runs and (record is None or not record.final):
                yield cell


def start_order(sweep: Sweep, cell: str, usual: Mapping[str, float]) -> tuple[bool, float]:
    """The sort key for the runs of one seed: the baseline's first, as all others are compared with it; then those whose
    seconds are unknown; then the longest first, so that no long one is left alone at the end. A search keeps the order
    of its sampler."""
    return (False, 0.0) if sweep.search else (cell != sweep.baseline, -usual.get(cell, inf))


def usual_seconds(
    sweep: Sweep, records: Mapping[str, RunRecord], probes: Mapping[str, Probe] = _NOTHING_KNOWN
) -> dict[str, float]:
    """Seconds that a run of each cell takes, from its own runs or a probe; cells without either are left out."""
    took = {cell.name: _mean(_complete(cell, records), "runs") for cell in sweep.cells}
    by_cell = {**probed_prices(probes), **{name: price for name, price in took.items() if price}}
    return {name: price.seconds for name, price in by_cell.items()}


def time_left(
    running: Iterable[tuple[str, float]],
    waiting: Iterable[str],
    others: int,
    usual: Mapping[str, float],
    capacity: int,
) -> float | None:
    """Seconds until all is done, if the runs of the `waiting` cells start in this order, `capacity` at a time.

    `running` are the cells of the running runs, each with its age in seconds. `others` is the number of further runs,
    which are assumed to fill every slot. None while no cell's time is known, or where nothing can run.
    """
    if not usual or not capacity:
        return None
    average = fmean(usual.values())
    busy = sorted(expected_left(usual.get(cell, average), age) for cell, age in running)[-capacity:]
    busy += [0.0] * (capacity - len(busy))
    return packed((usual.get(cell, average) for cell in waiting), busy) + others * average / capacity


def expected_left(usual: float, age: float) -> float:
    """Seconds until a run of this age ends, that usually takes `usual`. One that takes longer is expected to go on for
    a share of its age: never for nothing."""
    return max(usual - age, _OVERDUE * age)


def packed(durations: Iterable[float], busy: Sequence[float]) -> float:
    """The time at which all work ends if `durations` start in this order, each in the first free slot; `busy` says
    how long each slot is taken already."""
    slots, end = list(busy), max(busy, default=0.0)
    heapq.heapify(slots)
    for seconds in durations:
        free = heapq.heappop(slots) + seconds
        end = max(end, free)
        heapq.heappush(slots, free)
    return end


def hours(text: str) -> float:
    """`90m`, `40h` or `2d` in hours. Raises SklabError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip())
    if match is None:
        raise SklabError(f"--budget: found {text!r}; allowed: a number with m, h or d, for example 90m, 40h or 2d")
    return float(match[1]) * _HOURS[match[2]]


def _complete(cell: Cell, records: Mapping[str, RunRecord]) -> list[RunRecord]:
    results = (records.get(key) for key in cell.runs.values())
    return [record for record in results if record is not None and record.status == "complete"]


def _mean(records: Sequence[RunRecord], source: str, resources: Resources = ANY) -> Price | None:
    if not records:
        return None
    comparable = [record for record in records if _had(record, resources)]
    return Price(
        seconds=fmean(record.wall_seconds for record in comparable or records),
        peak_memory_mb=max(record.peak_memory_mb for record in records),
        source=source,
        comparable=bool(comparable),
    )


def _had(record: RunRecord, resources: Resources) -> bool:
    """Whether the run had the resources that a run would get now, as far as both are known."""
    if resources.threads is None or record.hardware is None:
        return True
    return (record.hardware.threads, record.hardware.device_name) == (resources.threads, resources.device)


def _others(folder: StudyFolder) -> Iterator[StudyFolder]:
    """The studies beside this one."""
    for file in sorted(folder.path.parent.glob("*/sweep.yaml")):
        if file.parent.resolve() != folder.path.resolve():
            yield StudyFolder(file.parent)


def _records(study: StudyFolder, cells: Iterable[Cell]) -> dict[str, RunRecord]:
    """The records of these cells' runs in another study; unreadable ones are ignored here."""
    records: dict[str, RunRecord] = {}
    for key in (key for cell in cells for key in cell.runs.values()):
        file = study.run(key).record_file
        with suppress(OSError, ValueError):
            records[key] = RecordReader().read(content(file))
    return records
