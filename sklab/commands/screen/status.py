"""How a study stands, and how all studies stand, as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sklab.commands.screen.text import aligned
from sklab.store.records import RunRecord
from sklab.store.states import how_it_ended, other_counts
from sklab.store.study_folder import StudyFolder
from sklab.sweep.state.named import logs_command
from sklab.sweep.state.status import RunStatus, StudyStatus
from sklab.sweep.state.studies import StudySummary
from sklab.system.terminal import duration, one_line, quantity, rest, time_left

_MOST_RUNS = 25  # of each kind
_LONGEST = 200  # characters of why a run failed, or of what a study asks
_MOST_ANSWERS = 5
# Columns of running runs by importance, after the metric.
_RUNNING = ("epoch", "step", "left", "seed", "for", "loss", "attempt", "device", "img/s", "MB")


def status_text(status: StudyStatus) -> str:
    """The counts; the running runs; those that failed, diverged or were stopped, each with its reason; then all others.
    Of each of these three the first ones, and how many more there are."""
    tuning = [one_line(str(status.tuning))] if status.tuning else []
    shown = [*status.running, *status.troubled]
    named = {run.key for run in shown}
    others = [run for run in status.runs if run.key not in named]
    parts = [_head(status), *tuning, *_running(status), *map(_trouble, status.troubled[:_MOST_RUNS])]
    parts += [one_line(f"unreadable: {why}") for why in status.unreadable[:_MOST_RUNS]]
    kinds = (status.running, status.troubled, others)
    left = [run for kind in kinds for run in kind[_MOST_RUNS:]]
    return "\n".join([*parts, *_others(others[:_MOST_RUNS], status.metric), *_more(left)])


def retry_text(aside: Sequence[RunRecord], status: StudyStatus) -> str:
    """The runs that will be trained anew, and the state of the study without them."""
    lines = [f"{record.cell}, seed {record.spec.seed}: {how_it_ended(record)}" for record in aside]
    outcome = f"{quantity(len(aside), 'run')} set aside, to be trained anew"
    if not aside:
        outcome = f"{status.study}: no such run has failed, nothing was changed"
    results = not aside and (status.counts["diverged"] or status.counts["pruned"])
    hint = "diverged and pruned runs are results: --cell NAME without --failed sets those of a cell aside"
    return "\n".join([*map(one_line, lines), outcome, *([hint] if results else []), _head(status)])


def studies_text(studies: Sequence[StudySummary], results: Path) -> str:
    """A line for each study, the one that changed last on top, then what each asked and what came out."""
    if not studies:
        return f"no studies under {results}"
    latest = sorted(studies, key=lambda study: study.changed, reverse=True)
    header = ("study", "cells", "runs", "complete", "running", "failed", "runner", "changed, UTC")
    table = aligned(header, map(_study_row, latest), ("complete", "runs", "failed", "running", "runner"))
    return "\n".join([table, *(one_line(line) for study in latest for line in _asked(study))])


def _study_row(study: StudySummary) -> tuple[str, ...]:
    name = Path(study.folder).name
    if study.fault:
        return name, *[""] * 7
    counts = [study.counts.get(state, 0) for state in ("complete", "running")]
    failed = sum(study.counts.get(state, 0) for state in ("failed", "diverged", "unreadable"))
    eta = f", {time_left(study.eta_seconds)}" if study.eta_seconds is not None else ""
    runner = f"at work{eta}" if study.live else ""
    return name, str(study.cells), str(study.total), *map(str, (*counts, failed)), runner, study.changed[:16]


def _asked(study: StudySummary) -> Iterator[str]:
    """What the study asks, with its answers; or why it can't be read."""
    answers = "; ".join(map(_short, study.answers[:_MOST_ANSWERS]))
    if said := " ".join(filter(None, (_short(study.fault or study.question), answers))):
        yield f"{Path(study.folder).name}: {said}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _head(status: StudyStatus) -> str:
    """The number of runs in each state, and whether a runner works on the study."""
    counts = f"{status.counts['complete']} of {quantity(status.total, 'run')} complete{other_counts(status.counts)}"
    eta = "" if status.eta_seconds is None else f", {time_left(status.eta_seconds)}"
    if status.live:
        return f"{status.study}: {counts}; a runner is at work{eta}"
    goes_on = ": the same `sklab sweep` again goes on" if status.goes_on else ""
    return f"{status.study}: {counts}; no runner is at work{goes_on}"


def _trouble(run: RunStatus) -> str:
    kind = f" ({run.failure})" if run.state == "failed" else ""
    more = logs_command(StudyFolder(Path(run.log).parents[2]), run.cell, run.seed)
    return one_line(f"{run.cell}, seed {run.seed}: {run.state}{kind}: {_short(run.reason)}; {more}")


def _running(status: StudyStatus) -> list[str]:
    if not status.running:
        return []
    at = ("running", "seed", "attempt", "epoch", "step", "loss", status.metric)
    rows = [_running_row(run) for run in status.running[:_MOST_RUNS]]
    return [aligned((*at, "img/s", "MB", "for", "left", "device"), rows, (status.metric, *_RUNNING))]


def _running_row(run: RunStatus) -> tuple[str, ...]:
    return (
        run.cell,
        str(run.seed),
        str(run.attempt),
        f"{run.epoch}/{run.epochs}",
        f"{run.step}/{run.steps}" if run.steps else "",
        _number(run.loss, 3),
        _number(run.metric, 2),
        _number(run.samples_per_second, 0),
        _number(run.peak_memory_mb, 0),
        "" if run.seconds is None else duration(run.seconds),
        "" if run.remaining_seconds is None else rest(run.remaining_seconds),
        run.device_name,
    )


def _others(runs: Sequence[RunStatus], metric: str) -> list[str]:
    """A line for each run that is complete, pruned or waits."""
    if not runs:
        return []
    return [aligned(("run", "seed", "state", "epoch", metric, "took"), map(_row, runs), ("state", metric, "seed"))]


def _row(run: RunStatus) -> tuple[str, ...]:
    epoch = f"{run.epoch}/{run.epochs}" if run.epochs else ""
    took = "" if run.seconds is None else duration(run.seconds)
    return run.cell, str(run.seed), run.state, epoch, _number(run.metric, 2), took


def _more(runs: Sequence[RunStatus]) -> list[str]:
    """A line for the runs that are not shown."""
    counts = Counter(run.state for run in runs)
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    return [f"and {quantity(len(runs), 'more run')} ({told}): --json has all"] if runs else []


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
