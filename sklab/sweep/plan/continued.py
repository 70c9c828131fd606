"""How a start goes on with the study that is there, and what of its sweep has changed since.

One rule: what has finished stays in its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from sklab.analysis.table.replicates import with_requested_runs
from sklab.errors import DamagedRecordError, SklabError
from sklab.spec.names import canonical
from sklab.spec.study.sweep import Cell, Sweep
from sklab.spec.values import Seq, Value, leaves
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import complete
from sklab.sweep.design.space import Costs, with_found_cells
from sklab.system.terminal import counted

_MOST_NAMED = 5  # cells in the error
_REMEDY = (
    "give the sweep a `study:` name of its own (runs that both have are taken over, not trained again), name another "
    "--results, or move the folder away"
)
C = TypeVar("C", bound=Cell)
_HOW = ("baseline", "design", "metric", "sizes", "search", "factors")


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
    if left:
        sweep = _with_trained_duplicates(sweep, left)
        again = {key for cell in sweep.duplicates for key in cell.runs.values()}
        left = {key: record for key, record in left.items() if key not in again}
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
    return {key for cell in (*sweep.cells, *sweep.duplicates) for key in cell.runs.values()}


def _shown(sweep: Sweep, before: Sweep, folder: StudyFolder) -> set[str]:
    """The keys of the runs that the table of `sweep` would show: a new rule for replicates may call for fewer."""
    if sweep.replicates is None or sweep.replicates == before.replicates:
        return _keys(sweep)
    return _keys(with_requested_runs(sweep, _finished(_keys(sweep), folder)))


def _finished(keys: set[str], folder: StudyFolder) -> dict[str, RunRecord]:
    return {key: record for key, record in folder.records(sorted(keys)).items() if record.final}


def _with_trained_duplicates(sweep: Sweep, left: Mapping[str, RunRecord]) -> Sweep:
    """`sweep` with those of the runs that are of a cell which is not trained any more, as the network of another is."""
    seeds = {record.spec.seed for record in left.values()}
    duplicates = tuple(_with_further(sweep, cell, seeds, left) for cell in sweep.duplicates)
    return sweep.model_copy(update={"duplicates": duplicates})


def _with_runs(sweep: Sweep, left: Mapping[str, RunRecord]) -> Sweep:
    """`sweep` with those of the runs that belong to its cells at further seeds."""
    further = {record.spec.seed for record in left.values()} - set(sweep.seeds)
    cells = tuple(_with_further(sweep, cell, further, left) for cell in sweep.cells)
    held = {seed for cell in cells for seed in cell.runs}
    return sweep.model_copy(update={"cells": cells, "seeds": tuple(sorted({*sweep.seeds, *held}))})


def _with_further(sweep: Sweep, cell: C, seeds: set[int], left: Mapping[str, RunRecord]) -> C:
    whole = complete(sweep.experiment, cell, sorted({*cell.runs, *seeds}))
    assert isinstance(whole, Cell), "its settings broke no rule before"
    runs = {seed: key for seed, key in whole.runs.items() if seed in cell.runs or key in left}
    return cell.model_copy(update={"runs": runs})


def _refusal(before: Sweep, left: Mapping[str, RunRecord], folder: StudyFolder) -> str:
    held = (*before.cells, *before.duplicates)
    cells = [cell.name for cell in held if any(key in left for key in cell.runs.values())]
    more = f" and {len(cells) - _MOST_NAMED} more" if len(cells) > _MOST_NAMED else ""
    runs = f"{counted(len(left), 'finished run')} of {', '.join(cells[:_MOST_NAMED])}{more}"
    told = f"{runs} would leave the table of {folder.path}: this sweep has no such cells, settings or seeds"
    return f"{told}; nothing was started: {_REMEDY}"


class Change(Value):
    """What a start of the sweep would do that the last one did not; all empty when nothing has changed.

    cells_changed  cells of the same name that are other runs now
    settings       of the base experiment and of the design: "train.epochs: 10 -> 20"
    """

    cells_added: Seq[str] = ()
    cells_removed: Seq[str] = ()
    cells_changed: Seq[str] = ()
    seeds_added: Seq[int] = ()
    seeds_removed: Seq[int] = ()
    settings: Seq[str] = ()


def change(sweep: Sweep, folder: StudyFolder) -> Change | None:
    """What has changed since the last start; None when there was none. Cells that a search has found are not
    compared."""
    if not folder.sweep_file.exists():
        return None
    before = folder.read_sweep()
    ours, theirs = _names(sweep), _names(before)
    return Change(
        cells_added=tuple(ours[name] for name in ours if name not in theirs),
        cells_removed=tuple(theirs[name] for name in theirs if name not in ours) if sweep.search is None else (),
        cells_changed=tuple(_changed(sweep, before)),
        seeds_added=tuple(seed for seed in sweep.seeds if seed not in before.seeds),
        seeds_removed=tuple(seed for seed in before.seeds if seed not in sweep.seeds),
        settings=tuple(_settings(sweep, before)),
    )


def _names(sweep: Sweep) -> dict[str, str]:
    """The cells' names by their canonical form, in which numbers are written in one way."""
    names = [cell.name for cells in (sweep.cells, sweep.duplicates, sweep.invalid) for cell in cells]
    return {canonical(name): name for name in names}


def _changed(sweep: Sweep, before: Sweep) -> Iterator[str]:
    """Cells whose run of a shared seed is another one."""
    runs = {canonical(cell.name): cell.runs for cell in (*before.cells, *before.duplicates)}
    for cell in sweep.cells:
        theirs = runs.get(canonical(cell.name), {})
        if any(cell.runs[seed] != theirs[seed] for seed in cell.runs.keys() & theirs.keys()):
            yield cell.name


def _settings(sweep: Sweep, before: Sweep) -> Iterator[str]:
    ours, theirs = (dict(leaves(_how(of), lists=False)) for of in (sweep, before))
    for path in sorted({*ours, *theirs}):
        if ours.get(path) != theirs.get(path):
            yield f"{path}: {_setting(theirs, path)} -> {_setting(ours, path)}"


def _how(sweep: Sweep) -> dict[str, Any]:
    dumped = sweep.model_dump(mode="json")
    return {**dumped["experiment"], **{key: dumped[key] for key in _HOW}}


def _setting(settings: Mapping[str, Any], path: str) -> str:
    return str(settings[path]) if path in settings else "not set"
