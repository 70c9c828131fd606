"""A run that dies and goes on ends as one that was never interrupted: the same weights and metrics to the last bit."""

from __future__ import annotations

import csv
import errno
import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sklab.processes import Stop
from sklab.records import RunFolder, RunOrder, RunRecord
from sklab.spec.run import RunSpec
from sklab.training import checkpoint, keeper, module
from sklab.training import run as training
from sklab.training.loss import Scores
from sklab.training.run import train

CPU = torch.device("cpu")
PLAIN = {"epochs": 3, "augment": {"pad_crop": 2, "flip": True}}
FULL = {
    **PLAIN,
    "batch_size": 8,
    "mixup": 0.3,
    "ema_decay": 0.6,
    "accumulate": 3,  # 2 of an epoch's 8 batches are left over
    "clip_norm": 0.5,
    "warmup_epochs": 0.5,
    "label_smoothing": 0.1,
    "decay_norm_and_bias": False,
}
STEPS = {**PLAIN, "schedule": "step", "step_at": (1, 2), "nesterov": True, "memory_format": "channels_last"}


class DiedError(BaseException):
    """What no `except Exception` sees, just as kill -9."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that draws from torch's global generator at every step."""

    def make(_: object) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.4), nn.Flatten(), nn.Linear(4 * 30 * 30, 10)
        )

    monkeypatch.setattr(training, "build", make)


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the next attempt die before its batch or evaluation batch number `at`, from 0; never when None."""
    left = {"batch": -1, "evaluation": -1}

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any) -> Any:
            if left[name] == 0:
                raise DiedError
            left[name] -= 1
            return call(*args)

        return counting

    monkeypatch.setattr(module, "batch_loss", counted("batch", module.batch_loss))
    monkeypatch.setattr(Scores, "add", counted("evaluation", Scores.add))

    def at(batch: int = -1, evaluation: int = -1) -> None:
        left.update(batch=batch, evaluation=evaluation)

    return at


@pytest.fixture
def made(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Callable[..., tuple[RunOrder, RunFolder]]:
    """An order that keeps a checkpoint after every step, and a folder of its own."""

    def make(name: str, train: dict[str, Any], data: dict[str, Any] | None = None, every: float = 0.0) -> Any:
        order = toy_order(train=train)
        if data is not None:
            tree = order.spec.model_dump()
            tree["experiment"]["data"] = data
            tree["experiment"]["model"] |= {"in_channels": 3, "num_classes": 2}
            spec = RunSpec.model_validate(tree)
            order = order.model_copy(update={"spec": spec, "key": spec.key})
        folder = RunFolder(tmp_path / name)
        folder.write_order(order)
        return order.model_copy(update={"checkpoint_seconds": every}), folder

    return make


def outcome(folder: RunFolder, record: RunRecord) -> tuple[dict[str, Tensor], list[Any]]:
    """All that must be the same, however often the run was interrupted."""
    with folder.metrics_file.open() as stream:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]
    numbers = [record.status, record.epochs, record.last, record.best, record.best_epoch, rows]
    return torch.load(folder.weights_file, weights_only=True), numbers


def assert_same(ours: tuple[dict[str, Tensor], list[Any]], theirs: tuple[dict[str, Tensor], list[Any]]) -> None:
    assert ours[1] == theirs[1]
    assert ours[0].keys() == theirs[0].keys()
    assert all(torch.equal(ours[0][name], theirs[0][name]) for name in ours[0])


def attempt(order: RunOrder, folder: RunFolder) -> RunRecord:
    folder.begin_attempt()
    return train(order, folder, CPU)


def died(order: RunOrder, folder: RunFolder) -> None:
    with pytest.raises(DiedError):
        attempt(order, folder)
    assert folder.read_record() is None


def check(made: Any, dies: Any, recipe: dict[str, Any], points: list[dict[str, int]], data: Any = None) -> None:
    """Interrupt a run at each of `points` in turn, each counted from where the attempt began."""
    calm = attempt(*made("calm", recipe, data))
    order, folder = made("disturbed", recipe, data)
    for point in points:
        dies(**point)
        died(order, folder)
    dies()
    record = attempt(order, folder)
    assert record.attempt == 1 + len(points)
    assert record.resumed_from > 0
    assert_same(outcome(folder, record), outcome(RunFolder(folder.path.parent / "calm"), calm))
    assert not folder.checkpoints.exists()


def test_a_run_that_died_many_times_ends_as_one_that_never_did(made, dies, dropout):
    points = [{"batch": 2}, {"batch": 2}, {"evaluation": 0}, {"evaluation": 1}, {"batch": 3}]
    check(made, dies, PLAIN, points)


def test_averages_mixup_clipping_and_accumulation_go_on(made, dies):
    check(made, dies, FULL, [{"batch": 4}, {"evaluation": 1}, {"batch": 5}])


def images(folder: Path) -> dict[str, Any]:
    random = np.random.Generator(np.random.PCG64(0))
    for split, count in (("train", 24), ("val", 6)):
        for name in ("a", "b"):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return {"name": "image_folder", "root": str(folder), "num_classes": 2, "image_size": 32, "resize": 36}


@pytest.mark.slow
def test_image_files_go_on_too(made, dies, tmp_path):
    augment = {"random_resized_crop": (0.3, 1.0), "flip": True}
    recipe = {"epochs": 2, "batch_size": 8, "augment": augment, "mixup": 0.2}
    check(made, dies, recipe, [{"batch": 2}, {"batch": 3}, {"evaluation": 0}, {"batch": 2}], images(tmp_path / "files"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [PLAIN, FULL, STEPS], ids=["plain", "full", "steps"])
def test_a_run_may_die_at_any_point(made, dies, dropout, recipe):
    """At every batch and at every batch of every evaluation, and go on to the end."""
    calm = attempt(*made("calm", recipe))
    expected = outcome(RunFolder(made("calm", recipe)[1].path), calm)
    batches = 3 * (6 if recipe is FULL else 4)
    evaluations = 3 * (4 if recipe is FULL else 2)
    points = [{"batch": at} for at in range(batches)] + [{"evaluation": at} for at in range(evaluations)]
    for number, point in enumerate(points):
        order, folder = made(f"disturbed-{number}", recipe)
        dies(**point)
        died(order, folder)
        dies()
        assert_same(outcome(folder, attempt(order, folder)), expected)


@pytest.mark.slow
def test_a_run_that_dies_at_every_batch_gets_there(made, dies, dropout):
    check(made, dies, PLAIN, [{"batch": 1}] * 11)


def test_epochs_of_a_single_step_go_on_from_their_end(made, dies, dropout):
    check(made, dies, {"epochs": 4, "batch_size": 64}, [{"batch": 2}, {"evaluation": 1}])


def test_two_checkpoints_are_kept_and_named_by_step_and_content(made, dies):
    order, folder = made("run", PLAIN)
    dies(batch=5)
    died(order, folder)
    files = sorted(folder.checkpoints.iterdir())
    assert [file.name[:10] for file in files] == ["000000004-", "000000005-"]
    assert all(file.stem[10:] == hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    held = torch.load(files[-1], weights_only=True)
    assert held["global_step"] == folder.reached == 5
    assert held["origin"]["must"]["key"] == order.key


def test_short_runs_write_none(made, dies):
    order, folder = made("run", PLAIN, every=60.0)
    assert folder.reached == 0
    dies(batch=9)
    died(order, folder)
    assert not folder.checkpoints.exists()


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [torn, flipped, empty])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_is_used(made, dies, caplog, damage):
    calm = attempt(*made("calm", PLAIN))
    order, folder = made("run", PLAIN)
    dies(batch=6)
    died(order, folder)
    newest = max(folder.checkpoints.iterdir())
    damage(newest)
    dies()
    with caplog.at_level(logging.WARNING):
        record = attempt(order, folder)
    assert record.resumed_from == 5
    assert f"{newest} can't be used, set aside" in caplog.text
    assert_same(outcome(folder, record), outcome(RunFolder(folder.path.parent / "calm"), calm))


@pytest.mark.parametrize("change", ["key", "torch", "format"])
def test_a_foreign_checkpoint_is_set_aside_and_the_run_begins_anew(made, dies, caplog, monkeypatch, change):
    order, folder = made("run", PLAIN)
    true = checkpoint.origin

    def foreign(*args: Any) -> checkpoint.Origin:
        origin = true(*args)
        return checkpoint.Origin({**origin.must, change: "another"}, origin.may)

    monkeypatch.setattr(training, "origin", foreign)
    dies(batch=3)
    died(order, folder)
    monkeypatch.setattr(training, "origin", true)
    dies()
    with caplog.at_level(logging.WARNING):
        record = attempt(order, folder)
    assert (record.status, record.resumed_from, record.attempt) == ("complete", 0, 2)
    assert f"it is foreign: {change} another there" in caplog.text


def test_other_threads_are_gone_on_from_with_a_warning(made, dies, caplog):
    order, folder = made("run", PLAIN)
    dies(batch=3)
    died(order, folder)
    dies()
    torch.set_num_threads(2)
    with caplog.at_level(logging.WARNING):
        assert attempt(order, folder).resumed_from == 3
    assert "the last bits may differ: threads 1 there, 2 here" in caplog.text


def test_a_full_disk_costs_checkpoints_and_not_the_run(made, monkeypatch, caplog):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_whole", full)
    with caplog.at_level(logging.WARNING):
        record = attempt(*made("run", PLAIN))
    assert record.status == "complete"
    assert "no checkpoint at step 000000001, training goes on: [Errno 28] No space left on device" in caplog.text


def test_checkpoints_take_no_more_than_their_share_of_the_time(made, monkeypatch):
    """Each takes 3 s of the faked clock, a step 1 s: the next one is due 300 s later, not 10."""
    clock = {"now": 0.0}
    steps: list[int] = []
    monkeypatch.setattr(keeper.time, "monotonic", lambda: clock["now"])
    write = checkpoint.Checkpoints.save_checkpoint
    step = module.batch_loss

    def slow(self: Any, held: dict[str, Any], path: str, storage_options: Any = None) -> None:
        clock["now"] += 3.0
        steps.append(held["global_step"])
        write(self, held, path)

    def stepping(*args: Any) -> Tensor:
        clock["now"] += 1.0
        return step(*args)

    monkeypatch.setattr(checkpoint.Checkpoints, "save_checkpoint", slow)
    monkeypatch.setattr(module, "batch_loss", stepping)
    attempt(*made("run", {"epochs": 3, "batch_size": 2}, every=10.0))
    assert steps == [10]


def ask_at(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Ask the process to stop while it computes batch number `batch`, from 0."""
    compute, stops, count = module.batch_loss, [], iter(range(10**6))
    listen = Stop.listen

    def listening(self: Stop) -> None:
        stops.append(self)
        listen(self)

    def asking(*args: Any) -> Tensor:
        if next(count) == batch:
            stops[-1]._ask(15, None)
        return compute(*args)

    monkeypatch.setattr(Stop, "listen", listening)
    monkeypatch.setattr(module, "batch_loss", asking)


