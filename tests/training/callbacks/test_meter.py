"""What a run measures of itself: memory over its attempts, and a speed without the epochs in which it compiles."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attempts import PLAIN, attempt, died

from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.training.callbacks import meter as measured
from sklab.training.callbacks.meter import METRICS, Meter, Peak, peak_memory
from sklab.training.metrics.scores import Scores
from sklab.training.run import train

BATCHES, BATCH = 4, 16


class Trainer:
    """An attempt on a clock that the test holds: epochs of so many seconds."""

    num_training_batches, accumulate_grad_batches, global_step = BATCHES, 1, 0
    train_dataloader = SimpleNamespace(batch_size=BATCH)
    callback_metrics = dict.fromkeys(METRICS, 1.0)
    device = torch.device("cpu")
    scores = Scores("cpu")

    def __init__(self, meter: Meter, clock: list[float]) -> None:
        self._meter, self._clock, self._it = meter, clock, (self, self)
        meter.on_train_start(*self._it)  # type: ignore[arg-type]

    def epoch(self, seconds: float) -> None:
        self._meter.on_train_epoch_start(*self._it)  # type: ignore[arg-type]
        self._clock[0] += seconds
        self._meter.on_validation_start(*self._it)  # type: ignore[arg-type]
        self._clock[0] += 100.0
        self._meter.on_validation_end(*self._it)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(measured.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("epochs", "speed"), [([], 0.0), ([32.0], 2.0), ([60.0, 32.0], 2.0), ([60.0, 16.0, 48.0], 2.0), ([1.0, 64.0], 1.0)]
)
def test_the_speed_is_that_of_the_epochs_after_the_first_if_there_are_any(tmp_path, clock, epochs, speed):
    meter = Meter(tmp_path / "metrics.csv")
    trainer = Trainer(meter, clock)
    for seconds in epochs:
        trainer.epoch(seconds)
    assert meter.samples_per_second == pytest.approx(speed)
    assert meter.train_seconds == pytest.approx(sum(epochs))


def test_each_attempt_has_a_first_epoch_of_its_own(tmp_path, clock):
    first = Meter(tmp_path / "metrics.csv")
    trainer = Trainer(first, clock)
    trainer.epoch(500.0)
    trainer.epoch(32.0)
    second = Meter(tmp_path / "metrics.csv")
    second.load_state_dict(first.state_dict())
    trainer = Trainer(second, clock)
    trainer.epoch(700.0)
    trainer.epoch(16.0)
    assert second.samples_per_second == pytest.approx(2 * BATCHES * BATCH / 48.0)
    assert second.train_seconds == pytest.approx(1248.0)


def test_a_checkpoint_of_another_commit_is_gone_on_from(tmp_path, clock):
    first = Meter(tmp_path / "metrics.csv")
    Trainer(first, clock).epoch(32.0)
    state = {name: value for name, value in first.state_dict().items() if name not in ("steady", "peak", "images")}
    second = Meter(tmp_path / "metrics.csv")
    second.load_state_dict({**state, "peak_memory": 1.0})
    assert (second.samples_per_second, second.peak) == (0.0, Peak())
    Trainer(second, clock).epoch(32.0)
    assert second.samples_per_second == pytest.approx(2.0)


def test_the_memory_of_a_gpu_is_told_as_tensors_hold_it_and_as_torch_does(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 5_000_000)
    assert peak_memory(torch.device("cuda")) == Peak(3.0, 5.0)
    assert peak_memory(torch.device("cpu")).allocated > 10
    assert Peak(3.0, 5.0).most(Peak(4.0, 1.0)) == Peak(4.0, 5.0)


def held(monkeypatch: pytest.MonkeyPatch, allocated: float, reserved: float) -> None:
    monkeypatch.setattr(measured, "peak_memory", lambda _: Peak(allocated, reserved))
    monkeypatch.setattr("sklab.training.fit.peak_memory", lambda _: Peak(allocated, reserved))
    monkeypatch.setattr("sklab.training.outcome.peak_memory", lambda _: Peak(allocated, reserved))


def peaks(record: RunRecord) -> tuple[float, float]:
    return record.peak_memory_mb, record.peak_reserved_mb


def test_the_peaks_of_an_earlier_attempt_are_not_forgotten(made, dies, monkeypatch):
    order, folder = made("run", PLAIN)
    held(monkeypatch, 700.0, 900.0)
    dies(batch=3)
    died(order, folder)
    dies()
    held(monkeypatch, 500.0, 950.0)
    record = attempt(order, folder)
    assert (record.resumed_from, peaks(record)) == (3, (700.0, 950.0))


def test_a_run_that_fails_has_the_peaks_up_to_there(made, monkeypatch):
    order, folder = made("run", PLAIN)
    held(monkeypatch, 700.0, 900.0)

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("sklab.training.module.batch_loss", fail)
    record = attempt(order, folder)
    assert (record.failure, peaks(record)) == ("oom", (700.0, 900.0))


def test_a_run_on_the_cpu_reserves_nothing_and_replays_nothing(toy_order, tmp_path: Path):
    record = train(toy_order(train={"epochs": 3}), RunFolder(tmp_path), torch.device("cpu"))
    assert (record.peak_memory_mb > 10, record.peak_reserved_mb, record.replay_latency_ms) == (True, 0, 0)
    assert record.samples_per_second > 0
