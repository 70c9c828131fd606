"""The columns of the printed table with their units and words, which are the same in every format."""

from __future__ import annotations

from sklab.analysis.choice.pareto import SEVERALFOLD
from sklab.analysis.evidence.blocks import block_size
from sklab.analysis.table.published import asks_for_verdict, published_sizes, row_reproduced
from sklab.analysis.table.rows import AblationTable, Also, AtSize, Row
from sklab.report.bounds import ERRORS, any_cut, is_cut, limits
from sklab.report.column import (
    DAGGER,
    DOUBLE_DAGGER,
    GROUP,
    NOTHING,
    Column,
    Scale,
    Text,
    comparison,
    fixed,
    half_text,
    scale,
)
from sklab.report.escape import clean
from sklab.report.evidence.best import best_columns
from sklab.report.evidence.held_out import held_out_columns
from sklab.spec.study.sweep import Metric, Published, Sweep

_PARAMS: tuple[Scale, ...] = ((1e6, 1e6, "M", 2), (1e3, 1e3, "k", 1), (0, 1, "", 0))
_MACS: tuple[Scale, ...] = ((1e9, 1e9, "G", 3), (1e6, 1e6, "M", 2), (0, 1, "", 0))
_TIME: tuple[Scale, ...] = ((7200, 3600, "h", 2), (600, 60, "min", 1), (0, 1, "s", 1))
_LATENCY: tuple[Scale, ...] = ((100, 1, "ms", 0), (0, 1, "ms", 2))
_SPEED: tuple[Scale, ...] = ((100, 1, "", 0), (0, 1, "", 2))
_MEMORY: tuple[Scale, ...] = ((1e4, 1e3, "GB", 1), (0, 1, "MB", 0))
_POWER = ("n", GROUP, "±95% (all rows)", "verdict", "detectable", "more seeds")  # titles of columns

_CUT = "; where it would leave 0 to 100 %, the two ends of the interval, cut there"


def columns(table: AblationTable) -> tuple[Column, ...]:
    """The columns of this study, from left to right."""
    published = _published(table.sweep, table.sweep.published) if table.sweep.published else ()
    return (
        *_identity(table),
        *_result(table),
        *(column for name in table.sweep.also for column in _also(table, name)),
        *held_out_columns(table),
        *comparison(table),
        *(column for size in table.sweep.sizes for column in _at_size(table, size)),
        *_cost(table),
        *published,
    )


def power_columns(table: AblationTable) -> list[Column]:
    """The columns about power: what the seeds of each row could show."""
    return [column for column in columns(table) if column.title in _POWER]


def _identity(table: AblationTable) -> tuple[Column, ...]:
    informative = [name for name in table.sweep.columns if any(row.factors.get(name) != row.name for row in table.rows)]
    runs = "complete runs of those planned (one per seed); no other run enters a number"
    if (size := block_size(table.sweep)) > 1:
        runs = f"whole blocks of {size} complete runs, of those planned; no other run enters a number"
    return (
        Column(
            "cell", "", "cell", "one configuration of the design", lambda row: clean(row.name), "cell", False, False
        ),
        *(_factor(name) for name in informative),
        Column("n", "", "n", runs, lambda row: f"{row.n}/{row.planned}", "n", measured=False),
    )


def _factor(name: str) -> Column:
    def text(row: Row) -> str:
        return clean(row.factors.get(name, NOTHING))

    return Column(clean(name), "", clean(name), "factor of the design: the cell's level of it", text, "", False, False)


def _result(table: AblationTable) -> tuple[Column, ...]:
    metric, within = table.sweep.metric, limits(table.sweep.metric)
    unit, digits = metric.measure.unit, metric.measure.digits
    group = metric.measure.heading
    mean = f"mean of the {metric.measure.title} over the n runs, at the {metric.epoch} epoch of each; "
    mean += f"{metric.measure.better} is better"
    half = (
        f"half width of the 95 % t interval of that mean over new seeds, with the spread {_spread(table)}; – where "
        "fewer than two seeds, or no spread, allow none"
    )
    half += _CUT if any_cut(table.rows, within) else ""

    def interval(row: Row) -> str:
        return half_text(row.mean, row.half, within, digits)

    return (
        Column(
            group, group, "mean", mean, lambda row: fixed(row.mean, digits), f"{metric.measure.noun} {unit}".strip()
        ),
        Column("sd", group, "sd", "standard deviation of those runs", lambda row: fixed(row.sd, digits), ""),
        Column("±95%", group, "±95%", half, interval, "±95%"),
        *best_columns(table, group),
    )


def _spread(table: AblationTable) -> str:
    """Says from which runs the spread behind the interval of a mean comes."""
    if table.choice is None or table.choice.method == "paired":
        return "of its own runs"
    noisy = " and ".join(clean(row.name) for row in table.noisy)
    return f"estimated from all cells{noisy and f' (for {noisy}, of its own runs)'}"


def _also(table: AblationTable, name: str) -> tuple[Column, ...]:
    metric = Metric(name=name, epoch=table.sweep.metric.epoch)
    measure, unit, digits = metric.measure, metric.measure.unit, metric.measure.digits
    group = metric.measure.heading
    mean = (
        f"mean of the {metric.measure.title} over the runs that have it, at the {metric.epoch} epoch of each; "
        f"{measure.better} is better; nothing is tested by it"
    )

    def of(row: Row) -> Also:
        return row.also.get(name, Also(0, None, None))

    short = f"{measure.noun} {unit}".strip()
    return (
        Column(group, group, "mean", mean, lambda row: fixed(of(row).mean, digits), short),
        Column(
            f"sd ({measure.noun})",
            group,
            "sd",
            "standard deviation of those runs",
            lambda row: fixed(of(row).sd, digits),
            "",
        ),
    )


