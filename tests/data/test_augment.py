import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklab.data.augment import Normalise, cut, pad
from sklab.data.sets.image_folder import Spec as ImageFolder
from sklab.data.sets.scaled_digits import Spec as ScaledDigits
from sklab.spec.train import TrainSpec

RECIPE = TrainSpec(epochs=1, batch_size=4, lr=0.1)
CPU = torch.device("cpu")


@st.composite
def cuts(draw):
    count, channels, size, margin = (draw(st.integers(*ends)) for ends in ((1, 5), (1, 3), (1, 9), (0, 3)))
    seed = draw(st.integers(0, 2**31 - 1))
    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.integers(0, 256, (count, channels, size, size), dtype=np.uint8))
    index = torch.from_numpy(random.integers(0, count, 6))
    shifts = torch.from_numpy(random.integers(0, 2 * margin + 1, (6, 2)))
    return images, margin, index, shifts, torch.from_numpy(random.random(6) < 0.5)


@given(cuts())
def test_a_cut_is_a_window_maybe_mirrored(case):
    images, margin, index, shifts, flips = case
    size = images.shape[-1]
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    batch = cut(pad(images, margin), index, shifts, flips, size).numpy()
    for got, which, (down, right), flip in zip(batch, index, shifts, flips, strict=True):
        window = padded[which, :, down : down + size, right : right + size]
        assert np.array_equal(got, window[:, :, ::-1] if flip else window)


@given(cuts())
def test_the_middle_window_unmirrored_is_the_image(case):
    images, margin, index, shifts, _ = case
    middle, upright = torch.full_like(shifts, margin), torch.zeros(len(index), dtype=torch.bool)
    assert torch.equal(cut(pad(images, margin), index, middle, upright, images.shape[-1]), images[index])


@given(cuts())
def test_mirrored_twice_is_the_image(case):
    images, _, index, shifts, _ = case
    still, mirrored = torch.zeros_like(shifts), torch.ones(len(index), dtype=torch.bool)
    once = cut(images, index, still, mirrored, images.shape[-1])
    assert torch.equal(cut(once, torch.arange(len(once)), still, mirrored, images.shape[-1]), images[index])


def test_black_and_white_after_normalising():
    images = torch.tensor([0, 255]).byte().view(2, 1, 1, 1).expand(2, 3, 1, 1)
    spec = ImageFolder(root="x", num_classes=2)
    batch = Normalise(spec, RECIPE, CPU)(images)
    mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
    assert torch.allclose(batch[0].flatten(), -mean / std)
    assert torch.allclose(batch[1].flatten(), (1 - mean) / std)


@pytest.mark.parametrize("spec", [ScaledDigits(), ImageFolder(root="x", num_classes=2)], ids=lambda spec: spec.name)
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_strides_are_those_of_the_recipe_even_with_one_channel(spec, memory_format):
    recipe = RECIPE.model_copy(update={"memory_format": memory_format})
    images = torch.zeros(4, spec.channels, 6, 6, dtype=torch.uint8)
    for given_as in (images, images.to(memory_format=torch.channels_last)):
        strides = Normalise(spec, recipe, CPU)(given_as).stride()
        channels = spec.channels
        assert strides == (
            (36 * channels, 36, 6, 1) if memory_format == "contiguous" else (36 * channels, 1, 6 * channels, channels)
        )
