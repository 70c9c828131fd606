"""What to say about runs that were made in another study."""

from __future__ import annotations

from collections import defaultdict
from urllib.parse import quote

from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.report.provenance import code_text, ended
from sklab.report.words.phrases import listed
from sklab.store.records import Code
from sklab.system.terminal import counted


def reused(table: AblationTable) -> list[str]:
    """A line for each study and code that runs come from, with a caution where other code made them."""
    cells = {run.key: row.name for row in table.rows for run in row.runs}
    groups: dict[tuple[str, Code, Code], list[str]] = defaultdict(list)
    for run in ended(table):
        origin = table.reused.get(run.key)
        if origin and run.record:
            groups[origin.study, run.record.code, origin.code].append(cells[run.key])
    return [
        f"{counted(len(names), 'run')} reused from study {clean(study)}: {listed(dict.fromkeys(names))}"
        f"{_caution(made, taken)}"
        for (study, made, taken), names in groups.items()
    ]


def _caution(made: Code, taken: Code) -> str:
    if made.same_as(taken):
        return ""
    return f"; caution: made by {code_text(made)}, reused by {code_text(taken)}, whose numbers may differ"


def origin_path(study: str, key: str) -> str:
    """The record that a reused run was copied from, as a relative link; dead once that study is deleted."""
    return f"../{quote(study, safe='')}/runs/{quote(key, safe='')}/record.json"
