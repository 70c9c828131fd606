"""The sentences of a report, written from the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sklab.analysis.choice.pareto import COSTS, SEVERALFOLD
from sklab.analysis.table.costs import Neighbours, neighbours
from sklab.analysis.table.published import data_title
from sklab.analysis.table.rows import AblationTable, Row, Run, without
from sklab.report.escape import clean
from sklab.report.numbers import DOUBLE_DAGGER
from sklab.report.words.hardware import computed_on
from sklab.report.words.literature import agreement, published, published_only, reproduced
from sklab.report.words.methods import comparison
from sklab.report.words.notes import cut_batches, edited, reused, trained_on, verdicts
from sklab.report.words.phrases import COST_NAMES, listed
from sklab.spec.study.metrics import METRICS
from sklab.spec.study.search import COST_NOUNS, Cost, Search, off_budget
from sklab.spec.study.sweep import Metric, Sweep, by_network
from sklab.store.states import counts_of, other_counts
from sklab.system.terminal import quantity

_DESIGNS = {
    "list": "explicit list of cells",
    "grid": "full grid of the factors' levels",
    "fractional": "fractional factorial",
    "ofat": "one factor at a time, from the baseline",
    "leave_one_out": "leave one out: each component removed from the full model",
    "search": "search",
}


def design(sweep: Sweep) -> str:
    """The design of the study, in one line."""
    kind = _DESIGNS[sweep.design]
    if sweep.search:
        kind = _search(sweep.search, sweep.metric)
    if sweep.fraction:
        kind = f"{kind}, {clean(str(sweep.fraction))}"
    seeds, own = ", ".join(map(str, sweep.shared_seeds)), sweep.baseline_seeds
    replicates = sweep.replicates or f"{quantity(len(sweep.shared_seeds), 'seed')} ({seeds})"
    more = f", {len(own)} more of the baseline ({', '.join(map(str, own))})" if own else ""
    cells = quantity(len(sweep.cells) + len(sweep.duplicates), "cell")
    distinct = f", {quantity(len(sweep.cells), 'different network')}" if sweep.duplicates else ""
    varied = f", {sweep.vary}" if sweep.vary else ""
    return f"{kind}: {cells}{distinct} × {replicates}{more}{varied}"


def _search(search: Search, metric: Metric) -> str:
    limits = search.constraints
    parts = [
        f"{search.sampler} search for {quantity(search.trials, 'cell')}",
        *([f"{metric.measure.title} against {COST_NOUNS[search.second_objective]}"] if search.second_objective else []),
        *([f"at most {limits.params.max:,} parameters"] if limits and limits.params else []),
        *([f"at most {limits.macs.max:,} multiply-accumulates"] if limits and limits.macs else []),
        *([f"runs pruned by the rule {search.pruning.rule}"] if search.pruning else []),
    ]
    return ", ".join(parts)


def metric(sweep: Sweep) -> str:
    """The metric with its unit, and the epoch it is taken from."""
    unit = sweep.metric.measure.unit
    name = f"{sweep.metric.measure.title}{unit and f' in {unit}'}"
    epoch = "the last epoch" if sweep.metric.epoch == "last" else "the epoch of lowest validation error"
    return f"{name} at {epoch} of every run; {sweep.metric.measure.better} is better"


def experiment(sweep: Sweep) -> str:
    """The experiment's name and its data set."""
    return f"{clean(sweep.experiment_name)}, on {_data(sweep)}"


def progress(table: AblationTable) -> str:
    """The number of runs in each state; a toy run is named as such first."""
    counts = counts_of(run.state for row in table.rows for run in row.runs)
    caution = "TOY RUN on noise, its numbers mean nothing: " if _data(table.sweep) == "stand_in" else ""
    planned = quantity(sum(counts.values()), "run")
    return f"{caution}{counts['complete']} of {planned} complete{other_counts(counts)}"


def below(table: AblationTable) -> tuple[str, ...]:
    """The sentences below the table in every format but a terminal's."""
    costs, literature = (pareto(table), latency(table)), (published(table.sweep), reproduced(table), agreement(table))
    return tuple(line for line in (comparison(table), *costs, *literature, published_only(table.sweep)) if line)


