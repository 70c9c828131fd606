"""Data sets and network families that do not come with sklab: files that users put beside those that do."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Literal

Room = Literal["data.sets", "models.families"]

# A test holds these against the folders. Of what comes with sklab, a run's record names the version and the commit.
_SHIPPED: dict[Room, frozenset[str]] = {
    "data.sets": frozenset(
        {"cifar10", "cifar100", "hub", "image_folder", "parquet", "scaled_digits", "stand_in"},
    ),
    "models.families": frozenset({"bottleneck", "foreign", "mobilenetv1", "mobilenetv2", "shufflenetv2"}),
}


@cache  # asked for every run
def plugin_hash(room: Room, name: str) -> str:
    """SHA-256, 16 hex digits, of the file of a plug-in; "" for what comes with sklab."""
    if name in _SHIPPED[room]:
        return ""
    found = importlib.util.find_spec(f"sklab.{room}.{name}")
    file = found.origin if found else None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else ""
