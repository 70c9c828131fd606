"""A recipe at work: the optimiser and its learning rate, the loss of a batch, the averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklab.data.changes.mixing import drawn_mix, inside
from sklab.errors import SklabError
from sklab.models.numerics import AUTOCAST
from sklab.own.files import called, own
from sklab.spec.own.parts import OwnSetting
from sklab.spec.train import TrainSpec


def make_optimizer(model: nn.Module, recipe: TrainSpec, trunk: Collection[str] = frozenset()) -> torch.optim.Optimizer:
    """SGD, or AdamW (Loshchilov and Hutter, 2019, algorithm 2), over all parameters that are not frozen, in groups with
    the same settings. `trunk` names those that learn at the recipe's rate for weights that were there before.

    On CUDA it is fused, a kernel for many parameters, where `can_be_fused`. One of the user's own gets the same groups.
    Raises SklabError for whatever its code raises, and where that makes no optimiser.
    """
    if isinstance(recipe.optimizer, OwnSetting):
        return _own_optimizer(recipe.optimizer, _groups(model, recipe, trunk), recipe)
    fused = can_be_fused(recipe) and any(parameter.is_cuda for parameter in model.parameters())
    groups, decay = _groups(model, recipe, trunk), recipe.weight_decay
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.lr, recipe.betas, recipe.eps, decay, fused=fused or None)  # type: ignore[arg-type]  # a pair
    return torch.optim.SGD(
        groups, recipe.lr, recipe.momentum, weight_decay=decay, nesterov=recipe.nesterov, fused=fused or None
    )


def _own_optimizer(named: OwnSetting, groups: list[dict[str, Any]], recipe: TrainSpec) -> torch.optim.Optimizer:
    of_user, rates = own("optimizer", named.name, named.code), {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    made = called(of_user, named.code, groups, **rates, **named.settings)
    if not isinstance(made, torch.optim.Optimizer):
        raise SklabError(f"{of_user}: found {type(made).__name__}; allowed: a torch.optim.Optimizer")
    return made


def can_be_fused(recipe: TrainSpec) -> bool:
    """Whether a fused optimiser goes with the recipe. Not in fp16, where it unscales gradients itself: a first step of
    SGD that overflows would leave the momentum unset. And in 16 bits Lightning refuses to clip gradients for it."""
    return recipe.precision == "fp32" or (recipe.precision == "bf16" and not recipe.clip_norm)


@torch.no_grad()
def align_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Give each gradient the strides of its weight: along a dimension of size 1 they may differ, and the fused kernels
    of CUDA then refuse both (pytorch#106951)."""
    for weight in weights:
        if weight.grad is not None and weight.grad.stride() != weight.stride():
            weight.grad = torch.empty_like(weight).copy_(weight.grad)


def _groups(model: nn.Module, recipe: TrainSpec, trunk: Collection[str]) -> list[dict[str, Any]]:
    """The parameters with the same settings, and those of their settings that are not the recipe's own.

    Scales and shifts of norm layers and biases are what has one dimension; every true weight has two or more.
    """
    slow = trunk if recipe.trunk_lr != 1 else ()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_spared = not recipe.decay_norm_and_bias and parameter.ndim <= 1
            groups.setdefault((name in slow, is_spared), []).append(parameter)
    return [
        {
            "params": groups[is_slow, is_spared],
            **({"lr": recipe.lr * recipe.trunk_lr} if is_slow else {}),
            **({"weight_decay": 0.0} if is_spared else {}),
        }
        for is_slow, is_spared in sorted(groups)  # fresh weights first: theirs is the rate that is logged
    ]


def learning_rate(recipe: TrainSpec, epoch: float) -> float:
    """The learning rate after `epoch` epochs (a fraction inside one): linear warm-up from 0, then steps or a cosine."""
    if epoch < recipe.warmup_epochs:
        return recipe.lr * epoch / recipe.warmup_epochs
    if recipe.schedule == "step":
        steps = sum(epoch >= at for at in recipe.step_at) if recipe.step_at else int(epoch) // recipe.step_every
        return float(recipe.lr * recipe.step_factor**steps)
    done = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.lr * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def autocast(recipe: TrainSpec, device: torch.device) -> torch.autocast:
    """The context in which forward passes compute with the recipe's precision."""
    half = AUTOCAST.get(recipe.precision)
    return torch.autocast(device.type, half, enabled=half is not None, cache_enabled=False)  # as Lightning has it


