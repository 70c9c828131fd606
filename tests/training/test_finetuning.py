"""Runs that start from trained weights: what is frozen stays to the last bit, the rest learns at its own rate, in both
ways of training; and an interrupted run ends as one that never was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import CPU, FULL, PLAIN, assert_same, attempt, died, outcome
from torch import nn

from sklab.errors import SklabError
from sklab.models.weights.start import start
from sklab.models.weights.trunk import begin
from sklab.models.zoo import build
from sklab.store.run_folder import RunFolder
from sklab.training.recipe import make_optimizer
from sklab.training.replay import steps
from sklab.training.run import train

PLAIN_MODEL = {"branches": [{"kernel": 3}], "attention": "none"}
HEAD = {"head.weight", "head.bias"}


@pytest.fixture
def trained(toy_order, tmp_path: Path) -> str:
    """A file of a network without attention, for seven classes, whose tensors are all random."""
    plain = toy_order(model=PLAIN_MODEL).spec.experiment.model.model_copy(update={"num_classes": 7})
    torch.manual_seed(5)
    state = {
        name: tensor + 0.2 * torch.rand_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in build(plain).state_dict().items()
    }
    torch.save(state, tmp_path / "trained.pt")
    return str(tmp_path / "trained.pt")


@pytest.fixture
def run(toy_order, tmp_path: Path, trained: str):
    """Trains the toy network with attention from the file; the network's tensors afterwards, and the record."""

    def make(train_: dict[str, Any], model: dict[str, Any] | None = None) -> Any:
        order = toy_order(train={**PLAIN, **train_}, model={"init": trained, **(model or {})})
        folder = RunFolder(tmp_path / f"run-{len(list(tmp_path.iterdir()))}")
        folder.write_order(order)
        record = train(order, folder, CPU)
        assert record.status == "complete", record.reason
        return torch.load(folder.weights_file, weights_only=True), record, order

    return make


@pytest.fixture(params=["lightning", "replayed"])
def trainer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of training; on the CPU a replay calls what it would have recorded."""
    if request.param == "replayed":
        monkeypatch.setattr(steps, "REPLAYED", {"cpu"})
    return request.param


def begun(order) -> dict[str, torch.Tensor]:
    """The network's tensors before training, and which of them came from the file."""
    torch.manual_seed(order.spec.seed)
    return {name: tensor.clone() for name, tensor in start(order.experiment.model).network.state_dict().items()}


def unchanged(after: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in after if torch.equal(after[name], before[name])}


def taken(trained: str) -> set[str]:
    return set(torch.load(trained, weights_only=True)) - HEAD


@pytest.mark.parametrize("recipe", [{}, {"ema_decay": 0.6}, {"optimizer": "adamw", "lr": 0.001}])
def test_a_frozen_trunk_stays_with_its_statistics_and_the_rest_learns(run, trained, trainer, recipe):
    after, record, order = run({"trunk_lr": 0.0, **recipe})
    assert unchanged(after, begun(order)) == taken(trained), "with running means, variances and counters"
    assert record.start.taken == len([name for name in taken(trained) if "num_batches" not in name])
    assert not record.start.head


def test_at_the_full_rate_everything_learns(run, trainer):
    after, _, order = run({})
    assert unchanged(after, begun(order)) == set()


def test_what_the_globs_name_is_frozen(run, trainer):
    after, _, order = run({"freeze": ["stem", "units.SK_2_*.reduce"]})
    frozen = {name for name in after if name.startswith(("stem.", "units.SK_2_1.reduce."))}
    assert frozen
    assert unchanged(after, begun(order)) == frozen


def test_both_ways_of_training_compute_the_same_with_a_slow_and_a_frozen_part(run, monkeypatch):
    exact = {"lr": 0.0625, "schedule": "step", "step_at": (1, 2), "step_factor": 0.5, "nesterov": True}
    recipe = {**exact, "trunk_lr": 0.25, "freeze": ["stem"], "clip_norm": 0.5, "decay_norm_and_bias": False}
    one, record, _ = run(recipe)
    monkeypatch.setattr(steps, "REPLAYED", {"cpu"})
    other, replayed, _ = run(recipe)
    for name in one:  # but for the rounding of the CPU's fused SGD
        torch.testing.assert_close(other[name], one[name], rtol=1e-4, atol=1e-6, msg=name)
    assert unchanged(one, other) >= {name for name in one if name.startswith("stem.")}
    assert record.last == pytest.approx(replayed.last, rel=1e-3)


