"""What a report shows of the best cell: the columns that the sweep asks for, and the sentence on its confirmation."""

from __future__ import annotations

from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.words.phrases import difference
from sklab.store.states import UNENDED
from sklab.system.terminal import quantity


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
