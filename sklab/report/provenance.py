"""Where the numbers come from: the distinct circumstances that the runs of a table were made in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sklab.analysis.table.rows import AblationTable, Run
from sklab.report.escape import clean
from sklab.store.records import Code, RunRecord


@dataclass(frozen=True)
class Origin:
    """What runs have in common that were made alike; `number` counts from 1 in the order of the table."""

    code: str
    hardware: str
    versions: str
    number: int = 0
    runs: int = 0


def origins(table: AblationTable) -> tuple[tuple[Origin, ...], dict[str, Origin]]:
    """The distinct origins, and the origin of each ended run by its key."""
    made = {run.key: _origin(run.record) for run in ended(table) if run.record}
    counts = Counter(made.values())
    numbered = {
        origin: Origin(origin.code, origin.hardware, origin.versions, number, count)
        for number, (origin, count) in enumerate(counts.items(), start=1)
    }
    return tuple(numbered.values()), {key: numbered[origin] for key, origin in made.items()}


def ended(table: AblationTable) -> list[Run]:
    """The runs that have a record, row by row."""
    return [run for row in table.rows for run in row.runs if run.record is not None]


def _origin(record: RunRecord) -> Origin:
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return Origin(code_text(record.code), _hardware(record), clean(versions) or "not recorded")


def code_text(code: Code) -> str:
    """`sklab 0.2.0, commit 0123456789ab with uncommitted changes`."""
    commit = f"commit {clean(code.commit)[:12]}" if code.commit else "no commit"
    dirty = " with uncommitted changes" if code.dirty else ""
    return f"sklab {clean(code.version)}, {commit}{dirty}"


def _hardware(record: RunRecord) -> str:
    hardware = record.hardware
    if hardware is None:
        return "not recorded"
    threads = f"{hardware.threads} thread{'' if hardware.threads == 1 else 's'}"
    count = f"{hardware.devices} x " if hardware.devices > 1 else ""
    name = ", ".join(filter(None, (hardware.device_name, hardware.instructions)))
    return clean(f"{count}{hardware.device} ({name}), {threads}, host {hardware.host}")
