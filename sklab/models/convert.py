"""Replace chosen convolutions of any network by SK convolutions.

What follows a convolution decides what a branch contains. If a batch, instance or group norm takes the convolution's
output, and a torch.nn activation takes the norm's, every branch gets a copy of both, as in the paper; nn.Identity
replaces the originals, so nothing is applied twice. An activation that can't move (it is called as a function or shared
with other layers) stays after the mixture.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, get_args

from pydantic import ValidationError
from torch import nn
from torch.nn.modules.conv import _ConvNd

from sklab.errors import SklabError
from sklab.models.follow import Followers, follow
from sklab.models.sk import SKConv2d, conv_class
from sklab.spec.model import Branch, Mixer, Mixing

Select = str | re.Pattern[str] | Callable[[str, nn.Module], bool]

SK_BRANCHES: tuple[Mapping[str, Any], ...] = ({"kernel": 3}, {"kernel": 3, "dilation": 2})  # SK[2, G, r] of the paper


def to_sk(
    module: nn.Module,
    select: Select = "grouped3x3",
    branches: Sequence[Branch | Mapping[str, Any]] = SK_BRANCHES,
    attention: Mixer = "sk",
    reduction: int = 16,
    min_dim: int = 32,
) -> nn.Module:
    """A copy of `module` with SK convolutions in place of the selected ones. `module` itself is not changed.

    select     `grouped3x3` (1 < groups < channels), `depthwise3x3` (groups = channels), any other text: a glob over the
               dotted path of a convolution, a compiled regular expression that the whole path matches, or a
               function of path and convolution
    branches   as in a ModelSpec; groups default to those of the convolution, and `2x` is a multiple of those
    attention  how the branches are mixed, a kind of `sklab.spec.model.Mixing`: Fuse and Select, or for example `none`,
               their plain sum
    reduction  r, and `min_dim` L: d = max(C / r, L) for C output channels

    Stride, channels, bias, device, dtype and training mode are the convolution's. A branch with the same kernel,
    dilation and groups as the convolution starts from its weights and those of the norm after it. Every other branch
    starts with fresh weights: He et al.'s normal rule over fan-out, zero bias, fresh norm. Hence one branch of the
    first kind without attention leaves the network's output unchanged, and so do M of them with weights that sum
    to one (`mean`, `static`, `sk`, `splat`). The optimiser must be made afterwards.

    Raises SklabError for an unknown kind of attention, and for convolutions that have no exact replacement, with the
    path and the reason of each.
    """
    if attention not in get_args(Mixer):
        raise SklabError(f"unknown attention {attention!r}; allowed: {', '.join(get_args(Mixer))}")
    chosen = {path: conv for path, conv in _convolutions(module) if _selects(select, path, conv)}
    if not chosen:
        raise SklabError(f"select {_shown(select)} matches no convolution of this {type(module).__name__}")
    _refuse({path: _obstacle(conv) for path, conv in chosen.items()})
    _refuse(_shared_weights(module, chosen))
    plans = {path: _branches(path, conv, branches) for path, conv in chosen.items()}
    followers = follow(module, chosen)
    changed = copy.deepcopy(module)
    for path, plan in plans.items():
        mixing = Mixing(kind=attention, squeezed=max(chosen[path].out_channels // reduction, min_dim))
        sk = _replacement(changed, path, plan, followers[path], mixing)
        if not path:
            return sk
        changed.set_submodule(path, sk)
    return changed


def _convolutions(module: nn.Module) -> list[tuple[str, Any]]:
    named = module.named_modules(remove_duplicate=False)
    return [(path, part) for path, part in named if isinstance(part, _ConvNd)]


def _selects(select: Select, path: str, conv: Any) -> bool:
    if isinstance(select, re.Pattern):
        return select.fullmatch(path) is not None
    if callable(select):
        return select(path, conv)
    if select not in ("depthwise3x3", "grouped3x3"):
        return fnmatchcase(path, select)
    depthwise = conv.groups == conv.in_channels
    return bool(conv.groups > 1 and conv.kernel_size == (3, 3) and depthwise == (select == "depthwise3x3"))


def _shown(select: Select) -> str:
    if isinstance(select, re.Pattern):
        return repr(select.pattern)
    return repr(select) if isinstance(select, str) else getattr(select, "__name__", repr(select))


def _refuse(reasons: Mapping[str, str]) -> None:
    lines = [f"  {path or '(the module itself)'}: {reason}" for path, reason in reasons.items() if reason]
    if lines:
        raise SklabError("no SK convolution can stand exactly in place of\n" + "\n".join(lines))


def _obstacle(conv: Any) -> str:
    """Why `conv` has no exact replacement, or ""."""
    if type(conv) is not nn.Conv2d:
        return f"it is a {type(conv).__name__}, not a plain Conv2d"
    for name in ("kernel_size", "stride", "dilation"):
        if len(set(getattr(conv, name))) > 1:
            return f"its {name} {getattr(conv, name)} is not square"
    if conv.kernel_size[0] % 2 == 0:
        return f"its kernel {conv.kernel_size} is even"
    if conv.padding_mode != "zeros":
        return f"its padding mode is {conv.padding_mode!r}, not zeros"
    keeps = conv.dilation[0] * (conv.kernel_size[0] - 1) // 2
    padding = {"same": (keeps, keeps), "valid": (0, 0)}.get(str(conv.padding), conv.padding)
    if padding != (keeps, keeps):
        return f"its padding {padding} is not {keeps}, which keeps the size at stride 1"
    hooks = (conv._forward_hooks, conv._forward_pre_hooks, conv._backward_hooks, conv._backward_pre_hooks)
    return "it carries hooks, which would be lost" if any(hooks) else ""


def _shared_weights(module: nn.Module, chosen: Mapping[str, nn.Conv2d]) -> dict[str, str]:
    """By path, why a convolution can't be replaced: its weights are shared with another layer; "" if they are not."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    reasons = {}
    for path, conv in chosen.items():
        shared = next((paths for part in conv.parameters() if len(paths := names[id(part)]) > 1), None)
        reasons[path] = f"its weights are shared: {', '.join(shared)}" if shared else ""
    return reasons


