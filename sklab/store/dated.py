"""What a study's folder keeps with its date, in sealed files that are never written again: the plan of the study, from
before its first run on, and every later one that differs from the one before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sklab.errors import DamagedRecordError
from sklab.spec.study.changes import changes_of_plan
from sklab.spec.study.sweep import Sweep
from sklab.spec.values import Seq, Value
from sklab.store.files import read_optional, sealed, write_whole
from sklab.store.study_folder import StudyFolder

_MOST_BYTES = 64 * 2**20  # of a file: as many as `sweep.yaml` may have
_REMEDY = "bring it back from a copy; until then nothing is said of what it holds"

V = TypeVar("V", bound=Value)


class Plan(Value):
    """`plans/<number>.json`: the sweep as it was started with first, or with a change; `dated` in UTC, ISO 8601."""

    dated: str
    sweep: Sweep


class Plans(Value):
    """The plans of a study in their order, and why others can't be read. None in studies of earlier versions."""

    every: Seq[Plan] = ()
    faults: Seq[str] = ()


NO_PLANS = Plans()


def keep_plan(study: StudyFolder, sweep: Sweep, clock: Callable[[], str]) -> None:
    """Write down what is planned, before the first run; later only what is planned otherwise. A study that has runs
    but no plan, as of earlier versions, gets none: it would be dated too late. Raises OSError where it can't be
    written."""
    plans = read_plans(study)
    if not (plans.every or plans.faults):
        if not study.runs.is_dir():
            _append(study.path / "plans", Plan(dated=clock(), sweep=sweep))
    elif not plans.every or changes_of_plan(sweep, plans.every[-1].sweep):
        _append(study.path / "plans", Plan(dated=clock(), sweep=sweep))


def read_plans(study: StudyFolder) -> Plans:
    """The plans of the study. What can't be read, or was changed after it was written, is a fault."""
    every, faults = _entries(study.path / "plans", Plan)
    return Plans(every=every, faults=faults)


def _append(folder: Path, entry: Value) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    last = max((int(file.stem) for file in _files(folder)), default=0)
    write_whole(folder / f"{1 + last:03d}.json", sealed(entry))


def _entries(folder: Path, kind: type[V]) -> tuple[tuple[V, ...], tuple[str, ...]]:
    """The entries in `folder`, in their order, and the faults of those that can't be read."""
    entries, faults = list[V](), list[str]()
    for file in _files(folder):
        try:
            entry = read_optional(file, kind, _REMEDY, _MOST_BYTES)
        except DamagedRecordError as error:
            faults.append(str(error))
        else:
            entries += [entry] if entry is not None else []
    return tuple(entries), tuple(faults)


def _files(folder: Path) -> list[Path]:
    return sorted((file for file in folder.glob("*.json") if file.stem.isdecimal()), key=lambda file: int(file.stem))
