"""What to say about records that are not as their runs have written them."""

from __future__ import annotations

from sklab.analysis.table.rows import AblationTable
from sklab.report.words.phrases import listed
from sklab.system.terminal import counted


def edited(table: AblationTable) -> list[str]:
    """One line that names the runs; none where every seal fits or there is none."""
    names = [
        f"{row.name} seed {run.seed}" for row in table.rows for run in row.runs if run.record and run.record.edited
    ]
    if not names:
        return []
    how = "was changed after its run" if len(names) == 1 else "were changed after their runs"
    return [f"caution: {counted(len(names), 'record')} {how} had written it: {listed(names)}"]
