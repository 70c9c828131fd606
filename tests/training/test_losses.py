"""The losses of a recipe, with smoothed and mixed labels, against sums of their own and against timm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from peers import peers
from torch import Tensor, nn

from sklab.data.changes.mixing import drawn_mix
from sklab.spec.train import TrainSpec
from sklab.training.recipe import Mixture, batch_loss, drawn_mixture

RECIPE = TrainSpec(epochs=1, batch_size=8, lr=0.1)
CLASSES = 5


def batch(seed: int = 0, size: int = 8) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(size, 2, 6, 6, generator=random), torch.randint(CLASSES, (size,), generator=random)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES)).double().requires_grad_(False)


def recipe(**settings: Any) -> TrainSpec:
    return TrainSpec.model_validate({**RECIPE.model_dump(), **settings})


def loss(made: TrainSpec, mixture: Mixture | None = None) -> float:
    images, labels = batch()
    return float(batch_loss(lambda given: network()(given.double()), (images, labels), made, mixture))


def by_hand(made: TrainSpec, images: Tensor, targets: Tensor) -> float:
    """Sums of single terms, as the formulas have them."""
    chances = network()(images.double())
    if made.loss == "cross_entropy":
        return float(-(targets * chances.softmax(1).log()).sum(1).mean())
    yes = chances.sigmoid()
    return float(-(targets * yes.log() + (1 - targets) * (1 - yes).log()).mean())


def smoothed(labels: Tensor, smoothing: float) -> Tensor:
    return F.one_hot(labels, CLASSES).double() * (1 - smoothing) + smoothing / CLASSES


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["cross_entropy", "bce"])
def test_a_loss_is_the_mean_of_its_terms(kind, smoothing):
    made, (images, labels) = recipe(loss=kind, label_smoothing=smoothing), batch()
    assert loss(made) == pytest.approx(by_hand(made, images, smoothed(labels, smoothing)), rel=1e-5)


@given(
    st.sampled_from(["cross_entropy", "bce"]),
    st.sampled_from([{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}]),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 50),
)
def test_images_and_labels_are_mixed_alike(kind, mixing, smoothing, number):
    made, (images, labels) = recipe(loss=kind, label_smoothing=smoothing, **mixing), batch()
    place = (7, 2, number)
    mix = drawn_mix(made, (8, 6, 6), place)
    assert mix is not None
    top, left, bottom, right = mix.box
    partners, mixed = list(mix.partners), images.clone()
    part = (..., slice(top, bottom), slice(left, right))
    mixed[part] = (1 - mix.share) * images[part] + mix.share * images[partners][part]
    soft = smoothed(labels, smoothing)
    expected = by_hand(made, mixed, mix.kept * soft + (1 - mix.kept) * soft[partners])
    assert loss(made, drawn_mixture(made, images, place)) == pytest.approx(expected, rel=1e-4)


def test_a_box_is_cut_out_and_nothing_else_changes():
    made, (images, _) = recipe(cutmix=1.0), batch()
    mix = drawn_mix(made, (8, 6, 6), (0, 0, 3))
    assert mix is not None
    top, left, bottom, right = mix.box
    assert 0 < (bottom - top) * (right - left) < 36
    seen: list[Tensor] = []

    def keep(given: Tensor) -> Tensor:
        seen.append(given)
        return torch.zeros(8, CLASSES)

    batch_loss(keep, batch(), made, drawn_mixture(made, images, (0, 0, 3)))
    expected = images.clone()
    expected[:, :, top:bottom, left:right] = images[list(mix.partners)][:, :, top:bottom, left:right]
    assert torch.equal(seen[0], expected)


def test_binary_terms_are_computed_in_single_precision_from_half():
    made = recipe(loss="bce", precision="bf16")
    images, labels = batch()
    logits = torch.full((8, CLASSES), 3.0, dtype=torch.bfloat16)
    computed = batch_loss(lambda _: logits, (images, labels), made)
    assert computed.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_timms(smoothing):
    made, (images, labels) = recipe(loss="bce", label_smoothing=smoothing, cutmix=1.0), batch()
    mix = drawn_mixture(made, images, (0, 0, 3))
    assert mix is not None
    with peers():
        from timm.loss import BinaryCrossEntropy

        theirs = BinaryCrossEntropy(smoothing=smoothing)
        logits = network()(images.double()).float()
        assert loss(made) == pytest.approx(float(theirs(logits, labels)), rel=1e-5)
        soft = smoothed(labels, smoothing).float()
        targets = mix.kept * soft + mix.mixed * soft[mix.partners]
        assert float(batch_loss(lambda _: logits, (images, labels), made, mix)) == pytest.approx(
            float(theirs(logits, targets)), rel=1e-5
        )
