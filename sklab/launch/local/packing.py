"""Finds how many runs share each GPU: a climb (see Climb) over what the runs themselves tell of their speed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from pydantic import Field

from sklab.errors import SklabError
from sklab.launch.slots import Slot
from sklab.spec.jobs import PULSE_FILE
from sklab.spec.values import Value
from sklab.store.files import read_kept, write_whole
from sklab.store.run_folder import RunFolder
from sklab.system.nvidia import GpuUse, look_at_gpus

RISE = 1.15  # what twice as many runs must do together, of what was done before; less is noise, or not worth the memory
_RESERVE = 0.1  # of a GPU's memory: other cells may take more than those that run
_MOST_ABREAST = 64  # in one process: no core to each, but there must be an end to the doubling
_PULSES = 2  # new ones, until one is wholly of the time since the number of runs changed


@dataclass(frozen=True)
class Climb:
    """A search for the number of runs at a time, from 1 to `most`; it knows nothing but what they did together.

    count    the number to try or, once `settled`, to stay with
    proven   the largest number that was worth it so far
    speed    what `proven` runs did together, in samples per second; 0 before the first measurement
    """

    most: int
    count: int = 1
    proven: int = 1
    speed: float = 0.0
    settled: bool = False

    def after(self, count: int, speed: float) -> Climb:
        """The climb once `count` runs at a time were seen to do `speed` samples per second together. What is said of
        another count than the one that is tried comes too late, and changes nothing."""
        if self.settled or count != self.count:
            return self
        if not speed >= RISE * self.speed:  # a NaN is not
            return replace(self, count=self.proven, settled=True)
        after = min(2 * count, self.most)
        return replace(self, count=after, proven=count, speed=speed, settled=after == count)

    def within(self, most: int) -> Climb:
        """The climb where no more than `most` runs fit, at least 1: memory has run out, or would."""
        most = max(1, min(most, self.most))
        count, proven = min(self.count, most), min(self.proven, most)
        return Climb(most, count, proven, self.speed, self.settled or (count == proven and self.speed > 0))


class PerGpu(Value):
    """`per_gpu.json`: `count` runs at a time on each GPU of the kind `gpu`, with `cores` for each GPU, is what a climb
    has found."""

    gpu: str
    cores: int
    count: int = Field(ge=1)


class Packing:
    """Tries more and more runs at a time on each GPU of `slots` (one slot each), at most one per core and what fits
    into the memory. With `abreast` one process has all runs of a GPU, and needs no more cores for more of them. The
    number it ends with is printed, and kept in `file` for the next start.

    A run tells its speed by its pulses or, if it ends before there are enough, by its record. A number of runs is
    judged once as many have told theirs as there are places.
    """

    def __init__(
        self,
        slots: tuple[Slot, ...],
        tell: Callable[[str], None],
        file: Path,
        look: Callable[[], tuple[GpuUse, ...]] = look_at_gpus,
        *,
        abreast: bool = False,
    ) -> None:
        self._tell, self._file, self._see = tell, file, look
        self._gpu, self._cores = slots[0].name, min(slot.threads for slot in slots)
        self._option, self._one_process = "--abreast" if abreast else "--per-gpu", abreast
        self._most = _MOST_ABREAST if abreast else self._cores
        self._climb = self._kept() or Climb(self._most)
        ours = {slot.gpu for slot in slots}
        seen = () if self._climb.settled else look()
        self._held = {gpu.gpu: gpu.used_mb or 0.0 for gpu in seen if gpu.gpu in ours}
        self._peak = 0.0
        self._history: dict[int, float] = {}
        self._before: dict[Path, float] = {}
        self._restart(())

    @property
    def count(self) -> int:
        """Runs at a time on each GPU, for now."""
        return self._climb.count

    def look(self, running: Mapping[Path, Slot], ended: Collection[Path], places: int) -> int | None:
        """The new number of runs on each GPU; None where it stays. To be called about once a second, with the training
        runs that run, those that have ended since, and how many can run now."""
        if self._climb.settled:
            return None
        self._hear(running, ended)
        if not places or len(self._told) < places:
            return None
        before = self.count
        self._judge(running)
        self._restart(running)
        return self.count if self.count != before else None

    def limit(self, most: int) -> None:
        """No more than `most` runs fit: memory has run out."""
        before, self._climb = self._climb, self._climb.within(most)
        if self._climb.settled and self._climb != before:
            self._keep()

    def _restart(self, running: Iterable[Path]) -> None:
        self._told: defaultdict[Path, list[float]] = defaultdict(list)
        self._under_way = frozenset(running)
        self._pulses: dict[Path, tuple[int, int]] = {}

    def _hear(self, running: Iterable[Path], ended: Iterable[Path]) -> None:
        for folder in running:
            self._hear_pulse(RunFolder(folder))
        for folder in ended:
            if folder not in self._told and folder not in self._under_way:
                self._hear_end(RunFolder(folder))

    def _hear_pulse(self, run: RunFolder) -> None:
        """Count the pulses since the number of runs changed; the last one there was before is none of them."""
        try:
            stamp = (run.path / PULSE_FILE).stat().st_mtime_ns
        except OSError:
            return
        last, count = self._pulses.get(run.path, (stamp, 0))
        if stamp == last:
            self._pulses[run.path] = stamp, count
            return
        self._pulses[run.path] = stamp, count + 1
        pulse = run.read_pulse()
        if pulse and pulse.samples_per_second > 0 and count + 1 >= _PULSES:
            self._told[run.path].append(pulse.samples_per_second)
            self._peak = max(self._peak, self._held_by_one(pulse.peak_memory_mb))

    def _hear_end(self, run: RunFolder) -> None:
        with suppress(SklabError):
            record = run.read_record()
            if record and record.status == "complete" and record.samples_per_second > 0:
                self._told[run.path].append(record.samples_per_second)
                self._peak = max(self._peak, self._held_by_one(record.peak_memory_mb))

    def _held_by_one(self, megabytes: float) -> float:
        """What a run tells is the memory of its process."""
        return megabytes / self.count if self._one_process else megabytes

    def _judge(self, running: Mapping[Path, Slot]) -> None:
        tried, told = self.count, {run: fmean(speeds) for run, speeds in self._told.items()}
        self._history[tried] = self._speed(told)
        self._climb = self._climb.after(tried, self._history[tried])
        if not self._climb.settled:
            self._climb, self._before = self._climb.within(self._room(running)), told
        if self._climb.settled:
            self._keep()

    def _speed(self, told: Mapping[Path, float]) -> float:
        """What `count` runs do together on a GPU, in samples per second.

        Networks differ: runs that were there before the number changed are compared with themselves.
        """
        both = told.keys() & self._before.keys()
        if not both:
            return self.count * fmean(told.values())
        slowed = fmean(told[run] / self._before[run] for run in both)
        return self._climb.speed * self.count / self._climb.proven * slowed

    def _room(self, running: Mapping[Path, Slot]) -> int:
        """How many runs fit into the memory of each GPU, by what those of now take; what nvidia-smi does not tell does
        not bound them."""
        runs = Counter(slot.gpu for slot in running.values())
        rooms = []
        for gpu in self._see():
            if gpu.gpu in self._held and gpu.used_mb is not None and gpu.total_mb is not None:
                held, count = self._held[gpu.gpu], runs[gpu.gpu]
                each = max(self._peak, (gpu.used_mb - held) / count if count else 0.0, 1.0)
                rooms.append(int(((1 - _RESERVE) * gpu.total_mb - held) / each))
        return min(rooms, default=self._most)

    def _kept(self) -> Climb | None:
        kept = read_kept(self._file, PerGpu)
        if kept is None or (kept.gpu, kept.cores) != (self._gpu, self._cores):
            return None
        again = f"as an earlier start has found ({self._file}; delete it to look again)"
        self._tell(f"{self._option} auto: {kept.count} at a time on each GPU, {again}")
        return Climb(self._most, kept.count, kept.count, settled=True)

    def _keep(self) -> None:
        """Tell the choice, and write it down if the disk takes it."""
        found = PerGpu(gpu=self._gpu, cores=self._cores, count=self.count)
        with suppress(OSError):
            write_whole(self._file, found.model_dump_json())
        speeds = ", ".join(f"{speed:.0f} with {count}" for count, speed in self._history.items())
        why = f"samples/s: {speeds}" if speeds else "more do not fit into the memory"
        self._tell(f"{self._option} auto: {self.count} at a time on each GPU ({why}); kept in {self._file}")
