import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklab.data.augment import EpochSampler, crop_draws, shifts_and_flips
from sklab.data.changes.mixing import mixup_draw
from sklab.spec.train import Augment

seeds, epochs, sizes = st.integers(0, 2**31 - 1), st.integers(0, 1000), st.integers(0, 200)


def order(size, seed, epoch):
    sampler = EpochSampler(size, seed)
    sampler.set_epoch(epoch)
    return sampler.permutation().tolist()


@given(sizes, seeds, epochs)
def test_an_epoch_gives_every_image_once(size, seed, epoch):
    assert sorted(order(size, seed, epoch)) == list(range(size))
    assert order(size, seed, epoch) == order(size, seed, epoch)


@given(seeds, epochs)
def test_epochs_and_seeds_differ(seed, epoch):
    first = order(50, seed, epoch)
    assert first != order(50, seed, epoch + 1)
    assert first != order(50, seed + 1, epoch)


def test_iterating_tells_the_epoch():
    sampler = EpochSampler(5, 0)
    sampler.set_epoch(3)
    assert list(sampler) == [(3, index) for index in sampler.permutation()]


@given(sizes, seeds, epochs, st.integers(0, 8), st.booleans())
def test_shifts_stay_in_the_margin_and_flips_are_as_asked(size, seed, epoch, margin, flip):
    shifts, flips = shifts_and_flips(Augment(pad_crop=margin, flip=flip), size, seed, epoch)
    assert shifts.shape == (size, 2)
    assert flips.shape == (size,)
    assert ((shifts >= 0) & (shifts <= 2 * margin)).all()
    assert flip or not flips.any()


@given(seeds, epochs)
def test_one_change_does_not_move_the_other(seed, epoch):
    both = shifts_and_flips(Augment(pad_crop=2, flip=True), 50, seed, epoch)
    assert np.array_equal(shifts_and_flips(Augment(pad_crop=2), 50, seed, epoch)[0], both[0])
    assert np.array_equal(shifts_and_flips(Augment(flip=True), 50, seed, epoch)[1], both[1])


def test_shifts_take_every_value_about_equally_often():
    shifts, flips = shifts_and_flips(Augment(pad_crop=2, flip=True), 10_000, 0, 0)
    for axis in (0, 1):
        assert np.abs(np.bincount(shifts[:, axis]) / 10_000 - 0.2).max() < 0.02
    assert abs(flips.mean() - 0.5) < 0.02


def test_crops_differ_by_image_epoch_and_seed():
    drawn = {crop_draws(*key).random() for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(drawn) == 4


@given(st.floats(0.01, 4), sizes, seeds, epochs, st.integers(0, 1000))
def test_mixup_keeps_a_share_and_gives_every_image_one_partner(alpha, size, seed, epoch, batch):
    share, partners = mixup_draw(alpha, size, seed, epoch, batch)
    assert 0 <= share <= 1
    assert sorted(partners) == list(range(size))
    again = mixup_draw(alpha, size, seed, epoch, batch)
    assert share == again[0]
    assert np.array_equal(partners, again[1])


def test_mixup_differs_by_batch_epoch_and_seed():
    drawn = {mixup_draw(0.2, 4, *place)[0] for place in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(drawn) == 4


def test_the_shares_of_mixup_are_of_the_beta_distribution():
    shares = np.array([mixup_draw(0.5, 1, 0, 0, batch)[0] for batch in range(5000)])
    assert abs(shares.mean() - 1 / 2) < 0.02
    assert abs(shares.var() - 1 / 8) < 0.01, "of Beta(a, a): 1 / (4 (2 a + 1))"
