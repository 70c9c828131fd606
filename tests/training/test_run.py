from __future__ import annotations

import csv
import errno
import math
from pathlib import Path

import pytest
import torch

from sklab.errors import SklabError
from sklab.spec.train import TrainSpec
from sklab.store.hardware import Energy
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.system.energy import EnergyMeter
from sklab.training import fit as training
from sklab.training.fit import Process
from sklab.training.outcome import failure_class
from sklab.training.recipe import learning_rate
from sklab.training.run import Attempt, train

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def numbers(record: RunRecord) -> dict:
    times = {"wall_seconds", "train_seconds", "started", "ended", "first_step"}
    measured = times | {"samples_per_second", "peak_memory_mb", "latency_ms", "energy"}
    return record.model_dump(exclude=measured)


def test_a_run_records_all_that_is_asked_of_it(toy_order, folder):
    record = train(toy_order(seed=3), folder, CPU)
    assert folder.read_record() == record
    assert record.status == "complete"
    assert record.spec.seed == 3
    assert record.epochs == 2
    assert 0 <= record.last["val_error"] <= 100
    assert record.params > 0
    assert record.macs > 0
    assert (record.val_images, 50 < record.guessing_error < 90) == (32, True)
    assert 0 < record.train_seconds <= record.wall_seconds
    assert record.samples_per_second > 64 / record.train_seconds, "of the second epoch alone"
    assert record.peak_memory_mb > 10
    assert record.latency_ms > 0
    assert record.hardware is not None
    assert (record.hardware.device, record.hardware.threads) == ("cpu", 1)
    assert record.hardware.instructions == torch.backends.cpu.get_cpu_capability()
    assert record.versions["torch"] == torch.__version__.split("+")[0] or record.versions["torch"] == torch.__version__
    assert record.started <= record.first_step <= record.ended


def test_metrics_of_every_epoch_are_on_disk_and_agree_with_the_record(toy_order, folder):
    record = train(toy_order(), folder, CPU)
    with folder.metrics_file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {name: float(rows[-1][name]) for name in record.last} == record.last
    errors = [float(row["val_error"]) for row in rows]
    assert {name: float(rows[0][name]) for name in record.previous} == record.previous
    assert record.best["val_error"] == min(errors)
    assert record.best_epoch == 1 + errors.index(min(errors))


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_same_seed_gives_the_same_numbers_to_the_last_bit(toy_order, tmp_path, memory_format):
    order = toy_order(seed=1, train={"memory_format": memory_format, "augment": {"pad_crop": 2}})
    first, second = (train(order, _made(tmp_path / name), CPU) for name in "ab")
    assert numbers(first) == numbers(second)
    assert (tmp_path / "a/metrics.csv").read_text().splitlines()[0] == "epoch,train_loss,val_loss,val_error,lr,seconds"


def test_another_seed_gives_other_numbers(toy_order, tmp_path):
    first, second = (train(toy_order(seed=seed), _made(tmp_path / str(seed)), CPU) for seed in (0, 1))
    assert first.last != second.last


def test_a_non_finite_loss_is_a_result_called_diverged(toy_order, folder):
    record = train(toy_order(train={"lr": 1e30, "epochs": 3}), folder, CPU)
    assert (record.status, record.failure) == ("diverged", "diverged")
    assert "non-finite" in record.reason
    assert record.final


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (RuntimeError("boom\nmore"), "code"),
        (torch.OutOfMemoryError("no memory"), "oom"),
        (MemoryError("no memory"), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "oom"),
        (RuntimeError("cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "oom"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), "oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "data"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "data"),
        (OSError(errno.EFBIG, "File too large"), "data"),
        (OSError(errno.ENOENT, "No such file"), "code"),
        (SklabError("cat.jpg is no image"), "data"),
    ],
)
def test_a_failure_is_recorded_with_class_reason_and_traceback(toy_order, folder, monkeypatch, error, failure):
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(training, "open_loaders", broken)
    record = train(toy_order(), folder, CPU)
    assert (record.status, record.failure, record.final) == ("failed", failure, False)
    assert record.reason == str(error).splitlines()[0]
    assert ("broken" in record.traceback) == (not isinstance(error, SklabError))
    assert folder.read_record() == record