@pytest.mark.parametrize("share", [0.1, 2.0])
@pytest.mark.parametrize("spared", [True, False])
def test_the_trunk_moves_by_its_share_of_a_step(toy_order, share, spared):
    recipe = toy_order(train={"momentum": 0.0, "weight_decay": 0.5, "decay_norm_and_bias": spared}).experiment.train
    moved = []
    for trunk_lr in (1.0, share):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
        trunk = {name for name, _ in model.named_parameters() if not name.startswith("2.")}
        before = {name: each.detach().clone() for name, each in model.named_parameters()}
        optimizer = make_optimizer(model, recipe.model_copy(update={"trunk_lr": trunk_lr}), trunk)
        assert optimizer.param_groups[0]["lr"] == recipe.lr, "the rate that is logged"
        model(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
        moved.append({name: each.detach() - before[name] for name, each in model.named_parameters()})
    for name in moved[0]:
        expected = moved[0][name] * (share if name in trunk else 1.0)
        torch.testing.assert_close(moved[1][name], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "recipe", [{"trunk_lr": 0.1}, {"trunk_lr": 0.0}, {**FULL, "trunk_lr": 0.1, "freeze": ["stem"]}]
)
def test_an_interrupted_run_ends_as_one_that_never_was(made, dies, trained, recipe):
    ends = []
    for name, points in (("calm", ()), ("disturbed", ({"batch": 5}, {"batch": 3}))):
        order, folder = made(name, {**PLAIN, **recipe})
        tree = order.spec.model_dump()
        tree["experiment"]["model"]["init"] = trained
        spec = type(order.spec).model_validate(tree)
        order = order.model_copy(update={"spec": spec, "key": spec.key})
        for point in points:
            dies(**point)
            died(order, folder)
        dies()
        record = attempt(order, folder)
        assert record.attempt == 1 + len(points)
        assert (record.resumed_from > 0) == bool(points)
        ends.append(outcome(folder, record))
    assert_same(*ends)


def test_a_run_whose_file_has_changed_says_so(toy_order, tmp_path, trained):
    order, folder = toy_order(model={"init": trained}), RunFolder(tmp_path / "run")
    folder.write_order(order)
    Path(trained).write_bytes(b"other")
    record = train(order, folder, CPU)
    assert (record.status, record.failure, record.traceback) == ("failed", "data", "")
    assert "trained.pt has changed since the study was started" in record.reason


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"freeze": ["stam"]}, "train.freeze: no weights are under 'stam'; modules of the network: stem, stem.0, "),
        ({"freeze": ["stem", "units.*.relu"]}, "train.freeze: no weights are under 'units.*.relu'"),
        ({"trunk_lr": 0.0, "freeze": ["*"]}, "train.trunk_lr = 0 and train.freeze = ['*'] leave nothing to train"),
    ],
)
def test_what_freezes_nothing_or_everything_is_refused(toy_order, recipe, told):
    experiment = toy_order(train=recipe).experiment
    with torch.device("meta"), pytest.raises(SklabError) as caught:
        begin(experiment.model, experiment.train)
    assert str(caught.value).startswith(told)


KINDS = ["none", "mean", "static", "se", "eca", "bam", "cbam", "sk", "splat", "lsk"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_attention_starts_from_the_plain_network_and_learns(toy_order, trained, kind):
    branches = [{"kernel": 3}] if kind in ("none", "se", "eca", "bam", "cbam") else [{"kernel": 3}, {"kernel": 5}]
    model = toy_order(model={"attention": kind, "branches": branches, "reduction": 4, "init": trained}).experiment.model
    made = begin(model, toy_order(train={"trunk_lr": 0.0}).experiment.train)
    assert made.origin is not None
    assert made.origin.taken == len([name for name in taken(trained) if "num_batches" not in name])
    made.network(torch.randn(4, 1, 32, 32)).square().sum().backward()
    learning = {name for name, each in made.network.named_parameters() if each.grad is not None}
    assert learning == {name for name, _ in made.network.named_parameters()} - made.trunk
