"""The sentences on a study's plan (what was planned, when, what was changed later), and on its confirmation."""

from __future__ import annotations

from itertools import pairwise

from sklab.analysis.evidence.nuisance import at_common_setting
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.numbers import size_text
from sklab.report.words import sentences
from sklab.report.words.phrases import difference
from sklab.spec.study.changes import changes_of_plan
from sklab.spec.study.sweep import Sweep
from sklab.store.dated import Plan
from sklab.store.states import UNENDED
from sklab.system.terminal import quantity


def plan_sentences(table: AblationTable) -> tuple[str, ...]:
    """The paragraphs; none for a study without a dated plan, as of earlier versions."""
    plans = table.plans
    damaged = tuple(f"Caution: {clean(fault)}." for fault in plans.faults)
    if not plans.every:
        return damaged
    first = plans.every[0]
    planned = f"Planned on {day(first.dated)}{_when(table, first)}: {_what(first.sweep)}."
    return (planned, _later(plans.every), *damaged)


def day(moment: str) -> str:
    """The date of a moment in ISO 8601."""
    return moment[:10]


def _when(table: AblationTable, first: Plan) -> str:
    """Whether that was before the first run, by the dates in the records."""
    started = [run.record.started for row in table.rows for run in row.runs if run.record and run.record.started]
    earlier = sum(moment < first.dated for moment in started)
    if not earlier:
        return ", before the first run"
    reused = any(run.key in table.reused for row in table.rows for run in row.runs)
    return f", after {quantity(earlier, 'run')} had been started{' (in other studies)' if reused else ''}"


def _what(sweep: Sweep) -> str:
    margin = [f"margin {size_text(sweep.metric, sweep.margin)}"] if sweep.margin is not None else []
    questions = [f"questions: {' | '.join(map(clean, sweep.questions))}"] if sweep.questions else []
    judged = at_common_setting(sweep)
    parts = [sentences.design(judged), f"baseline {clean(judged.baseline)}", sentences.metric(sweep)]
    tuned = [f"every cell tunes {clean(str(sweep.nuisance))}"] if sweep.nuisance else []
    return "; ".join([*parts, *margin, *questions, *tuned])


def _later(plans: tuple[Plan, ...]) -> str:
    changes = [
        f"on {day(plan.dated)}: {', '.join(map(clean, changes_of_plan(plan.sweep, before.sweep)))}"
        for before, plan in pairwise(plans)
    ]
    return f"Changed later: {'; '.join(changes)}." if changes else "Nothing of this was changed later."


def confirmation(table: AblationTable) -> str:
    """What the confirmation says; "" where there is none."""
    confirmed = table.confirmed
    winner = next((row for row in confirmed.rows if not row.is_baseline), None) if confirmed else None
    if confirmed is None or winner is None:
        return ""
    seeds = quantity(len(confirmed.sweep.seeds), "fresh seed")
    begin = f"Confirmation on {seeds} (study {clean(confirmed.sweep.study)}), apart from all runs above"
    if any(run.state in UNENDED for row in confirmed.rows for run in row.runs):
        done = sum(row.n for row in confirmed.rows)
        return f"{begin}: not finished, {done} of {sum(row.planned for row in confirmed.rows)} runs are complete."
    return f"{begin}: {_tested(confirmed, winner)}."


def _tested(confirmed: AblationTable, winner: Row) -> str:
    names = f"{clean(winner.name)} against {clean(confirmed.sweep.baseline)}"
    if winner.baseline is None or winner.verdict == "no test":
        return f"{names} could not be tested"
    verdict = {"better": "confirmed", "worse": "refuted, it is worse"}.get(str(winner.verdict), "not confirmed")
    points = " points" if confirmed.sweep.metric.measure.unit else ""
    numbers = difference(confirmed, winner.baseline).replace(",", f"{points},", 1)
    return f"{names}: {numbers} (one paired t test at 5 %, {winner.baseline.n} seeds): {verdict}"
