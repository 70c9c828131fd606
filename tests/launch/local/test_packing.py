"""What `--per-gpu auto` makes of the first run: nvidia-smi and the clock are faked, the files are those of runs."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.errors import SklabError
from sklab.launch.base import Job
from sklab.launch.fork import spare
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.local.packing import Packing
from sklab.launch.slots import Slot
from sklab.spec.jobs import PULSE_FILE, Pulse
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.system.nvidia import GpuUse

PAGE = (Path(__file__).parents[3] / "docs" / "packing.md").read_text(encoding="utf-8")
SLOTS = (Slot("0", "H100", 16), Slot("1", "H100", 16))


class Machine:
    """Two GPUs as nvidia-smi tells of them, and a clock. `used` and `busy` are those of GPU 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slots: tuple[Slot, ...] = SLOTS, used: str = "0") -> None:
        self.used, self.busy, self.now, self.looks = used, "0", 100.0, 0
        self.told: list[str] = []
        self.packing = Packing(slots, self.told.append, self.see, lambda: self.now)

    def see(self) -> tuple[GpuUse, ...]:
        self.looks += 1
        mb = 2**20 / 1e6
        here = GpuUse("0", "H100", float(self.used) * mb, 80000 * mb, float(self.busy))
        return here, GpuUse("1", "H100", 70000 * mb, 80000 * mb, 99.0)

    def look(self, seconds: float, ended: tuple[Path, ...] = ()) -> int | None:
        """The first answer of looks second by second."""
        for _ in range(round(seconds)):
            self.now += 1.0
            if (found := self.packing.look(set())) is not None:
                return found
        return self.packing.look(set(ended)) if ended else None


