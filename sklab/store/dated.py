"""What a study's folder keeps with its date, in sealed files that are never written again.

The plan of the study is there from before its first run on, and so is every later one that differs from the one before.
The readings of the test split stand there from before each begins, so that none can be hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from sklab.errors import DamagedRecordError
from sklab.spec.data import DataSpec
from sklab.spec.study.changes import changes_of_plan
from sklab.spec.study.sweep import Sweep
from sklab.spec.values import Seq, Value
from sklab.store.files import read_kept, read_optional, sealed, write_whole
from sklab.store.measured.scores import FinalScore
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
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


class Reading(Value):
    """`readings/<number>.json`: the test split was read with the runs of these keys, each with what was read
    (`what_is_read`). `dated` in UTC, ISO 8601."""

    dated: str
    runs: dict[str, str]


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


def what_is_read(order: RunOrder) -> str:
    """The test split that the order asks for, and the rule for the epoch whose weights are judged on it."""
    return f"test: {_test_of(order.spec.experiment.data)}, {order.test} epoch"


def _test_of(data: DataSpec) -> str:
    return str(getattr(data, "test", None))


def keep_reading(study: StudyFolder, runs: Mapping[str, str], clock: Callable[[], str]) -> None:
    """Write down that the test split is read with these runs, unless earlier readings had all of them. Raises OSError
    where it can't be written."""
    before = {entry for reading in read_readings(study)[0] for entry in reading.runs.items()}
    if new := {key: what for key, what in runs.items() if (key, what) not in before}:
        _append(study.path / "readings", Reading(dated=clock(), runs=new))


def read_readings(study: StudyFolder) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """The readings in their order, and why others can't be read."""
    return _entries(study.path / "readings", Reading)


def weights_of(run: RunFolder, record: RunRecord, rule: str) -> tuple[int, Path]:
    """The epoch that `rule` (of `Metric`) names, and the file of its weights; a run whose last epoch is its best keeps
    them once."""
    if rule == "last" or record.best_epoch == record.epochs:
        return record.epochs, run.weights_file
    return record.best_epoch, run.best_weights_file


def read_tested(run: RunFolder, record: RunRecord, data: DataSpec, rule: str) -> FinalScore | None:
    """The run's evaluation on the test split of `data`. None when there is none, and when it is unreadable or of
    another split, another epoch or other weights than the record names."""
    held = read_kept(run.test_file, FinalScore)
    epoch, weights = weights_of(run, record, rule)
    if held is None or (held.key, held.epoch) != (record.key, epoch):
        return None
    named = record.files.get(weights.name, "")
    same_split = (held.data.identity(), _test_of(held.data)) == (data.identity(), _test_of(data))
    return held if same_split and named in ("", held.weights) else None


def lacks_test(run: RunFolder, record: RunRecord | None, order: RunOrder) -> bool:
    """Whether the order asks a complete run for an evaluation on the test split that it does not have."""
    if not order.test or record is None or record.status != "complete":
        return False
    return read_tested(run, record, order.spec.experiment.data, order.test) is None


def lacks_evaluation(run: RunFolder, record: RunRecord | None, order: RunOrder) -> bool:
    """Whether the order asks a complete run for any evaluation that it does not have."""
    return run.lacks_figures(record, order.sizes, order.metrics) or lacks_test(run, record, order)


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
