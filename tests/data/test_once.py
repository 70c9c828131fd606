import json
import os

import numpy as np
import pytest
import torch
from pictures import encoded, folder, pixels
from pydantic import ValidationError

from sklab.data import cache, kept
from sklab.data import check as preflight
from sklab.data.base import ArraySplit, FileSplit
from sklab.data.loaders import open_loaders
from sklab.data.sets.image_folder import Spec
from sklab.errors import SklabError
from sklab.spec.networks import network
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.train import Augment, TrainSpec

CPU = torch.device("cpu")
RECIPE = TrainSpec(epochs=1, batch_size=4, lr=0.1, augment=Augment(pad_crop=4, flip=True))


@pytest.fixture
def root(tmp_path):
    return folder(tmp_path / "set")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))


def spec(root, **settings):
    return Spec(**{"root": str(root), "num_classes": 2, "image_size": 32, "resize": 32, **settings})


def small(root, **settings):
    return spec(root, in_memory=True, **settings)


def test_small_images_become_one_array_decoded_once(root, monkeypatch):
    first = cache.load_splits(small(root))
    assert isinstance(first.train, ArraySplit)
    expected = [pixels(label, number) for label in (0, 1) for number in range(6)]
    assert np.array_equal(first.train.images, np.stack(expected).transpose(0, 3, 1, 2))
    assert first.train.labels.tolist() == [0] * 6 + [1] * 6
    monkeypatch.setattr(cache, "decode_all", lambda *_, **__: pytest.fail("decoded although it was cached"))
    assert np.array_equal(cache.load_splits(small(root)).val.images, first.val.images)


def test_a_file_written_anew_is_seen(root):
    before = cache.load_splits(small(root)).train.images
    file = root / "train" / "cat" / "0.png"
    file.write_bytes(encoded(255 - pixels(0, 0)))
    os.utime(file, ns=(1, 1))
    assert not np.array_equal(cache.load_splits(small(root)).train.images, before)


def test_the_loaders_of_small_images_need_no_process(root):
    loaders = open_loaders(small(root, mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5)), RECIPE, 0, CPU)
    (images, labels), *_ = loaders.val
    assert labels.tolist() == [0] * 4
    raw = torch.from_numpy(cache.load_splits(small(root)).val.images[:4])
    scale = torch.tensor([2, 4, 2]).view(1, 3, 1, 1)
    assert torch.allclose(images, (raw / 255 - 0.5) * scale, atol=1e-5)


def test_an_image_of_another_size_is_named(root):
    (root / "val" / "dog" / "3.png").write_bytes(encoded(pixels(1, 0, (40, 32))))
    with pytest.raises(SklabError, match=r"val/dog/3\.png: 40 x 32 pixels; .*data\.image_size = 32"):
        cache.load_splits(small(root))


@pytest.mark.parametrize("in_memory", [True, False])
def test_corrupt_images_are_left_out_counted_and_named_where_allowed(root, caplog, in_memory):
    (root / "train" / "cat" / "2.png").write_bytes(encoded(pixels(0, 2))[:300])
    (root / "val" / "dog" / "5.png").write_bytes(b"no image")
    strict, tolerant = (spec(root, in_memory=in_memory, skip_corrupt=skip) for skip in (False, True))
    with pytest.raises(SklabError, match=r"cat/2\.png: not a readable image .*skip_corrupt: true"):
        preflight.check(strict, [RECIPE])
    preflight.check(tolerant, [RECIPE])
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        loaders = open_loaders(tolerant, RECIPE.model_copy(update={"batch_size": 11}), 0, CPU)
        assert "left out 2 images" in caplog.text
        assert f"{root}/train/cat/2.png, {root}/val/dog/5.png" in caplog.text
        (batch,) = loaders.train
        assert sorted(batch[1].tolist()) == [0] * 5 + [1] * 6
        assert sum(len(labels) for _, labels in loaders.val) == 11


def test_the_images_that_are_left_are_the_right_ones(root):
    (root / "train" / "cat" / "2.png").write_bytes(b"")
    train = cache.load_splits(spec(root, skip_corrupt=True)).train
    assert isinstance(train, FileSplit)
    assert [train.files[at][-9:] for at in range(3)] == ["cat/0.png", "cat/1.png", "cat/3.png"]
    assert len(train.files) == len(train.labels) == 11


def test_more_images_than_are_handed_over_at_a_time(root, monkeypatch):
    whole = cache.load_splits(small(root)).train.images
    monkeypatch.setattr(cache, "_CHUNK", 5)
    monkeypatch.setenv("SKLAB_CACHE", str(root / "other"))
    assert np.array_equal(cache.load_splits(small(root)).train.images, whole)


def test_nothing_left_is_an_error(root):
    for file in (root / "val").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(SklabError, match="the val split has no images"):
        preflight.check(small(root, skip_corrupt=True), [RECIPE])
    with pytest.raises(SklabError, match="the val split has no images"):
        open_loaders(small(root, skip_corrupt=True), RECIPE, 0, CPU)