@pytest.fixture
def run(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> RunFolder:
    return ordered(tmp_path / "run", toy_order())


def ordered(folder: Path, order: RunOrder) -> RunFolder:
    folder.mkdir()
    run = RunFolder(folder)
    run.write_order(order)
    return run


def pulse(run: RunFolder, epoch: int, peak_memory_mb: float = 1.0) -> None:
    said = Pulse(
        host="here",
        device_name="H100",
        epoch=epoch,
        step=1,
        steps=9,
        samples_per_second=1.0,
        peak_memory_mb=peak_memory_mb,
    )
    (run.path / PULSE_FILE).write_text(said.model_dump_json())


def test_memory_and_use_of_the_first_run_decide_after_its_first_epoch(monkeypatch, run):
    fake = Machine(monkeypatch)
    fake.packing.begin(run.path, SLOTS[0])
    assert fake.look(60) is None, "it has not begun to train"
    assert fake.looks == 1, "nvidia-smi is not asked before there is something to see"
    fake.used, fake.busy = "9000", "30"
    pulse(run, 1)
    assert fake.look(60) is None
    pulse(run, 2)
    assert fake.look(2) == 1, "GPU 1 is full of somebody else's work: there is no room next to that"
    [line] = fake.told
    assert line == (
        "--per-gpu auto: 1 at a time on each GPU: the first run took 9.4 of 83.9 GB (room for 0) and kept it 30 % busy "
        "(3 fill it); at most 8"
    )


def measured(fake: Machine, run: RunFolder, used: str, busy: str, allocated: float = 1.0) -> int | None:
    fake.packing.begin(run.path, SLOTS[0])
    fake.used, fake.busy = used, busy
    pulse(run, 1, allocated)
    assert fake.look(20) is None
    pulse(run, 2, allocated)
    return fake.look(1)


def test_the_line_on_the_page_is_what_is_told(monkeypatch, run):
    fake = Machine(monkeypatch, SLOTS[:1])
    assert measured(fake, run, "9600", "30") == 3
    assert f"\n{fake.told[0]}\n" in PAGE


@pytest.mark.parametrize(
    ("used", "busy", "cores", "runs"),
    [
        ("9000", "30", 16, 3),  # by use
        ("30000", "10", 16, 2),  # by memory: two of 30 in 72 GB
        ("73000", "10", 16, 1),
        ("100", "1", 16, 8),  # the most
        ("100", "1", 4, 4),  # a core each
        ("100", "100", 16, 1),
        ("100", "0", 16, 8),
        ("0", "50", 16, 2),
    ],
)
def test_the_smallest_of_what_memory_use_and_cores_allow(monkeypatch, run, used, busy, cores, runs):
    fake = Machine(monkeypatch, (Slot("0", "H100", cores),))
    assert measured(fake, run, used, busy) == runs


def test_what_the_run_allocated_counts_where_the_gpu_was_seen_too_late(monkeypatch, run):
    fake = Machine(monkeypatch, SLOTS[:1])
    assert measured(fake, run, "1000", "10", allocated=35_000.0) == 2


def test_what_somebody_else_held_before_is_not_the_runs_but_is_not_free_either(monkeypatch, run):
    fake = Machine(monkeypatch, SLOTS[:1], used="40000")
    assert measured(fake, run, "50000", "10") == 3, "10 each in 72 - 40"


def test_a_run_that_ends_too_early_is_followed_by_the_next(monkeypatch, run, toy_order, tmp_path):
    fake = Machine(monkeypatch, SLOTS[:1])
    fake.used, fake.busy = "1000", "50"
    fake.packing.begin(run.path, SLOTS[0])
    other = ordered(tmp_path / "other", toy_order(seed=1))
    fake.packing.begin(other.path, SLOTS[0])
    pulse(run, 1)
    pulse(other, 5)
    assert fake.look(4) is None, "only the first is measured"
    assert fake.look(1, ended=(run.path,)) is None, "three looks are not enough"
    assert fake.look(30) is None
    third = ordered(tmp_path / "third", toy_order(seed=2))
    fake.packing.begin(third.path, SLOTS[0])
    pulse(third, 1)
    assert fake.look(6, ended=(third.path,)) == 2, "its end counts like that of an epoch"


def test_what_an_earlier_attempt_said_is_not_looked_at(monkeypatch, run):
    fake = Machine(monkeypatch, SLOTS[:1])
    pulse(run, 5)
    fake.packing.begin(run.path, SLOTS[0])
    later = time.time() + 60
    os.utime(run.order_file, (later, later))
    assert fake.look(30) is None
    assert fake.looks == 1


@pytest.mark.parametrize("missing", ["used_mb", "total_mb", "busy"])
def test_a_gpu_that_nothing_is_told_of_can_not_be_measured(missing):
    told = {"used_mb": 0.0, "total_mb": 80000.0, "busy": 0.0} | {missing: None}
    with pytest.raises(SklabError, match="--per-gpu: found auto, but nvidia-smi tells no memory or use"):
        Packing(SLOTS[:1], print, lambda: (GpuUse("0", "H100", **told),))


@given(used=st.integers(0, 100_000), busy=st.integers(0, 100), cores=st.integers(1, 64))
def test_it_never_takes_more_than_there_is(tmp_path_factory, used, busy, cores):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.order_file.touch()
    with pytest.MonkeyPatch.context() as patch:
        fake = Machine(patch, (Slot("0", "H100", cores),))
        runs = measured(fake, run, str(used), str(busy))
    assert runs is not None
    assert 1 <= runs <= min(8, cores)
    assert runs == 1 or runs * used <= 0.9 * 80_000
    assert runs == 1 or (runs - 0.5) * busy <= 100


class Known:
    """A packing that knows its answer once the first run has ended."""

    def __init__(self) -> None:
        self.begun: list[tuple[Path, Slot]] = []

    def begin(self, folder: Path, slot: Slot) -> None:
        self.begun.append((folder, slot))

    def look(self, ended: set[Path]) -> int | None:
        return 3 if ended else None


def test_a_launcher_takes_more_runs_at_once_without_a_new_start(tmp_path, toy_order):
    packing = Known()
    launcher = LocalLauncher((Slot(None, "cpu", 2),), packing=packing)
    assert launcher.capacity == 1
    for seed in range(4):
        order = toy_order(seed=seed, train={"epochs": 100_000} if seed else {"batch_size": 5000})
        RunFolder(tmp_path / order.key).write_order(order)
        launcher.submit(Job("train", tmp_path / order.key))
        if seed == 0:
            while not launcher.wait(10.0):
                assert launcher.capacity == 1
            assert launcher.capacity == 3
    assert [slot.threads for _, slot in packing.begun] == [2], "nothing is measured any more"
    assert [slot.threads for _, slot, _ in launcher._running.values()] == [1, 1, 1]
    assert launcher.fewer()
    assert launcher.capacity == 1, "memory that runs out takes it back"
    launcher.stop()


def test_the_libraries_of_a_run_start_no_more_threads_than_its_slot_has(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(spare._PRELOAD)
    process = context.Process(target=_write_threads, args=(tmp_path / "threads",))
    process.start()
    process.join(300)
    found = dict(line.split() for line in (tmp_path / "threads").read_text().splitlines())
    assert found == {"openblas": "1", "openmp": "1"}


def _write_threads(file: Path) -> None:
    import torch
    from threadpoolctl import threadpool_info

    torch.set_num_threads(1)
    found = {(each["internal_api"], each["num_threads"]) for each in threadpool_info()}
    file.write_text("\n".join(f"{name} {threads}" for name, threads in sorted(found)))
