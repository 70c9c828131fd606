"""How batches are mixed: boxes as CutMix has them, and draws that nothing but seed, epoch and batch decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peers import peers

from sklab.data.augment import CUTMIX, generator
from sklab.data.changes.mixing import Mix, drawn_mix, inside
from sklab.spec.train import TrainSpec

RECIPE = TrainSpec(epochs=1, batch_size=8, lr=0.1)
seeds, sides = st.integers(0, 2**31 - 1), st.integers(1, 40)


def drawn(shape: tuple[int, int, int], place: tuple[int, int, int], **recipe: float) -> Mix:
    mix = drawn_mix(RECIPE.model_copy(update=recipe), shape, place)
    assert mix is not None
    return mix


@given(st.floats(0.01, 4), sides, sides, sides, seeds, st.integers(0, 99), st.integers(0, 99))
def test_a_box_lies_in_the_image_and_labels_are_mixed_by_its_area(alpha, size, height, width, seed, epoch, batch):
    mix = drawn((size, height, width), (seed, epoch, batch), cutmix=alpha)
    top, left, bottom, right = mix.box
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    pixels = inside(torch.tensor(mix.box), height, width)
    assert pixels.shape == (height, width)
    assert mix.kept == pytest.approx(1 - float(pixels.float().mean()))
    assert pixels[top:bottom, left:right].all()
    assert mix.share == 1.0
    assert sorted(mix.partners) == list(range(size))


def test_the_boxes_of_many_images_are_told_at_once():
    boxes = torch.tensor([[[0, 1, 2, 3], [1, 1, 1, 1]]])
    expected = torch.zeros(1, 2, 3, 4, dtype=torch.bool)
    expected[0, 0, 0:2, 1:3] = True
    assert torch.equal(inside(boxes, 3, 4), expected)


def test_boxes_differ_by_batch_epoch_and_seed_and_not_by_the_part_of_a_batch():
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert len({drawn((8, 32, 32), place, cutmix=1.0).box for place in places}) == 4
    whole, part = (drawn((size, 32, 32), (3, 1, 2), cutmix=1.0) for size in (8, 4))
    assert (whole.box, whole.kept) == (part.box, part.kept)


def test_with_mixup_too_each_batch_has_one_of_both_as_it_has_it_alone():
    both = [drawn((4, 32, 32), (0, 0, batch), mixup=0.3, cutmix=1.0) for batch in range(2000)]
    cut = [mix.share == 1.0 for mix in both]
    assert abs(np.mean(cut) - 0.5) < 0.05
    for batch, (is_cut, mix) in enumerate(zip(cut, both, strict=True)):
        alone = drawn((4, 32, 32), (0, 0, batch), **({"cutmix": 1.0} if is_cut else {"mixup": 0.3}))
        assert mix[:3] == alone[:3]
        assert np.array_equal(mix.partners, alone.partners)
        assert is_cut or mix.box == (0, 0, 32, 32)


def test_boxes_are_squares_around_any_pixel_and_the_border_takes_a_part():
    """Of Beta(1, 1) the mean is 1/2."""
    mixes = [drawn((1, 1000, 1000), (0, 0, batch), cutmix=1.0) for batch in range(3000)]
    uncut = [mix for mix in mixes if mix.box[0] > 0 and mix.box[1] > 0 and mix.box[2] < 1000 and mix.box[3] < 1000]
    assert 0.55 < np.mean([mix.kept for mix in mixes]) < 0.72
    assert all(abs((box[2] - box[0]) - (box[3] - box[1])) <= 1 for box in (mix.box for mix in uncut))
    assert abs(np.mean([mix.box[0] + mix.box[2] for mix in uncut]) / 2 - 500) < 25


@pytest.mark.slow
def test_a_box_is_torchvisions_for_the_same_draws(monkeypatch):
    with peers():
        from torchvision.transforms import v2

        for batch in range(200):
            height, width = 1 + batch, 1 + 3 * batch % 71
            ours = drawn((1, height, width), (0, 0, batch), cutmix=0.7)
            random = generator(0, 0, CUTMIX, batch)
            random.random()
            share, row, column = random.beta(0.7, 0.7), random.integers(height), random.integers(width)
            theirs = v2.CutMix(alpha=0.7, num_classes=2)
            centre = iter([column, row])  # it draws the column first
            monkeypatch.setattr(theirs._dist, "sample", lambda _, share=share: torch.tensor(share, dtype=torch.float64))
            monkeypatch.setattr(torch, "randint", lambda _, size, centre=centre: torch.tensor([next(centre)]))
            left, top, right, bottom = (params := theirs.make_params([torch.zeros(1, 1, height, width)]))["box"]
            assert ours.box == (top, left, bottom, right)
            assert math.isclose(ours.kept, params["lam_adjusted"])
            monkeypatch.undo()
