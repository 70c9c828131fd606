"""What a run says while it trains."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sklab.spec.jobs import PULSE_FILE, Pulse
from sklab.store.run_folder import RunFolder
from sklab.training.callbacks.pulse import PulseWriter
from sklab.training.run import train


@pytest.fixture
def time():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def trainer():
    return SimpleNamespace(current_epoch=1, num_training_batches=9, train_dataloader=SimpleNamespace(batch_size=16))


MODULE = SimpleNamespace(device=torch.device("cpu"), train_loss=torch.tensor(6.0))


def read(folder) -> Pulse:
    return Pulse.model_validate_json((folder / PULSE_FILE).read_bytes())


def test_a_pulse_comes_at_the_start_and_every_two_seconds_with_the_speed_since_the_last(tmp_path, time, trainer):
    writer = PulseWriter(tmp_path, lambda: time.now)
    writer.on_train_start(trainer, MODULE)
    assert (read(tmp_path).step, read(tmp_path).samples_per_second, read(tmp_path).loss) == (0, 0.0, None)
    for step in range(4):
        time.now += 0.8
        writer.on_train_batch_end(trainer, MODULE, None, None, step)
    pulse = read(tmp_path)
    assert (pulse.epoch, pulse.step, pulse.steps) == (2, 3, 9), "the fourth batch came too early"
    assert pulse.loss == 2.0, "the mean over three batches"
    assert pulse.samples_per_second == pytest.approx(3 * 16 / 2.4)
    writer.teardown(trainer, MODULE, "fit")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written_does_not_stop_the_run(tmp_path, time, trainer):
    writer = PulseWriter(tmp_path / "gone", lambda: time.now)
    writer.on_train_start(trainer, MODULE)
    writer.teardown(trainer, MODULE, "fit")


def test_an_ended_run_leaves_no_pulse(tmp_path, toy_order):
    folder = RunFolder(tmp_path)
    order = toy_order()
    folder.write_order(order)
    assert train(order, folder, torch.device("cpu")).status == "complete"
    assert not (tmp_path / PULSE_FILE).exists()
