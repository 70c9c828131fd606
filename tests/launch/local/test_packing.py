"""What `--per-gpu auto` makes of what runs tell: nvidia-smi is faked, the files are those of runs."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.launch.base import Job
from sklab.launch.fork import spare
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.local.packing import Packing
from sklab.launch.slots import Slot, next_slot, shared
from sklab.spec.jobs import PULSE_FILE, Pulse
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.system.nvidia import GpuUse

PAGE = (Path(__file__).parents[3] / "docs" / "packing.md").read_text(encoding="utf-8")
GB = 1000.0
Speed = Callable[[Path, int], float]


class Machine:
    """GPUs of 80 GB, and runs on them that tell, second by second, what they do beside how many others.

    lasts  seconds of a run; it tells a pulse every two seconds and leaves a record
    takes  GB of a run
    speed  samples per second of a run beside so many on its GPU, itself included
    """

    def __init__(
        self, folder: Path, order: RunOrder, speed: Speed, *, gpus: int = 1, cores: int = 16, abreast: bool = False
    ) -> None:
        self.folder, self.order, self.speed = folder, order, speed
        self.lasts, self.takes, self.held, self.shows_memory = 600, 1.0, 0.0, True
        self.told: list[str] = []
        self.abreast = abreast
        self.alone = tuple(Slot(str(index), "H100", cores) for index in range(gpus))
        self.running: dict[Path, tuple[Slot, int]] = {}
        self.begun = self.seconds = 0

    def start(self) -> Machine:
        """Start sklab, again perhaps."""
        file = self.folder / "per_gpu.json"
        self.packing = Packing(self.alone, self.told.append, file, self.see, abreast=self.abreast)
        self.slots = shared(self.alone, self.packing.count)
        return self

    def see(self) -> tuple[GpuUse, ...]:
        on = Counter(slot.gpu for slot, _ in self.running.values())
        used = ((slot.gpu, self.held + GB * self.takes * on[slot.gpu]) for slot in self.alone)
        return tuple(GpuUse(gpu or "", "H100", *((mb, 80 * GB) if self.shows_memory else ())) for gpu, mb in used)

    def passes(self, seconds: int, most_runs: int = 10_000) -> Machine:
        """Let time pass; a decision ends it."""
        for _ in range(0 if self.told else seconds):
            self.seconds += 1
            while len(self.running) < len(self.slots) and self.begun < most_runs:
                self._begin()
            on = Counter(slot.gpu for slot, _ in self.running.values())
            ended = [run for run, (slot, age) in self.running.items() if self._goes_on(run, age, on[slot.gpu])]
            for run in ended:
                del self.running[run]
            running = {run: slot for run, (slot, _) in self.running.items()}
            if (count := self.packing.look(running, ended, len(self.slots))) is not None:
                self.slots = shared(self.alone, count)
            if self.told:
                break
        return self

    def _begin(self) -> None:
        slot = next_slot(self.slots, (slot for slot, _ in self.running.values()))
        run = RunFolder(self.folder / f"{self.begun:04d}")
        run.path.mkdir()
        run.order_file.touch()
        self.running[run.path] = slot, 0
        self.begun += 1

    def _goes_on(self, run: Path, age: int, beside: int) -> bool:
        """Make a second of a run pass; whether it ends with it."""
        slot, _ = self.running[run]
        self.running[run] = slot, age + 1
        speed = self.speed(run, beside)
        if age >= 2 and age % 2 == 0:
            self._pulse(run, 0.0 if age == 2 else speed, beside if self.abreast else 1)
        if age < self.lasts:
            return False
        complete = {"status": "complete", "samples_per_second": speed, "peak_memory_mb": GB * self.takes}
        RunFolder(run).record_file.write_text(RunRecord.of(self.order, **complete).model_dump_json())
        (run / PULSE_FILE).unlink(missing_ok=True)
        return True

    def _pulse(self, run: Path, speed: float, in_process: int) -> None:
        told = {"host": "here", "device_name": "H100", "epoch": 1, "step": 1, "steps": 9}
        pulse = Pulse(**told, samples_per_second=speed, peak_memory_mb=GB * self.takes * in_process)
        (run / PULSE_FILE).write_text(pulse.model_dump_json())
        stamp = 2**33 + self.seconds
        os.utime(run / PULSE_FILE, (stamp, stamp))


def shares(room: float) -> Speed:
    """A GPU that `room` runs fill; more share what it does."""
    return lambda _, beside: 1000.0 * min(1.0, room / beside)


@pytest.fixture
def machine(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Callable[..., Machine]:
    return lambda speed, **more: Machine(tmp_path, toy_order(), speed, **more).start()


@pytest.mark.parametrize("lasts", [1, 3, 7, 600])
@pytest.mark.parametrize("gpus", [1, 3])
@pytest.mark.parametrize(("room", "count"), [(1.0, 1), (2.2, 2), (4.0, 4), (5.0, 8), (1000.0, 16)])
def test_it_climbs_as_long_as_twice_as_many_do_fifteen_percent_more(machine, lasts, gpus, room, count):
    fake = machine(shares(room), gpus=gpus)
    fake.lasts = lasts
    fake.passes(200)
    assert fake.packing.count == count
    assert len(fake.slots) == count * gpus
    assert len(fake.told) == 1
    assert fake.packing.look({}, [], 0) is None


@pytest.mark.parametrize(("room", "takes", "count"), [(40.0, 1.0, 64), (20.0, 1.0, 32), (40.0, 5.0, 14)])
def test_abreast_it_climbs_beyond_the_cores_as_far_as_the_memory_of_the_one_process_goes(machine, room, takes, count):
    fake = machine(shares(room), cores=2, abreast=True)
    fake.takes = takes
    fake.passes(200)
    assert fake.packing.count == count
    told = f"--abreast auto: {count} at a time on each GPU (samples/s: 1000 with 1, 2000 with 2"
    assert fake.told[0].startswith(told)


def test_the_line_on_the_page_is_what_is_told(machine):
    fake = machine(shares(4.3))
    fake.passes(100)
    line = fake.told[0].replace(str(fake.folder), "results/kernels")
    assert f"\n{line}\n" in PAGE


def test_the_choice_is_kept_for_the_next_start_and_a_file_that_is_deleted_is_found_again(machine):
    fake = machine(shares(4.0))
    fake.passes(100)
    fake.running, fake.told = {}, []
    fake.start()
    assert (fake.packing.count, len(fake.slots)) == (4, 4)
    again = f"({fake.folder / 'per_gpu.json'}; delete it to look again)"
    assert fake.told == [f"--per-gpu auto: 4 at a time on each GPU, as an earlier start has found {again}"]
    (fake.folder / "per_gpu.json").unlink()
    assert fake.start().packing.count == 1


@pytest.mark.parametrize(
    "text", ["", "{", '{"gpu": "H100", "cores": 16, "count": 0}', '{"gpu": "A100", "cores": 16, "count": 4}']
)
def test_a_choice_of_another_machine_or_none_at_all_is_made_anew(machine, tmp_path, text):
    (tmp_path / "per_gpu.json").write_text(text)
    assert machine(shares(2.0)).packing.count == 1


def test_memory_bounds_it_before_it_is_out(machine):
    fake = machine(shares(100.0))
    fake.takes = 20.0  # three in 72
    most = max(len(fake.passes(1).slots) for _ in range(200))
    assert (most, fake.packing.count) == (3, 3)


def test_what_somebody_else_held_before_is_not_the_runs_but_is_not_free_either(tmp_path, toy_order):
    fake = Machine(tmp_path, toy_order(), shares(100.0))
    fake.takes, fake.held = 10.0, 40 * GB
    assert fake.start().passes(200).packing.count == 3, "10 each in 72 - 40"


def test_a_gpu_whose_memory_is_not_shown_is_climbed_all_the_same(tmp_path, toy_order):
    fake = Machine(tmp_path, toy_order(), shares(4.0))
    fake.shows_memory = False
    assert fake.start().passes(100).packing.count == 4


def test_where_memory_runs_out_it_goes_back_and_stays(machine):
    fake = machine(shares(100.0))
    while fake.packing.count < 8:
        fake.passes(1)
    fake.packing.limit(4)
    assert fake.packing.count == 4
    assert fake.start().packing.count == 4
    fake.packing.limit(2)
    assert fake.start().packing.count == 2


def test_networks_of_unlike_speed_do_not_mislead_it_where_runs_go_on(machine):
    """The first is ten times as fast as all that come after it."""
    fake = machine(lambda run, beside: (10.0 if run.name == "0000" else 1.0) * shares(4.0)(run, beside))
    assert fake.passes(200).packing.count == 4


def test_a_study_that_ends_first_leaves_no_choice(machine):
    fake = machine(shares(100.0))
    fake.passes(100, most_runs=3)
    assert fake.told == []
    assert not (fake.folder / "per_gpu.json").exists()


def test_runs_that_fail_tell_nothing(machine):
    fake = machine(lambda *_: 0.0)
    fake.lasts = 1
    assert fake.passes(50).packing.count == 1
    assert fake.told == []


def test_what_an_earlier_attempt_said_is_not_heard(machine, tmp_path, toy_order):
    fake = machine(shares(4.0))
    run = RunFolder(tmp_path / "run")
    run.write_order(toy_order())
    for seconds in range(1, 9):
        fake._pulse(run.path, 100.0, 1)
        os.utime(run.path / PULSE_FILE, (seconds, seconds))
        assert fake.packing.look({run.path: fake.alone[0]}, [], 1) is None


@settings(max_examples=30)
@given(room=st.floats(0.5, 40), takes=st.floats(0.1, 100), cores=st.integers(1, 16), lasts=st.integers(1, 20))
def test_it_never_takes_more_than_there_is(tmp_path_factory, orders, room, takes, cores, lasts):
    fake = Machine(tmp_path_factory.mktemp("study"), orders, shares(room), cores=cores)
    fake.takes, fake.lasts = takes, lasts
    fake.start()
    for _ in range(40):
        fake.passes(1)
        count = fake.packing.count
        assert 1 <= count <= cores
        assert count == 1 or count * takes <= 72.0
        assert count <= 2 * max(1.0, room / 0.5), "one step too far at most"


@pytest.fixture(scope="module")
def orders() -> RunOrder:
    from sklab.spec.networks import SETTINGS
    from sklab.spec.run import RunSpec
    from sklab.store.records import Code

    data = {"name": "scaled_digits", "train_size": 64, "val_size": 32}
    recipe = {"epochs": 2, "batch_size": 16, "lr": 0.05}
    spec = RunSpec.model_validate(
        {"experiment": {"data": data, "model": SETTINGS["sknet_small"], "train": recipe}, "seed": 0}
    )
    return RunOrder(key=spec.key, study="s", cell="c", spec=spec, code=Code(version="0"))


def test_a_launcher_takes_more_runs_at_once_without_a_new_start(tmp_path, toy_order):
    """Cores stand for GPUs: the runs are real, and leave records too soon for pulses."""
    slots, told = (Slot(None, "cpu", 2),), deque()
    packing = Packing(slots, told.append, tmp_path / "per_gpu.json", tuple)
    launcher = LocalLauncher(slots, packing=packing)
    assert launcher.capacity == 1
    for seed in range(3):
        order = toy_order(seed=seed, train={"epochs": 100_000} if seed else {})
        RunFolder(tmp_path / order.key).write_order(order)
        launcher.submit(Job("train", tmp_path / order.key))
        if seed == 0:
            while not launcher.wait(10.0):
                assert launcher.capacity == 1
            assert launcher.capacity == 2
    assert [slot.threads for _, slot, *_ in launcher._running.values()] == [1, 1]
    assert launcher.fewer()
    assert launcher.capacity == 1, "memory that runs out takes it back"
    assert "1 at a time on each GPU" in told.pop()
    launcher.stop()
    again = LocalLauncher(slots, packing=Packing(slots, told.append, tmp_path / "per_gpu.json", tuple))
    assert again.capacity == 1
    assert "as an earlier start has found" in told.pop()


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
