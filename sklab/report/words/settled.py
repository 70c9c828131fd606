"""The cells of a study that added seeds where they were needed, by how and when they were settled, in words."""

from __future__ import annotations

from collections.abc import Sequence

from sklab.analysis.statistics.sequential import RACING, UNDECIDED, Race
from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.spec.study.sweep import Replicates


def verdicts(table: AblationTable) -> tuple[str, ...]:
    """The verdicts against the baseline as a note; none for a study whose cells all have the same seeds."""
    if table.race is None:
        return ()
    others = [at for at, cell in enumerate(table.sweep.cells) if cell.name != table.sweep.baseline]
    return (f"against the baseline, under repeated looking: {settled(table, table.race, others)}",)


def settled(table: AblationTable, race: Race, cells: Sequence[int]) -> str:
    """The cells at these places, those of one verdict and number of seeds together."""
    groups: dict[tuple[str, int], list[str]] = {}
    for at in cells:
        groups.setdefault((str(race.verdict[at]), int(race.settled[at])), []).append(clean(table.sweep.cells[at].name))
    return "; ".join(f"{', '.join(names)} {_how(*group, table.sweep.replicates)}" for group, names in groups.items())


def _how(verdict: str, seeds: int, rule: Replicates | None) -> str:
    if verdict == RACING:
        return "not settled yet"
    return f"{verdict} at {seeds} seeds{_stop(seeds, rule) if rule and verdict == UNDECIDED else ''}"


def _stop(seeds: int, rule: Replicates) -> str:
    if seeds == rule.max:
        return ", the most that it may have"
    return f": one more for all in doubt would make more than {rule.runs} runs"
