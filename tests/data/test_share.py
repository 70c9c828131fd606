"""What several devices see of a batch is, one part after another, what one device sees of it."""

from __future__ import annotations

import numpy as np
import pictures
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklab.data.augment import BatchKeys, EpochSampler, Share
from sklab.data.loaders import open_loaders
from sklab.data.sets import digits28, image_folder, photo_patches, scaled_digits
from sklab.errors import SklabError
from sklab.spec.train import Augment, TrainSpec

CPU = torch.device("cpu")


def shares(world: int) -> list[Share]:
    return [Share(rank, world) for rank in range(world)]


@given(st.integers(0, 500), st.integers(1, 9))
def test_the_shares_of_any_count_are_all_of_it_in_order_and_even(count, world):
    parts = [list(range(count))[share.of(count)] for share in shares(world)]
    assert [place for part in parts for place in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 4), st.integers(0, 9))
def test_the_keys_of_a_batch_are_shared_without_loss_or_repetition(images, each, world, epoch):
    sampler, size = EpochSampler(images, 3), each * world
    sampler.set_epoch(epoch)
    parts = [list(BatchKeys(sampler, size, share.of(size))) for share in shares(world)]
    whole = list(sampler)
    assert {len(part) for part in parts} == {images // size}
    for number, batches in enumerate(zip(*parts, strict=True)):
        assert [key for batch in batches for key in batch] == whole[number * size : (number + 1) * size]
        assert {len(batch) for batch in batches} == {each}


def photos(folder) -> image_folder.Spec:
    root = pictures.folder(folder, train=7, val=3, size=(14, 12))
    return image_folder.Spec(root=str(root), num_classes=2, image_size=8, resize=10)


ARRAYS = {
    "scaled_digits": scaled_digits.Spec(train_size=40, val_size=10),
    "photo_patches": photo_patches.Spec(train_size=40, val_size=10),
    "digits28": digits28.Spec(),
}


@pytest.mark.parametrize("kind", [*ARRAYS, "files"])
@pytest.mark.parametrize("world", [2, 3])
def test_devices_together_see_the_batches_of_one(tmp_path, kind, world):
    spec = ARRAYS.get(kind) or photos(tmp_path)
    recipe = TrainSpec(epochs=1, batch_size=6, lr=0.1, augment=Augment(pad_crop=2, flip=True))
    one = open_loaders(spec, recipe, 1, CPU)
    several = recipe.model_copy(update={"devices": world})
    parts = [open_loaders(spec, several, 1, CPU, share) for share in shares(world)]
    for loaders in (one, *parts):
        loaders.train.sampler.set_epoch(2)  # type: ignore[attr-defined]
    assert {len(loaders.train) for loaders in parts} == {len(one.train)}
    for whole, *pieces in zip(one.train, *(loaders.train for loaders in parts), strict=True):
        assert {len(labels) for _, labels in pieces} == {6 // world}
        for ours, theirs in zip(whole, zip(*pieces, strict=True), strict=True):
            assert torch.equal(ours, torch.cat(theirs))
    images, labels = (torch.cat(each) for each in zip(*one.val, strict=True))
    held = [batch for loaders in parts for batch in loaders.val]
    assert torch.equal(torch.cat([each for each, _ in held]), images)
    assert torch.equal(torch.cat([each for _, each in held]), labels)
    assert max(len(each) for _, each in held) <= 6 // world
    for name, values in one.val_extras.items():
        assert np.array_equal(np.concatenate([loaders.val_extras[name] for loaders in parts]), values)


def test_fewer_validation_images_than_devices_are_refused(tmp_path):
    recipe = TrainSpec(epochs=1, batch_size=14, lr=0.1, devices=7)
    with pytest.raises(SklabError, match=r"train\.devices = 7 but the val split has 6 images; allowed: 1 to 6"):
        open_loaders(photos(tmp_path), recipe, 0, CPU, Share(0, 7))