def pareto(table: AblationTable) -> str:
    """The rows that are dominated beyond chance, with the costs concerned, and the rows whose latency is unknown; ""
    where there are neither."""
    by_costs: dict[str, list[str]] = {}
    for row in table.rows:
        off = ", ".join(COST_NAMES[cost] for cost in COSTS if _takes_part(row, cost) and cost not in row.pareto)
        if row.n and off:
            by_costs.setdefault(off, []).append(row.name)
    groups = "; ".join(f"{listed(names)} ({costs})" for costs, names in by_costs.items())
    measure = table.sweep.metric.measure
    why = f"another row costs no more and has a significantly {measure.better} {measure.noun}"
    dominated = [f"Not on the Pareto set ({why}): {groups}."] if groups else []
    without = [row.name for row in table.rows if row.n and row.latency_ms is None]
    every = len(without) == sum(row.n > 0 for row in table.rows)
    where = "these runs" if every else f"all runs of {listed(without)}"
    unknown = [f"Latency was not measured in {where}, as in records of earlier versions, and is left out there."]
    return " ".join([*dominated, *(unknown if without else [])])


def _takes_part(row: Row, cost: str) -> bool:
    return bool(getattr(row, cost)) and not (cost == "latency_ms" and row.latency_unsteady)


def latency(table: AblationTable) -> str:
    """Whether latency was measured alone, as far as the records tell, and the cells in which it decides nothing; ""
    where it was not measured."""
    counts = neighbours(table)
    unsteady = listed(row.name for row in table.rows if row.latency_unsteady)
    why = f"the runs differ by a factor of {SEVERALFOLD} or more ({DOUBLE_DAGGER}): {unsteady}."
    nothing = [f"It decides nothing in cells where {why}"] if unsteady else []
    return " ".join([_alone(counts), *nothing]) if counts.measured else ""


def _alone(neighbours: Neighbours) -> str:
    runs = quantity(neighbours.measured, "run")
    unknown = (
        f" For {neighbours.unknown} of {runs} the records do not tell whether it was." if neighbours.unknown else ""
    )
    if neighbours.beside:
        where = f"in {neighbours.beside} of {runs} other runs of this study ran on the same machine meanwhile"
        return f"Latency was not measured alone: {where}, which slows it and adds to its spread.{unknown}"
    if neighbours.unknown:
        return f"Latency was perhaps not measured alone.{unknown}"
    return "Latency was measured alone: no other run of this study ran on the same machine meanwhile."


def notes(table: AblationTable) -> tuple[str, ...]:
    """The notes on single rows: edited records, same networks, missing numbers, fewer seeds, cells that can't exist,
    unequal budgets, images that were left out or are not known, mixed kinds of devices, cut batches, reused runs."""
    idle = [row.name for row in table.rows if row.runs and row.idle]
    waiting = (f"no run has ended yet: {listed(idle)}",) if idle else ()
    invalid = [f"{clean(row.name)}: invalid: {clean(row.invalid)}" for row in table.rows if row.invalid]
    same = [
        f"same network as {clean(name)}, trained and compared once: {listed(others)}"
        for name, others in by_network(table.sweep.duplicates).items()
    ]
    partial = [_unfinished(row) for row in table.rows if row.unfinished and row.name not in idle]
    fewer = (
        []
        if table.for_best
        else [_fewer_seeds(row) for row in table.rows if row.baseline and 1 < row.baseline.n < row.n]
    )
    untested = [_untested(row) for row in table.rows if row.verdict == "no test"]
    data = (*_skipped(table), *trained_on(table), *computed_on(table))
    others = (
        *_unevaluated(table),
        *_unmeasured(table),
        *invalid,
        *_unequal(table),
        *data,
        *cut_batches(table),
        *reused(table),
    )
    return (*edited(table), *verdicts(table), *same, *waiting, *partial, *fewer, *untested, *others)


