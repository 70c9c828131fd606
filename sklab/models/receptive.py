"""Receptive fields of a network's stages: the theoretical ones (from the architecture) and the effective ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_POOLS = (F.max_pool2d, torch.max_pool2d, F.avg_pool2d)


class Window(NamedTuple):
    """The input window of a tensor's pixel: `size` pixels a side; windows of neighbours are `jump` pixels apart."""

    size: int = 1
    jump: int = 1


def theoretical(network: nn.Module, image: Tensor, stages: Mapping[str, str]) -> dict[str, int]:
    """By stage, the side in pixels of the input window that its output depends on; `stages` holds module paths.

    Follows the path of the largest windows through convolutions and poolings with a kernel. Pooling over whole images
    (attention, squeeze-and-excitation) is left out; the windows that CBAM, BAM and LSK lay on maps count. `image`
    [1, C, H, W] may lie on the meta device.
    """
    sizes = {}
    with ExitStack() as stack:
        tracer = _Tracer()
        for stage, path in stages.items():

            def keep(_module: nn.Module, _inputs: Any, output: Tensor, stage: str = stage) -> None:
                sizes[stage] = tracer.window(output).size

            stack.enter_context(network.get_submodule(path).register_forward_hook(keep))
        stack.enter_context(torch.no_grad())
        stack.enter_context(tracer)
        network(image)
    return sizes


def effective(network: nn.Module, images: Tensor, stages: Mapping[str, str]) -> dict[str, Tensor]:
    """By stage, the sum over images [N, C, H, W] of the absolute gradient of the centre activation: [H, W].

    The activation is the channels' mean at the centre of the stage's output; the gradient is summed over colours.
    Source: Luo, Li, Urtasun, Zemel, Understanding the effective receptive field, NeurIPS 2016, section 2.
    """
    centres: dict[str, Tensor] = {}
    inputs = images.detach().clone().requires_grad_()
    with ExitStack() as stack:
        for stage, path in stages.items():

            def keep(_module: nn.Module, _inputs: Any, output: Tensor, stage: str = stage) -> None:
                # Read now: a later layer may overwrite the output.
                centres[stage] = output[:, :, output.shape[2] // 2, output.shape[3] // 2].mean(1).sum()

            stack.enter_context(network.get_submodule(path).register_forward_hook(keep))
        network(inputs)
    return {stage: _absolute(centres[stage], inputs) for stage in stages}


def _absolute(centre: Tensor, inputs: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(centre, inputs, retain_graph=True)
    return gradient.abs().sum((0, 1))


class _Tracer(TorchFunctionMode):
    """Follows the windows of tensors through the functions that are called while this mode is active."""

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[int, tuple[Tensor, Window]] = {}  # keeps the tensor alive, so that its id stays unique

    def window(self, tensor: Tensor) -> Window:
        return self._windows[id(tensor)][1] if id(tensor) in self._windows else Window()

    def __torch_function__(
        self, func: Callable[..., Any], _types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        output = func(*args, **given)
        window = max((self.window(tensor) for tensor in _tensors(args)), default=Window())
        if func is F.conv2d:
            window = _grown(window, max(args[1].shape[2:]), args[3], args[5])
        elif func in _POOLS:
            window = _grown(window, args[1], given.get("stride", args[2] if len(args) > 2 else None) or args[1], 1)
        elif func is Tensor.__getitem__:  # a strided slice, as in `DecimatedConv2d`
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            steps = (index.step or 1 if isinstance(index, slice) else 1 for index in indices)
            window = _grown(window, 1, max(steps), 1)
        for tensor in _tensors(output):
            self._windows[id(tensor)] = (tensor, window)
        return output


def _grown(window: Window, kernel: Any, stride: Any, dilation: Any) -> Window:
    settings = (kernel, stride, dilation)
    side, step, spacing = (max(pair) if isinstance(pair, tuple) else int(pair) for pair in settings)
    return Window(window.size + spacing * (side - 1) * window.jump, window.jump * step)


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