def _at_size(table: AblationTable, size: int) -> tuple[Column, ...]:
    group = f"error at {size} px (%)"
    mean = (
        f"mean error of the kept weights, those of the last epoch, on validation images of {size} pixels a side, over "
        "the runs that were evaluated there; lower is better"
    )
    n = f"complete runs evaluated at {size} pixels, of those planned"
    half = "half width of the 95 % t interval of that mean"

    def there(row: Row) -> AtSize:
        return row.at_size.get(size, AtSize(0, None, None))

    def interval(row: Row) -> str:
        return half_text(there(row).mean, there(row).half, ERRORS, 2)

    half += _CUT if any(is_cut(there(row).mean, there(row).half, ERRORS) for row in table.rows) else ""
    return (
        Column(group, group, "mean", mean, lambda row: fixed(there(row).mean, 2), f"{size} px %"),
        Column("±95%", group, "±95%", half, interval, "±95%"),
        Column(f"n at {size} px", group, "n", n, lambda row: f"{there(row).n}/{row.planned}", "n"),
    )


def _cost(table: AblationTable) -> tuple[Column, ...]:
    def column(name: str, field: str, scales: tuple[Scale, ...], legend: str, short: str) -> Column:
        _, divisor, unit, digits = scale((getattr(row, field) for row in table.rows), scales)

        def text(row: Row) -> str:
            value = getattr(row, field)
            return fixed(None if value is None else value / divisor, digits)

        title = f"{name} ({unit})" if unit else name
        return Column(title, "cost", title, legend, text, short and f"{short} {unit}".strip())

    measured = any(row.latency_ms is not None for row in table.rows)
    latency_legend = (
        "time of one image through the network (a batch of one), mean over the n runs, each its median of many"
    )
    latency = (column("latency", "latency_ms", _LATENCY, latency_legend, ""), _latency_range(table)) if measured else ()
    replay_legend = "the same as the replay of a CUDA graph, without the time to launch operations one by one, mean"
    replayed = any(row.replay_latency_ms is not None for row in table.rows)
    replay = (column("replay", "replay_latency_ms", _LATENCY, replay_legend, ""),) if replayed else ()
    return (
        column("params", "params", _PARAMS, "parameters of the network", "params"),
        column("MACs", "macs", _MACS, "multiply-accumulates of one forward pass of one image", "MACs"),
        *latency,
        *replay,
        column("training", "train_seconds", _TIME, "time in training steps, mean over the n runs", ""),
        column("images/s", "samples_per_second", _SPEED, "training images per second of that time, mean", ""),
        column("memory", "peak_memory_mb", _MEMORY, "peak memory of the process (CPU) or device (GPU), mean", ""),
    )


def _latency_range(table: AblationTable) -> Column:
    digits = scale((row.latency_ms for row in table.rows), _LATENCY)[3]
    legend = (
        "the lowest and the highest latency of the n runs. A row leaves the Pareto set of latency only for one whose "
        "every run is faster, with three runs of each or more. "
        f"{DOUBLE_DAGGER}: the runs differ by a factor of {SEVERALFOLD} or more, so that latency decides nothing there"
    )

    def text(row: Row) -> str:
        if row.latency_range is None:
            return NOTHING
        sign = DOUBLE_DAGGER if row.latency_unsteady else ""
        return NOTHING.join(fixed(latency, digits) for latency in row.latency_range) + sign

    return Column("latency range (ms)", "cost", "latency range (ms)", legend, text, "")


def _published(sweep: Sweep, published: Published) -> tuple[Column, ...]:
    group = f"published, {clean(published.data)}"
    legend = f"the figure of {clean(published.source)}, on {clean(published.data)}"
    params, gmacs = "parameters as published, 10^6", "multiply-accumulates as published, 10^9"
    return (
        Column("published error (%)", group, "error (%)", legend, _published_error(None), "publ. %", measured=False),
        *(
            Column(
                f"published error at {size} px (%)",
                group,
                f"at {size} px (%)",
                f"the same at {size} pixels a side",
                _published_error(size),
                f"publ. {size} %",
                measured=False,
            )
            for size in published_sizes(sweep)
        ),
        Column(
            "published params (M)",
            group,
            "params (M)",
            params,
            lambda row: _figure(row, "params", 1),
            "",
            measured=False,
        ),
        Column("published GMACs", group, "GMACs", gmacs, lambda row: _figure(row, "gmacs", 2), "", measured=False),
        *((_reproduced(sweep, published),) if asks_for_verdict(sweep) else ()),
    )


def _reproduced(sweep: Sweep, published: Published) -> Column:
    legend = (
        f"reproduced: the whole 95 % interval of our mean lies within {published.tolerance:g} percentage points of the "
        "published error; not reproduced: all of it lies outside; cannot tell: neither"
    )
    group = f"published, {clean(published.data)}"

    def text(row: Row) -> str:
        return row_reproduced(sweep, row) or NOTHING

    return Column("reproduced", group, "reproduced", legend, text, "", numeric=False, measured=False)


def _published_error(size: int | None) -> Text:
    """The published error at `size`, or the main one, with a dagger where it was not verified."""

    def text(row: Row) -> str:
        figure = row.published
        error = None if figure is None else figure.error if size is None else figure.errors.get(size)
        dagger = DAGGER if figure and error is not None and not figure.verified else ""
        return fixed(error, 2) + dagger

    return text


def _figure(row: Row, field: str, digits: int) -> str:
    return fixed(getattr(row.published, field, None), digits)
