"""The sentences of a report, written from the numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from sklab.analysis.rows import AblationTable, Row
from sklab.analysis.stats import ALPHA
from sklab.report.columns import DAGGER, fixed, metric_digits, metric_name, metric_unit
from sklab.report.cut_batches import cut_batches
from sklab.report.escape import clean
from sklab.spec.budget import Cost, off_budget
from sklab.spec.sweep import PublishedRow, Sweep

_DESIGNS = {
    "list": "explicit list of cells",
    "grid": "full grid of the factors' levels",
    "fractional": "fractional factorial",
    "ofat": "one factor at a time, from the baseline",
    "leave_one_out": "leave one out: each component removed from the full model",
    "search": "search",
}
KEY = (
    "±: half width of the 95 % t interval; p: two-sided paired t test against the baseline, Holm-adjusted; best: the "
    "lowest mean; undecided: not distinguishable from it; no test: too few shared seeds, or no spread between them."
)
_LISTED = 20  # names in a sentence, before it says how many more there are


def design(sweep: Sweep) -> str:
    """What was done, in one line."""
    kind = _DESIGNS[sweep.design]
    if sweep.search:
        kind = f"{sweep.search.sampler} search for {counted(sweep.search.trials, 'cell')}"
    if sweep.fraction:
        kind = f"{kind}, {clean(str(sweep.fraction))}"
    seeds = ", ".join(map(str, sweep.seeds))
    return f"{kind}: {counted(len(sweep.cells), 'cell')} × {counted(len(sweep.seeds), 'seed')} ({seeds})"


def metric(sweep: Sweep) -> str:
    """The number and the rule it is read by."""
    unit = metric_unit(sweep.metric)
    name = f"{metric_name(sweep.metric)}{unit and f' in {unit}'}"
    epoch = "the last epoch" if sweep.metric.epoch == "last" else "the epoch of lowest validation error"
    return f"{name} at {epoch} of every run; lower is better"


def experiment(sweep: Sweep) -> str:
    """The experiment's name and its data set."""
    return f"{clean(sweep.experiment_name)}, on {_data(sweep)}"


def progress(table: AblationTable) -> str:
    """How many runs there are, by how they ended; of a toy run, first of all that it is one."""
    states = Counter(run.state for row in table.rows for run in row.runs)
    planned = sum(states.values())
    others = [f"{states[state]} {state}" for state in ("diverged", "failed", "missing") if states[state]]
    caution = "TOY RUN on noise, its numbers mean nothing: " if _data(table.sweep) == "stand_in" else ""
    return caution + ", ".join([f"{states['complete']} of {planned} runs complete", *others])


def result(table: AblationTable) -> str:
    """What came out, in short; says so when nothing has yet."""
    best = table.best
    if best is None:
        return "No run is complete yet, so there is nothing to compare."
    unfinished = "" if _finished(table) else "The study is not finished. "
    alike = [row.name for row in table.rows if row.standing == "not distinguishable"]
    unknown = sum(row.standing == "cannot tell" for row in table.rows)
    also = f"; not distinguishable from it at these seeds: {listed(alike)}" if alike else ""
    silent = f"; {counted(unknown, 'row')} could not be tested against it" if unknown else ""
    return (
        f"{unfinished}Lowest mean: {clean(best.name)}, {_value(table, best)}{also}{silent}. {_against_baseline(table)}"
    )


def methods(table: AblationTable) -> str:
    """The tests, named, ready to be pasted into a paper."""
    tests = sum(row.baseline is not None and row.baseline.p is not None for row in table.rows)
    return (
        f"Each number is the mean {metric_name(table.sweep.metric)} over the seeds whose run is complete, "
        "with a two-sided 95 % Student t interval. All cells share their seeds, so differences from the baseline "
        f"{clean(table.sweep.baseline)} are taken seed by seed and tested with a two-sided paired t test; p values are "
        f"adjusted by Holm's method over the {counted(tests, 'comparison')} made. A row is called not "
        "distinguishable from the best one (the lowest mean) when the Holm-adjusted p of its paired t test against "
        f"that row is at least {ALPHA}. That is no proof that the two are equal: with few seeds only large differences "
        "can be shown. The best row was chosen by the same data, which flatters it. Where fewer than two seeds are "
        "shared, or the differences have no spread, no test is made and the table says so. Failed, diverged and "
        "missing runs enter no number."
    )


def published(sweep: Sweep) -> str:
    """What the published figures are, and whether they can be held against ours; "" when there are none."""
    if sweep.published is None:
        return ""
    level = "" if on_published_data(sweep) else f"; not comparable in level with {_data(sweep)}"
    figures = [sweep.published.rows[cell.name] for cell in sweep.cells if cell.name in sweep.published.rows]
    source, data = clean(sweep.published.source), clean(sweep.published.data)
    return f"Published figures: {source}; published on {data}{level}.{_dagger(figures)}"


def published_only(sweep: Sweep) -> str:
    """The published figures of networks that are not trained here; "" when there are none."""
    others = sweep.published.others if sweep.published else {}
    if not others:
        return ""
    figures = "; ".join(f"{clean(name)} {_figure(row)}" for name, row in others.items())
    return f"Published only, not trained here: {figures}.{_dagger(others.values())}"


def on_published_data(sweep: Sweep) -> bool:
    """Whether the study is on the data that the published figures were measured on."""
    return sweep.published is not None and _letters(_data(sweep)) in _letters(sweep.published.data)