@pytest.mark.parametrize(("batch", "step"), [(0, 1), (5, 2), (7, 3)])
def test_a_run_that_is_asked_to_stop_keeps_its_last_whole_step(made, monkeypatch, batch, step):
    calm = attempt(*made("calm", FULL))
    order, folder = made("run", FULL, every=60.0)
    with monkeypatch.context() as patch:
        ask_at(patch, batch)
        record = attempt(order, folder)
    assert (record.status, record.failure, record.final) == ("failed", "preempted", False)
    assert record.reason == f"SIGTERM after step {step}; the next start goes on from its newest checkpoint"
    assert record.traceback == ""
    record = attempt(order, folder)
    assert record.resumed_from == step
    assert (folder.attempts / "001" / "record.json").exists()
    assert_same(outcome(folder, record), outcome(RunFolder(folder.path.parent / "calm"), calm))


def test_what_goes_wrong_after_the_signal_is_put_down_to_it(made, monkeypatch):
    order, folder = made("run", PLAIN)
    ask_at(monkeypatch, 1)

    def broken(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    monkeypatch.setattr(keeper.Keeper, "on_train_batch_end", broken)
    record = attempt(order, folder)
    assert record.failure == "code", "no signal has come yet"
    ask_at(monkeypatch, 0)
    record = attempt(order, folder)
    assert (record.failure, record.reason.partition(";")[0]) == ("preempted", "ended by SIGTERM")


def test_an_evaluation_under_way_is_given_up_after_a_while(made, monkeypatch):
    order, folder = made("run", PLAIN)
    ask_at(monkeypatch, 3)  # the last of the epoch
    monkeypatch.setattr(keeper, "_PATIENCE", -1.0)
    record = attempt(order, folder)
    assert record.reason.startswith("SIGTERM during an evaluation")
    monkeypatch.undo()
    record = attempt(order, folder)
    assert (record.status, record.resumed_from) == ("complete", 3)
