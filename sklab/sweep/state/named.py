"""Runs by what a user calls them: study, cell and seed. Their keys, which are hashes, name them as well."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sklab.analysis.evidence.nuisance import at_tuned_settings
from sklab.errors import SklabError
from sklab.spec.names import did_you_mean, find
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder, find_run, find_study

_MOST_NAMED = 20  # cells or seeds in a message


def run_of_words(words: Sequence[str], results: Path) -> RunFolder:
    """The run that a command line names: STUDY CELL SEED, STUDY CELL where the cell has one run, or one word as for
    `store.study_folder.find_run`. Raises SklabError where they name none."""
    study, *rest = words
    if len(rest) > 2:
        given = " ".join(map(repr, words))
        raise SklabError(f"run: found {given}; allowed: STUDY CELL SEED; a cell with blanks needs quotes")
    if rest:
        cell, *seed = rest
        return named_run(find_study(study, results), cell, _seed(seed[0]) if seed else None)
    folder = find_study(study, results)
    if folder.sweep_file.exists():
        cells = _listed(_cells(folder, folder.read_sweep()))
        raise SklabError(f"run {study!r}: found a study; allowed: {study} CELL SEED, with one of its cells: {cells}")
    return find_run(study, results)


def named_run(folder: StudyFolder, cell: str, seed: int | None = None) -> RunFolder:
    """The run of a study that has this cell and seed, whether it has ended or not.

    The cell is written as in the table, numbers in any form. A cell whose settings are tuned is, without a setting in
    its name, the one at the setting that was chosen for it. A cell that was not trained because it is the same network
    as another stands for that one. The seed may be left out where one run of the cell has begun.

    Raises SklabError, with what is allowed, for a cell or seed that the study does not have, where several seeds have
    begun and none is named, and for a run that has not begun; DamagedRecordError where the study can't be read.
    """
    sweep = folder.read_sweep()
    found = _cell(folder, sweep, cell)
    if seed is None:
        seed = _only_seed(folder, found)
    if seed not in found.runs:
        allowed = _listed(map(str, found.runs))
        raise SklabError(f"seed: found {seed}; allowed for {found.name} of {sweep.study}: {allowed}")
    run = folder.run(found.runs[seed])
    if not run.order_file.exists():
        raise SklabError(f"{sweep.study}: the run of {found.name}, seed {seed}, has not begun")
    return run


def logs_command(folder: StudyFolder, cell: str, seed: int) -> str:
    """The command that shows the log of a run."""
    return f"sklab logs {folder.argument} {shlex.quote(cell)} {seed}"


def trained_name(sweep: Sweep, names: Iterable[str], name: str) -> str:
    """The spelling among `names`, which are cells of the sweep, of `name`; of a duplicate, that of the cell that is
    trained in its place. Raises SklabError where there is none."""
    same = {duplicate.name: duplicate.same_as for duplicate in sweep.duplicates}
    options = [*names, *same]
    if match := find(name, options):
        return same.get(match, match)
    near = did_you_mean(name, options)
    hint = f" - did you mean {near!r}?" if near else ""
    raise SklabError(f"cell: {sweep.study} has no cell {name!r}; its cells: {_listed(options)}{hint}")


def _cell(folder: StudyFolder, sweep: Sweep, name: str) -> Cell:
    for invalid in sweep.invalid:
        if invalid.name == name:
            raise SklabError(f"cell: {name!r} of {sweep.study} can't exist and has no run: {invalid.reason}")
    cells = _cells(folder, sweep)
    return cells[trained_name(sweep, cells, name)]


def _cells(folder: StudyFolder, sweep: Sweep) -> Mapping[str, Cell]:
    """The cells by every name that they have: those of the table and, where settings are tuned, at each of these."""
    if sweep.nuisance is None:
        return {cell.name: cell for cell in sweep.cells}
    records, _ = folder.readable(key for cell in sweep.cells for key in cell.runs.values())
    return {cell.name: cell for cell in (*at_tuned_settings(sweep, records).cells, *sweep.cells)}


def _only_seed(folder: StudyFolder, cell: Cell) -> int:
    """The seed of the one run of the cell that has begun."""
    seeds = [seed for seed, key in cell.runs.items() if folder.run(key).order_file.exists()]
    if len(seeds) != 1:
        begun = f"allowed: one of {_listed(map(str, seeds))}" if seeds else "no run of it has begun"
        raise SklabError(f"seed: none is named for {cell.name} of {folder.path.name}; {begun}")
    return seeds[0]


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise SklabError(f"seed: found {text!r}; allowed: a whole number, 0 or more; a cell with blanks needs quotes")
    return int(text)


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
    return ", ".join(every[:_MOST_NAMED]) + more
