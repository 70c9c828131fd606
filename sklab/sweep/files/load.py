"""Read an experiment or a sweep from YAML files. All faults are reported together."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sklab.errors import Fault, FaultyInputError, SklabError
from sklab.spec.limits import RUNS
from sklab.spec.names import find, study_with_settings
from sklab.spec.study.metrics import METRICS
from sklab.spec.study.nuisance import number_of
from sklab.spec.study.seeds import MOST_SEEDS, Seeds
from sklab.spec.study.sweep import Cell, InvalidCell, StudyName, Sweep
from sklab.sweep.design.cells import complete, lay, resolve, with_seeds, without_duplicates
from sklab.sweep.design.fraction import describe
from sklab.sweep.design.weights import pinned
from sklab.sweep.files.cells import Draft, Made, chosen_cell, draft_cells, make, same_names, same_runs, start_of
from sklab.sweep.files.consistency import disagreements, unknown
from sklab.sweep.files.experimentfile import STAND_IN, Base, read_experiment
from sklab.sweep.files.faults import distinct, options
from sklab.sweep.files.inputs import NoSuchFileError, read_input
from sklab.sweep.files.nuisance import common_setting, nuisance_faults, tried_cells, with_tried_cells
from sklab.sweep.files.questions import faults_of, spelled
from sklab.sweep.files.sweepfile import SweepFile, renamed
from sklab.sweep.files.valid_part import ValidPart, read_sweep_file, settled
from sklab.sweep.files.yamltree import Document, Place

_NONE: Mapping[str, str] = {}
_LARGEST_SEED = 2**31 - 1


def load_single(file: Path, *, seed: int = 0, overrides: Mapping[str, str] = _NONE) -> Sweep:
    """The experiment in `file` as a study of one cell and one seed. `load_sweep` explains its name."""
    base = read_experiment(file, overrides)
    name = base.name
    faults = [*base.faults, *_misnamed(str(file), name), *_out_of_range("--seed", seed, 0, _LARGEST_SEED)]
    if faults:
        raise FaultyInputError(faults)
    cell = complete(base.tree, Cell(name=name), [seed])
    if isinstance(cell, InvalidCell):
        raise FaultyInputError([Fault(str(file), "", cell.reason)])
    return pinned(
        Sweep(
            study=study_with_settings(name, base.other_settings),
            experiment_name=name,
            experiment=base.tree,
            design="list",
            seeds=(seed,),
            baseline=name,
            columns=(),
            cells=(cell,),
        )
    )


def load_sweep(
    file: Path, *, experiment: Path | None = None, seeds: int | None = None, overrides: Mapping[str, str] = _NONE
) -> Sweep:
    """The sweep in `file`, with its cells made and checked.

    experiment  another experiment than the file names; the study is then called `<study>-<experiment>`
    seeds       the seeds 0, 1, ... of this number for every cell instead of the file's seeds or replicates
    overrides   YAML text by dotted path, laid over the experiment (`--set`); where they make other runs than the
                experiment itself, they are part of the study's name

    Raises FaultyInputError with the faults of all these at once. A cell that breaks a rule between well-formed
    values is no fault: it is listed in `Sweep.invalid`.
    """
    faults = list(_out_of_range("--seeds", seeds, 1, MOST_SEEDS)) if seeds is not None else []
    document, unreadable = _document(file)
    base, unfit = _base(file, document, experiment, overrides)
    faults += [*unreadable, *unfit]
    if document is None:
        raise FaultyInputError(distinct(faults))
    valid, wrong = read_sweep_file(document)
    base, single = _varied(document, valid.sweep, base)
    study = (valid.sweep.study or file.stem) + (f"-{experiment.stem}" if experiment else "")
    update: dict[str, Any] = {"study": study_with_settings(study, base.other_settings)}
    if seeds is not None:
        update |= {"seeds": Seeds(others=tuple(range(min(max(seeds, 1), MOST_SEEDS)))), "replicates": None}
    faults += [*wrong, *single, *_misnamed(document.file, study), *disagreements(document, valid, overrides)]
    faults += nuisance_faults(document, valid, overrides)
    valid, strayed = settled(document, valid, base.data_set)
    faults += strayed
    return _built(document, replace(valid, sweep=valid.sweep.model_copy(update=update)), base, faults)


def _document(file: Path) -> tuple[Document | None, Sequence[Fault]]:
    try:
        return read_input(file, "sweep"), ()
    except FaultyInputError as error:
        return None, error.faults


def _base(
    file: Path, document: Document | None, experiment: Path | None, overrides: Mapping[str, str]
) -> tuple[Base, Sequence[Fault]]:
    """The sweep's experiment, with its faults; STAND_IN where it can't be read at all."""
    named = document.tree.get("experiment") if document else None
    if experiment is None and (document is None or not isinstance(named, str)):
        return STAND_IN, ()
    try:
        base = read_experiment(experiment or file.parent / str(named), overrides)
    except NoSuchFileError as error:
        if experiment is not None or document is None:
            return STAND_IN, error.faults
        near, *present = (os.path.relpath(path, file.parent) for path in (error.near or file, *error.present))
        hint = near if error.near else ""
        return STAND_IN, [document.fault(("experiment",), "no such file", allowed=options(present), hint=hint)]
    except FaultyInputError as error:
        return STAND_IN, error.faults
    return base, base.faults


def _varied(document: Document, written: SweepFile, base: Base) -> tuple[Base, Sequence[Fault]]:
    """The experiment with what varies in the recipe of all cells."""
    if written.vary is None:
        return base, ()
    varied = replace(base, tree=dict(lay(base.tree, {"train.vary": written.vary.fresh})))
    if base.faults or base.unread:
        return varied, ()
    try:
        resolve(varied.tree)
    except ValidationError as error:
        return base, [document.fault(("vary",), detail["msg"], found="") for detail in error.errors()]
    return varied, ()


def _out_of_range(option: str, value: int, smallest: int, largest: int) -> Iterator[Fault]:
    if not smallest <= value <= largest:
        yield Fault("command line", option, "out of range", found=str(value), allowed=f"{smallest} to {largest}")


def _misnamed(file: str, study: str) -> Iterator[Fault]:
    try:
        TypeAdapter(StudyName).validate_python(study)
    except ValidationError as error:
        yield Fault(file, "study", str(error.errors()[0]["ctx"]["error"]), found=study)


def _built(document: Document, valid: ValidPart, base: Base, faults: Sequence[Fault]) -> Sweep:
    """The sweep. Raises FaultyInputError if there are `faults` already or its cells have some."""
    drafts = draft_cells(document, valid)
    too_many = list(_too_many_runs(document, valid.sweep, drafts))
    seeds = valid.sweep.seeds.others
    made, wrong = make(base, drafts, seeds[:1] if too_many else seeds)
    wrong += [*too_many, *same_names(document, drafts), *_published(document, valid, drafts)]
    common, unfit = common_setting(document, valid.sweep, base)
    tried, untrainable = tried_cells(document, valid.sweep, base, [] if too_many else made)
    wrong += [*unfit, *untrainable]
    wrong += _questions(document, valid, drafts)
    if not base.faults and not base.unread:
        wrong += [*same_runs(document, base, made), *_impossible_baseline(document, valid, made)]
        wrong += _impossible_sizes(document, valid.sweep, base, made)
        wrong += _too_few_classes(document, valid.sweep, base, made)
        wrong += _too_few_runs(document, valid.sweep, base, made)
    if all_faults := [*faults, *wrong]:
        raise FaultyInputError(distinct(all_faults))
    sweep = _sweep(valid.sweep, base, [cell for _, cell in made])
    return pinned(with_tried_cells(sweep, valid.sweep, common, tried))


def _too_many_runs(document: Document, written: SweepFile, drafts: Sequence[Draft]) -> Iterator[Fault]:
    """The fault of more runs than a study can hold, found before their keys are computed."""
    settings, seeds = number_of(written.nuisance), len(written.seeds.others)
    seeds += written.tuning_seeds if written.nuisance else 0
    runs = max(len(drafts), written.search.trials if written.search else 0) * seeds * settings
    if runs > RUNS:
        place = "replicates" if written.replicates else "seeds"
        yield document.fault((place,), "too many runs", found=f"{runs}", allowed=f"at most {RUNS}")


def _impossible_baseline(document: Document, valid: ValidPart, made: Sequence[tuple[Draft, Made]]) -> Iterator[Fault]:
    name = _sure_baseline(valid)
    for _, cell in made:
        if isinstance(cell, InvalidCell) and cell.name == name:
            yield document.fault(("baseline",), f"the baseline can't exist: {cell.reason}")


def _published(document: Document, valid: ValidPart, drafts: Sequence[Draft]) -> Iterator[Fault]:
    """Published figures of unknown cells in `rows`, and of the sweep's own cells in `others`."""
    published, baseline = valid.sweep.published, _sure_baseline(valid)
    if published is None or baseline is None or not valid.knows_cells:
        return
    names = [baseline] if valid.sweep.design == "search" else [draft.cell.name for draft in drafts]
    for row in published.rows:
        if find(row, names) is None:
            yield unknown(document, ("published", "rows", row), "cell", row, names)
    for other in published.others:
        if find(other, names):
            yield document.fault(("published", "others", other), "is a cell of this sweep; its figure stands in rows")


