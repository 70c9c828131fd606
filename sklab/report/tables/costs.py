"""The columns of costs, and those of published figures."""

from __future__ import annotations

from sklab.analysis.choice.pareto import SEVERALFOLD
from sklab.analysis.table.published import asks_for_verdict, published_sizes, row_reproduced
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.numbers import DAGGER, DOUBLE_DAGGER, NOTHING, Scale, fixed, scale
from sklab.report.tables.column import Column, Text
from sklab.spec.study.sweep import Published, Sweep

_PARAMS: tuple[Scale, ...] = ((1e6, 1e6, "M", 2), (1e3, 1e3, "k", 1), (0, 1, "", 0))
_MACS: tuple[Scale, ...] = ((1e9, 1e9, "G", 3), (1e6, 1e6, "M", 2), (0, 1, "", 0))
_TIME: tuple[Scale, ...] = ((7200, 3600, "h", 2), (600, 60, "min", 1), (0, 1, "s", 1))
_LATENCY: tuple[Scale, ...] = ((100, 1, "ms", 0), (0, 1, "ms", 2))
_SPEED: tuple[Scale, ...] = ((100, 1, "", 0), (0, 1, "", 2))
_NAMES = {"macs": "MACs", "speed": "images/s"}  # where the heading is not the key
_MEMORY: tuple[Scale, ...] = ((1e4, 1e3, "GB", 1), (0, 1, "MB", 0))


def cost_columns(table: AblationTable) -> tuple[Column, ...]:
    """What the network, its training and its answers cost."""

    def column(key: str, field: str, scales: tuple[Scale, ...], legend: str, short: str) -> Column:
        _, divisor, unit, digits = scale((getattr(row, field) for row in table.rows), scales)

        def text(row: Row) -> str:
            value = getattr(row, field)
            return fixed(None if value is None else value / divisor, digits)

        name = _NAMES.get(key, key)
        title = f"{name} ({unit})" if unit else name
        return Column(key, title, "cost", title, legend, text, short and f"{short} {unit}".strip())

    measured = any(row.latency_ms is not None for row in table.rows)
    latency_legend = "Time of one image through the network, alone in its batch: mean over the n runs of their medians."
    latency = (column("latency", "latency_ms", _LATENCY, latency_legend, ""), _latency_range(table)) if measured else ()
    replay_legend = "The same as one replay of a CUDA graph, without the time to launch operations one by one."
    replayed = any(row.replay_latency_ms is not None for row in table.rows)
    replay = (column("replay", "replay_latency_ms", _LATENCY, replay_legend, ""),) if replayed else ()
    return (
        column("params", "params", _PARAMS, "Parameters of the network.", "params"),
        column("macs", "macs", _MACS, "Multiply-accumulates of one forward pass of one image.", "MACs"),
        *latency,
        *replay,
        column("training", "train_seconds", _TIME, "Time in training steps, mean over the n runs.", ""),
        column("speed", "samples_per_second", _SPEED, "Training images per second of that time, mean.", ""),
        column(
            "memory", "peak_memory_mb", _MEMORY, "Peak memory of the process (CPU) or of the device (GPU), mean.", ""
        ),
    )


def _latency_range(table: AblationTable) -> Column:
    digits = scale((row.latency_ms for row in table.rows), _LATENCY)[3]
    legend = (
        "The lowest and the highest latency of the n runs; "
        f"{DOUBLE_DAGGER}: they differ by a factor of {SEVERALFOLD} or more, so latency decides nothing there."
    )

    def text(row: Row) -> str:
        if row.latency_range is None:
            return NOTHING
        sign = DOUBLE_DAGGER if row.latency_unsteady else ""
        return NOTHING.join(fixed(latency, digits) for latency in row.latency_range) + sign

    return Column("latency_range", "latency range (ms)", "cost", "latency range (ms)", legend, text, "")


def published_columns(sweep: Sweep) -> tuple[Column, ...]:
    """The figures of the publication that the sweep names; none without one."""
    published = sweep.published
    if published is None:
        return ()
    group = f"published, {clean(published.data)}"
    legend = f"The error that {clean(published.source)} gives, on {clean(published.data)}."
    params, gmacs = "Parameters as published, in millions.", "Multiply-accumulates as published, in billions."
    return (
        Column(
            "published",
            "published error (%)",
            group,
            "error (%)",
            legend,
            _published_error(None),
            "publ. %",
            measured=False,
        ),
        *(
            Column(
                f"published_{size}",
                f"published error at {size} px (%)",
                group,
                f"at {size} px (%)",
                f"The same at {size} pixels a side.",
                _published_error(size),
                f"publ. {size} %",
                measured=False,
            )
            for size in published_sizes(sweep)
        ),
        Column(
            "published_params",
            "published params (M)",
            group,
            "params (M)",
            params,
            lambda row: _figure(row, "params", 1),
            "",
            measured=False,
        ),
        Column(
            "published_gmacs",
            "published GMACs",
            group,
            "GMACs",
            gmacs,
            lambda row: _figure(row, "gmacs", 2),
            "",
            measured=False,
        ),
        *((_reproduced(sweep, published),) if asks_for_verdict(sweep) else ()),
    )


def _reproduced(sweep: Sweep, published: Published) -> Column:
    legend = (
        f"Whether the 95 % interval of our mean lies within {published.tolerance:g} points of the published error "
        "(reproduced), outside (not reproduced), or partly (cannot tell)."
    )
    group = f"published, {clean(published.data)}"

    def text(row: Row) -> str:
        return row_reproduced(sweep, row) or NOTHING

    return Column("reproduced", "reproduced", group, "reproduced", legend, text, "", numeric=False, measured=False)


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
