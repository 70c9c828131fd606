"""Where `make test-slow` puts timm and torchvision, and how tests get at them."""

from __future__ import annotations

import functools
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PEERS = Path(sys.prefix) / "peers"
SHIM = Path(__file__).parent / "shim"


@contextmanager
def peers() -> Iterator[None]:
    """timm and torchvision are importable in this process meanwhile; skips where they are not installed.

    Not afterwards: a process that is then started with our path would find torchvision without the shim.
    """
    _ask()
    _shim()
    sys.path.append(str(PEERS))
    try:
        yield
    finally:
        sys.path.remove(str(PEERS))


@functools.cache
def _shim() -> None:
    runpy.run_path(str(SHIM / "sitecustomize.py"))


def with_peers() -> dict[str, str]:
    """The environment of a process that can import them, or skip where they are not installed."""
    _ask()
    places = [str(SHIM), str(PEERS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def _ask() -> None:
    if not PEERS.is_dir():
        pytest.skip("`make test-slow` installs timm and torchvision")
