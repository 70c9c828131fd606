import gc
import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import encoded, pixels
from PIL import Image
from pydantic import ValidationError

from sklab.data import batches
from sklab.data import check as preflight
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


def test_images_are_told_by_the_usual_suffixes_whatever_their_letters(root):
    for number, suffix in enumerate(("gif", "JFIF", "avif", "Jpe", "pgm")):
        (root / "val" / "cat" / f"z{number}.{suffix}").write_bytes(encoded(pixels(1, 0), "PNG"))
    splits = load(spec(root))
    assert len(splits.val.files) == 15
    assert splits.val.files[9].endswith("z4.pgm")


def test_what_is_passed_over_is_told_by_kind(root):
    for folder in ("extra", "extra/deeper", ".thumbs"):
        (root / "train" / "cat" / folder).mkdir()
        (root / "train" / "cat" / folder / "0.jpg").write_bytes(b"")
    (root / "train" / "cat" / "extra" / "boxes.xml").write_bytes(b"")
    for number in range(3):
        (root / "train" / "dog" / f"{number}.HEIC").write_bytes(b"")
    (root / "train" / "dog" / "0005").write_bytes(b"")
    (root / "val" / "lost.png").write_bytes(b"")
    told = load(spec(root)).passed_over
    kinds = "3 .heic, 2 .txt, 2 in sub-folders, 1 without a suffix"
    assert told == (
        f"{root}/train: passed over: {kinds}",
        f"{root}/val: passed over: 2 .txt, 1 outside the class folders",
    )
    assert preflight.check(spec(root), [RECIPE]).notices[:2] == tuple(f"data set image_folder: {line}" for line in told)


def deeper(folder):
    (folder / "images").mkdir()
    for file in list(folder.glob("*.*")):
        file.rename(folder / "images" / file.name)


def camera(folder):
    for number in range(6):
        (folder / f"{number}.heic").write_bytes(b"")


def unnamed(folder):
    for number in range(6):
        (folder / str(number)).write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (deeper, "no images; passed over: 5 in sub-folders; allowed: .avif"),
        (camera, "only 5 images can be read; passed over: 6 .heic; allowed: .avif"),
        (unnamed, "only 5 images can be read; passed over: 6 without a suffix; allowed: .avif"),
    ],
)
def test_a_class_that_would_lose_more_images_than_it_keeps_is_refused(root, spoil, told):
    spoil(root / "val" / "dog")
    with pytest.raises(SklabError) as caught:
        load(spec(root))
    assert str(caught.value).startswith(f"{root}/val/dog: {told}")


def test_what_is_no_image_may_outnumber_the_images(root):
    for number in range(20):
        (root / "train" / "cat" / f"{number}.json").write_text("{}")
    assert load(spec(root)).passed_over[0] == f"{root}/train: passed over: 20 .json, 2 .txt"


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


def workers():
    return {process.pid for process in multiprocessing.active_children()}


def test_workers_stay_for_the_next_epoch_and_a_cut_one_leaves_nothing_behind(root):
    recipe = RECIPE.model_copy(update={"augment": PHOTO, "batch_size": 2})
    ours = open_loaders(spec(root), recipe, 0, CPU)
    begun = iter(ours.train)
    next(begun)
    before = workers()
    assert before
    for number in (1, 2):
        fresh = open_loaders(spec(root), recipe, 0, CPU).train
        assert all(map(torch.equal, epoch(ours.train, number), epoch(fresh, number)))
        del fresh
        list(ours.val)
        assert workers() >= before
    assert len(workers()) == 2 * len(before)


def test_workers_end_with_their_loader_also_where_the_garbage_collector_finds_it(root):
    loaders = open_loaders(spec(root), RECIPE, 0, CPU)
    epoch(loaders.train)
    begun = iter(loaders.val)
    next(begun)
    ring = [loaders, begun]
    ring.append(ring)
    assert workers()
    del loaders, begun, ring
    gc.collect()
    assert not workers()


@pytest.mark.parametrize(("threads", "workers"), [(1, 1), (12, 12), (64, 16)])
def test_a_run_with_many_threads_has_sixteen_workers(root, monkeypatch, threads, workers):
    made = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(batches, "DataLoader", lambda *_, num_workers, **__: made.append(num_workers) or Emptiness())
    open_loaders(spec(root), RECIPE, 0, CPU)
    assert made == [workers, workers]


class Emptiness:
    """In the place of a loader that nobody iterates."""

    _iterator = None


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


ENDS = """
import sys
import torch
from sklab.data.loaders import open_loaders
from sklab.data.sets.image_folder import Spec
from sklab.errors import SklabError
from sklab.spec.train import TrainSpec

torch.set_num_threads(2)
spec = Spec(root=sys.argv[1], num_classes=2, image_size=96, resize=96)
batches = iter(open_loaders(spec, TrainSpec(epochs=1, batch_size=5, lr=0.1), 0, torch.device("cpu")).train)
try:
    list(batches)
except SklabError as error:
    kept = error.__context__  # with every frame, and in them the loader
    sys.exit(3)
"""


def test_a_process_whose_loader_failed_ends(root):
    (root / "train" / "dog" / "ink.jpg").write_bytes(b"no jpeg")
    done = subprocess.run([sys.executable, "-c", ENDS, root], timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr


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
        (lambda root: remove(root / "train" / "dog"), {}, r"/train/dog: no images; allowed: \.avif, \.bmp, \.gif"),
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


def test_images_with_a_common_source_are_told_by_their_names(root):
    held_out = load(spec(root)).val
    stems = np.array([Path(file).stem for file in held_out.files])
    assert held_out.sources is None
    by_stem = load(spec(root, source=r"^(\w+)\.")).val.sources
    assert np.array_equal(np.equal.outer(by_stem, by_stem), np.equal.outer(stems, stems))
    whole = load(spec(root, source="grey")).val.sources
    grey = stems == "grey"
    assert np.array_equal(np.equal.outer(whole, whole), np.eye(10, dtype=bool) | np.logical_and.outer(grey, grey))


def test_a_source_is_no_part_of_a_runs_identity_and_has_to_be_an_expression(root):
    assert spec(root, source="grey").identity() == spec(root).identity()
    with pytest.raises(ValidationError, match=r"source = \(: .*; allowed: a regular expression, such as"):
        spec(root, source="(")
