"""The table, the answers and the runs as data: CSV and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import sheet

if TYPE_CHECKING:
    from pandas import DataFrame


def table_csv(table: AblationTable) -> str:
    """The table as data. Means have 12 significant digits, tests 6; no text is a formula."""
    from sklab.analysis.frames.table import data_frame, rounded  # half a second that no other format needs

    return _csv(rounded(data_frame(table)))


def questions_csv(table: AblationTable) -> str:
    """The answers to the questions, planned or given by the factors, and the pairs behind them, as data."""
    from sklab.analysis.frames.table import ALL, answers_frame, rounded

    return _csv(rounded(answers_frame(table), of_tests=ALL))


def runs_csv(table: AblationTable) -> str:
    """The runs as data, one line each. Numbers have 9 significant digits, as many as a float32 holds."""
    from sklab.analysis.frames.runs import runs_frame

    return _csv(runs_frame(table), "%.9g")


def _csv(frame: DataFrame, numbers: str | None = None) -> str:
    texts: list[str] = list(frame.select_dtypes("str").columns)
    frame[texts] = frame[texts].map(sheet, na_action="ignore")
    return str(frame.rename(columns=sheet).to_csv(index=False, lineterminator="\n", float_format=numbers))


def table_json(table: AblationTable) -> str:
    """The same data as JSON: an object per row, null where there is no number."""
    from sklab.analysis.frames.table import data_frame, rounded

    frame = rounded(data_frame(table)).astype(object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    return json.dumps(rows, indent=1, ensure_ascii=False)
