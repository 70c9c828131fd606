"""Which GPUs a command takes: those that it names or, else, those that nobody uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sklab.errors import SklabError
from sklab.launch.slots import Gpus
from sklab.system.machine import GpuUse, look_at_gpus

_IDLE_MB = 1000.0  # what drivers and a desktop may hold of a GPU that nobody computes on


def choose_gpus(named: str | None, tell: Callable[[str], None]) -> Gpus:
    """Index and name of the GPUs to be used; none where the machine has none.

    `named` (as in `--gpus 0,1`) chooses among the visible ones. Otherwise those that somebody computes on are left out.
    Use by others is told. Raises SklabError for a GPU that is not there, or when all are used.
    """
    there = look_at_gpus()
    chosen = there if named is None else _named(named, there)
    used = {gpu.gpu: use for gpu in chosen if (use := use_of(gpu))}
    free = [gpu for gpu in chosen if gpu.gpu not in used]
    if used and named is None and not free:
        _refuse(used)
    for gpu, use in used.items():
        every = ",".join(each.gpu for each in there)
        how = f"left out (--gpus {every} takes it all the same)" if named is None else "taken all the same"
        tell(f"GPU {gpu} is used by somebody else: {use}; {how}")
    return [(gpu.gpu, gpu.name) for gpu in (free if named is None else chosen)]


def use_of(gpu: GpuUse) -> str:
    """What is used of a GPU and by whom; "" when nobody computes on it."""
    if not gpu.processes and (gpu.used_mb or 0.0) < _IDLE_MB:
        return ""
    whom = f"process {', '.join(gpu.processes)}" if gpu.processes else "no process that can be seen from here"
    return f"{gigabytes(gpu.used_mb)} of {gigabytes(gpu.total_mb)} GB, {whom}"


def gigabytes(megabytes: float | None) -> str:
    """10^6 bytes in 10^9, or "?"."""
    return "?" if megabytes is None else f"{megabytes / 1000:.1f}"


def _named(named: str, there: Sequence[GpuUse]) -> list[GpuUse]:
    by_name = {gpu.gpu: gpu for gpu in there}
    entries = [entry.strip() for entry in named.split(",")]
    unknown = [entry for entry in entries if entry not in by_name]
    if unknown or len(set(entries)) < len(entries):
        known = ", ".join(f"{gpu.gpu} ({gpu.name})" for gpu in there)
        what = "there is no GPU here" if not there else f"allowed: each once of {known}"
        raise SklabError(f"--gpus: found {named}; {what}")
    return [by_name[entry] for entry in entries]


def _refuse(used: dict[str, str]) -> None:
    told = "; ".join(f"GPU {gpu}: {use}" for gpu, use in used.items())
    remedy = f"wait, or take one all the same, for example --gpus {next(iter(used))}"
    raise SklabError(f"every GPU is used by somebody else ({told}); {remedy}")
