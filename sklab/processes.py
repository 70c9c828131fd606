"""How processes end together."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import wait


def on_parent_end(act: Callable[[], object]) -> None:
    """Call `act`, in a thread, as soon as the process that started this one is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        act()

    threading.Thread(target=watch, daemon=True, name="sklab-parent-watch").start()