def test_the_preflight_opens_images_of_every_part_of_a_large_set(root, monkeypatch):
    monkeypatch.setattr(kept, "SAMPLE", 4)
    (root / "train" / "dog" / "5.png").write_bytes(b"")
    with pytest.raises(SklabError, match=r"dog/5\.png: not a readable image"):
        preflight.check(spec(root), [RECIPE])


def test_how_many_images_were_opened_is_told_and_all_can_be(root, monkeypatch):
    monkeypatch.setattr(kept, "SAMPLE", 4)
    torn = root / "train" / "cat" / "1.png"
    torn.write_bytes(torn.read_bytes()[:100])
    few = "8 of 24 images were opened; `sklab doctor SWEEP --all` opens every one"
    assert preflight.check(spec(root), [RECIPE]).notices == (f"data set image_folder: {few}",)
    with pytest.raises(SklabError, match=r"cat/1\.png: not a readable image"):
        preflight.check(spec(root), [RECIPE], every_image=True)
    torn.write_bytes(encoded(pixels(0, 1)))
    told = preflight.check(spec(root), [RECIPE], every_image=True).notices
    assert told == ("data set image_folder: all 24 images were opened",)


def test_all_that_can_not_be_read_are_named_up_to_a_screen_of_them(root, monkeypatch):
    monkeypatch.setattr(preflight, "SHOWN", 3)
    for file in (root / "val").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(SklabError) as caught:
        preflight.check(spec(root), [RECIPE])
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[:3]] == [f"{root}/val/cat/{n}.png" for n in range(3)]
    assert lines[3:] == ["  and 9 more that can't be read"]


def test_what_is_left_out_is_told(root):
    (root / "val" / "dog" / "5.png").write_bytes(b"")
    told = preflight.check(spec(root, skip_corrupt=True), [RECIPE], every_image=True).notices
    assert told == (
        f"data set image_folder: left out because they can't be decoded: {root}/val/dog/5.png",
        "data set image_folder: all 23 images were opened",
    )


def test_every_recipe_that_the_images_can_not_serve_is_told_before_the_first_run(tmp_path):
    root = folder(tmp_path / "few", train=12, val=1)
    wanted = [{"batch_size": 25}, {"batch_size": 6, "accumulate": 5}, {"batch_size": 6, "devices": 3}]
    recipes = [RECIPE, *(TrainSpec(epochs=1, lr=lr, **each) for each in wanted for lr in (0.1, 1.0))]
    with pytest.raises(SklabError) as caught:
        preflight.check(spec(root), recipes)
    assert str(caught.value) == (
        "data set image_folder: train.batch_size = 25 but the train split has 24 images; allowed: 2 to 24; "
        "train.accumulate = 5 but an epoch has 4 batches of train.batch_size = 6; allowed: 1 to 4; "
        "train.devices = 3 but the val split has 2 images; allowed: 1 to 2"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 65, "resize": 65}, "in_memory is for image_size <= 64; found 65"),
        ({"mean": (0.5,)}, "mean and std are 3 numbers each"),
        ({"std": (0.5, 0.0, 0.5)}, "those of std above 0"),
    ],
)
def test_settings_that_can_not_be(settings, message):
    with pytest.raises(ValidationError, match=message):
        small("x", **settings)


def test_settings_that_came_later_change_a_key_only_when_used():
    def run(**data):
        described = {"name": "image_folder", "root": "/data/a", "num_classes": 10, "image_size": 32, **data}
        experiment = {"data": described, "model": network("sknet26", num_classes=10), "train": RECIPE}
        return RunSpec(experiment=Experiment.model_validate(experiment), seed=0)

    assert run().key == "aeea48c5785d4d38"
    assert run(in_memory=False, skip_corrupt=False).key == run().key
    later = [{"in_memory": True}, {"skip_corrupt": True}, {"mean": [0.5, 0.5, 0.5]}, {"std": [0.5, 0.5, 0.5]}]
    assert len({run(**data).key for data in [{}, *later]}) == 5
    for data in later:
        text = run(**data).model_dump_json()
        assert RunSpec.model_validate_json(text) == run(**data)
        assert json.loads(text)["experiment"]["data"].keys() >= data.keys()


@pytest.mark.parametrize("in_memory", [True, False])
def test_sources_stay_with_their_images_and_follow_the_expression(root, in_memory):
    (root / "val" / "dog" / "2.png").write_bytes(b"no image")

    def sources(expression):
        settings = {"source": expression, "skip_corrupt": True, "in_memory": in_memory}
        return open_loaders(spec(root, **settings), RECIPE, 0, CPU).val_sources

    left = [0, 1, 2, 3, 4, 5, 0, 1, 3, 4, 5]
    expected = np.equal.outer(left, left)
    assert sources(None) is None
    by_number = sources("^[0-9]")
    assert np.array_equal(np.equal.outer(by_number, by_number), expected)
    alone = sources("^(x)?.*cat")
    assert len(np.unique(alone)) == 11, "an expression that matches nothing; not what was cached for the other one"
