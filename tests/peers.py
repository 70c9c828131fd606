"""Where `make test-slow` puts timm and torchvision, and how tests get at them."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

PEERS = Path(sys.prefix) / "peers"
SHIM = Path(__file__).parent / "shim"


def add_peers() -> None:
    """Make timm and torchvision importable in this process, or skip where they are not installed."""
    _ask()
    if str(PEERS) not in sys.path:
        sys.path.append(str(PEERS))
        runpy.run_path(str(SHIM / "sitecustomize.py"))


def with_peers() -> dict[str, str]:
    """The environment of a process that can import them, or skip where they are not installed."""
    _ask()
    places = [str(SHIM), str(PEERS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def _ask() -> None:
    if not PEERS.is_dir():
        pytest.skip("`make test-slow` installs timm and torchvision")
