"""Every option of a recipe against a small computation of its own."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklab.data.loaders import open_loaders
from sklab.models.numerics import LAYOUTS
from sklab.models.weights import start
from sklab.models.zoo import build
from sklab.spec.networks import network
from sklab.spec.train import TrainSpec
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.training.module import Classifier
from sklab.training.recipe import (
    Mixture,
    batch_loss,
    can_be_fused,
    drawn_mixture,
    learning_rate,
)
from sklab.training.run import train

CPU = torch.device("cpu")
RECIPE = TrainSpec(epochs=1, batch_size=8, lr=0.1)


@pytest.fixture
def run(toy_order, tmp_path) -> Callable[..., tuple[RunOrder, RunFolder, RunRecord]]:
    """Trains a toy run by the recipe given."""
    made = iter(range(9))

    def trained(seed: int = 0, **recipe: Any) -> tuple[RunOrder, RunFolder, RunRecord]:
        order, folder = toy_order(seed=seed, train=recipe), RunFolder(tmp_path / str(next(made)))
        folder.path.mkdir()
        return order, folder, train(order, folder, CPU)

    return trained


@pytest.fixture
def linear(monkeypatch) -> nn.Module:
    """Puts a linear network in the place of every network, and gives the weights that a run begins with."""

    def make(_: object = None) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 10))

    monkeypatch.setattr(start, "build", make)
    torch.manual_seed(0)
    return make()


def weights(folder: RunFolder) -> dict[str, Tensor]:
    return torch.load(folder.weights_file, weights_only=True)


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in state.values()])


def by_hand(order: RunOrder, after_step: Callable[[nn.Module], None] = lambda _: None) -> tuple[nn.Module, dict]:
    """The plain training loop, spelled out: the network and the metrics of the last epoch."""
    recipe, data = order.spec.experiment.train, order.spec.experiment.data
    torch.manual_seed(order.spec.seed)
    model = build(order.spec.experiment.model).to(memory_format=LAYOUTS[recipe.memory_format])
    loaders, metrics = open_loaders(data, recipe, order.spec.seed, CPU), {}
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.nesterov
    )
    for epoch in range(recipe.epochs):
        loaders.train.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        train_loss: Any = 0.0
        for step, (images, labels) in enumerate(loaders.train):
            rate = learning_rate(recipe, epoch + step / len(loaders.train))
            optimizer.param_groups[0]["lr"] = recipe.lr * (rate / recipe.lr)
            loss = F.cross_entropy(model(images), labels, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss = train_loss + loss.detach()
            after_step(model)
        metrics = {"train_loss": float(train_loss / len(loaders.train)), **_evaluated(model, loaders.val)}
    return model, metrics


@torch.no_grad()
def _evaluated(model: nn.Module, batches: Any) -> dict[str, float]:
    model.eval()
    scored = [(model(images), labels) for images, labels in batches]
    model.train()
    loss = sum(F.cross_entropy(*pair, reduction="sum") for pair in scored)
    wrong = sum((logits.argmax(1) != labels).sum() for logits, labels in scored)
    count = sum(len(labels) for _, labels in scored)
    return {"val_loss": float(loss / count), "val_error": float(100.0 * wrong / count)}


MIXED = {
    "nesterov": True,
    "schedule": "step",
    "step_every": 1,
    "warmup_epochs": 0.5,
    "label_smoothing": 0.1,
    "augment": {"pad_crop": 2, "flip": True},
    "memory_format": "channels_last",
}


@pytest.mark.parametrize(("seed", "recipe"), [(2, {}), (3, MIXED)])
def test_a_run_is_the_plain_loop_to_the_last_bit(run, seed, recipe):
    order, folder, record = run(seed=seed, **recipe)
    model, metrics = by_hand(order)
    assert {name: record.last[name] for name in metrics} == metrics
    kept = weights(folder)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    assert len(kept) == len(model.state_dict())


def test_the_steps_of_four_small_batches_are_those_of_one_large_batch(run, linear):
    large, small = (
        weights(run(batch_size=size, accumulate=count, momentum=0.5)[1]) for size, count in ((32, 1), (8, 4))
    )
    start = linear.state_dict()
    assert flat(large).sub(flat(start)).norm() > 0.1
    assert torch.allclose(flat(large), flat(small), atol=1e-6)


def test_the_schedule_counts_optimizer_steps_and_an_epoch_has_whole_ones(run):
    order, folder, record = run(accumulate=3, batch_size=16, epochs=4)  # 64 images: 4 batches, 3 of them used
    with folder.metrics_file.open() as stream:
        rows = list(csv.DictReader(stream))
    recipe = order.spec.experiment.train
    assert [float(row["lr"]) for row in rows] == pytest.approx([learning_rate(recipe, epoch) for epoch in (1, 2, 3, 4)])
    first, last = (float(rows[epoch]["seconds"]) for epoch in (0, -1))  # rounded to milliseconds
    assert 3 * 48 / (last - first + 1e-3) <= record.samples_per_second <= 3 * 48 / (last - first - 1e-3)


def test_more_batches_than_an_epoch_has_are_refused(run):
    _, folder, record = run(accumulate=5, batch_size=16)
    assert (record.status, record.failure) == ("failed", "data")
    assert record.reason.endswith("an epoch has 4 batches of train.batch_size = 16; allowed: 1 to 4")
    assert not folder.weights_file.exists()


ONE_STEP = {"epochs": 1, "batch_size": 64, "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}


@pytest.mark.parametrize("bound", [0.25, 100.0])
def test_clipping_bounds_the_norm_of_the_gradient_and_keeps_its_direction(run, linear, bound):
    start = flat(linear.state_dict())
    free, clipped = (flat(weights(run(**ONE_STEP, clip_norm=norm)[1])) - start for norm in (0.0, bound))
    assert free.norm() > 0.5
    assert clipped.norm() == pytest.approx(min(bound, float(free.norm())), rel=1e-4)
    assert F.cosine_similarity(clipped, free, dim=0) == pytest.approx(1.0, abs=1e-5)


def test_the_average_of_the_weights_is_what_is_evaluated_and_kept(run):
    decay = 0.75
    order, folder, record = run(ema_decay=decay)
    averages: list[dict[str, Tensor]] = []

    def average(model: nn.Module) -> None:
        now = {name: tensor.double() for name, tensor in model.state_dict().items()}
        past = averages[-1] if averages else now
        averages.append({name: decay * past[name] + (1 - decay) * now[name] for name in now})

    by_hand(order.model_copy(deep=True), average)
    kept = weights(folder)
    floats = [name for name, tensor in kept.items() if tensor.is_floating_point()]
    assert any("running_var" in name for name in floats)
    for name in floats:
        assert torch.allclose(kept[name].double(), averages[-1][name], atol=1e-6), name
    model = build(order.spec.experiment.model)
    model.load_state_dict(kept)
    loaders = open_loaders(order.spec.experiment.data, order.spec.experiment.train, 0, CPU)
    assert _evaluated(model, loaders.val) == {name: record.last[name] for name in ("val_loss", "val_error")}


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_lightning_takes_the_fused_optimizer_wherever_it_is_used(run, monkeypatch, kind, precision, clip_norm):
    """The CPU has a fused one too."""

    def as_on_cuda(model: nn.Module, recipe: TrainSpec, _trunk: frozenset[str]) -> torch.optim.Optimizer:
        return kind(model.parameters(), recipe.lr, fused=can_be_fused(recipe))

    monkeypatch.setattr("sklab.training.module.make_optimizer", as_on_cuda)
    _, _, record = run(seed=0, precision=precision, clip_norm=clip_norm)
    assert record.status == "complete", record.reason


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_mixing_keeps_the_memory_format_and_sees_seed_epoch_and_batch(run, monkeypatch, mixing):
    seen = []

    def watched_draw(recipe: TrainSpec, images: Tensor, place: tuple[int, int, int]) -> Mixture | None:
        seen.append(place)
        return drawn_mixture(recipe, images, place)

    def watched(model: nn.Module, batch: Any, recipe: TrainSpec, mixture: Mixture | None) -> Tensor:
        return batch_loss(lambda images: _checked(model, images), batch, recipe, mixture)  # type: ignore[arg-type]

    def _checked(model: nn.Module, images: Tensor) -> Tensor:
        # One channel passes for both formats by its shape; its strides tell.
        assert images.stride() == torch.empty(images.shape, memory_format=torch.channels_last).stride()
        return model(images)

    monkeypatch.setattr("sklab.training.module.batch_loss", watched)
    monkeypatch.setattr("sklab.training.module.drawn_mixture", watched_draw)
    _, _, record = run(seed=4, **{mixing: 0.2}, memory_format="channels_last", batch_size=32)
    assert record.status == "complete", record.reason
    assert seen == [(4, 0, 0), (4, 0, 1), (4, 1, 0), (4, 1, 1)]


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_mixing_changes_training_alone_and_the_same_way_each_time(run, mixing):
    plain, *mixed = (run(epochs=1, **{mixing: alpha})[2].last for alpha in (0.0, 0.4, 0.4))
    assert mixed[0] == mixed[1]
    assert mixed[0]["train_loss"] != plain["train_loss"]


def test_fp16_on_the_cpu_is_refused(run):
    _, _, record = run(precision="fp16")
    assert (record.status, record.failure) == ("failed", "data")
    assert record.reason == "train.precision = fp16 needs a GPU; allowed on the CPU: fp32 or bf16"


def test_weights_are_on_disk_before_the_record_says_complete(run, monkeypatch):
    written = []
    write = RunFolder.write_record

    def watched(folder: RunFolder, record: RunRecord) -> None:
        written.append((record.status, folder.weights_file.exists()))
        write(folder, record)

    monkeypatch.setattr(RunFolder, "write_record", watched)
    run()
    run(lr=1e30, epochs=3)
    assert written == [("complete", True), ("diverged", False)]


def test_all_options_together_train(run):
    options = {"decay_norm_and_bias": False, "mixup": 0.2, "ema_decay": 0.9, "accumulate": 2, "clip_norm": 1.0}
    _, folder, record = run(**options, precision="bf16", nesterov=True, label_smoothing=0.1)
    assert record.status == "complete", record.reason
    assert all(math.isfinite(value) for value in record.last.values())
    assert all(tensor.isfinite().all() for tensor in weights(folder).values())


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_the_last_batch_of_an_evaluation_is_not_compiled_anew_and_counts_as_it_is(monkeypatch, decay):
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    recipe = RECIPE.model_copy(update={"compile": True, "ema_decay": decay})
    model = build(network("sknet_small")).eval()
    seen: list[int] = []
    for layer in (classifier := Classifier(model, recipe, 0, 1)).evaluated.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    images, labels = torch.randn(19, 1, 32, 32), torch.randint(0, 10, (19,))
    with torch.no_grad():
        plain = [F.cross_entropy(classifier.evaluated.forward(images), labels, reduction="sum") / 19]
        seen.clear()
        for _ in range(2):
            classifier.on_validation_epoch_start()
            for batch in zip(images.split(8), labels.split(8), strict=True):
                classifier.validation_step(batch)
            classifier.scores.over_devices()
            plain.append(classifier.scores.loss)
    assert set(seen) == ({8, 3} if decay else {8})
    assert classifier.scores.seen == 19
    assert plain[1] == plain[2] == pytest.approx(float(plain[0]), rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own parts
def test_a_compiled_network_trains_as_the_eager_one(run):
    """Their last bits differ: over 12 seeds and two kinds of processors the weights by at most a thousandth of what
    was learnt."""
    (order, eager, _), (_, compiled, record) = (run(compile=chosen, ema_decay=0.5) for chosen in (False, True))
    assert record.status == "complete", record.traceback
    torch.manual_seed(order.spec.seed)
    begin, (ours, theirs) = build(order.spec.experiment.model).state_dict(), map(weights, (compiled, eager))
    assert list(ours) == list(theirs) == list(begin)
    learnt, difference = flat(theirs) - flat(begin), flat(theirs) - flat(ours)
    assert difference.norm() < 0.1 * learnt.norm()
