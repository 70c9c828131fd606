"""YAML files in, values out: an experiment, or the question that a sweep asks over one. Every fault is told at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sklab.errors import Fault, FaultyInputError, SklabError
from sklab.spec.limits import RUNS
from sklab.spec.names import find, study_with_settings
from sklab.spec.study.sweep import Cell, InvalidCell, StudyName, Sweep
from sklab.sweep.design.cells import complete, lay, resolve, without_duplicates
from sklab.sweep.design.fraction import describe
from sklab.sweep.files.cells import Draft, Made, chosen_cell, drafts_of, make, same_names, same_runs, start_of
from sklab.sweep.files.consistency import disagreements, unknown
from sklab.sweep.files.experimentfile import STAND_IN, Base, read_experiment
from sklab.sweep.files.faults import distinct, options
from sklab.sweep.files.inputs import NoSuchFileError, read_input
from sklab.sweep.files.questions import faults_of, spelled
from sklab.sweep.files.sweepfile import MOST_SEEDS, SweepFile, renamed
from sklab.sweep.files.without_faults import Sound, read_sweep_file
from sklab.sweep.files.yamltree import Document

_NONE: Mapping[str, str] = {}
_LARGEST_SEED = 2**31 - 1


def load_single(file: Path, *, seed: int = 0, overrides: Mapping[str, str] = _NONE) -> Sweep:
    """The experiment in `file` as a study of one cell and one seed, named as `load_sweep` names its own."""
    base = read_experiment(file, overrides)
    name = base.name
    faults = [*base.faults, *_misnamed(str(file), name), *_out_of_range("--seed", seed, 0, _LARGEST_SEED)]
    if faults:
        raise FaultyInputError(faults)
    cell = complete(base.tree, Cell(name=name), [seed])
    if isinstance(cell, InvalidCell):
        raise FaultyInputError([Fault(str(file), "", cell.reason)])
    return Sweep(
        study=study_with_settings(name, base.other_settings),
        experiment_name=name,
        experiment=base.tree,
        design="list",
        seeds=(seed,),
        baseline=name,
        columns=(),
        cells=(cell,),
    )


def load_sweep(
    file: Path, *, experiment: Path | None = None, seeds: int | None = None, overrides: Mapping[str, str] = _NONE
) -> Sweep:
    """The sweep in `file`, with its cells made and checked.

    experiment  another experiment than the file names; the study is then called `<study>-<experiment>`
    seeds       the seeds 0, 1, ... of this number for every cell instead of the file's seeds or replicates
    overrides   YAML text by dotted path, laid over the experiment (`--set`); where they make other runs than the
                experiment itself, the study is called by them besides

    Raises FaultyInputError with the faults of all these at once. A cell that breaks a rule between well-formed
    values is no fault: it is listed in `Sweep.invalid`.
    """
    faults = list(_out_of_range("--seeds", seeds, 1, MOST_SEEDS)) if seeds is not None else []
    document, unreadable = _document(file)
    base, unfit = _base(file, document, experiment, overrides)
    faults += [*unreadable, *unfit]
    if document is None:
        raise FaultyInputError(distinct(faults))
    read, wrong = read_sweep_file(document)
    study = (read.sweep.study or file.stem) + (f"-{experiment.stem}" if experiment else "")
    update: dict[str, Any] = {"study": study_with_settings(study, base.other_settings)}
    if seeds is not None:
        update |= {"seeds": tuple(range(min(seeds, MOST_SEEDS))), "replicates": None}
    faults += [*wrong, *_misnamed(document.file, study), *disagreements(document, read, overrides)]
    return _built(document, replace(read, sweep=read.sweep.model_copy(update=update)), base, faults)


def _document(file: Path) -> tuple[Document | None, Sequence[Fault]]:
    try:
        return read_input(file, "sweep"), ()
    except FaultyInputError as error:
        return None, error.faults


def _base(
    file: Path, document: Document | None, experiment: Path | None, overrides: Mapping[str, str]
) -> tuple[Base, Sequence[Fault]]:
    """The experiment that the sweep is over, with its faults; one that stands in for what can't be read at all."""
    named = document.tree.get("experiment") if document else None
    if experiment is None and (document is None or not isinstance(named, str)):
        return STAND_IN, ()
    try:
        base = read_experiment(experiment or file.parent / str(named), overrides)
    except NoSuchFileError as error:
        if experiment is not None or document is None:
            return STAND_IN, error.faults
        near, *there = (os.path.relpath(each, file.parent) for each in (error.near or file, *error.there))
        hint = near if error.near else ""
        return STAND_IN, [document.fault(("experiment",), "no such file", allowed=options(there), hint=hint)]
    except FaultyInputError as error:
        return STAND_IN, error.faults
    return base, base.faults


def _out_of_range(option: str, value: int, smallest: int, largest: int) -> Iterator[Fault]:
    if not smallest <= value <= largest:
        yield Fault("command line", option, "out of range", found=str(value), allowed=f"{smallest} to {largest}")


def _misnamed(file: str, study: str) -> Iterator[Fault]:
    try:
        TypeAdapter(StudyName).validate_python(study)
    except ValidationError as error:
        yield Fault(file, "study", str(error.errors()[0]["ctx"]["error"]), found=study)


