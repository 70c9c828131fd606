"""What the kernel says about processes. Where there is no /proc (macOS), nothing: None, "" and 0."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def start_time(pid: int) -> int | None:
    """When process `pid` started, in ticks since boot. With the number it names a process for good: numbers return."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def state(pid: int) -> str:
    """One letter: R runs, S sleeps, D waits for a disk, T was stopped, Z has ended."""
    fields = _stat(pid)
    return fields[0] if fields else ""


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


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; the name before it may hold anything."""
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
