"""The Selective Kernel convolution (Li, Wang, Hu, Yang, CVPR 2019, section 3.1): Split, Fuse, Select.

Shapes: N images, C channels, M branches, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from sklab.errors import SklabError
from sklab.models.attention.mixers import SpatialSelection, mixer
from sklab.models.attention.pooling import summed
from sklab.spec.model import Branch, Mixing
from sklab.store.files import first_fault

SK = Mixing()  # Fuse and Select with d = 32


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU. `branch` says kernel, dilation and groups."""

    def __init__(self, in_channels: int, out_channels: int, branch: Branch, stride: int = 1) -> None:
        conv = conv_class(stride, branch.dilation)(
            in_channels,
            out_channels,
            branch.kernel,
            stride=stride,
            padding=branch.padding,
            dilation=branch.dilation,
            groups=branch.groups,
            bias=False,
        )
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class SKConv2d(nn.Module):
    """M convolutions of one input, mixed by attention or summed.

    Input [N, in_channels, H, W], output [N, out_channels, ceil(H / stride), ceil(W / stride)].

    branches  kernel, dilation and groups of each convolution, as they are: a `Branch`, or a mapping such as
              `{"kernel": 3, "dilation": 2, "groups": 32}`
    mixing    how they are mixed; by default Fuse and Select. The weights are the output of the submodule `attention`.
              A plain sum has none, and so no parameters beside the branches'

    Raises SklabError if there is no branch, or a mapping is none, and ValueError if a branch's groups do not divide the
    channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        branches: Sequence[Branch | Mapping[str, Any]],
        *,
        stride: int = 1,
        mixing: Mixing = SK,
    ) -> None:
        super().__init__()
        if not branches:
            raise SklabError("an SK convolution needs at least one branch")
        stated = [branch if isinstance(branch, Branch) else _branch(branch) for branch in branches]
        self.branches = nn.ModuleList(ConvNormAct(in_channels, out_channels, branch, stride) for branch in stated)
        self.attention = mixer(mixing, out_channels, len(branches))

    def forward(self, x: Tensor) -> Tensor:
        features = [branch(x) for branch in self.branches]
        if self.attention is None:
            return summed(features)
        weights: Tensor = self.attention(features)
        return _select(features, weights if self._by_pixel else weights[..., None, None])

    @property
    def _by_pixel(self) -> bool:
        return isinstance(self.attention, SpatialSelection)


def _branch(settings: Mapping[str, Any]) -> Branch:
    try:
        return Branch.model_validate(settings)
    except ValidationError as error:
        raise SklabError(f"branches: {settings}: {first_fault(error)}") from None


def _select(features: list[Tensor], weights: Tensor) -> Tensor:
    """Sum over the branches of features [N, C, H, W] times their weights (paper, equation 6).

    `weights` [N, M, C, H, W]; any side but M may be one, where the weights are the same along it.
    """
    scales = weights.to(features[0].dtype).unbind(dim=1)
    total = features[0] * scales[0]
    for feature, scale in zip(features[1:], scales[1:], strict=True):
        total.addcmul_(feature, scale)
    return total


class DecimatedConv2d(nn.Conv2d):
    """A convolution whose dilation D is a multiple of its stride s: on the CPU the same outputs in less time.

    It reads only every s-th pixel in each direction. On these pixels it is a convolution of stride 1, dilation D / s
    and padding P / s. The CPU's libraries have a fast path for that, but none for strided dilated convolutions
    (benchmarks/networks.md). The kernel is square; P is a multiple of s too, because it keeps the size at stride 1.

    On CUDA it is the plain strided convolution: there the gradient of choosing pixels would fill two tensors of the
    image's size with zeros, and lose channels_last.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return super().forward(x)
        step = self.stride[0]
        padding, dilation = ((size // step,) * 2 for size in (int(self.padding[0]), self.dilation[0]))
        return F.conv2d(x[..., ::step, ::step], self.weight, self.bias, (1, 1), padding, dilation, self.groups)


def conv_class(stride: int, dilation: int) -> type[nn.Conv2d]:
    """The fastest class for a convolution of this stride and dilation; the outputs are the same."""
    return DecimatedConv2d if stride > 1 and dilation % stride == 0 else nn.Conv2d