def _questions(document: Document, valid: ValidPart, drafts: Sequence[Draft]) -> Iterator[Fault]:
    """Questions about unknown cells, factors or levels; in a search all questions, as its cells are not known yet."""
    if valid.knows("design") and valid.sweep.design == "search" and "questions" in document.tree:
        yield document.fault(("questions",), "not used by design: search", found="")
    elif valid.knows_cells and valid.knows_factors and valid.knows("design") and valid.knows("factors"):
        cells = [draft.cell for draft in drafts]
        yield from faults_of(document, spelled(valid.sweep.questions, cells), cells)


def _impossible_sizes(
    document: Document, written: SweepFile, base: Base, made: Sequence[tuple[Draft, Made]]
) -> Iterator[Fault]:
    """Evaluation sizes that the data of a cell can't have."""
    cells = [cell for _, cell in made if isinstance(cell, Cell)] if written.sizes else []
    distinct_data = dict.fromkeys(resolve(lay(base.tree, cell.settings)).data for cell in cells)
    for at, size in enumerate(written.sizes):
        for data in distinct_data:
            try:
                data.at_size(size)
            except SklabError as error:
                yield document.fault(("sizes", at), str(error))


def _too_few_classes(
    document: Document, written: SweepFile, base: Base, made: Sequence[tuple[Draft, Made]]
) -> Iterator[Fault]:
    """Metrics that say nothing of as few classes as a cell has."""
    places: dict[Place, str] = {
        ("metric", "name"): written.metric.name,
        **{("also", at): name for at, name in enumerate(written.also)},
    }
    asked = {place: METRICS[name] for place, name in places.items() if METRICS[name].further}
    cells = [cell for _, cell in made if isinstance(cell, Cell)] if asked else []
    fewest = min((resolve(lay(base.tree, cell.settings)).data.num_classes for cell in cells), default=math.inf)
    for place, measure in asked.items():
        if fewest < measure.classes:
            message = f"says nothing of {fewest} classes; the {measure.noun} takes {measure.classes} or more"
            yield document.fault(place, message)


