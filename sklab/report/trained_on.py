"""What to say about the data that runs were trained on: unknown, or not the same for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sklab.analysis.rows import AblationTable
from sklab.records import RunRecord
from sklab.report.escape import clean
from sklab.report.phrases import counted, listed
from sklab.report.provenance import ended
from sklab.spec.fingerprint import Fingerprint


def trained_on(table: AblationTable) -> list[str]:
    """A line for the runs whose data are unknown, and one for rows that mix several data under the same settings."""
    records = [run.record for run in ended(table) if run.record]
    unknown = [record for record in records if record.data_unknown]
    mixed = [record for record in records if _is_other(record, _first_of_each(records))]
    return [*([_unknown(unknown)] if unknown else []), *([_mixed(mixed)] if mixed else [])]


def same_data(ours: AblationTable, theirs: AblationTable) -> str:
    """Whether two studies were trained on the same images: "" where their settings alone tell."""
    first, second = ([run.record for run in ended(table) if run.record] for table in (ours, theirs))
    known = _first_of_each(first)
    shared = [record for record in second if _identity(record) in known]
    if any(record.data_unknown for record in (*first, *second)):
        return "whether both were trained on the same images is not known"
    if not shared or all(record.fingerprint is None for record in shared):
        return ""
    other = any(_is_other(record, known) for record in shared)
    return "trained on other images under the same settings" if other else "trained on the same images"


def _unknown(records: list[RunRecord]) -> str:
    cells = listed(dict.fromkeys(record.cell for record in records))
    was = "was" if len(records) == 1 else "were"
    return (
        f"which images {counted(len(records), 'run')} {was} trained on is not known, as in records of earlier "
        f"versions: {clean(cells)}"
    )


def _mixed(records: list[RunRecord]) -> str:
    cells = listed(dict.fromkeys(record.cell for record in records))
    was = "was" if len(records) == 1 else "were"
    return f"caution: {counted(len(records), 'run')} {was} trained on other images than the first: {clean(cells)}"


def _first_of_each(records: Iterable[RunRecord]) -> Mapping[str, Fingerprint]:
    """By the settings of the data, the fingerprint of the first run over them that has one."""
    found: dict[str, Fingerprint] = {}
    for record in records:
        if record.fingerprint:
            found.setdefault(_identity(record), record.fingerprint)
    return found


def _is_other(record: RunRecord, first: Mapping[str, Fingerprint]) -> bool:
    known = first.get(_identity(record))
    return bool(known and record.fingerprint and not record.fingerprint.same_as(known))


def _identity(record: RunRecord) -> str:
    return record.spec.experiment.data.identity()
