"""How processes end: together, or when they are asked to."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
_ONE_WISH = 1.0  # seconds in which a second signal says no more than the first: `timeout` sends its own twice


class PreemptedError(Exception):
    """The process was asked to end before its work was done."""


def signal_name(number: int) -> str:
    """As `kill -l` tells it; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Stop:
    """Whether this process was asked to end soon, by a signal that from `listen` to `release` no longer ends it.

    asked   name of the first such signal ("" before one came)
    others  ids of processes that get every such signal as well
    """

    def __init__(self) -> None:
        self.asked = ""
        self.others: list[int] = []
        self._since = 0.0
        self._before: dict[signal.Signals, object] = {}

    def listen(self) -> None:
        """Take the signals; again after somebody else took them. Outside the main thread nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for number in _heeded():
                before = signal.signal(number, self._ask)
                self._before.setdefault(number, before)

    def release(self) -> None:
        """Give the signals back to whoever had them before the first `listen`."""
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # what signal.signal gave us
        self._before.clear()

    @property
    def waited(self) -> float:
        """Seconds since the first signal."""
        return time.monotonic() - self._since if self.asked else 0.0

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if not self.asked:
            self.asked, self._since = signal.Signals(number).name, time.monotonic()
        for process in self.others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def on_parent_end(act: Callable[[], object]) -> None:
    """Call `act`, in a thread, as soon as the process that started this one is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        act()

    threading.Thread(target=watch, daemon=True, name="sklab-parent-watch").start()


def _heeded() -> list[signal.Signals]:
    """The stop signals, without those that whoever started this process had ignored, as `nohup` does."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def hear_nothing() -> None:
    """Keep the stop signals from this thread and from what it starts, until that calls `hear_again`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def hear_again() -> None:
    """Get the stop signals, also those that have come meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def asked_once(clock: Callable[[], float] = time.monotonic) -> Iterator[list[int]]:
    """What SIGINT (Ctrl-C) and the stop signals asked for: empty until one came. A second one raises KeyboardInterrupt:
    SIGINT at any time, SIGTERM and SIGUSR1 a second after the first, SIGHUP never, for a terminal that closes may send
    several.

    Outside the main thread, where no signal arrives, it stays empty.
    """
    asked: list[int] = []
    first = clock()

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if not asked:
            first = clock()
            asked.append(number)
        elif number == signal.SIGINT or (number != signal.SIGHUP and clock() - first >= _ONE_WISH):
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, *_heeded())}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