UNCERTAIN = [
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasGemmEx(...)`",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "Unable to find an engine to execute this computation",
    "GET was unable to find an engine to execute this computation",
]


@pytest.mark.parametrize("said", UNCERTAIN)
@pytest.mark.parametrize("free", [0.0, 0.049, 0.051, 1.0])
def test_libraries_that_can_not_work_on_a_full_gpu_are_out_of_memory(monkeypatch, said, free):
    total = 80 * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(free * total), total))
    otherwise = failure_class(RuntimeError("CUDA error: no word of memory"))
    assert (failure_class(RuntimeError(said)) == "oom") == (free < 0.05)
    assert free < 0.05 or failure_class(RuntimeError(said)) in {"code", "device"}
    assert otherwise != "oom", "a full GPU alone explains nothing"
    assert failure_class(ValueError(said)) == "code"


@pytest.mark.parametrize("said", UNCERTAIN)
def test_a_gpu_that_can_not_be_asked_for_its_memory_is_not_called_full(monkeypatch, said):
    def fail() -> tuple[int, int]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    assert failure_class(RuntimeError(said)) in {"code", "device"}


def test_a_batch_that_is_cut_gives_the_steps_of_the_whole_one(toy_order, tmp_path, monkeypatch):
    """Without batch norm's statistics, which see the smaller batches, the two differ in rounding only."""
    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", lambda _, x: x)
    monkeypatch.setattr(torch.nn.BatchNorm1d, "forward", lambda _, x: x)
    order = toy_order(train={"lr": 0.01, "precision": "fp32", "augment": {"pad_crop": 2}})
    cut = order.model_copy(update={"accumulate_factor": 2})
    whole, halves = (train(each, _made(tmp_path / name), CPU) for each, name in ((order, "a"), (cut, "b")))
    assert (halves.status, halves.key, halves.spec) == ("complete", whole.key, whole.spec)
    assert (whole.accumulate_factor, halves.accumulate_factor) == (1, 2)
    assert halves.last == pytest.approx(whole.last, rel=1e-4)


def test_steps_divide_the_learning_rate():
    recipe = TrainSpec(epochs=100, batch_size=2, lr=0.1, schedule="step", step_every=30)
    rates = [learning_rate(recipe, epoch) for epoch in (0, 29.9, 30, 60, 99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.0001])


def test_steps_may_be_taken_at_any_epochs():
    recipe = TrainSpec(epochs=300, batch_size=2, lr=0.1, schedule="step", step_at=(150, 225))
    rates = [learning_rate(recipe, epoch) for epoch in (0, 149.9, 150, 224.9, 225, 300)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    for wrong in ((0, 3), (3, 3), (5, 3)):
        with pytest.raises(ValueError, match="each later than the one before"):
            TrainSpec(epochs=9, batch_size=2, lr=0.1, step_at=wrong)


def test_the_cosine_follows_a_linear_warm_up_and_ends_at_zero():
    recipe = TrainSpec(epochs=10, batch_size=2, lr=0.4, warmup_epochs=2)
    rates = [learning_rate(recipe, epoch) for epoch in (0, 1, 2, 6, 10)]
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.2, 0.0])
    assert not any(math.isnan(rate) for rate in rates)


def _made(path: Path) -> RunFolder:
    path.mkdir()
    return RunFolder(path)


@pytest.mark.parametrize(("abreast", "joules"), [(1, 70.0), (2, 35.0)])
def test_the_record_has_the_energy_that_the_counters_count(toy_order, folder, monkeypatch, abreast, joules):
    counted = iter([10.0, 30.0])
    read = {"package": 0.0}

    def ask():
        read["package"] = next(counted, 100.0)
        return dict(read)

    monkeypatch.setattr("sklab.training.fit.cpu_energy", lambda threads: EnergyMeter("RAPL", read=ask))
    process = Process(CPU, abreast=abreast)
    attempt = Attempt(toy_order(), folder, process)
    while attempt.record is None:
        attempt.advance()
    process.stop.release()
    assert attempt.record.energy == Energy(joules=joules, source="RAPL")
    assert folder.read_record().energy == attempt.record.energy


def test_without_a_counter_the_record_says_why(toy_order, folder, monkeypatch):
    monkeypatch.setattr("sklab.training.fit.cpu_energy", lambda threads: EnergyMeter("", "RAPL: Permission denied"))
    assert train(toy_order(), folder, CPU).energy == Energy(why="RAPL: Permission denied")