def run_texts(row: Row) -> list[str]:
    """The runs of a row that have no number: seeds, state and reason; runs with the same reason stand together."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for run in row.unfinished:
        seeds.setdefault((run.state, clean(run.reason)), []).append(str(run.seed))
    return [
        f"{'seed' if len(of_reason) == 1 else 'seeds'} {', '.join(of_reason)} {state} ({reason})"
        for (state, reason), of_reason in seeds.items()
    ]


def no_number(row: Row) -> str:
    """The reason why a row has no number; "" when it has one."""
    if row.invalid:
        return f"invalid: {clean(row.invalid)}"
    if row.same_as:
        return f"same network as {clean(row.same_as)}"
    if row.n:
        return ""
    if pruned := [run for run in row.runs if run.state == "pruned"]:
        epochs = [f"epoch {run.record.epochs if run.record else 0} (seed {run.seed})" for run in pruned]
        return f"pruned at {', '.join(epochs)}"
    if row.idle:
        return "no run has ended yet"
    return f"no complete run: {other_counts(counts_of(run.state for run in row.runs)).removeprefix(', ')}"


def _unfinished(row: Row) -> str:
    return f"{clean(row.name)}: {'; '.join(run_texts(row))}"


def _unevaluated(table: AblationTable) -> tuple[str, ...]:
    """For each further size, the complete runs that were not evaluated there, and the remedy."""
    rows = [row for row in table.rows if not row.same_as]
    lacking = {size: [name for row in rows if (name := _lacking(row, size))] for size in table.sweep.sizes}
    return tuple(
        f"complete but not evaluated at {size} px: {listed(names)}; the same sweep again does only that, and so does "
        f"`sklab evaluate {clean(table.sweep.study)} --size {size}`"
        for size, names in lacking.items()
        if names
    )


def _lacking(row: Row, size: int) -> str:
    return _with_seeds(row, [run for run in row.runs if run.state == "complete" and size not in run.errors])


def _with_seeds(row: Row, runs: Sequence[Run]) -> str:
    """The name of the row with the seeds of `runs`; "" without any."""
    seeds = ", ".join(str(run.seed) for run in runs)
    return f"{row.name} ({'seed' if len(runs) == 1 else 'seeds'} {seeds})" if runs else ""


def _unmeasured(table: AblationTable) -> tuple[str, ...]:
    """For each metric beside the study's, the complete runs without it, and the remedy."""
    rows, sweep = [row for row in table.rows if not row.same_as], table.sweep
    lacking = {
        name: [text for row in rows if (text := _with_seeds(row, without(sweep, row, name)))] for name in sweep.also
    }
    return tuple(
        f"complete but without {METRICS[name].title}: {listed(names)}; the same sweep again evaluates the weights that "
        "were kept"
        for name, names in lacking.items()
        if names
    )


def _fewer_seeds(row: Row) -> str:
    shared = row.baseline.n if row.baseline else 0
    return f"{clean(row.name)}: compared with the baseline over {quantity(shared, 'shared seed')}, not all {row.n}"


def _untested(row: Row) -> str:
    return f"{clean(row.name)}: no test against the baseline: {row.baseline.reason if row.baseline else ''}"


def _unequal(table: AblationTable) -> list[str]:
    """The cells whose recorded costs contradict the claim of equal budgets."""
    costs = {
        row.name: Cost(params=row.params, macs=row.macs)
        for row in table.rows
        if row.params is not None and row.macs is not None
    }
    return [clean(str(off)) for off in off_budget(table.sweep.equal_budget, costs, table.sweep.baseline)]


def _skipped(table: AblationTable) -> list[str]:
    """The notes on images that can't be decoded: usually one, as the runs of a study use the same images."""
    records = [run.record for row in table.rows for run in row.runs if run.record is not None]
    runs = Counter(record.skipped_images for record in records if record.skipped_images)
    return [
        f"{quantity(images, 'image')} that can't be decoded left out of {quantity(n, 'run')}; each run's log names them"
        for images, n in sorted(runs.items())
    ]


def _data(sweep: Sweep) -> str:
    return clean(data_title(sweep))
