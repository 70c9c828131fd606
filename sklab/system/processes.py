"""How processes end, together or when they are asked to, and what the kernel says about them.

Where there is no /proc (macOS), the kernel says nothing: None, "" and 0.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import multiprocessing.process
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType, ModuleType
from typing import Literal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
PATIENCE = 30.0  # seconds that a process has to end once it was killed
_SAME_REQUEST = 1.0  # seconds in which a second signal says no more than the first: `timeout` sends its own twice
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_COLLAPSE = 25  # MADV_COLLAPSE of Linux 6.1 and later; others refuse it, and all stays as it was
_LARGE = 2 << 20  # bytes of a large page
_MAPS = Path("/proc/self/maps")
_HEAP = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 +(?:\[heap\])?$")


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
            for number in _stop_signals_not_ignored():
                before = signal.signal(number, self._ask)
                self._before.setdefault(number, before)

    def release(self) -> None:
        """Restore the signal handlers from before the first `listen`."""
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


def _stop_signals_not_ignored() -> list[signal.Signals]:
    """The stop signals, except those that the parent process has set to be ignored, as `nohup` does."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def block_stop_signals() -> None:
    """Keep the stop signals from this thread and from what it starts, until that calls `unblock_stop_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def unblock_stop_signals() -> None:
    """Get the stop signals, also those that have come meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def stop_requests(clock: Callable[[], float] = time.monotonic) -> Iterator[list[int]]:
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
        elif number == signal.SIGINT or (number != signal.SIGHUP and clock() - first >= _SAME_REQUEST):
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, *_stop_signals_not_ignored())}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def no_main_module() -> Iterator[None]:
    """Keep processes that are started meanwhile from importing this one's main module again: the command's, Ray's or a
    user's script, which would do again what it does."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def end_at_once(process: BaseProcess, patience: float = PATIENCE) -> bool:
    """Kill `process`; whether it has ended. One that is stuck in a driver or waits for a disk that is gone may never
    end: it is left alone after `patience` seconds, and this process does not wait for it when it ends itself."""
    process.kill()
    process.join(patience)
    if process.is_alive():
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]  # all are joined at exit
        return False
    return True


def start_time(pid: int) -> int | None:
    """When process `pid` started, in ticks since boot. With the number it names a process for good: numbers return."""
    fields = _stat(_PROC / str(pid))
    return int(fields[19]) if fields else None


def what_blocks(pid: int) -> Literal["", "disk", "stopped"]:
    """What keeps a thread of process `pid`, or of one that it started, from its work: it was `stopped` by somebody, or
    it waits for a `disk`. To the kernel a driver is one too.

    Who reads images is a loader's process, a device's or a thread, and the process itself only sleeps until they come.
    """
    states = set(_states(pid))  # R, S or Z: it runs, sleeps or has ended
    return "stopped" if "T" in states else "disk" if "D" in states else ""


def oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory: in this control group if it counts them, else on
    the machine."""
    try:
        group = (_PROC / "self/cgroup").read_text(encoding="ascii").rpartition("::")[2].strip().lstrip("/")
        return _count(_CGROUPS / group / "memory.events")
    except (OSError, ValueError):
        pass
    try:
        return _count(_PROC / "vmstat")
    except (OSError, ValueError):
        return 0


def _count(file: Path) -> int:
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return next((int(number) for name, number in lines if name == "oom_kill"), 0)


def _tasks(pid: int) -> list[Path]:
    """The threads of process `pid`, a folder each."""
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _children(task: Path) -> list[int]:
    """The processes that a thread started. None where the kernel does not tell (CONFIG_PROC_CHILDREN)."""
    try:
        return [int(pid) for pid in (task / "children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def _states(pid: int) -> Iterator[str]:
    """The states of a process' threads, and of those that it started."""
    for task in _tasks(pid):
        yield from _stat(task)[:1]
        for child in _children(task):
            yield from _states(child)


def _stat(process: Path) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; the name before it may hold anything."""
    try:
        return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def use_large_pages() -> None:
    """Ask the kernel to put what this process has allocated so far into large pages; without Linux nothing happens."""
    if not _MAPS.exists():
        return
    libc = ctypes.CDLL(None)
    for start, end in _allocated():
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _COLLAPSE)


def _allocated() -> Iterator[tuple[int, int]]:
    """The first and last address of what lies in whole large pages."""
    for line in _MAPS.read_text(encoding="utf-8").splitlines():
        if found := _HEAP.match(line):
            start, end = -(-int(found[1], 16) // _LARGE) * _LARGE, int(found[2], 16) // _LARGE * _LARGE
            if start < end:
                yield start, end
