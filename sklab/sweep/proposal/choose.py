"""Settings that fit a folder of images and a machine, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sklab.data.look.inferred import resize_for, size_for
from sklab.data.look.layout import WHOLE
from sklab.data.look.opening import Found
from sklab.errors import SklabError
from sklab.spec.model import ModelSpec
from sklab.spec.networks import image_size, network
from sklab.system.terminal import quantity

SEEDS, CELLS = 3, 4  # of the proposed sweep
_FOLDS = 5  # parts of the training images, one of which is held out where there is no validation split
_FEWEST = 2  # images of a class, so that one is left to train on
_UNEVEN = 1.5  # times as many images in the largest class as in the smallest
FEW = 100  # images of a class: with fewer, trained weights are the better start
_LARGEST_IN_MEMORY = 64
# Multiply-accumulates a second of training, of one core and of one GPU, and seconds to read a photograph: rough figures
# that choose among networks. The estimate that is told comes from a probe of the chosen one.
_RATE = {False: 5e9, True: 5e11}
_PASSES = 3  # of forward and backward, in multiply-accumulates of a forward pass
# From the largest to the smallest: the network's settings, and the smallest images that it is for.
_NETWORKS: tuple[tuple[dict[str, Any], int], ...] = (
    ({"base": "sknet26"}, 128),
    ({"base": "sknet_small", "stem_width": 32, "width": 32, "out_width": 64, "depths": [2, 2, 2]}, 32),
    ({"base": "sknet_small"}, 32),
)
Count = Callable[[ModelSpec, int], int]  # multiply-accumulates of a network at an image size


@dataclass(frozen=True)
class Machine:
    """What trains: `slots` runs at a time, on GPUs or shares of the CPU; `read` seconds to decode an image."""

    slots: int
    gpu: bool
    read: float


@dataclass(frozen=True)
class Trained:
    """Trained weights to start from: the name of their network, and the file as the experiment names it."""

    base: str
    file: str


@dataclass(frozen=True)
class Choice:
    """The settings of an experiment and a metric; `why` gives reasons by path, such as `data.image_size`."""

    data: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]
    metric: str
    seconds: float
    why: Mapping[str, str] = field(default_factory=dict)

    def same_as(self, other: Choice) -> bool:
        """Whether both are the same experiment."""
        return (self.data, self.model, self.train) == (other.data, other.model, other.train)

    @property
    def epochs(self) -> int:
        """Passes over the training images."""
        epochs: int = self.train["epochs"]
        return epochs


def choose(
    found: Found, root: str, machine: Machine, budget: float, count: Count, trained: Trained | None = None
) -> Choice:
    """The largest network and images for which a sweep is roughly within `budget` seconds, else the smallest; with
    `trained` weights, their network. `root` is the folder as the experiment names it. Raises SklabError for too few
    images."""
    why: dict[str, str] = {}
    data = _data(found, root, why)
    images = _training_images(found, data)
    options = (_sized(found, data, model, size, why) for model, size in _options(found, trained))
    choices = [_with_recipe(found, option, images, machine, count) for option in options]
    fitting = next((choice for choice in choices if choice.seconds <= budget), None)
    return fitting or with_epochs_for(choices[-1], budget)


def with_epochs_for(choice: Choice, budget: float) -> Choice:
    """`choice` with as many epochs as `budget` seconds allow, but at least a third of its own."""
    epochs = max(math.ceil(choice.epochs / 3), int(choice.epochs * budget / choice.seconds))
    if choice.seconds <= budget or epochs >= choice.epochs:
        return choice
    why = {**choice.why, "train.epochs": "fewer than so many images would get, for time"}
    train = {**choice.train, "epochs": epochs, "warmup_epochs": _warmup(epochs)}
    return replace(choice, train=train, seconds=choice.seconds * epochs / choice.epochs, why=why)


def _data(found: Found, root: str, why: dict[str, str]) -> dict[str, Any]:
    """Where the images are and how they are split."""
    layout = found.layout
    data: dict[str, Any] = {"name": "image_folder", "root": root}
    if layout.train != "train":
        data["train"] = layout.train
    if layout.val is None:
        data |= _held_out(found, why)
    elif layout.val != "val":
        data["val"] = layout.val
    if layout.test:
        data["test"] = layout.test
        why["data.test"] = "a third split, read once when all runs have ended"
    return {**data, "num_classes": len(layout.classes), **_treated(found, why)}


def _held_out(found: Found, why: dict[str, str]) -> dict[str, Any]:
    counts = found.counts[found.layout.train]
    label = min(counts, key=lambda name: counts[name])
    if counts[label] < _FEWEST:
        held = f"class {label} has {quantity(counts[label], 'image')}"
        raise SklabError(f"{found.layout.root}: {held}, and one is held out; {_FEWEST} or more are needed")
    folds = min(_FOLDS, counts[label])
    without = "no folders of splits" if found.layout.train == WHOLE else "no folder of validation images"
    why["data.folds"] = f"{without}: one image in {folds} of each class is held out, drawn by `split`"
    why["data.copies"] = "files of the same content are on one side"
    return {"folds": folds, "split": 0, "copies": "together"}


def _treated(found: Found, why: dict[str, str]) -> dict[str, Any]:
    treated: dict[str, Any] = {}
    if any(image.turned for image in found.whole):
        treated["exif"] = "apply"
        why["data.exif"] = "some photographs say by EXIF that they lie on their side"
    if found.faulty:
        treated["skip_corrupt"] = True
        why["data.skip_corrupt"] = f"{quantity(len(found.faulty), 'file')} can't be read"
    return treated


def _training_images(found: Found, data: Mapping[str, Any]) -> int:
    folds, images = data.get("folds", 0), sum(found.counts[found.layout.train].values())
    return images - images // folds if folds else images


def _options(found: Found, trained: Trained | None) -> Iterator[tuple[dict[str, Any], int]]:
    """Networks with image sizes, the largest first."""
    largest = size_for(found.shorter_sides)
    if largest is None:
        raise SklabError(f"{found.layout.root}: none of the files is an image that can be read")
    smaller = [size for size in (128, 96, 64, 48, 32) if size < largest]
    networks = _NETWORKS
    if trained:
        networks = (({"base": trained.base, "init": trained.file}, min(largest, _smallest(trained.base))),)
    for model, smallest in networks:
        yield from ((model, size) for size in (largest, *smaller) if size >= smallest)


def _smallest(base: str) -> int:
    """Pixels a side that leave the last maps of a trained network 4x4: with fewer, a dilated kernel sees padding."""
    return 128 if image_size(base) > 128 else 32


def _sized(found: Found, data: dict[str, Any], model: dict[str, Any], size: int, why: dict[str, str]) -> Choice:
    largest, sides = size_for(found.shorter_sides), found.shorter_sides
    typical = f"shorter sides are {sides[0]} to {sides[-1]} pixels, half of them {sides[len(sides) // 2]} or more"
    less = "" if size == largest else f"; {largest} would fit them, but takes too long here"
    reasons = {**why, "data.image_size": f"{typical}{less}"}
    sized = {**data, "image_size": size, "resize": resize_for(size)}
    if size <= _LARGEST_IN_MEMORY and {image.sides for image in found.whole} == {(size, size)} and not found.faulty:
        reasons["data.in_memory"] = "all images are so small and of this size"
        sized |= {"resize": size, "in_memory": True}
    return Choice(sized, dict(model), {}, "", 0.0, reasons)


def _with_recipe(found: Found, choice: Choice, images: int, machine: Machine, count: Count) -> Choice:
    """The choice with recipe, metric and rough price."""
    batch = max(2, min(64 if images >= 2000 else 32 if images >= 400 else 16, images // 4))
    rates, epochs = _rates(choice.model, batch), _epochs(images, tuned="init" in choice.model)
    in_memory = choice.data.get("in_memory", False)
    changes = {"pad_crop": 4, "flip": True} if in_memory else {"random_resized_crop": [0.35, 1.0], "flip": True}
    train = {
        "epochs": epochs,
        "batch_size": batch,
        **rates,
        "nesterov": True,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "warmup_epochs": _warmup(epochs),
        "precision": "bf16" if machine.gpu else "fp32",
        "memory_format": "channels_last",
        "augment": changes,
    }
    model = {key: value for key, value in choice.model.items() if key not in ("base", "init")}
    size = choice.data["image_size"]
    built = network(choice.model["base"], **model, in_channels=3, num_classes=choice.data["num_classes"])
    seconds = images * epochs * (_PASSES * count(built, size) / _RATE[machine.gpu] + (0 if in_memory else machine.read))
    uneven = found.imbalance >= _UNEVEN
    why = {
        **choice.why,
        **_start(choice.model),
        "train.epochs": f"{quantity(images, 'training image')}; the fewer, the more often each is seen",
        "train.batch_size": f"{images // batch} steps an epoch",
        "metric": "classes differ in size, so each counts the same: the balanced error"
        if uneven
        else "classes are about equal in size",
    }
    metric = "val_balanced_error" if uneven else "val_error"
    total = seconds * math.ceil(SEEDS * CELLS / machine.slots)
    return replace(choice, train=train, metric=metric, seconds=total, why=why)


def _rates(model: Mapping[str, Any], batch: int) -> dict[str, float]:
    """The learning rate; where weights are trained, a tenth of it for them."""
    if "init" in model:
        return {"lr": round(0.05 * batch / 64, 4), "trunk_lr": 0.1}
    return {"lr": round((0.2 if model["base"] == "sknet_small" else 0.1) * min(batch, 32) / 32, 4)}


def _epochs(images: int, *, tuned: bool) -> int:
    """Fewer for more images, and fewer for weights that are trained already."""
    least, most, at_1000 = (5, 30, 15) if tuned else (10, 60, 40)
    return max(least, min(most, round(at_1000 * math.sqrt(1000 / images))))


def _start(model: Mapping[str, Any]) -> dict[str, str]:
    """The reason for the network and for its weights."""
    if "init" not in model:
        return {"model.base": "the largest of our networks that this machine trains in time"}
    return {
        "model.base": "the network of these weights",
        "model.init": "trained weights; the head is fresh where the classes are others",
        "train.lr": "0.05 for batches of 64, in proportion",
        "train.trunk_lr": "trained weights learn at a tenth of the rate, fresh ones at the whole rate",
    }


def _warmup(epochs: int) -> float:
    return max(0.5, epochs // 10)
