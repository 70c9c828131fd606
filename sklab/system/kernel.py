"""What the kernel says about processes. Where there is no /proc (macOS), nothing: None, False and 0."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def start_time(pid: int) -> int | None:
    """When process `pid` started, in ticks since boot. With the number it names a process for good: numbers return."""
    fields = _stat(_PROC / str(pid))
    return int(fields[19]) if fields else None


def waits(pid: int) -> bool:
    """Whether a thread of process `pid`, or of one that it started, waits for a disk or was stopped.

    Who reads images is a loader's process, a device's or a thread, and the process itself only sleeps until they come.
    """
    tasks = _tasks(pid)
    return any(_waits(task) for task in tasks) or any(waits(child) for task in tasks for child in _children(task))


def oom_kills() -> int:
    """How many processes the kernel has killed so far because memory ran out: in this control group where that is
    counted, else on the machine."""
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


def _waits(task: Path) -> bool:
    """Whether its state is D, for a disk, or T, stopped; not R, S or Z: it runs, sleeps or has ended."""
    return _stat(task)[:1] in (["D"], ["T"])


def _stat(process: Path) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; the name before it may hold anything."""
    try:
        return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
