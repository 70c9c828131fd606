"""An optimiser and an augmentation of the user's own: they train, go on exactly, and draw by seed, epoch and image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from attempts import PLAIN, assert_same, attempt, died, outcome
from own_lab import LAB, lab_in
from torch import nn

from sklab.data.cache import load_splits
from sklab.data.changes.policies import Changes
from sklab.data.loaders import loaders_of
from sklab.errors import SklabError
from sklab.own import files
from sklab.spec.fit import trained_singly
from sklab.spec.own.parts import find_data
from sklab.spec.train import TrainSpec
from sklab.store.run_folder import RunFolder
from sklab.system.machine import cache_folder
from sklab.training.recipe import make_optimizer

OWN = {"optimizer": {"name": "lion", "beta": 0.8}, "augment": {"own": "dim", "flip": True}, "lr": 0.01}
RECIPE = {"epochs": 1, "batch_size": 8, "lr": 0.1}


@pytest.fixture(autouse=True)
def _lab(tmp_path):
    files.choose(lab_in(tmp_path))
    yield
    files.choose(None, tmp_path)


def chosen(folder: Path, old: str, new: str) -> None:
    assert old in LAB
    files.choose(lab_in(folder, LAB.replace(old, new)))


def test_a_killed_run_goes_on_with_their_exact_state(made, dies, tmp_path):
    recipe = {**PLAIN, **OWN}
    calm = attempt(*made("calm", recipe))
    assert calm.status == "complete", calm.traceback
    order, folder = made("disturbed", recipe)
    (tmp_path / "my_lab.py").write_text("raise AssertionError('edited meanwhile')")
    for point in ({"batch": 2}, {"evaluation": 1}, {"batch": 3}):
        dies(**point)
        died(order, folder)
        files._loaded.clear()  # the next attempt is another process, of another machine
        shutil.rmtree(cache_folder() / "code", ignore_errors=True)
        files.look_in(folder.path)
    dies()
    record = attempt(order, folder)
    assert record.resumed_from > 0
    assert_same(outcome(folder, record), outcome(RunFolder(tmp_path / "calm"), calm))
    train = order.spec.experiment.train
    assert train.optimizer.settings == {"beta": 0.8}
    assert [line.partition(" = ")[0] for line in trained_singly(order.spec.experiment)] == [
        "train.optimizer",
        "train.augment.own",
    ]


def test_each_changes_the_training(made):
    plain, *others = (
        outcome(folder, attempt(order, folder))
        for order, folder in (
            made("plain", PLAIN),
            made("optimizer", {**PLAIN, "optimizer": "lion"}),
            made("augmentation", {**PLAIN, "augment": {**PLAIN["augment"], "own": "dim"}}),
        )
    )
    for weights, _ in others:
        assert any(not torch.equal(weights[name], plain[0][name]) for name in weights)


def test_an_augmentation_draws_by_seed_epoch_and_image_alone():
    augment = TrainSpec.model_validate({**RECIPE, "augment": {"own": {"name": "dim", "most": 0.9}}}).augment
    images = torch.full((3, 1, 8, 8), 200, dtype=torch.uint8)
    once = Changes(augment, 7).by_policy(images, 2, [5, 1, 9])
    torch.rand(1)
    again = Changes(augment, 7).by_policy(images[:2], 2, [9, 5])
    assert torch.equal(again, once[[2, 0]])
    assert len(once.flatten(1).unique(dim=0)) == 3
    for seed, epoch in ((8, 2), (7, 3)):
        assert not torch.equal(Changes(augment, seed).by_policy(images, epoch, [5, 1, 9]), once)
    assert torch.equal(images, torch.full_like(images, 200)), "what is held stays as it is"


def test_batches_of_a_set_are_changed_by_it():
    data = find_data({"name": "bars"})
    plain, dimmed = (
        next(iter(loaders_of(data, load_splits(data), recipe, 0, torch.device("cpu")).train))
        for recipe in (
            TrainSpec.model_validate(RECIPE),
            TrainSpec.model_validate({**RECIPE, "augment": {"own": {"name": "dim", "most": 1.0}}}),
        )
    )
    assert torch.equal(plain[1], dimmed[1])
    assert (dimmed[0] <= plain[0]).all()
    assert not torch.equal(dimmed[0], plain[0])


def test_an_own_optimizer_gets_groups_as_the_others(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    recipe = TrainSpec.model_validate(
        {**RECIPE, "optimizer": "lion", "decay_norm_and_bias": False, "weight_decay": 0.3}
    )
    decay = [group["weight_decay"] for group in make_optimizer(network, recipe).param_groups]
    assert decay == [0.3, 0.0]


def test_what_they_give_is_checked(tmp_path):
    chosen(tmp_path, "return (image * share).to(torch.uint8)", "return image * share")
    augment = TrainSpec.model_validate({**RECIPE, "augment": {"own": "dim"}}).augment
    with pytest.raises(SklabError, match=r"augmentation 'dim': found torch.float32 \[1, 8, 8\]; allowed"):
        Changes(augment, 0).by_policy(torch.zeros((1, 1, 8, 8), dtype=torch.uint8), 0, [0])
    chosen(tmp_path, '"beta": beta})', '"beta": beta / 0})')
    recipe = TrainSpec.model_validate({**RECIPE, "optimizer": "lion"})
    with pytest.raises(SklabError, match=r"optimizer 'lion': .*my_lab.py:\d+: ZeroDivisionError"):
        make_optimizer(nn.Linear(1, 1), recipe)


@pytest.mark.parametrize("part", [{"optimizer": "lyon"}, {"augment": {"own": "dimm"}}])
def test_a_name_that_nothing_defines_says_that_a_file_may(part):
    with pytest.raises(ValueError, match=r"a file of your own may define it: --code FILE"):
        TrainSpec.model_validate({**RECIPE, **part})