def _branches(path: str, conv: nn.Conv2d, branches: Sequence[Branch | Mapping[str, Any]]) -> list[Branch]:
    """The branches for `conv`. The groups of each are a number that divides the channels."""
    try:
        plan = [Branch.model_validate(_with_groups(branch, conv.groups)) for branch in branches]
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(map(str, ("branches", *detail["loc"])))
        raise SklabError(f"{path}: {place}: {detail['msg'].removeprefix('Value error, ')}") from None
    for branch in plan:
        if conv.in_channels % branch.groups or conv.out_channels % branch.groups:
            channels = f"{conv.in_channels} and {conv.out_channels} channels"
            _refuse({path: f"the groups of the branch {branch} do not divide its {channels}"})
    return plan


def _with_groups(branch: Branch | Mapping[str, Any], groups: int) -> Any:
    if isinstance(branch, Branch):
        return branch
    stated = branch.get("groups", groups)
    multiple = re.fullmatch(r"(\d+)x", stated) if isinstance(stated, str) else None
    return {**branch, "groups": int(multiple[1]) * groups if multiple else stated}


def _replacement(changed: nn.Module, path: str, plan: Sequence[Branch], after: Followers, mixing: Mixing) -> nn.Module:
    """The SK convolution for the convolution at `path`. Removes the norm and activation after it from `changed`."""
    conv = changed.get_submodule(path)
    assert isinstance(conv, nn.Conv2d)
    sk = SKConv2d(conv.in_channels, conv.out_channels, plan, stride=conv.stride[0], mixing=mixing).to(conv.weight)
    followers = [changed.get_submodule(name) for name in (after.norm, after.activation) if name]
    if after.relu_stays and len(plan) > 1:  # the ReLU that stays then gets nothing negative, so it changes nothing
        followers.append(nn.ReLU(inplace=True))
    sk.branches = nn.ModuleList(_branch(conv, followers, branch) for branch in plan)
    for name in filter(None, (after.norm, after.activation)):
        changed.set_submodule(name, nn.Identity())
    return sk.train(conv.training)


def _branch(conv: nn.Conv2d, followers: Sequence[nn.Module], branch: Branch) -> nn.Sequential:
    copies = copy.deepcopy(followers)
    if _window(conv) == (branch.kernel, branch.dilation, branch.groups):
        return nn.Sequential(copy.deepcopy(conv), *copies)
    return nn.Sequential(_fresh(conv, branch), *map(_renewed, copies))


def _window(conv: nn.Conv2d) -> tuple[int, int, int]:
    return conv.kernel_size[0], conv.dilation[0], conv.groups


def is_copy(conv: nn.Conv2d, branch: nn.Module) -> bool:
    """Whether a branch's convolution has started from the weights of `conv`, which it replaces."""
    return isinstance(branch, nn.Conv2d) and _window(branch) == _window(conv)


def _fresh(conv: nn.Conv2d, branch: Branch) -> nn.Conv2d:
    new = conv_class(conv.stride[0], branch.dilation)(
        conv.in_channels,
        conv.out_channels,
        branch.kernel,
        conv.stride[0],
        branch.padding,
        branch.dilation,
        branch.groups,
        bias=conv.bias is not None,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new


def _renewed(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    return module
