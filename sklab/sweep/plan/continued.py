"""The continuation of a study that exists already, and the changes in its sweep.

The rule: finished runs stay in the study's table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from sklab.analysis.table.replicates import with_requested_runs
from sklab.errors import DamagedRecordError, SklabError
from sklab.own.files import copy_of, hash_of_current
from sklab.spec.own.parts import codes_in
from sklab.spec.study import changes
from sklab.spec.study.changes import Change
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import complete
from sklab.sweep.design.space import Costs, with_found_cells
from sklab.system.terminal import quantity

_MOST_NAMED = 5  # cells in the error
_REMEDY = (
    "give the sweep a `study:` name of its own (runs that both have are taken over, not trained again), name another "
    "--results, or move the folder away"
)
C = TypeVar("C", bound=Cell)


def continued(sweep: Sweep, folder: StudyFolder, costs: Costs) -> Sweep:
    """`sweep` with the results of earlier starts: the cells that a search has found, and the finished runs of seeds
    that the sweep does not ask for any more.

    Raises SklabError if finished runs would still leave the table, or if files would be replaced in a folder that is
    no study.
    """
    if not folder.sweep_file.exists():
        _ensure_no_others(folder)
        return sweep
    before = _before(folder)
    if sweep.search:
        sweep = with_found_cells(sweep, before, costs)
    leaving = _finished(_keys(before) - _shown(sweep, before, folder), folder)
    if leaving:
        sweep = _with_trained_duplicates(sweep, leaving)
        again = {key for cell in sweep.duplicates for key in cell.runs.values()}
        leaving = {key: record for key, record in leaving.items() if key not in again}
    if leaving and not (sweep.search or sweep.replicates):  # these need the same seeds in every cell
        sweep = _with_runs(sweep, before, leaving)
        leaving = {key: record for key, record in leaving.items() if key not in _keys(sweep)}
    if leaving:
        raise SklabError(_refusal(before, leaving, folder))
    return sweep


def _before(folder: StudyFolder) -> Sweep:
    try:
        return folder.read_sweep()
    except DamagedRecordError as error:
        raise DamagedRecordError(f"{error}; it would be replaced, and nothing was started: {_REMEDY}") from error


def _ensure_no_others(folder: StudyFolder) -> None:
    """Raise SklabError if files would be replaced in a folder that is no study. A folder with
    runs is a study that has lost its sweep.yaml; its other files are made from the records."""
    others = [name for name in folder.rebuilt if (folder.path / name).exists()]
    if others and not folder.runs.exists():
        held = f"{folder.path} is no study and holds {', '.join(others)}, which would be replaced"
        raise SklabError(f"{held}; nothing was started: {_REMEDY}")


def _keys(sweep: Sweep) -> set[str]:
    return {key for cell in (*sweep.cells, *sweep.duplicates) for key in cell.runs.values()}


def _shown(sweep: Sweep, before: Sweep, folder: StudyFolder) -> set[str]:
    """The keys of the runs that the table of `sweep` would show: a new rule for replicates may ask for fewer runs."""
    if sweep.replicates is None or sweep.replicates == before.replicates:
        return _keys(sweep)
    return _keys(with_requested_runs(sweep, _finished(_keys(sweep), folder)))


def _finished(keys: set[str], folder: StudyFolder) -> dict[str, RunRecord]:
    return {key: record for key, record in folder.records(sorted(keys)).items() if record.final}


def _with_trained_duplicates(sweep: Sweep, records: Mapping[str, RunRecord]) -> Sweep:
    """`sweep` with those of the runs whose cell is now a duplicate, which is not trained any more."""
    seeds = {record.spec.seed for record in records.values()}
    duplicates = tuple(_with_further(sweep, cell, seeds, records) for cell in sweep.duplicates)
    return sweep.model_copy(update={"duplicates": duplicates})


def _with_runs(sweep: Sweep, before: Sweep, records: Mapping[str, RunRecord]) -> Sweep:
    """`sweep` with those of the runs that belong to its cells at further seeds. What was a run of the baseline alone
    stays one."""
    further = {record.spec.seed for record in records.values()}
    cells = tuple(_with_further(sweep, cell, further, records) for cell in sweep.cells)
    held = {seed for cell in cells for seed in cell.runs}
    of_others = {seed for cell in cells if not sweep.is_of_baseline(cell) for seed in cell.runs}
    alone = {*sweep.baseline_seeds, *before.baseline_seeds} & held - of_others
    seeds = tuple(sorted({*sweep.seeds, *held}))
    return sweep.model_copy(update={"cells": cells, "seeds": seeds, "baseline_seeds": tuple(sorted(alone))})


def _with_further(sweep: Sweep, cell: C, seeds: set[int], records: Mapping[str, RunRecord]) -> C:
    whole = complete(sweep.experiment, cell, sorted({*cell.runs, *seeds}))
    assert isinstance(whole, Cell), "its settings broke no rule before"
    runs = {seed: key for seed, key in whole.runs.items() if seed in cell.runs or key in records}
    return cell.model_copy(update={"runs": runs})


def _refusal(before: Sweep, leaving: Mapping[str, RunRecord], folder: StudyFolder) -> str:
    held = (*before.cells, *before.duplicates)
    cells = [cell.name for cell in held if any(key in leaving for key in cell.runs.values())]
    more = f" and {len(cells) - _MOST_NAMED} more" if len(cells) > _MOST_NAMED else ""
    runs = f"{quantity(len(leaving), 'finished run')} of {', '.join(cells[:_MOST_NAMED])}{more}"
    message = f"{runs} would leave the table of {folder.path}: this sweep has no such cells, settings or seeds"
    return _of_earlier_code(runs, leaving, folder) or f"{message}; nothing was started: {_REMEDY}"


def _of_earlier_code(runs: str, leaving: Mapping[str, RunRecord], folder: StudyFolder) -> str:
    """The same where a file of own code was edited since; "" where not all of the runs use an earlier one."""
    now = hash_of_current()
    codes = {key: codes_in(record.spec) - {now} for key, record in leaving.items()}
    if not now or not all(codes.values()):
        return ""
    key, record = next(iter(leaving.items()))
    code = min(codes[key])
    name = next((name for name, value in record.versions.items() if value == code), "file of own code")
    message = f"{runs} are of an earlier {name} ({code[:8]}, now {now[:8]}) and would leave the table of {folder.path}"
    return f"{message}; nothing was started: go on with --code {copy_of(folder.run(key).path, code)}, or {_REMEDY}"


def change(sweep: Sweep, folder: StudyFolder) -> Change | None:
    """The changes since the last start; None when there was none."""
    return changes.change(sweep, folder.read_sweep()) if folder.sweep_file.exists() else None
