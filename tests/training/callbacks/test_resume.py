"""A run that dies and goes on ends as one that was never interrupted: the same weights and metrics to the last bit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pictures
import pytest
import torch
from attempts import FULL, PLAIN, assert_same, attempt, died, outcome
from peers import peers
from torch import Tensor, nn

from sklab.models.weights import start
from sklab.store.run_folder import RunFolder
from sklab.training import module
from sklab.training.callbacks import checkpoint, resume

STEPS = {**PLAIN, "schedule": "step", "step_at": (1, 2), "nesterov": True, "memory_format": "channels_last"}


@pytest.fixture
def dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that draws from torch's global generator at every step."""

    def make(_: object) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.4), nn.Flatten(), nn.Linear(4 * 30 * 30, 10)
        )

    monkeypatch.setattr(start, "build", make)


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


@pytest.mark.parametrize("recipe", [PLAIN, FULL], ids=["plain", "full"])
def test_adamw_goes_on_with_its_means(made, dies, recipe):
    adamw = {
        **recipe,
        "cutmix": 1.0,
        "loss": "bce",
        "optimizer": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.05,
        "betas": (0.9, 0.95),
    }
    check(made, dies, adamw, [{"batch": 3}, {"evaluation": 1}, {"batch": 5}])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_what_torchvision_draws_goes_on_too(made, dies, tmp_path, kind):
    augment = {"policy": "randaugment", "erase": 0.5, "flip": True}
    recipe = {**PLAIN, "epochs": 2, "batch_size": 8, "augment": augment, "cutmix": 1.0}
    data = images(tmp_path / "files") if kind == "files" else None
    with peers():
        check(made, dies, recipe, [{"batch": 2}, {"evaluation": 0}, {"batch": 2}], data)
        record = attempt(*made("again", recipe, data))
    assert record.versions["torchvision"][0].isdigit()


def images(folder: Path) -> dict[str, Any]:
    root = pictures.folder(folder, train=24, val=6, size=(40, 40))
    return {"name": "image_folder", "root": str(root), "num_classes": 2, "image_size": 32, "resize": 36}


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
    assert held["global_step"] == folder.checkpoint_step == 5
    assert held["origin"]["must"]["key"] == order.key


def test_short_runs_write_none(made, dies):
    order, folder = made("run", PLAIN, every=60.0)
    assert folder.checkpoint_step == 0
    dies(batch=9)
    died(order, folder)
    assert not folder.checkpoints.exists()


def test_checkpoints_take_no_more_than_their_share_of_the_time(made, monkeypatch):
    """Each takes 3 s of the faked clock, a step 1 s: the next one is due 300 s later, not 10."""
    clock = {"now": 0.0}
    steps: list[int] = []
    monkeypatch.setattr(resume.time, "monotonic", lambda: clock["now"])
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
