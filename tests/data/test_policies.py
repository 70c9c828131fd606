"""What torchvision does to images: its own operations and draws, which nothing but seed, epoch and image decides."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pictures
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peers import peers
from torch import Tensor

from sklab.data.augment import ERASE, POLICY, Share, generator
from sklab.data.changes.policies import Changes
from sklab.data.check import check
from sklab.data.loaders import Loaders, open_loaders
from sklab.data.sets import image_folder, scaled_digits
from sklab.errors import SklabError
from sklab.spec.data import DataSpec
from sklab.spec.train import Augment, TrainSpec

CPU = torch.device("cpu")
DIGITS = scaled_digits.Spec(train_size=40, val_size=10)
AUGMENT = Augment(policy="randaugment", erase=0.5, pad_crop=2, flip=True)
RECIPE = TrainSpec(epochs=1, batch_size=8, lr=0.1, augment=AUGMENT)
LIBRARIES = [pytest.param("stand-in", id="stand-in"), pytest.param("torchvision", marks=pytest.mark.slow)]


def _drawing(**_: Any) -> Any:
    return lambda image: image ^ torch.randint(0, 256, image.shape, dtype=torch.uint8)


def _box(images: list[Tensor]) -> dict[str, Any]:
    return {"i": int(torch.randint(4, ())), "j": int(torch.randint(4, ())), "h": 3, "w": 2, "v": torch.zeros(1)}


@pytest.fixture
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """torchvision's transforms, or a stand-in that draws as many numbers as an image has pixels."""
    if request.param == "torchvision":
        with peers():
            from torchvision.transforms import v2

            yield v2
        return
    eraser = SimpleNamespace(make_params=_box)
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    v2 = sys.modules["torchvision.transforms.v2"]
    v2.RandAugment = v2.TrivialAugmentWide = _drawing  # type: ignore[attr-defined]
    v2.RandomErasing = lambda: eraser  # type: ignore[attr-defined]
    yield v2


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets how many threads torch has here."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def photos(folder: Any) -> DataSpec:
    root = pictures.folder(folder, train=12, val=3, size=(24, 24))
    return image_folder.Spec(root=str(root), num_classes=2, image_size=16, resize=20)


def batches(loaders: Loaders, epoch: int = 1, skipped: int = 0) -> list[tuple[Tensor, Tensor]]:
    loaders.train.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    loaders.train.skip(skipped)  # type: ignore[attr-defined]
    return list(loaders.train)


def same(ours: list[tuple[Tensor, Tensor]], theirs: list[tuple[Tensor, Tensor]]) -> bool:
    return len(ours) == len(theirs) and all(all(map(torch.equal, *pair)) for pair in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("library", LIBRARIES, indirect=True)
@pytest.mark.parametrize("kind", ["arrays", "files"])
@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_devices_workers_and_a_new_start_see_the_same_images(library: Any, threads, tmp_path, kind, policy):
    spec = DIGITS if kind == "arrays" else photos(tmp_path)
    recipe = RECIPE.model_copy(update={"augment": AUGMENT.model_copy(update={"policy": policy})})
    whole = batches(open_loaders(spec, recipe, 3, CPU))
    assert not same(whole, batches(open_loaders(spec, recipe, 4, CPU)))
    assert not same(whole, batches(open_loaders(spec, recipe, 3, CPU), epoch=2))
    for world in (2, 4):
        several = recipe.model_copy(update={"devices": world})
        parts = [batches(open_loaders(spec, several, 3, CPU, Share(rank, world))) for rank in range(world)]
        together = [tuple(torch.cat(each) for each in zip(*pieces, strict=True)) for pieces in zip(*parts, strict=True)]
        assert same(whole, together)  # type: ignore[arg-type]
    for workers in (1, 2):
        threads(workers)  # as many processes load the files
        loaders = open_loaders(spec, recipe, 3, CPU)
        for skipped in range(len(whole)):
            assert same(whole[skipped:], batches(loaders, skipped=skipped))


@pytest.mark.parametrize("library", LIBRARIES, indirect=True)
def test_they_move_no_draw_but_their_own(library: Any):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    loaders = open_loaders(DIGITS, RECIPE, 0, CPU)
    quiet = batches(loaders)
    assert torch.equal(torch.get_rng_state(), state)
    loaders.train.sampler.set_epoch(1)  # type: ignore[attr-defined]
    noisy = []
    for batch in loaders.train:
        torch.rand(7)
        noisy.append(batch)
    assert same(quiet, noisy)


@pytest.mark.parametrize("library", LIBRARIES, indirect=True)
def test_erasing_makes_boxes_of_some_images_the_mean_and_changes_nothing_else(library: Any, tmp_path: Any):
    for spec in (DIGITS, photos(tmp_path)):
        plain = RECIPE.model_copy(update={"augment": Augment(pad_crop=2, flip=True)})
        images, erased = (
            torch.cat([images for images, _ in batches(open_loaders(spec, recipe, 0, CPU))])
            for recipe in (plain, plain.model_copy(update={"augment": Augment(pad_crop=2, flip=True, erase=0.5)}))
        )
        changed = (images != erased).flatten(1).any(1)
        assert 0 < changed.sum() < len(changed)
        assert not erased[images != erased].any(), "a box is 0 after normalisation"


@pytest.mark.slow
@given(st.sampled_from([1, 3]), st.integers(4, 20), st.integers(0, 2**31 - 1), st.integers(0, 9), st.integers(0, 9))
def test_they_are_torchvisions_own_image_by_image(channels: int, side: int, seed: int, epoch: int, first: int):
    images = torch.randint(0, 256, (6, channels, side, side), generator=torch.Generator().manual_seed(seed)).byte()
    indices = range(first, first + 6)
    augment = Augment(policy="randaugment", operations=3, magnitude=12, erase=0.6)
    with peers():
        from torchvision.transforms import v2

        def by_hand(stream: int, change: Any, given: Tensor) -> Tensor:
            made = []
            for index, image in zip(indices, given, strict=True):
                torch.manual_seed(int(generator(seed, epoch, stream, index).integers(2**63)))
                made.append(change(image))
            return torch.stack(made)

        changes = Changes(augment, seed)
        theirs = by_hand(POLICY, v2.RandAugment(num_ops=3, magnitude=12), images)
        assert torch.equal(changes.by_policy(images, epoch, indices), theirs)
        normalised = images / 64 - 2
        erased = by_hand(ERASE, v2.RandomErasing(p=0.6), normalised)
        assert torch.equal(changes.erased(normalised, epoch, indices), erased)


@pytest.fixture
def _without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)


TOLD = r"train.augment.{} is torchvision's: torchvision is not installed; pip install 'sklab\[torchvision\]'"


@pytest.mark.usefixtures("_without")
@pytest.mark.parametrize(
    ("augment", "setting"),
    [
        (Augment(policy="trivialaugment"), "policy = trivialaugment"),
        (Augment(erase=0.25), "erase = 0.25"),
    ],
)
def test_without_torchvision_the_check_before_a_sweep_says_so(augment: Augment, setting: str):
    recipes = [RECIPE.model_copy(update={"augment": each}) for each in (Augment(), augment)]
    check(DIGITS, recipes[:1])
    with pytest.raises(SklabError, match=TOLD.format(setting)):
        check(DIGITS, recipes)
    loaders = open_loaders(DIGITS, recipes[1], 0, CPU)  # an evaluation needs none
    assert len(list(loaders.val)) == 2
    with pytest.raises(SklabError, match=TOLD.format(setting)):
        next(iter(loaders.train))