def notes(table: AblationTable) -> tuple[str, ...]:
    """What to know about single rows: no number, fewer seeds, cell that can't exist, unequal budget; and what images
    were left out, and batches cut."""
    idle = [row.name for row in table.rows if row.runs and all(run.state == "missing" for run in row.runs)]
    waiting = (f"no run has ended yet: {listed(idle)}",) if idle else ()
    invalid = [f"{clean(row.name)}: invalid: {clean(row.invalid)}" for row in table.rows if row.invalid]
    partial = [_unfinished(row) for row in table.rows if row.unfinished and row.name not in idle]
    fewer = [_fewer_seeds(row) for row in table.rows if row.baseline and 0 < row.baseline.n < row.n]
    return (
        *waiting,
        *partial,
        *fewer,
        *_unevaluated(table),
        *invalid,
        *_unequal(table),
        *_skipped(table),
        *cut_batches(table),
    )


def run_texts(row: Row) -> list[str]:
    """The runs of a row that have no number: their seeds, how they ended and why, those of one reason together."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for run in row.unfinished:
        seeds.setdefault((run.state, clean(run.reason)), []).append(str(run.seed))
    return [
        f"{'seed' if len(of_reason) == 1 else 'seeds'} {', '.join(of_reason)} {state} ({reason})"
        for (state, reason), of_reason in seeds.items()
    ]


def no_number(row: Row) -> str:
    """Why a row has no number; "" when it has one."""
    if row.invalid:
        return f"invalid: {clean(row.invalid)}"
    if row.n:
        return ""
    states = Counter(run.state for run in row.runs)
    ended = [f"{states[state]} {state}" for state in ("diverged", "failed") if states[state]]
    return f"no complete run: {', '.join(ended)}" if ended else "no run has ended yet"


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """`names` in a row, cut short when there are many."""
    every = [clean(name) for name in names]
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more


def _finished(table: AblationTable) -> bool:
    return all(run.state != "missing" for row in table.rows for run in row.runs)


def _value(table: AblationTable, row: Row) -> str:
    digits, unit = metric_digits(table.sweep.metric), metric_unit(table.sweep.metric)
    half = "" if row.half is None else f" ± {fixed(row.half, digits)}"
    return f"{fixed(row.mean, digits)}{half}{unit and f' {unit}'} (n = {row.n})"


def _against_baseline(table: AblationTable) -> str:
    baseline = next((row for row in table.rows if row.is_baseline), None)
    if baseline is None or not baseline.n:
        return f"The baseline {clean(table.sweep.baseline)} has no complete run, so nothing is compared with it."
    tested = [row.baseline for row in table.rows if row.baseline is not None and row.baseline.adjusted is not None]
    differ = sum(against.adjusted < ALPHA for against in tested if against.adjusted is not None)
    told = f"{differ} of {counted(len(tested), 'tested cell')} can be told apart from it (Holm-adjusted p < {ALPHA})"
    return (
        f"Baseline: {clean(baseline.name)}, {_value(table, baseline)}; {told if tested else 'nothing could be tested'}."
    )


def _unfinished(row: Row) -> str:
    return f"{clean(row.name)}: {'; '.join(run_texts(row))}"


def _unevaluated(table: AblationTable) -> tuple[str, ...]:
    """For each further size, the complete runs that were not evaluated there, and the remedy."""
    lacking = {size: [said for row in table.rows if (said := _lacking(row, size))] for size in table.sweep.sizes}
    return tuple(
        f"complete but not evaluated at {size} px: {listed(names)}; the same sweep again does only that, and so does "
        f"`sklab evaluate {clean(table.sweep.study)} --size {size}`"
        for size, names in lacking.items()
        if names
    )


def _lacking(row: Row, size: int) -> str:
    seeds = [str(run.seed) for run in row.runs if run.state == "complete" and size not in run.errors]
    return f"{row.name} ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)})" if seeds else ""


def _fewer_seeds(row: Row) -> str:
    shared = row.baseline.n if row.baseline else 0
    return f"{clean(row.name)}: compared with the baseline over {counted(shared, 'shared seed')}, not all {row.n}"


def _unequal(table: AblationTable) -> list[str]:
    """The cells that the claim of equal budget does not hold for, by what their records count."""
    costs = {
        row.name: Cost(params=row.params, macs=row.macs)
        for row in table.rows
        if row.params is not None and row.macs is not None
    }
    return [clean(str(off)) for off in off_budget(table.sweep.equal_budget, costs, table.sweep.baseline)]


def _figure(row: PublishedRow) -> str:
    """Error with its dagger, and what the network costs as far as that is published."""
    costs = [f"{row.params:g} M" if row.params else "", f"{row.gmacs:g} GMACs" if row.gmacs else ""]
    known = ", ".join(filter(None, costs))
    return f"{row.error:.2f}{'' if row.verified else DAGGER} %{known and f' ({known})'}"


def _dagger(figures: Iterable[PublishedRow]) -> str:
    every = all(row.verified for row in figures)
    return "" if every else f" {DAGGER} transcribed, not verified: check before citing."


def _skipped(table: AblationTable) -> list[str]:
    """Usually one line: the runs of a study see the same images."""
    records = [run.record for row in table.rows for run in row.runs if run.record is not None]
    runs = Counter(record.skipped_images for record in records if record.skipped_images)
    return [
        f"{counted(number, 'image')} that can't be decoded left out of {counted(of, 'run')}; each run's log names them"
        for number, of in sorted(runs.items())
    ]


def _data(sweep: Sweep) -> str:
    """What the data are called: by their title, or else by the name of the kind they are of."""
    data = sweep.experiment.get("data", {})
    return clean(str(data.get("title") or data.get("name", "data of its own")))


def _letters(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())
