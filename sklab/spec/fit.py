"""Checks that data, network and recipe fit together, from values alone: impossible and doubtful settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from math import prod
from operator import attrgetter

from sklab.spec.data import Images
from sklab.spec.model import Window
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Sweep
from sklab.spec.train import TrainSpec

_TOY = "stand_in"  # noise at a quarter of the images' side; its results do not matter
_MOST_NAMED = 4  # cells in a line
# Settings that only one value of another setting uses.
_ONLY_WITH: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("optimizer", "sgd", ("momentum", "nesterov")),
    ("optimizer", "adamw", ("betas", "eps")),
    ("augment.policy", "randaugment", ("augment.magnitude", "augment.operations")),
)
_DEFAULTS = TrainSpec(epochs=1, batch_size=2, lr=1.0)
_LARGE_STEP = 0.05  # of every weight; weights of a trained network are of this size
_OF_A_POLICY = (1, 3)  # channels of an image that torchvision's policies change


def why_impossible(experiment: Experiment) -> str:
    """The reason why the experiment can't be trained as it is described; "" if it can."""
    images = experiment.data.images
    reasons = misfits(experiment.train, images) if images else ()
    return "; ".join(chain(reasons, _unchangeable(experiment), _beyond_every_map(experiment)))


def _unchangeable(experiment: Experiment) -> Iterator[str]:
    """Images that torchvision's policies do not take."""
    policy, channels = experiment.train.augment.policy, experiment.data.channels
    if policy and channels not in _OF_A_POLICY:
        yield f"train.augment.policy = {policy} but the images have {channels} channels; allowed: 1 or 3"


def misfits(train: TrainSpec, images: Images) -> Iterator[str]:
    """The reasons why a recipe does not fit these images."""
    batches, crop = images.train // train.batch_size, train.augment.random_resized_crop
    for name, count in (("train", images.train), ("val", images.val)):
        if count == 0:
            yield f"the {name} split has no images"
    if images.train and batches == 0:
        size = f"train.batch_size = {train.batch_size}"
        yield f"{size} but the train split has {images.train} images; allowed: 2 to {images.train}"
    if 0 < batches < train.accumulate:
        yield (
            f"train.accumulate = {train.accumulate} but an epoch has {batches} batches of train.batch_size = "
            f"{train.batch_size}; allowed: 1 to {batches}"
        )
    if 0 < images.val < train.devices:
        devices = f"train.devices = {train.devices}"
        yield f"{devices} but the val split has {images.val} images; allowed: 1 to {images.val}"
    if images.arrays and crop is not None:
        yield f"train.augment.random_resized_crop = {list(crop)} is for image files; allowed here: pad_crop and flip"


def trained_singly(experiment: Experiment) -> Iterator[str]:
    """Why a run of the experiment can't be trained in turn with others by one process; nothing if it can."""
    yield from experiment.train.launched_singly
    if not experiment.data.on_device:
        yield f"data.name = {experiment.data.name} is read from files during training"


def doubtful(experiment: Experiment) -> Iterator[str]:
    """Settings that can be trained but are probably a mistake, a line each."""
    yield from _beyond_some_map(experiment)
    yield from _unsteady(experiment.train)
    yield from _unused(experiment)
    yield from _of_another(experiment.train)
    pad, side = experiment.train.augment.pad_crop, experiment.data.image_size
    if pad >= side:
        yield f"train.augment.pad_crop = {pad} leaves nothing of some images of {side} pixels a side"


def _unsteady(train: TrainSpec) -> Iterator[str]:
    """A learning rate that does not do what the recipe says."""
    late = [epoch for epoch in train.step_at if epoch >= train.epochs]
    if train.schedule == "cosine" and train.step_at:
        yield "train.step_at is not used by train.schedule = cosine"
    elif late:
        yield f"train.step_at = {list(train.step_at)} has steps that never come in train.epochs = {train.epochs}"
    elif train.schedule == "step" and not train.step_at and train.step_every >= train.epochs:
        yield f"train.step_every = {train.step_every}: the rate never falls in train.epochs = {train.epochs}"
    if train.optimizer == "adamw" and train.lr >= _LARGE_STEP:
        yield f"train.lr = {train.lr:g} is a rate for sgd: adamw moves every weight by about as much at each step"
    if train.lr * train.weight_decay >= 1:
        decay = f"train.weight_decay = {train.weight_decay:g}"
        yield f"{decay} at train.lr = {train.lr:g}: a step decays more than all of a weight"