def _too_few_runs(
    document: Document, written: SweepFile, base: Base, made: Sequence[tuple[Draft, Made]]
) -> Iterator[Fault]:
    """The fault of a budget that is too small for the first seeds alone."""
    rule = written.replicates
    cells = [cell for _, cell in made if isinstance(cell, Cell)] if rule else []
    first = rule.start * len(without_duplicates(base.tree, cells)[0]) if rule else 0
    if rule and rule.runs and rule.runs < first:
        yield document.fault(("replicates", "runs"), "the first seeds alone are more runs", allowed=f"{first} or more")


def _sure_baseline(valid: ValidPart) -> str | None:
    """The name of the baseline's cell; None where a fault leaves it open."""
    known = all(map(valid.knows, ("design", "baseline", "factors")))
    return _baseline_name(valid.sweep) if known and (valid.is_list or valid.sweep.factors) else None


def _baseline_name(written: SweepFile) -> str:
    return str(written.baseline) if written.design == "list" else chosen_cell(written, start_of(written)).name


def _sweep(written: SweepFile, base: Base, made: Sequence[Made]) -> Sweep:
    baseline = _baseline_name(written)
    kept = [cell for cell in made if cell.name == baseline] if written.design == "search" else made
    possible = [cell for cell in kept if isinstance(cell, Cell)]
    cells, duplicates = without_duplicates(base.tree, possible, baseline)
    alone = written.seeds.of_baseline_alone(len(cells) - 1)
    shared = {"study", "design", "metric", "also", "sizes", "factors", "search", "equal_budget"}
    shared |= {"replicates", "margin", "most_seeds", "choose_best"}
    return Sweep(
        **{key: getattr(written, key) for key in shared},
        question=written.question.strip(),
        experiment_name=base.name,
        experiment=base.tree,
        seeds=(*written.seeds.others, *alone),
        baseline=baseline,
        baseline_seeds=alone,
        published=renamed(written.published, (cell.name for cell in made)),
        fraction=describe(list(written.factors), written.fraction) if written.fraction else None,
        questions=spelled(written.questions, possible),
        columns=written.columns_at_hand if written.columns is None else written.columns,
        cells=tuple(with_seeds(base.tree, cell, alone) if cell.name == baseline else cell for cell in cells),
        duplicates=duplicates,
        invalid=tuple(cell for cell in kept if isinstance(cell, InvalidCell)),
    )