def _built(document: Document, read: Sound, base: Base, faults: Sequence[Fault]) -> Sweep:
    """The sweep, if there is no fault so far and its cells have none."""
    drafts = drafts_of(document, read)
    beyond = list(_beyond_a_study(document, read.sweep, drafts))
    made, wrong = make(base, drafts, read.sweep.seeds[:1] if beyond else read.sweep.seeds)
    wrong += [*beyond, *same_names(document, drafts), *_published(document, read, drafts)]
    wrong += _questions(document, read, drafts)
    if not base.faults and not base.unread:
        wrong += [*same_runs(document, base, made), *_impossible_baseline(document, read, made)]
        wrong += _out_of_sight(document, read.sweep, base, made)
        wrong += _too_few_runs(document, read.sweep, base, made)
    if told := [*faults, *wrong]:
        raise FaultyInputError(distinct(told))
    return _sweep(read.sweep, base, [cell for _, cell in made])


def _beyond_a_study(document: Document, written: SweepFile, drafts: Sequence[Draft]) -> Iterator[Fault]:
    """More runs than a study can hold: told before the key of each is computed."""
    runs = max(len(drafts), written.search.trials if written.search else 0) * len(written.seeds)
    if runs > RUNS:
        place = "replicates" if written.replicates else "seeds"
        yield document.fault((place,), "too many runs", found=f"{runs}", allowed=f"at most {RUNS}")


def _impossible_baseline(document: Document, read: Sound, made: Sequence[tuple[Draft, Made]]) -> Iterator[Fault]:
    name = _sure_baseline(read)
    for _, cell in made:
        if isinstance(cell, InvalidCell) and cell.name == name:
            yield document.fault(("baseline",), f"the baseline can't exist: {cell.reason}")


def _published(document: Document, read: Sound, drafts: Sequence[Draft]) -> Iterator[Fault]:
    """Figures that do not stand where their cell is, or is not."""
    published, baseline = read.sweep.published, _sure_baseline(read)
    if published is None or baseline is None or not read.knows_cells:
        return
    names = [baseline] if read.sweep.design == "search" else [draft.cell.name for draft in drafts]
    for row in published.rows:
        if find(row, names) is None:
            yield unknown(document, ("published", "rows", row), "cell", row, names)
    for other in published.others:
        if find(other, names):
            yield document.fault(("published", "others", other), "is a cell of this sweep; its figure stands in rows")


def _questions(document: Document, read: Sound, drafts: Sequence[Draft]) -> Iterator[Fault]:
    """Questions about cells, factors or levels that there are not; of a search, whose cells are not known yet, all."""
    if read.knows("design") and read.sweep.design == "search" and "questions" in document.tree:
        yield document.fault(("questions",), "not used by design: search", found="")
    elif read.knows_cells and read.knows_factors and read.knows("design") and read.knows("factors"):
        cells = [draft.cell for draft in drafts]
        yield from faults_of(document, spelled(read.sweep.questions, cells), cells)


def _out_of_sight(
    document: Document, written: SweepFile, base: Base, made: Sequence[tuple[Draft, Made]]
) -> Iterator[Fault]:
    """Evaluation sizes that the data of a cell can't be seen at."""
    cells = [cell for _, cell in made if isinstance(cell, Cell)] if written.sizes else []
    distinct_data = dict.fromkeys(resolve(lay(base.tree, cell.settings)).data for cell in cells)
    for at, size in enumerate(written.sizes):
        for data in distinct_data:
            try:
                data.at_size(size)
            except SklabError as error:
                yield document.fault(("sizes", at), str(error))


def _too_few_runs(
    document: Document, written: SweepFile, base: Base, made: Sequence[tuple[Draft, Made]]
) -> Iterator[Fault]:
    """A budget of runs that the first seeds alone go beyond."""
    rule = written.replicates
    cells = [cell for _, cell in made if isinstance(cell, Cell)] if rule else []
    first = rule.start * len(without_duplicates(base.tree, cells)[0]) if rule else 0
    if rule and rule.runs and rule.runs < first:
        yield document.fault(("replicates", "runs"), "the first seeds alone are more runs", allowed=f"{first} or more")


def _sure_baseline(read: Sound) -> str | None:
    """The name of the baseline's cell; None where a fault leaves it open."""
    known = all(map(read.knows, ("design", "baseline", "factors")))
    return _baseline_name(read.sweep) if known and (read.is_list or read.sweep.factors) else None


def _baseline_name(written: SweepFile) -> str:
    return str(written.baseline) if written.design == "list" else chosen_cell(written, start_of(written)).name


def _sweep(written: SweepFile, base: Base, made: Sequence[Made]) -> Sweep:
    baseline = _baseline_name(written)
    kept = [cell for cell in made if cell.name == baseline] if written.design == "search" else made
    possible = [cell for cell in kept if isinstance(cell, Cell)]
    cells, duplicates = without_duplicates(base.tree, possible, baseline)
    shared = {"study", "design", "seeds", "metric", "sizes", "factors", "search", "equal_budget"}
    shared |= {"replicates", "margin"}
    return Sweep(
        **{key: getattr(written, key) for key in shared},
        question=written.question.strip(),
        experiment_name=base.name,
        experiment=base.tree,
        baseline=baseline,
        published=renamed(written.published, (cell.name for cell in made)),
        fraction=describe(list(written.factors), written.fraction) if written.fraction else None,
        questions=spelled(written.questions, possible),
        columns=written.columns_at_hand if written.columns is None else written.columns,
        cells=cells,
        duplicates=duplicates,
        invalid=tuple(cell for cell in kept if isinstance(cell, InvalidCell)),
    )
