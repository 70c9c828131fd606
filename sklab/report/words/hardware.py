"""The notes on runs that were computed on different kinds of devices, or in different ways on GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean
from sklab.report.provenance import arithmetic_text, ended
from sklab.report.words.phrases import listed
from sklab.store.hardware import Hardware
from sklab.store.records import RunRecord
from sklab.system.terminal import quantity

_CPU = "CPU"
_ROUNDING = "whose numbers differ by rounding, and training makes that grow"


def computed_on(table: AblationTable) -> list[str]:
    """A line where rows mix kinds of devices (all processors are one kind), one where they mix the ways in which GPUs
    compute, and one for each change between the attempts of a run. None where all are of one kind, and for records
    without this information."""
    records = _records(table)
    return [
        *_mixed(f"runs were computed on different kinds of devices, {_ROUNDING}", _by(_kind, records)),
        *_mixed("GPUs computed in different ways, so last bits may differ", _by(_way, records)),
        *_resumed(records),
    ]


def compared_on(ours: AblationTable, theirs: AblationTable) -> str:
    """The kinds of devices on which two studies were computed; "" if they are the same."""
    first, second = (_by(_kind, _records(table)) for table in (ours, theirs))
    if not first or not second or first.keys() == second.keys():
        return ""
    return f"computed on other kinds of devices: {listed(second)} against {listed(first)}"


def _records(table: AblationTable) -> list[RunRecord]:
    """Those of the runs that have numbers."""
    records = (run.record for run in ended(table))
    return [record for record in records if record and record.status == "complete" and record.hardware]


def _by(trait: Callable[[Hardware], str], records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """The records by a trait of their hardware, the most frequent first; without those that have none."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.hardware and (name := trait(record.hardware)):
            groups.setdefault(name, []).append(record)
    return dict(sorted(groups.items(), key=lambda entry: -len(entry[1])))


def _kind(hardware: Hardware) -> str:
    return clean(hardware.device_name) if hardware.device == "cuda" else _CPU


def _way(hardware: Hardware) -> str:
    if hardware.device != "cuda":
        return ""
    return clean(arithmetic_text(hardware.arithmetic)) if hardware.arithmetic else "not recorded"


def _mixed(caution: str, groups: Mapping[str, list[RunRecord]]) -> list[str]:
    """Where there are several groups, one line: each with its number of runs, all but the largest with their cells."""
    if len(groups) < 2:
        return []
    (usual, runs), *others = groups.items()
    parts = [f"{usual} ({quantity(len(runs), 'run')})"]
    parts += [f"{name} ({quantity(len(records), 'run')}: {_cells(records)})" for name, records in others]
    return [f"caution: {caution}: {'; '.join(parts)}"]


def _cells(records: Iterable[RunRecord]) -> str:
    return listed(dict.fromkeys(record.cell for record in records))


def _resumed(records: Iterable[RunRecord]) -> list[str]:
    """A line for each change of origin: the runs that went on across it."""
    runs_by_change: dict[str, list[str]] = {}
    for record in records:
        for change in record.resumed_across:
            runs_by_change.setdefault(clean(change), []).append(f"{record.cell} seed {record.spec.seed}")
    return [
        f"caution: last bits may differ, since the checkpoint that it went on from was made elsewhere, {change}: "
        f"{listed(runs)}"
        for change, runs in runs_by_change.items()
    ]
