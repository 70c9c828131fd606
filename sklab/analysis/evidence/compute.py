"""The device time of a study, attempt by attempt, with what was lost: in whole milliseconds, so that sums are exact."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sklab.errors import DamagedRecordError
from sklab.spec.study.nuisance import is_of_tuning
from sklab.spec.study.sweep import Sweep
from sklab.store.files import content, tail
from sklab.store.hardware import Energy
from sklab.store.records import RunRecord, RunState
from sklab.store.run_folder import RunFolder
from sklab.store.states import unended_states
from sklab.store.study_folder import StudyFolder

LEFT = "(no longer in the sweep)"
_HEAD = 4096  # bytes of a log that hold its first dated line
_DATED = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)", re.MULTILINE)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run.

    state         how it ended, in the words of `store.states`
    milliseconds  of wall time, from its start to its end; None where neither record nor log tell it
    devices       that it held, and `abreast` the most runs that its process trained on them at a time
    reused        whether it was made in another study, which counts it
    energy        what it took, as far as its record tells
    tuning        whether its run is on a seed of tuning, so that no table has it
    """

    key: str
    cell: str
    state: RunState
    milliseconds: int | None
    devices: int = 1
    abreast: int = 1
    reused: bool = False
    energy: Energy | None = None
    tuning: bool = False

    @property
    def device_milliseconds(self) -> int:
        """Its wall time on each of its devices, divided by the number of runs that shared them in one process."""
        return (self.milliseconds or 0) * self.devices // self.abreast


@dataclass(frozen=True)
class Compute:
    """All attempts of a study that lie on disk. Those of reused runs count in the study that made them; those of its
    confirmation, which is a study of its own, count there as well."""

    attempts: tuple[Attempt, ...]
    confirmation: tuple[Attempt, ...] = ()

    @property
    def own(self) -> tuple[Attempt, ...]:
        """Those that this study made."""
        return tuple(attempt for attempt in self.attempts if not attempt.reused)

    @property
    def total(self) -> int:
        """Device milliseconds of this study's attempts."""
        return device_time(self.own)

    @property
    def measured(self) -> tuple[Energy, ...]:
        """The energy of those attempts whose counters were read."""
        return tuple(attempt.energy for attempt in self.own if attempt.energy and attempt.energy.source)

    @property
    def untimed(self) -> int:
        """How many of them have no known time."""
        return sum(attempt.milliseconds is None for attempt in self.own)

    def by(self, part: Callable[[Attempt], str]) -> dict[str, tuple[Attempt, ...]]:
        """This study's attempts in parts, each in one of them."""
        parts: dict[str, list[Attempt]] = {}
        for attempt in self.own:
            parts.setdefault(part(attempt), []).append(attempt)
        return {name: tuple(attempts) for name, attempts in parts.items()}


def device_time(attempts: Iterable[Attempt]) -> int:
    """Their device milliseconds together."""
    return sum(attempt.device_milliseconds for attempt in attempts)


def read_compute(study: StudyFolder, sweep: Sweep, confirmed: Sweep | None = None) -> Compute:
    """Every attempt in the folder of the study, of runs that the sweep has no more as well; and those of the study
    `confirmed`, which confirms its best cell."""
    confirmation = read_compute(StudyFolder(study.confirmation), confirmed).own if confirmed else ()
    return Compute(tuple(_of_study(study, sweep)), confirmation)


def _of_study(study: StudyFolder, sweep: Sweep) -> Iterator[Attempt]:
    named = [(key, cell.name, seed) for cell in (*sweep.cells, *sweep.duplicates) for seed, key in cell.runs.items()]
    cells = {key: name for key, name, _ in named}
    tuning = {key for key, _, seed in named if sweep.nuisance and is_of_tuning(seed)}
    present = sorted(run.name for run in study.runs.iterdir()) if study.runs.is_dir() else []
    keys = [*(key for key in cells if key in set(present)), *(key for key in present if key not in cells)]
    unended = unended_states(study, keys)
    for key in keys:
        for attempt in _attempts(study.run(key), cells.get(key, LEFT), unended[key]):
            yield replace(attempt, tuning=key in tuning)


def _attempts(run: RunFolder, cell: str, unended: RunState) -> Iterator[Attempt]:
    reused = run.reused_file.exists()
    past = sorted(run.attempts.iterdir()) if run.attempts.is_dir() else []
    for folder in past:
        yield _attempt(RunFolder(folder), run.path.name, cell, "stopped")
    if run.record_file.exists() or run.log_file.exists():
        yield _attempt(run, run.path.name, cell, unended, reused=reused)


def _attempt(folder: RunFolder, key: str, cell: str, unended: RunState, *, reused: bool = False) -> Attempt:
    try:
        record = folder.read_record()
    except DamagedRecordError:
        return Attempt(key, cell, "unreadable", _span(*_logged(folder.log_file)), reused=reused)
    if record is None:
        return Attempt(key, cell, unended, _span(*_logged(folder.log_file)), reused=reused)
    hardware = record.hardware
    return Attempt(
        key,
        cell,
        record.state,
        _milliseconds(record, folder.log_file),
        record.spec.experiment.train.devices,
        hardware.abreast if hardware else 1,
        reused,
        record.energy,
    )


def _milliseconds(record: RunRecord, log: Path) -> int | None:
    """The time of the attempt. Of one whose process was killed only its log tells the start."""
    if record.started:
        return _span(record.started, record.ended)
    begun, last = _logged(log)
    return _span(begun, record.ended or last)


def _logged(log: Path) -> tuple[str, str]:
    """The times of the first and the last dated line; "" where there are none."""
    try:
        head = content(log)[:_HEAD].decode("utf-8", errors="replace")
    except OSError:
        return "", ""
    first, last = _DATED.findall(head), _DATED.findall(tail(log, _HEAD))
    return (first[0], (last or first)[-1]) if first else ("", "")


def _span(started: str, ended: str) -> int | None:
    """Milliseconds between two times; none where a clock was set back."""
    try:
        start, end = (datetime.fromisoformat(text) for text in (started, ended))
    except ValueError:
        return None
    passed = end.replace(tzinfo=UTC) - start.replace(tzinfo=UTC)
    return max(0, round(passed.total_seconds() * 1000))
