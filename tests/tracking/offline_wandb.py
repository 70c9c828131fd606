"""Reads an offline run back: W&B's `.wandb` file, a LevelDB log of protocol buffers."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK = 32 * 1024
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """What `.wandb` says of a run; `exit_code` is None when the run never said goodbye."""

    id: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    project: str = ""
    entity: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    measured: bool = False  # whether the machine was
    artifacts: dict[str, list[str]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def read_offline_run(folder: Path) -> OfflineRun:
    """The one offline run with files in `folder/wandb`."""
    (file,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    run = OfflineRun()
    for payload in _payloads(file.read_bytes()):
        record = Record.FromString(payload)
        if kind := record.WhichOneof("record_type"):
            _take(run, kind, record)
    return run


def _take(run: OfflineRun, kind: str, record: Record) -> None:
    if kind == "run":
        said = record.run
        run.id, run.name, run.project = said.run_id, said.display_name, said.project
        run.group, run.job_type = said.run_group, said.job_type
        run.entity, run.notes, run.tags = said.entity, said.notes, list(said.tags)
        run.config = _items(said.config.update)
    elif kind == "artifact":
        run.artifacts[record.artifact.name] = [entry.path for entry in record.artifact.manifest.contents]
    elif kind == "stats":
        run.measured = True
    elif kind == "history":
        run.history.append(_items(record.history.item))
    elif kind == "summary":
        run.summary |= _items(record.summary.update)
    elif kind == "exit":
        run.exit_code = record.exit.exit_code


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _payloads(data: bytes) -> list[bytes]:
    """The records of a LevelDB log whose first seven bytes are W&B's own, without what is being written."""
    if len(data) < 7:
        return []
    assert data[:4] == b":W&B"
    assert struct.unpack_from("<H", data, 4)[0] == 0xBEE1
    found, parts, at = [], b"", 7
    while at + 7 <= len(data):
        if _BLOCK - at % _BLOCK < 7:
            at += _BLOCK - at % _BLOCK
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, at)
        chunk = data[at + 7 : at + 7 + length]
        if len(chunk) < length:
            break
        assert checksum == zlib.crc32(data[at + 6 : at + 7] + chunk)
        parts = chunk if kind in (_FULL, _FIRST) else parts + chunk
        if kind in (_FULL, _LAST):
            found.append(parts)
        at += 7 + length
    return found
