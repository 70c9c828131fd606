import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from sklab.data.loaders import open_loaders
from sklab.data.sets.image_folder import Spec, load
from sklab.errors import SklabError
from sklab.spec.networks import network
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.train import Augment, TrainSpec

CPU = torch.device("cpu")
PHOTO = Augment(random_resized_crop=(0.2, 1.0), flip=True)
RECIPE = TrainSpec(epochs=1, batch_size=4, lr=0.1, augment=PHOTO)
FILES = ["a.jpg", "b.PNG", "grey.jpeg", "ink.jpg", "grey.png"]
MODES = {"grey.jpeg": "L", "ink.jpg": "CMYK", "grey.png": "L"}


@pytest.fixture
def root(tmp_path):
    """Two classes, dark cats and bright dogs, five images each per split; and things that are no images."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name, level in (("cat", 40), ("dog", 200)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for file in FILES:
                pixels = random.integers(level - 30, level + 30, (50, 70, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(MODES.get(file, "RGB")).save(folder / file)
            (folder / "._a.jpg").write_bytes(b"what some systems leave behind")
            (folder / "labels.txt").write_text("no image")
        (tmp_path / split / ".hidden").mkdir()
    return tmp_path


def spec(folder, **settings):
    return Spec(**{"root": str(folder), "num_classes": 2, "image_size": 32, "resize": 40, **settings})


def epoch(loader, number=0):
    loader.sampler.set_epoch(number)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_what_is_found_and_in_which_order(root):
    splits = load(spec(root))
    assert splits.classes == ("cat", "dog")
    assert splits.train.labels.tolist() == [0] * 5 + [1] * 5
    expected = [str(root / "train" / name / file) for name in ("cat", "dog") for file in sorted(FILES)]
    assert list(splits.train.files) == expected


def test_batches_of_every_kind_of_image(root):
    loaders = open_loaders(spec(root), RECIPE, 0, CPU)
    assert (len(loaders.train), len(loaders.val)) == (2, 3)
    images, labels = epoch(loaders.train)
    assert (images.shape, images.dtype) == ((8, 3, 32, 32), torch.float32)
    assert torch.equal(images.mean((1, 2, 3)) > 0, labels == 1)
    assert [len(labels) for _, labels in loaders.val] == [4, 4, 2]
    assert torch.cat([labels for _, labels in loaders.val]).tolist() == [0] * 5 + [1] * 5


def test_how_many_workers_changes_no_bit(root):
    threads, seen = torch.get_num_threads(), []
    try:
        for workers in (1, 2):
            torch.set_num_threads(workers)
            seen.append(epoch(open_loaders(spec(root), RECIPE, 0, CPU).train))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *seen))


@pytest.mark.parametrize("augment", [PHOTO, Augment(pad_crop=4, flip=True)])
def test_an_epoch_can_go_on_at_any_batch(root, augment):
    train = open_loaders(spec(root), RECIPE.model_copy(update={"augment": augment, "batch_size": 2}), 0, CPU).train
    train.sampler.set_epoch(1)
    whole = list(train)
    for skipped in range(len(train) + 1):
        train.skip(skipped)
        tail = list(train)
        assert len(tail) == len(whole) - skipped
        assert all(all(map(torch.equal, one, other)) for one, other in zip(whole[skipped:], tail, strict=True))
    assert len(list(train)) == len(whole), "the next epoch is whole again"


def test_epochs_differ_and_come_back(root):
    state = torch.get_rng_state()
    train = open_loaders(spec(root), RECIPE, 0, CPU).train
    first, second, again = (epoch(train, number)[0] for number in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_augmentation_training_sees_what_validation_sees(root):
    plain = RECIPE.model_copy(update={"augment": Augment(), "batch_size": 10})
    (root / "val").rename(root / "old")
    (root / "val").symlink_to(root / "train")
    loaders = open_loaders(spec(root), plain, 0, CPU)
    (in_order, _), *_ = loaders.val
    assert torch.equal(epoch(loaders.train)[0], in_order[torch.from_numpy(loaders.train.sampler.permutation())])


def test_a_shifted_image_has_a_black_margin(root):
    shifted = RECIPE.model_copy(update={"augment": Augment(pad_crop=8), "batch_size": 10})
    images, _ = epoch(open_loaders(spec(root), shifted, 0, CPU).train)
    black = -torch.tensor(spec(root).mean) / torch.tensor(spec(root).std)
    corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners - black[:, None]).abs().amax(1).lt(1e-5).any(1).float().mean() > 0.7


def test_a_corrupt_image_is_named_in_one_line(root):
    (root / "train" / "dog" / "ink.jpg").write_bytes(b"no jpeg")
    with pytest.raises(SklabError) as caught:
        epoch(open_loaders(spec(root), RECIPE.model_copy(update={"batch_size": 10}), 0, CPU).train)
    assert str(caught.value).startswith(f"{root}/train/dog/ink.jpg: not a readable image (")
    assert "\n" not in str(caught.value)


def remove(folder):
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "settings", "message"),
    [
        (
            lambda root: None,
            {"root": "/no/such/place"},
            r"/no/such/place: no such folder \(data\.root = .*train/ and val/",
        ),
        (lambda root: (root / "val").rename(root / "test"), {}, r"/val: no such folder .*it must hold train/ and val/"),
        (lambda root: (root / "val" / "dog").rename(root / "val" / "hound"), {}, r"same classes; .*: dog, hound$"),
        (lambda root: remove(root / "train" / "dog"), {}, r"/train/dog: no images; allowed: \.bmp, \.jpeg, \.jpg"),
        (lambda root: None, {"num_classes": 5}, r"found 2 classes \(cat, dog\); data\.num_classes = 5"),
        (
            lambda root: [(root / "val" / name).rename(root / name) for name in ("cat", "dog")],
            {},
            r"/val: no class folders",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(root, spoil, settings, message):
    spoil(root)
    with pytest.raises(SklabError, match=message):
        load(spec(root, **settings))


def test_resize_leaves_enough_to_cut(root):
    with pytest.raises(ValidationError, match=r"resize = 31 is less than image_size = 32; allowed: 32 up"):
        spec(root, resize=31)


def test_where_the_images_lie_is_no_part_of_a_runs_identity_but_reaches_it():
    def run(**data):
        described = {"name": "image_folder", "root": "/data/a", "num_classes": 10, **data}
        experiment = {"data": described, "model": network("sknet26", num_classes=10), "train": RECIPE}
        return RunSpec(experiment=Experiment.model_validate(experiment), seed=0)

    assert run().key == run(root="/elsewhere").key
    assert run().key != run(resize=300).key
    assert RunSpec.model_validate_json(run().model_dump_json()).experiment.data.root == "/data/a"
