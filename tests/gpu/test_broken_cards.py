"""What goes wrong on a card: a record, and the next run is unharmed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from on_card import TIMEOUT, record_of, train
from torch import Tensor

from sklab.cli import main
from sklab.data.loaders import TrainArrays
from sklab.launch.abreast import work_abreast
from sklab.launch.base import DEVICE_BROKEN, Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import Slot
from sklab.launch.worker import perform, use
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

pytestmark = pytest.mark.gpu

Made = Callable[..., RunFolder]

BIG = """\
data: {name: scaled_digits, train_size: 4096, val_size: 64}
model: {base: sknet50, num_classes: 10, in_channels: 1}
train: {epochs: 1, batch_size: 4096, lr: 0.01}
"""
SWEEP = """\
question: Does it fit?
experiment: big.yaml
design: list
seeds: 1
baseline: SK
columns: [SK]
cells:
  - {name: SK, factors: {SK: x}}
"""
ROOM = 4 << 30  # bytes that the ballast leaves
_SPAWN = multiprocessing.get_context("spawn")  # this process must not fork after CUDA, and the card may break in others


def _bad_labels(self: TrainArrays, draws: object, places: slice | Tensor) -> tuple[Tensor, Tensor]:
    images, labels = _batch(self, draws, places)  # type: ignore[arg-type]
    return images, labels + 1000


_batch = TrainArrays.batch


def _train_with_bad_labels(path: Path, slot: Slot) -> None:
    TrainArrays.batch = _bad_labels  # type: ignore[method-assign]
    use(slot)
    perform(Job("train", path), slot)


def _train_beside_bad_labels(pipe: Connection, bad_seed: int) -> None:
    """The labels of one run only are out of range."""

    def labels(self: TrainArrays, draws: object, places: slice | Tensor) -> tuple[Tensor, Tensor]:
        return (_bad_labels if self.sampler.seed == bad_seed else _batch)(self, draws, places)  # type: ignore[arg-type]

    TrainArrays.batch = labels  # type: ignore[method-assign]
    work_abreast(pipe)


@pytest.fixture
def ballast(slot: Slot) -> Iterator[None]:
    """Another process holds almost all of the card's memory."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_hold, args=(theirs, slot), daemon=True)
    process.start()
    assert ours.poll(TIMEOUT), "the ballast could not be taken"
    yield
    ours.send("enough")
    process.join(TIMEOUT)


def _hold(pipe: Connection, slot: Slot) -> None:
    use(slot)
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(max(0, free - ROOM), dtype=torch.uint8, device="cuda")
    pipe.send(held.numel())
    pipe.recv()


def test_an_assert_on_the_card_is_recorded_and_the_next_run_unharmed(
    slot: Slot, made: Made, launch: Callable[..., LocalLauncher]
) -> None:
    bad, good = made("bad"), made("good")
    process = _SPAWN.Process(target=_train_with_bad_labels, args=(bad.path, slot))
    process.start()
    process.join(TIMEOUT)
    record = record_of(bad)
    assert (record.status, record.failure) == ("failed", "code")
    assert "device-side assert" in record.reason
    assert record.hardware is not None
    [after] = train(launch(), good)
    assert after.status == "complete", after.traceback


def test_an_assert_in_a_process_of_several_runs_blames_none_and_ends_it(slot: Slot, made: Made) -> None:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_train_beside_bad_labels, args=(theirs, 7))
    process.start()
    ours.send(slot)
    runs = [made("good", epochs=100_000, every=60.0), made("bad", seed=7)]
    for run in runs:
        ours.send(Job("train", run.path))
    process.join(TIMEOUT)
    assert process.exitcode == DEVICE_BROKEN
    assert [run.read_record() for run in runs] == [None, None]


def test_a_run_that_finds_too_little_memory_completes_in_smaller_batches(
    slot: Slot,
    tmp_path: Path,
    ballast: None,
) -> None:
    """A batch of 4096 does not fit beside the ballast."""
    (tmp_path / "big.yaml").write_text(BIG)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    results = tmp_path / "results"
    command = ["sweep", str(tmp_path / "sweep.yaml"), "--results", str(results), "--no-wandb", "--gpus", str(slot.gpu)]
    assert main(command) == 0
    [record] = StudyFolder(results / "sweep").records().values()
    assert record.accumulate_factor > 1
