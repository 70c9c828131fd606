"""Where the numbers come from: the circumstances of the runs, and what differs from the baseline's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sklab.analysis.table.rows import AblationTable, Row, Run
from sklab.report.escape import clean
from sklab.store.hardware import Arithmetic
from sklab.store.records import Code, RunRecord

_SHOWN, _LEAST, _IN_ALL = 20, 3, 4000  # changes of a cell, fewer where there are many cells
_LETTERS = 120  # of a value
_ABSENT = "(absent)"


@dataclass(frozen=True)
class Origin:
    """The circumstances in which one or more runs were made; `number` counts from 1 in the order of the table."""

    code: str
    hardware: str
    versions: str
    number: int = 0
    runs: int = 0


def origins(table: AblationTable) -> tuple[tuple[Origin, ...], dict[str, Origin]]:
    """The distinct origins, and the origin of each ended run by its key."""
    origin_by_run = {run.key: _origin(run.record) for run in ended(table) if run.record}
    counts = Counter(origin_by_run.values())
    numbered = {
        origin: Origin(origin.code, origin.hardware, origin.versions, number, count)
        for number, (origin, count) in enumerate(counts.items(), start=1)
    }
    return tuple(numbered.values()), {key: numbered[origin] for key, origin in origin_by_run.items()}


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
    how = f", {arithmetic_text(hardware.arithmetic)}" if hardware.arithmetic else ""
    return clean(f"{count}{hardware.device} ({name}){how}, {threads}, host {hardware.host}")


def arithmetic_text(how: Arithmetic) -> str:
    """`cuDNN 9.10.2, deterministic, convolutions tf32, matrices ieee`."""
    cudnn = f"cuDNN {how.cudnn}" if how.cudnn else "no cuDNN"
    deterministic = "deterministic" if how.deterministic else "not deterministic"
    return f"{cudnn}, {deterministic}, convolutions {how.convolutions}, matrices {how.matrices}"


@dataclass(frozen=True)
class Change:
    """A setting that differs, by its dotted `path`: its value in the `baseline` and in the cell (`here`)."""

    path: str
    baseline: str
    here: str


def changes(table: AblationTable) -> dict[str, tuple[Change, ...]]:
    """The differences of each cell from the baseline, by name; none for a cell without an ended run."""
    experiments = {row.name: tree for row in table.rows if (tree := experiment(row))}
    baseline = experiments.pop(table.sweep.baseline, None)
    if baseline is None:
        return {}
    shown = min(_SHOWN, max(_LEAST, _IN_ALL // max(len(experiments), 1)))
    return {name: difference(baseline, tree)[:shown] for name, tree in experiments.items()}


def difference(baseline: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[Change, ...]:
    """The differences between two trees of settings, by path; only the first ones where a page can't hold all."""
    return tuple(sorted(_walk("", baseline, here), key=lambda change: change.path)[:_SHOWN])


def experiment(row: Row) -> Mapping[str, Any] | None:
    """The resolved experiment of a cell, which is the same for all its runs, without the places of the data on disk."""
    record = next((run.record for run in row.runs if run.record is not None), None)
    if record is None:
        return None
    made = record.spec.experiment
    return made.model_dump(mode="json", exclude={"data": dict.fromkeys(made.data.places, True)})


def _walk(path: str, baseline: Any, here: Any) -> Iterator[Change]:
    if baseline == here:
        return
    if isinstance(baseline, Mapping) and isinstance(here, Mapping):
        for name in {**baseline, **here}:
            yield from _walk(f"{path}.{name}".lstrip("."), baseline.get(name, _ABSENT), here.get(name, _ABSENT))
        return
    yield Change(clean(path), _text(baseline), _text(here))


def _text(value: Any) -> str:
    """A value on one line; (absent) where it is missing, as for a setting that another kind of network has."""
    text = _ABSENT if value is _ABSENT else json.dumps(value, ensure_ascii=False)
    return clean(text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…")
