"""The test split in a report: its columns, the claim of a study that chose by validation images, and its readings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sklab.analysis.evidence.held_out import HeldOut, OnTest, Read, on_test
from sklab.analysis.table.rows import AblationTable, Row, Run
from sklab.report.bounds import limits
from sklab.report.column import NOTHING, Column, fixed, half_text, metric_digits, metric_unit, signed
from sklab.report.escape import clean
from sklab.report.words.phrases import difference, points
from sklab.spec.study.sweep import Sweep
from sklab.store.dated import read_readings, read_tested
from sklab.store.records import FinalScore, RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.system.terminal import quantity

_NONE = OnTest()


def read_held_out(study: StudyFolder, table: AblationTable) -> HeldOut | None:
    """What is known of the study's test split; None for a study without one."""
    splits = {row.name: _test_of(table.sweep, row.settings) for row in table.rows}
    if not any(splits.values()):
        return None
    runs = {run.key: (row, run) for row in table.rows for run in row.runs if run.record and run.value is not None}
    found = {key: _score(study, table.sweep, run.record, splits[row.name]) for key, (row, run) in runs.items()}
    scores = {key: score for key, score in found.items() if score is not None}
    values = {key: score.value(table.sweep.metric) for key, score in scores.items()}
    readings, faults = read_readings(study)
    seen: set[str] = set()
    read = []
    for reading in readings:
        here = [key for key in reading.runs if key in values and key not in seen]
        seen |= set(here)
        if here:
            read.append(Read(reading.dated, len(here), len({runs[key][1].seed for key in here})))
    return HeldOut(
        rows=_rows(table, values),
        values=values,
        readings=tuple(read),
        unread=sum(bool(splits[row.name]) and key not in values for key, (row, _) in runs.items()),
        mixed=_mixed(scores),
        faults=faults,
    )


def _test_of(sweep: Sweep, settings: Mapping[str, Any]) -> Any:
    """What `data.test` is for a cell; None where it has no test split."""
    data = settings.get("data", sweep.experiment.get("data", {}))
    return settings.get("data.test", data.get("test") if isinstance(data, Mapping) else None)


def _score(study: StudyFolder, sweep: Sweep, record: RunRecord | None, test: Any) -> FinalScore | None:
    if record is None or test is None or not hasattr(record.spec.experiment.data, "test"):
        return None
    data = record.spec.experiment.data.model_copy(update={"test": test})
    return read_tested(study.run(record.key), record, data, sweep.metric.epoch)


def _mixed(scores: Mapping[str, FinalScore]) -> bool:
    """Whether runs with equal settings of the data were evaluated on different images."""
    held = {(score.data.identity(), score.fingerprint) for score in scores.values()}
    return len(held) > len({identity for identity, _ in held})


def _rows(table: AblationTable, values: Mapping[str, float]) -> dict[str, OnTest]:
    rows = [row for row in table.rows if row.runs and not row.same_as]
    seeds = table.sweep.seeds

    def of(row: Row, number: Any) -> list[float]:
        by_seed = {run.seed: number(run) for run in row.runs} if row.n else {}
        return [math.nan if (value := by_seed.get(seed)) is None else value for seed in seeds]

    def of_test(run: Run) -> float | None:
        return values.get(run.key)

    validation = np.array([of(row, lambda run: run.value) for row in rows]).reshape(len(rows), len(seeds))
    test = np.array([of(row, of_test) for row in rows]).reshape(len(rows), len(seeds))
    baseline = next((at for at, row in enumerate(rows) if row.is_baseline), None)
    return {row.name: on for row, on in zip(rows, on_test(table.sweep, validation, test, baseline), strict=True)}


