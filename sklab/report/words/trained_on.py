"""What to say about data and foreign code that runs rest on: unknown, or not the same for all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.report.provenance import ended
from sklab.report.words.phrases import listed
from sklab.spec.data import Fingerprint, differ
from sklab.store.records import RunRecord
from sklab.system.terminal import counted


def trained_on(table: AblationTable) -> list[str]:
    """A line for the runs whose data are unknown, one for rows that mix several data under the same settings, and one
    for each library of a network, or plug-in file, that runs have several versions of."""
    records = [run.record for run in ended(table) if run.record]
    unknown = [record for record in records if record.data_unknown]
    first = _first_of_each(records)
    mixed = [record for record in records if _is_other(record, first)]
    return [*([_unknown(unknown)] if unknown else []), *([_mixed(mixed)] if mixed else []), *_versions(records)]


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


def _versions(records: Iterable[RunRecord]) -> Iterator[str]:
    """Of what decides a run beside sklab and its settings: the libraries that networks come from, and plug-in files."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for name, version in record.versions.items():
            if name in record.spec.experiment.model.libraries or name.startswith("sklab."):
                found[name][version] += 1
    for name, counts in found.items():
        if len(counts) > 1:
            told = ", ".join(f"{clean(version)} ({counted(number, 'run')})" for version, number in counts.items())
            yield f"caution: runs were made with different versions of {clean(name)}: {told}"


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
    return differ(first.get(_identity(record)), record.fingerprint)


def _identity(record: RunRecord) -> str:
    return record.spec.experiment.data.identity()
