"""Networks of timm and torchvision by name, made by the libraries' own functions. Both libraries are optional."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sklab.errors import SklabError
from sklab.spec.names import did_you_mean
from sklab.store.versions import INSTALL, Library, imported


def create_foreign(library: Library, name: str, num_classes: int, in_channels: int) -> nn.Module:
    """The classification network that `library` calls `name`, with fresh weights; nothing is downloaded.

    Input [N, in_channels, H, W], output logits [N, num_classes].

    Raises SklabError, with the remedy, when the library is missing or can't be imported, does not know the name, or
    can't make this network for that many channels.
    """
    if library not in INSTALL:
        raise SklabError(f"unknown library {library!r}; allowed: {', '.join(INSTALL)}")
    create = _timm if library == "timm" else _torchvision
    origin = imported(library)
    try:
        return _on_this_device(lambda: create(origin, name, num_classes, in_channels))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise SklabError(
            f"{library} can't make {name} for {num_classes} classes and {in_channels} channels: {error}"
        ) from error


def pretrained_tensors(library: Library, name: str) -> Mapping[str, Tensor]:
    """The trained tensors that `library` offers for its network `name` (its default ones, where there are several). It
    keeps what it downloads; nothing is drawn from torch's generators.

    Raises SklabError when the library can't be imported, does not know the name, offers no weights or can't get them.
    """
    origin, offered = imported(library), {"timm": _of_timm, "torchvision": _of_torchvision}[library]
    try:
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            return offered(origin, name)
    except SklabError:
        raise
    except Exception as error:  # whatever a download raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SklabError(
            f"model.pretrained: {library}'s weights of {name} can't be had here: {reason}; {library} downloads them "
            f"once and keeps them; or name a file of weights under model.init"
        ) from error


def _of_timm(timm: Any, name: str) -> Mapping[str, Tensor]:
    _check_name("timm", name, timm.list_models())
    tensors: Mapping[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    return tensors


def _of_torchvision(torchvision: Any, name: str) -> Mapping[str, Tensor]:
    _check_name("torchvision", name, torchvision.models.list_models(module=torchvision.models))
    weights = torchvision.models.get_model_weights(name).DEFAULT
    tensors: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    return tensors


def _on_this_device(create: Callable[[], nn.Module]) -> nn.Module:
    """The network on torch's default device. A network that computes with tensors while it is made can't be made on the
    meta device: it is made in memory and then moved there, without its weights."""
    try:
        return create()
    except NotImplementedError:
        if torch.get_default_device().type != "meta":
            raise
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        return create().to("meta")


def _timm(timm: Any, name: str, num_classes: int, in_channels: int) -> nn.Module:
    _check_name("timm", name, timm.list_models())  # create_model itself would also follow addresses such as hf-hub:...
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)
    return model


def _torchvision(torchvision: Any, name: str, num_classes: int, in_channels: int) -> nn.Module:
    _check_name("torchvision", name, torchvision.models.list_models(module=torchvision.models))
    if in_channels != 3:
        raise SklabError(f"torchvision makes {name} for 3 channels only, not {in_channels}")
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    if getattr(model, "aux_logits", False):
        raise SklabError(f"torchvision's {name} has further outputs in training, which sklab has no loss for")
    return model


def _check_name(library: str, name: str, known: list[str]) -> None:
    if name not in known:
        hint = did_you_mean(name, known)
        raise SklabError(f"{library} has no network {name!r}" + (f" - did you mean {hint!r}?" if hint else ""))
