"""YAML files in, values out: an experiment, or the question that a sweep asks over one. Every fault is told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sklab.errors import Fault, FaultyInputError, SklabError
from sklab.spec.sweep import Cell, InvalidCell, StudyName, Sweep
from sklab.sweep.agreement import disagreements, unknown
from sklab.sweep.design import complete, lay, resolve
from sklab.sweep.drafts import Made, chosen_cell, drafts_of, make, same_names, same_runs, start_of
from sklab.sweep.experimentfile import Base, read_experiment
from sklab.sweep.faults import distinct
from sklab.sweep.fraction import describe
from sklab.sweep.sweepfile import MOST_SEEDS, SweepFile, read_sweep_file
from sklab.sweep.yamltree import Document, NoSuchFileError, read_mapping

_NONE: Mapping[str, str] = {}
_LARGEST_SEED = 2**31 - 1


def load_single(file: Path, *, seed: int = 0, overrides: Mapping[str, str] = _NONE) -> Sweep:
    """The experiment in `file` as a study of one cell and one seed, both named like the file."""
    base = read_experiment(file, overrides)
    name = base.name
    faults = [*base.faults, *_misnamed(str(file), name), *_out_of_range("--seed", seed, 0, _LARGEST_SEED)]
    if faults:
        raise FaultyInputError(faults)
    cell = complete(base.tree, Cell(name=name), [seed])
    assert isinstance(cell, Cell), "an experiment without faults breaks no rule"
    return Sweep(
        study=name,
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
    overrides   YAML text by dotted path, laid over the experiment (`--set`)

    Raises FaultyInputError with the faults of all these at once. A cell that breaks a rule between well-formed
    values is no fault: it is listed in `Sweep.invalid`.
    """
    document = read_mapping(file)
    written, faults = read_sweep_file(document)
    base, unfit = _base(document, experiment, overrides)
    faults += [*unfit, *(_out_of_range("--seeds", seeds, 1, MOST_SEEDS) if seeds is not None else ())]
    if written is None or base is None:
        raise FaultyInputError(distinct(faults))
    study = (written.study or file.stem) + (f"-{experiment.stem}" if experiment else "")
    update: dict[str, Any] = {"study": study}
    if seeds is not None:
        update |= {"seeds": tuple(range(min(seeds, MOST_SEEDS))), "replicates": None}
    faults += [*_misnamed(document.file, study), *disagreements(document, written, overrides)]
    return _built(document, written.model_copy(update=update), base, faults)


def _base(document: Document, experiment: Path | None, overrides: Mapping[str, str]) -> tuple[Base | None, list[Fault]]:
    """The experiment that the sweep is over, with its faults; None when it can't be read at all."""
    named = document.tree.get("experiment")
    if experiment is None and not isinstance(named, str):
        return None, []
    try:
        base = read_experiment(experiment or Path(document.file).parent / str(named), overrides)
    except NoSuchFileError as error:
        place = document.fault(("experiment",), "no such file", hint=error.faults[0].hint)
        return None, [place] if experiment is None else list(error.faults)
    except FaultyInputError as error:
        return None, list(error.faults)
    return base, list(base.faults)


def _out_of_range(option: str, value: int, smallest: int, largest: int) -> Iterator[Fault]:
    if not smallest <= value <= largest:
        yield Fault("command line", option, "out of range", found=str(value), allowed=f"{smallest} to {largest}")


def _misnamed(file: str, study: str) -> Iterator[Fault]:
    try:
        TypeAdapter(StudyName).validate_python(study)
    except ValidationError as error:
        yield Fault(file, "study", str(error.errors()[0]["ctx"]["error"]), found=study)


def _built(document: Document, written: SweepFile, base: Base, faults: Sequence[Fault]) -> Sweep:
    """The sweep, if there is no fault so far and its cells have none."""
    drafts = drafts_of(document, written)
    made, wrong = make(base, drafts, written.seeds)
    if drafts and not base.faults and not wrong:
        wrong = [*same_runs(document, drafts, made), *_misplaced(document, written, made)]
        wrong += [*_out_of_sight(document, written, base, made), *_too_few_runs(document, written, made)]
    if told := [*faults, *wrong, *same_names(document, drafts)]:
        raise FaultyInputError(distinct(told))
    return _sweep(written, base, made)


def _misplaced(document: Document, written: SweepFile, made: Sequence[Made]) -> Iterator[Fault]:
    """A baseline that can't exist, and published figures that do not stand where their cell is, or is not."""
    baseline = _baseline_name(written)
    for cell in made:
        if isinstance(cell, InvalidCell) and cell.name == baseline:
            yield document.fault(("baseline",), f"the baseline can't exist: {cell.reason}")
    names = [baseline] if written.design == "search" else [cell.name for cell in made]
    for row in written.published.rows if written.published else ():
        if row not in names:
            yield unknown(document, ("published", "rows", row), "cell", row, names)
    for other in written.published.others if written.published else ():
        if other in names:
            yield document.fault(("published", "others", other), "is a cell of this sweep; its figure stands in rows")


def _out_of_sight(document: Document, written: SweepFile, base: Base, made: Sequence[Made]) -> Iterator[Fault]:
    """Evaluation sizes that the data of a cell can't be seen at."""
    cells = [cell for cell in made if isinstance(cell, Cell)] if written.sizes else []
    distinct_data = dict.fromkeys(resolve(lay(base.tree, cell.settings)).data for cell in cells)
    for at, size in enumerate(written.sizes):
        for data in distinct_data:
            try:
                data.at_size(size)
            except SklabError as error:
                yield document.fault(("sizes", at), str(error))


def _too_few_runs(document: Document, written: SweepFile, made: Sequence[Made]) -> Iterator[Fault]:
    """A budget of runs that the first seeds alone go beyond."""
    rule = written.replicates
    first = rule.start * sum(isinstance(cell, Cell) for cell in made) if rule else 0
    if rule and rule.runs and rule.runs < first:
        yield document.fault(("replicates", "runs"), "the first seeds alone are more runs", allowed=f"{first} or more")


def _baseline_name(written: SweepFile) -> str:
    return str(written.baseline) if written.design == "list" else chosen_cell(written, start_of(written)).name


def _sweep(written: SweepFile, base: Base, made: Sequence[Made]) -> Sweep:
    baseline = _baseline_name(written)
    kept = [cell for cell in made if cell.name == baseline] if written.design == "search" else made
    shared = {"study", "design", "seeds", "metric", "sizes", "factors", "search", "published", "equal_budget"}
    shared |= {"replicates"}
    return Sweep(
        **{key: getattr(written, key) for key in shared},
        question=written.question.strip(),
        experiment_name=base.name,
        experiment=base.tree,
        baseline=baseline,
        fraction=describe(list(written.factors), written.fraction) if written.fraction else None,
        columns=written.columns_at_hand if written.columns is None else written.columns,
        cells=tuple(cell for cell in kept if isinstance(cell, Cell)),
        invalid=tuple(cell for cell in kept if isinstance(cell, InvalidCell)),
    )
