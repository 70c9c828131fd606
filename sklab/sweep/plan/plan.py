"""The plan of a sweep: what is done, what is left and what that costs. It is read from the files, at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from sklab.analysis.evidence.allocation import NextRuns, next_runs
from sklab.analysis.evidence.nuisance import Stage, at_common_setting, at_tuned_settings, judging_seeds, stage_of
from sklab.analysis.table.replicates import expected_runs, most_runs, values_and_ends, with_requested_runs
from sklab.spec.fit import misfits, oddities
from sklab.spec.jobs import Probe
from sklab.spec.run import Experiment, Seed
from sklab.spec.study.changes import Change
from sklab.spec.study.nuisance import is_of_tuning
from sklab.spec.study.search import Cost, OffBudget, off_budget
from sklab.spec.study.sweep import Cell, Duplicate, Fraction, InvalidCell, Sweep
from sklab.spec.values import Seq, Value
from sklab.store.dated import read_tested
from sklab.store.records import RunRecord, RunState
from sklab.store.states import counts_of, unended_states
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.design.space import Space, asked_for, infeasible, space_of
from sklab.sweep.design.weights import starts
from sklab.sweep.plan.continued import change
from sklab.sweep.plan.differences import Difference, confounds, differences
from sklab.sweep.plan.power import Power, power_of
from sklab.sweep.plan.prepared import Prepared
from sklab.sweep.plan.prices import Bill, Price, Resources, bill, prices, probed_prices, unfinished
from sklab.sweep.plan.reuse import Offer, to_take
from sklab.sweep.plan.trained_data import HeldData, changed

_NO_PROBES: Mapping[str, Probe] = {}


class PlannedCell(Value):
    """A row of the plan. `params` and `macs` (multiply-accumulates per image) are counted, not measured.

    counts       runs by their state; `missing` counts those that are to be trained
    price        of one run, None where it is unknown; `fault` is the reason why a probe gave none
    differences  from the baseline, in resolved settings
    """

    name: str
    params: int
    macs: int
    counts: dict[RunState, int]
    missing: int
    price: Price | None = None
    fault: str = ""
    differences: Seq[Difference] = ()


class Further(Value):
    """The runs that a study with replicates may need beyond those that are requested now.

    expected, worst  runs left to train until every comparison is decided, with those that are missing now. `expected`
                     is the mean of simulated studies in which cells differ from the baseline as much as so far, or,
                     while no run is complete (`seen`), not at all

    `expected_seconds` and `worst_seconds` are the wall times of both at the mean of the runs so far, None before any.
    """

    rule: str
    expected: int
    worst: int
    seen: bool
    expected_seconds: float | None
    worst_seconds: float | None


class Plan(Value):
    """The plan of a study.

    cells         in a search, those found so far; `asked` more will be asked for
    invalid       cells that can't exist; `refused` counts those of a search that break its constraints
    duplicates    cells that are the network of another cell and are not trained
    missing       number of runs to train, failed ones included; `reused` of them are finished in another study and left
                  out of the estimates
    unevaluated   number of complete runs that lack an evaluation at a size of the sweep
    untested      number of complete runs that lack their evaluation on the test split, which is read once every run has
                  ended; None without such a split
    device_hours  of all devices together for `missing` (`gpu`: GPUs, else shares of the CPU), and `seconds` of wall
                  time with `slots` runs at a time; None while no cell has a price
    off_budget    cells that break the sweep's claim of equal budget
    power         what its questions can show
    next_runs     which further runs would narrow the intervals of the differences from the baseline most
    tuning        how far nuisance settings are tuned
    data_changed  how the data differ from those that runs were trained on
    data_misfits  why recipes do not fit the images; `data_notices` are other notices about the images
    odd           settings that are probably a mistake
    confounds     why cells can't be read as the effect of their factors
    change        what has changed since the last start
    starts        cells by the trained weights that they start from ("": fresh ones); empty where all are fresh
    data          numbers of classes and image sizes of sets of image files, a line for each set
    """

    study: str
    seeds: Seq[Seed]
    baseline: str
    baseline_seeds: Seq[Seed]
    fraction: Fraction | None
    cells: Seq[PlannedCell]
    invalid: Seq[InvalidCell]
    duplicates: Seq[Duplicate]
    asked: int
    complete: int
    missing: int
    unevaluated: int
    slots: int
    gpu: bool
    seconds: float | None
    device_hours: float | None
    confounds: Seq[str]
    change: Change | None
    off_budget: Seq[OffBudget] = ()
    further: Further | None = None
    power: Power | None = None
    next_runs: NextRuns | None = None
    tuning: Stage | None = None
    reused: int = 0
    untested: int | None = None
    space: Space | None = None
    refused: int = 0
    data_changed: Seq[str] = ()
    odd: Seq[str] = ()
    data_notices: Seq[str] = ()
    data_misfits: Seq[str] = ()
    starts: dict[str, Seq[str]] = {}
    data: Seq[str] = ()


def make_plan(
    study: Prepared,
    resources: Resources,
    cost: Callable[[Experiment], tuple[int, int]],
    probes: Mapping[str, Probe] = _NO_PROBES,
    spread: float | None = None,
) -> Plan:
    """The plan of a study with the `resources` that its runs would get; `cost` gives parameters and
    multiply-accumulates; `probes`, by cell, give the prices that no finished run gives; `spread` is that of a run, if
    the user states it."""
    records, folder = study.records, study.folder
    sweep = study.requested
    experiments = cell_experiments(sweep)
    priced = _priced(study, sweep, resources, probes)
    differing = differences(sweep, experiments)
    found = {
        name: {"price": priced.get(name), "fault": probes[name].fault if name in probes else "", "differences": differ}
        for name, differ in differing.items()
    }
    cells = tuple(cell.model_copy(update=found[cell.name]) for cell in _planned_cells(study, experiments, cost))
    asked = asked_for(sweep, study.costs)
    offered = to_take(study)
    remaining = bill(sweep, experiments, _with_offered(records, offered), priced, asked, resources)
    return Plan(
        study=sweep.study,
        seeds=judging_seeds(sweep),
        baseline=sweep.baseline,
        baseline_seeds=sweep.baseline_seeds,
        fraction=sweep.fraction,
        cells=cells,
        invalid=sweep.invalid,
        duplicates=sweep.duplicates,
        asked=asked,
        complete=sum(cell.counts["complete"] for cell in cells),
        missing=sum(cell.missing for cell in cells) + asked * len(sweep.seeds),
        unevaluated=sum(
            folder.run(key).lacks_figures(record, sweep.sizes, sweep.further_metrics) for key, record in records.items()
        ),
        untested=_untested(sweep, folder, records, experiments),
        slots=resources.slots,
        gpu=resources.gpu,
        seconds=remaining.seconds if remaining else None,
        device_hours=remaining.device_hours if remaining else None,
        odd=oddities(study.sweep, experiments),
        confounds=_confounds(sweep, experiments, differing),
        starts=starts(experiments),
        data=tuple(dict.fromkeys(_of_files(experiments))),
        change=change(study.sweep, folder),
        off_budget=_off_budget(sweep, cells),
        further=_further(study.sweep, records, resources.slots),
        power=power_of(at_tuned_settings(study.sweep, records), records, spread),
        next_runs=next_runs(sweep, values_and_ends(sweep, records)[0], spread),
        tuning=stage_of(study.sweep, {key: record for key, record in records.items() if record.final}),
        reused=len(offered),
        space=space_of(sweep, study.costs),
        data_misfits=tuple(dict.fromkeys(_misfits(experiments, study.held))),
        data_changed=tuple(dict.fromkeys(changed(folder, records.values(), study.held))),
        refused=sum(bool(infeasible(sweep, cell.name, study.costs)) for cell in sweep.invalid),
    )


def _planned_cells(
    study: Prepared, experiments: Mapping[str, Experiment], cost: Callable[[Experiment], tuple[int, int]]
) -> list[PlannedCell]:
    sweep, records = study.requested, study.records
    keys = (key for cell in sweep.cells for key in cell.runs.values() if key not in records)
    unended = unended_states(study.folder, keys)
    return [_planned(cell, records, unended, cost(experiments[cell.name])) for cell in sweep.cells]


def _confounds(
    sweep: Sweep, experiments: Mapping[str, Experiment], differing: Mapping[str, Seq[Difference]]
) -> Seq[str]:
    """Why cells can't be read as the effect of their factors; what is tuned is none."""
    if sweep.nuisance:
        sweep = at_common_setting(sweep)
        experiments = cell_experiments(sweep)
        differing = differences(sweep, experiments)
    return confounds(sweep, experiments, differing)


