"""Where computed data are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$SKLAB_CACHE`, by default `~/.cache/sklab`; safe to delete at any time."""
    return Path(os.environ.get("SKLAB_CACHE") or "~/.cache/sklab").expanduser()