def held_out_columns(table: AblationTable) -> tuple[Column, ...]:
    """The columns of the test split; none before it is read."""
    held = table.held_out
    if held is None or not held.values:
        return ()
    metric, digits = table.sweep.metric, metric_digits(table.sweep.metric)
    unit, kind = metric_unit(metric), metric.name.removeprefix("val_")
    group = f"test {kind}{f' ({unit})' if unit else ''}"
    mean = (
        f"mean {kind} on the test split, of the weights of the {metric.epoch} epoch, over the runs evaluated there; by "
        "these images nothing was chosen"
    )
    gap = "test minus validation, mean over the same runs, with the half width of its 95 % t interval"

    def on(row: Row) -> OnTest:
        return held.rows.get(row.name, _NONE)

    def interval(row: Row) -> str:
        return half_text(on(row).mean, on(row).half, limits(metric), digits) if on(row).n else NOTHING

    def gap_text(row: Row) -> str:
        half = "" if math.isnan(on(row).gap_half) else f" ± {fixed(on(row).gap_half, digits)}"
        return f"{signed(on(row).gap, digits)}{half}"

    half_legend = "half width of the 95 % t interval of that mean"
    return (
        Column(f"{group}", group, "mean", mean, lambda row: fixed(on(row).mean, digits), f"test {unit}".strip()),
        Column("±95% (test)", group, "±95%", half_legend, interval, "±95%"),
        Column("minus validation", group, "minus validation", gap, gap_text, "gap"),
    )


def claims(table: AblationTable) -> tuple[str, ...]:
    """The first paragraph of a study that chose cells or epochs by validation images and has a test split."""
    held, what = table.held_out, _chosen(table.sweep)
    if held is None or not what or table.best is None:
        return ()
    if not held.values:
        when = "is read once, when every run has ended"
        return (f"{what} chosen by validation images, so the figures below flatter. The test split {when}.",)
    best, baseline = table.best, table.baseline
    on = held.rows[best.name]
    against = ""
    if baseline is not None and on.baseline is not None:
        other = f"{_figure(table, baseline)} of the baseline {clean(baseline.name)}"
        against = f", against {other} ({difference(table, on.baseline)})"
    validation = f"{fixed(best.mean, metric_digits(table.sweep.metric))} {metric_unit(table.sweep.metric)}".strip()
    gap = f"the test is {points(table, on.gap)} {'worse' if on.gap > 0 else 'better'}"
    return (
        f"On the test split, by which nothing was chosen, {clean(best.name)} has {_figure(table, best)}{against}. "
        f"{what} chosen by validation images, where it has {validation}: {gap}. What follows is of validation images.",
    )


def _chosen(sweep: Sweep) -> str:
    """What was chosen by validation images; "" for a study that planned its cells and takes the last epoch."""
    if sweep.metric.epoch == "best":
        return "The cell and the epoch of each run were"
    return "The cell was" if sweep.search else ""


def _figure(table: AblationTable, row: Row) -> str:
    assert table.held_out is not None
    on, metric = table.held_out.rows[row.name], table.sweep.metric
    digits, unit = metric_digits(metric), metric_unit(metric)
    half = "" if math.isnan(on.half) else f" ± {fixed(on.half, digits)}"
    return f"{fixed(on.mean, digits)}{half}{unit and f' {unit}'} (n = {on.n})"


def reading_sentences(table: AblationTable) -> tuple[str, ...]:
    """When the test split was read and with which runs; none for a study without one."""
    held = table.held_out
    if held is None:
        return ()
    damaged = tuple(f"Caution: {clean(fault)}." for fault in held.faults)
    mixed = ("Caution: runs were evaluated on different test images, so their figures can't be compared.",)
    first = held.readings[0] if held.readings else None
    if first is None:
        told = "The test split has not been read: that is done once, when every run has ended."
        return (told if not held.values else "When the test split was read is not known.", *damaged)
    later = [
        f"on {reading.dated[:10]} with {quantity(reading.runs, 'run')} that {_were(reading.runs)} added after that"
        for reading in held.readings[1:]
    ]
    unread = [f"{quantity(held.unread, 'complete run')} {_have(held.unread)} not been read"] if held.unread else []
    told = f"with {quantity(first.runs, 'run')} of {quantity(first.seeds, 'seed')}"
    rest = "".join(f"; {clause}" for clause in (*later, *unread))
    return (f"The test split was read on {first.dated[:10]} {told}{rest}.", *damaged, *(mixed if held.mixed else ()))


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _have(number: int) -> str:
    return "has" if number == 1 else "have"