def _unused(experiment: Experiment) -> Iterator[str]:
    """Settings without effect."""
    train, images = experiment.train, experiment.data.images
    if experiment.model.windows and len(experiment.model.windows) == 1 and experiment.model.shares:
        yield "attention over one branch weighs nothing: its weight is always 1"
    if not experiment.model.start and train.trunk_lr != 1:
        yield f"train.trunk_lr = {train.trunk_lr:g} has no effect: the network starts from fresh weights"
    steps = train.epochs * (images.train // train.batch_size // train.accumulate) if images else 0
    if steps and train.ema_decay and steps < (over := round(1 / (1 - train.ema_decay))):
        yield f"train.ema_decay = {train.ema_decay} averages over {over} steps, and {steps} are made"


def _of_another(train: TrainSpec) -> Iterator[str]:
    """Settings that the recipe does not use, for they go with another value of a setting."""
    for setting, user, names in _ONLY_WITH:
        chosen = attrgetter(setting)(train)
        for name in names if chosen != user else ():
            value, default = (attrgetter(name)(each) for each in (train, _DEFAULTS))
            if value != default:
                yield f"train.{name} = {json.dumps(value)} is not used by train.{setting} = {chosen or 'null'}"


def _beyond_every_map(experiment: Experiment) -> Iterator[str]:
    """Branches whose window is larger than every map they read: in effect such a branch has a smaller kernel."""
    sides = _sides(experiment)
    for number, window in _reaching(experiment, max(sides, default=0)):
        yield (
            f"branch {number} ({window}) sees {_by(window.resulting_kernel)} pixels, but the largest map that it is "
            f"laid on has {_by(max(sides))}: its outer weights see only padding everywhere"
        )


def _beyond_some_map(experiment: Experiment) -> Iterator[str]:
    sides = _sides(experiment)
    beyond_every = dict(_reaching(experiment, max(sides, default=0)))
    for number, window in _reaching(experiment, min(sides, default=0)):
        if number not in beyond_every:
            beyond = f"branch {number} ({window}) reaches beyond maps of {_by(min(sides))}"
            yield f"{beyond}: its outer weights see only padding there"


def _sides(experiment: Experiment) -> tuple[int, ...]:
    is_toy = experiment.data.name == _TOY
    return () if is_toy else experiment.model.sides(experiment.data.image_size)


def _reaching(experiment: Experiment, side: int) -> Iterator[tuple[int, Window]]:
    """The branches, numbered from 1, whose outermost weights touch no pixel of a map of `side` pixels a side."""
    for number, window in enumerate(experiment.model.windows, start=1):
        if side and window.resulting_kernel // 2 >= side:
            yield number, window


def _by(side: int) -> str:
    return f"{side}x{side}"


def oddities(sweep: Sweep, experiments: Mapping[str, Experiment]) -> tuple[str, ...]:
    """Doubtful settings of all cells and of the search, a line each; `experiments` by cell."""
    cells: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        for line in doubtful(experiment):
            cells.setdefault(line, []).append(name)
    whole = len(experiments)
    lines = (line if len(names) == whole else f"{_some(names)}: {line}" for line, names in cells.items())
    return tuple(chain(lines, _of_search(sweep, experiments)))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more cells" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _of_search(sweep: Sweep, experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """Settings of a search that its space or the length of training makes ineffective."""
    search = sweep.search
    if search is None:
        return
    others = prod(len(factor.levels) for factor in sweep.factors.values()) - 1
    if search.trials > others:
        yield f"search.trials = {search.trials}, but there are {others} cells besides the baseline"
    pruning, epochs = search.pruning, experiments[sweep.baseline].train.epochs
    if pruning and pruning.start >= epochs:
        yield f"search.pruning.start = {pruning.start}: nothing is pruned before train.epochs = {epochs}"
    if pruning and pruning.rule == "median" and pruning.peers > search.trials:
        yield f"search.pruning.peers = {pruning.peers}: nothing is pruned, search.trials = {search.trials} are too few"