def _off_budget(sweep: Sweep, cells: Sequence[PlannedCell]) -> Seq[OffBudget]:
    costs = {cell.name: Cost(params=cell.params, macs=cell.macs) for cell in cells}
    return off_budget(sweep.equal_budget, costs, sweep.baseline)


def _untested(
    sweep: Sweep, folder: StudyFolder, records: Mapping[str, RunRecord], experiments: Mapping[str, Experiment]
) -> int | None:
    if not any(experiment.data.has_test for experiment in experiments.values()):
        return None
    data = {key: experiments[cell.name].data for cell in sweep.cells for key in cell.runs.values()}
    judged = {key: record for key, record in records.items() if key in data and not is_of_tuning(record.spec.seed)}
    complete = {key: record for key, record in judged.items() if record.status == "complete" and data[key].has_test}
    rule = sweep.metric.epoch
    return sum(read_tested(folder.run(key), record, data[key], rule) is None for key, record in complete.items())


def _of_files(experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """Classes and image size of sets of image files, which may have been read from them."""
    for data in (experiment.data for experiment in experiments.values()):
        if getattr(data, "resize", None):
            yield f"{data.title or data.name}: {data.num_classes} classes, {data.image_size} x {data.image_size} pixels"


def _misfits(experiments: Mapping[str, Experiment], held: HeldData) -> Iterator[str]:
    """Why recipes do not fit the number of images; a cell whose settings decide that number is invalid instead."""
    for experiment in experiments.values():
        data = experiment.data
        images = None if data.images else held.images(data)
        if images:
            yield from (f"data set {data.name}: {misfit}" for misfit in misfits(experiment.train, images))


def _further(sweep: Sweep, records: Mapping[str, RunRecord], slots: int) -> Further | None:
    if sweep.replicates is None:
        return None
    final = {key: record for key, record in records.items() if record.final}
    needed = {key for cell in with_requested_runs(sweep, final).cells for key in cell.runs.values()}
    done = len(needed & final.keys())
    runs_left = expected_runs(sweep, final) - done, most_runs(sweep) - done
    took = [record.wall_seconds for record in final.values() if record.status == "complete"]
    seconds = [fmean(took) * runs / slots if took else None for runs in runs_left]
    return Further(
        rule=str(sweep.replicates),
        expected=runs_left[0],
        worst=runs_left[1],
        seen=bool(took),
        expected_seconds=seconds[0],
        worst_seconds=seconds[1],
    )


def cell_experiments(sweep: Sweep) -> dict[str, Experiment]:
    """The resolved experiment of each cell."""
    return {cell.name: run_spec(sweep, cell, sweep.seeds[0]).experiment for cell in sweep.cells}


def unpriced(study: Prepared) -> dict[str, Experiment]:
    """The experiments, by cell, that have runs left and no finished run to take a price from."""
    sweep = study.requested
    priced = prices(sweep, study.folder, study.records)
    without = {cell.name: cell for cell in unfinished(sweep, study.records) if cell.name not in priced}
    return {name: run_spec(sweep, cell, sweep.seeds[0]).experiment for name, cell in without.items()}


def price_left(study: Prepared, resources: Resources, probes: Mapping[str, Probe] = _NO_PROBES) -> Bill | None:
    """The cost of the rest of the study; None while no cell has a price."""
    sweep = study.requested
    priced = _priced(study, sweep, resources, probes)
    ended = _with_offered(study.records, to_take(study))
    return bill(sweep, cell_experiments(sweep), ended, priced, asked_for(sweep, study.costs), resources)


def _with_offered(records: Mapping[str, RunRecord], offered: Mapping[str, Offer]) -> dict[str, RunRecord]:
    """The records after the finished runs of other studies are taken over."""
    return {**records, **{key: offer.record for key, offer in offered.items()}}


def _priced(study: Prepared, sweep: Sweep, resources: Resources, probes: Mapping[str, Probe]) -> dict[str, Price]:
    """The price of a run of each cell: from finished runs, else from its probe."""
    return {**probed_prices(probes), **prices(sweep, study.folder, study.records, resources)}


def _planned(
    cell: Cell, records: Mapping[str, RunRecord], unended: Mapping[str, RunState], costs: tuple[int, int]
) -> PlannedCell:
    keys = list(cell.runs.values())
    over = [key for key in keys if key in records and records[key].final]
    return PlannedCell(
        name=cell.name,
        params=costs[0],
        macs=costs[1],
        counts=counts_of(records[key].state if key in records else unended[key] for key in keys),
        missing=len(keys) - len(over),
    )
