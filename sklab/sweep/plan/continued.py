"""How a start goes on with the study that is there. One rule: what has finished stays in its table."""

from __future__ import annotations

from collections.abc import Mapping

from sklab.analysis.table.replicates import called
from sklab.errors import DamagedRecordError, SklabError
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import complete
from sklab.sweep.design.found import with_found_cells
from sklab.sweep.design.space import Costs
from sklab.system.terminal import counted

_MOST_NAMED = 5  # cells in the error
_REMEDY = (
    "give the sweep a `study:` name of its own (runs that both have are taken over, not trained again), name another "
    "--results, or move the folder away"
)


def continued(sweep: Sweep, folder: StudyFolder, costs: Costs) -> Sweep:
    """`sweep` with what earlier starts of its study have brought: the cells that a search has found, and the finished
    runs of seeds that it does not ask for any more.

    Raises SklabError where finished runs would leave the table all the same, and where something lies in the folder
    that would be replaced and is not of sklab's making.
    """
    if not folder.sweep_file.exists():
        _ensure_no_others(folder)
        return sweep
    before = _before(folder)
    if sweep.search:
        sweep = with_found_cells(sweep, before, costs)
    left = _finished(_keys(before) - _shown(sweep, before, folder), folder)
    if left and not (sweep.search or sweep.replicates):  # which want the same seeds of every cell
        sweep = _with_runs(sweep, left)
        left = {key: record for key, record in left.items() if key not in _keys(sweep)}
    if left:
        raise SklabError(_refusal(before, left, folder))
    return sweep


def _before(folder: StudyFolder) -> Sweep:
    try:
        return folder.read_sweep()
    except DamagedRecordError as error:
        raise DamagedRecordError(f"{error}; it would be replaced, and nothing was started: {_REMEDY}") from error


def _ensure_no_others(folder: StudyFolder) -> None:
    """A folder with runs is a study that has lost its sweep.yaml, and all the rest is made from the records."""
    others = [name for name in folder.rebuilt if (folder.path / name).exists()]
    if others and not folder.runs.exists():
        held = f"{folder.path} is no study and holds {', '.join(others)}, which would be replaced"
        raise SklabError(f"{held}; nothing was started: {_REMEDY}")


def _keys(sweep: Sweep) -> set[str]:
    return {key for cell in sweep.cells for key in cell.runs.values()}


def _shown(sweep: Sweep, before: Sweep, folder: StudyFolder) -> set[str]:
    """The runs that the table of `sweep` would have: a new rule for replicates may call for fewer than there are."""
    if sweep.replicates is None or sweep.replicates == before.replicates:
        return _keys(sweep)
    return _keys(called(sweep, _finished(_keys(sweep), folder)))


def _finished(keys: set[str], folder: StudyFolder) -> dict[str, RunRecord]:
    return {key: record for key, record in folder.records(sorted(keys)).items() if record.final}


def _with_runs(sweep: Sweep, left: Mapping[str, RunRecord]) -> Sweep:
    """`sweep` with those runs that are its cells' at further seeds."""
    further = {record.spec.seed for record in left.values()} - set(sweep.seeds)
    cells = tuple(_with_further(sweep, cell, further, left) for cell in sweep.cells)
    held = {seed for cell in cells for seed in cell.runs}
    return sweep.model_copy(update={"cells": cells, "seeds": tuple(sorted({*sweep.seeds, *held}))})


def _with_further(sweep: Sweep, cell: Cell, seeds: set[int], left: Mapping[str, RunRecord]) -> Cell:
    whole = complete(sweep.experiment, cell, sorted({*cell.runs, *seeds}))
    assert isinstance(whole, Cell), "its settings broke no rule before"
    runs = {seed: key for seed, key in whole.runs.items() if seed in cell.runs or key in left}
    return cell.model_copy(update={"runs": runs})


def _refusal(before: Sweep, left: Mapping[str, RunRecord], folder: StudyFolder) -> str:
    cells = [cell.name for cell in before.cells if any(key in left for key in cell.runs.values())]
    more = f" and {len(cells) - _MOST_NAMED} more" if len(cells) > _MOST_NAMED else ""
    runs = f"{counted(len(left), 'finished run')} of {', '.join(cells[:_MOST_NAMED])}{more}"
    told = f"{runs} would leave the table of {folder.path}: this sweep has no such cells, settings or seeds"
    return f"{told}; nothing was started: {_REMEDY}"
