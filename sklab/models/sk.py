"""The Selective Kernel convolution (Li, Wang, Hu, Yang, CVPR 2019, section 3.1): Split, Fuse, Select.

Shapes: N images, C channels, M branches, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklab.errors import SklabError
from sklab.spec.model import Branch

# The sum of many pixels may be more than fp16's largest number: autocast decides. A table, since torch.fx, which traces
# networks to convert them, can't follow a condition.
_SUM_DTYPES: dict[torch.dtype, torch.dtype | None] = {torch.float16: None}


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


class SKAttention(nn.Module):
    """Fuse's compact descriptor and Select's softmax (paper, equations 3 to 5).

    Input [N, C]: the average over the pixels of the sum of the branches. Output [N, M, C]: the weight of each
    branch, which sums to one over M; read it with a forward hook on this module. fc C -> `squeezed` (d) and
    fc d -> M C, both without bias, with BN and ReLU between them.

    In training mode the BN needs a batch of at least two (ValueError).
    """

    def __init__(self, channels: int, branches: int, squeezed: int) -> None:
        super().__init__()
        self.branches = branches
        self.squeeze = nn.Sequential(
            nn.Linear(channels, squeezed, bias=False), nn.BatchNorm1d(squeezed), nn.ReLU(inplace=True)
        )
        self.expand = nn.Linear(squeezed, branches * channels, bias=False)

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.expand(self.squeeze(pooled))
        # Not `len(logits)`: that is a plain number, and torch.export would fix the batch size to it.
        return logits.view(logits.shape[0], self.branches, -1).softmax(dim=1)


class SKConv2d(nn.Module):
    """M convolutions of one input, mixed per image and channel by attention, or summed.

    Input [N, in_channels, H, W], output [N, out_channels, ceil(H / stride), ceil(W / stride)].

    branches   kernel, dilation and groups of each convolution, as they are
    attention  True: Fuse and Select, whose weights are the output of the submodule `attention`;
               False: the plain sum of the branches, without any parameter of Fuse and Select
    squeezed   d, the width of Fuse's descriptor; unused by the plain sum

    Raises SklabError if there is no branch, and ValueError if a branch's groups do not divide the channels.
    """

    attention: SKAttention | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        branches: Sequence[Branch],
        *,
        stride: int = 1,
        attention: bool,
        squeezed: int,
    ) -> None:
        super().__init__()
        if not branches:
            raise SklabError("an SK convolution needs at least one branch")
        self.branches = nn.ModuleList(ConvNormAct(in_channels, out_channels, branch, stride) for branch in branches)
        self.attention = SKAttention(out_channels, len(branches), squeezed) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        features = [branch(x) for branch in self.branches]
        if self.attention is None:
            return _sum(features)
        # The average of the sum is the sum of the averages, so the sum itself is never written to memory.
        pooled = _sum([global_average(feature) for feature in features])
        return _select(features, self.attention(pooled))


def global_average(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C]. The backward pass of `sum`, unlike that of `mean`, writes no full-size tensor.

    That holds where the sum has the dtype of `x`; left to itself, autocast on CUDA would make it fp32.
    """
    return x.sum(dim=(2, 3), dtype=_SUM_DTYPES.get(x.dtype, x.dtype)) / (x.shape[2] * x.shape[3])


def _sum(tensors: list[Tensor]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _select(features: list[Tensor], weights: Tensor) -> Tensor:
    """Sum over the branches of features [N, C, H, W] times weights [N, M, C] (paper, equation 6)."""
    scales = weights.to(features[0].dtype)[..., None, None].unbind(dim=1)
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
