"""Checksums that tie what is read to what was written: of a file, and of a JSON file's content within it (its seal).

They tell of a disk that flips a bit, of files that were mixed up and of numbers that were edited by hand. They keep
nobody from lying: who can write a number can write its seal.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

_SEAL = "seal"


def checksum(content: bytes | memoryview) -> str:
    """SHA-256, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def sealed(value: BaseModel, indent: int | None = 1) -> str:
    """`value` as JSON, with its seal as one more entry."""
    tree = from_json(value.model_dump_json())
    return json.dumps({**tree, _SEAL: _seal_of(tree)}, indent=indent, ensure_ascii=False)


def unsealed(tree: dict[str, Any]) -> bool:
    """Take the seal out of what a JSON file holds; False where the rest is not what was sealed. Files of sklab 0.1.0
    have none, and are believed."""
    seal = tree.pop(_SEAL, None)
    return seal is None or seal == _seal_of(tree)


def open_text(text: bytes) -> tuple[bytes, bool]:
    """The JSON file `text` without its seal, and whether it is what was sealed."""
    try:
        tree = from_json(text) if b'"seal"' in text else None
    except ValueError:  # to be told by whoever reads it
        tree = None
    if not isinstance(tree, dict) or _SEAL not in tree:
        return text, True
    is_intact = unsealed(tree)
    return json.dumps(tree, ensure_ascii=False).encode(), is_intact


def _seal_of(tree: dict[str, Any]) -> str:
    """However the file is laid out."""
    return checksum(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode())