class Mixture(NamedTuple):
    """How a batch of B images is mixed with itself: a label is `kept` the image's own and `mixed` = 1 - `kept` that of
    its partner, whose place `partners` int64 [B] holds; a pixel is `blend` the partner's. `blend` is float32 [H, W],
    or the same number everywhere. Numbers are floats, or float32 []."""

    kept: Any
    mixed: Any
    blend: Any
    partners: Tensor


def drawn_mixture(recipe: TrainSpec, images: Tensor, place: tuple[int, int, int]) -> Mixture | None:
    """How the batch `images` [B, C, H, W] at `place` (seed, epoch, number of the batch) is mixed; None where the recipe
    mixes nothing.

    Where several devices share a batch, `kept` and `blend` are those of the whole batch, and partners are found within
    each part.
    """
    size, _, *sides = images.shape
    mix = drawn_mix(recipe, (size, sides[0], sides[1]), place)
    if mix is None:
        return None
    partners = torch.from_numpy(mix.partners).to(images.device, non_blocking=True)
    blend: Any = mix.share
    if recipe.cutmix:
        blend = inside(torch.tensor(mix.box).to(images.device, non_blocking=True), *sides) * blend
    return Mixture(mix.kept, 1 - mix.kept, blend, partners)


def batch_loss(
    model: Callable[[Tensor], Tensor], batch: tuple[Tensor, Tensor], recipe: TrainSpec, mixture: Mixture | None = None
) -> Tensor:
    """The recipe's loss of (images [B, C, H, W], labels [B]), with its label smoothing, mixup and CutMix.

    Mixup (Zhang et al., 2018, equation 2): images and one-hot labels are both kept * own + mixed * partner's. CutMix
    (Yun et al., 2019, equation 1): images within a box only. Both losses are linear in the labels.
    """
    images, labels = batch
    if mixture is None:
        return _loss(model(images), labels, recipe)
    partners = mixture.partners
    # In place on a copy: that keeps the strides, which decide how one-channel images are convolved.
    logits = model(images.clone().lerp_(images[partners], mixture.blend))
    own, other = (_loss(logits, each, recipe) for each in (labels, labels[partners]))
    loss: Tensor = mixture.kept * own + mixture.mixed * other
    return loss


def _loss(logits: Tensor, labels: Tensor, recipe: TrainSpec) -> Tensor:
    """Mean over the images of the cross-entropy; or mean over images and classes of the binary cross-entropy, as timm
    has it (Wightman et al., 2021, section 3). The smoothed label is 1 - smoothing + smoothing / K, others are smoothing
    / K, for K classes."""
    smoothing, classes = recipe.label_smoothing, logits.shape[1]
    if recipe.loss == "cross_entropy":
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    true = labels[:, None] == torch.arange(classes, device=labels.device)  # one_hot waits for the device
    return F.binary_cross_entropy_with_logits(logits.float(), true * (1 - smoothing) + smoothing / classes)


class Average:
    """Follows a network: a = w_1 after the first update, then a <- decay a + (1 - decay) w.

    The running statistics of batch norm are averaged alike, so that they fit the averaged weights.

    network  a copy that holds the averages, in eval mode
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        pairs = zip(*(each.state_dict(keep_vars=True).values() for each in (self.network, network)), strict=True)
        once = {id(mean): (mean, now) for mean, now in pairs}.values()  # a tensor may have several names
        self._floats = _lists(pair for pair in once if pair[0].is_floating_point())
        self._others = _lists(pair for pair in once if not pair[0].is_floating_point())
        self._weight, self.begun = 1 - decay, False

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on from here."""
        return {"network": self.network.state_dict(), "begun": self.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.begun = state["begun"]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's present weights. A kernel is for many tensors, and nothing waits for the device."""
        means, now = self._floats
        if self.begun:
            torch._foreach_lerp_(means, now, self._weight)
        else:
            _copy(means, now)
        _copy(*self._others)
        self.begun = True


def _lists(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    both = list(pairs)
    return [mean for mean, _ in both], [now for _, now in both]


def _copy(means: list[Tensor], now: list[Tensor]) -> None:
    if means:
        torch._foreach_copy_(means, now)
