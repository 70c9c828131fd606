"""SK convolutions in place of other ones: what stays, what is copied, what is refused."""

import copy
import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklab.errors import SklabError
from sklab.models.convert import to_sk
from sklab.models.sk import SKConv2d
from sklab.models.zoo import create_model
from sklab.spec.model import Branch

K3, K5 = {"kernel": 3}, {"kernel": 3, "dilation": 2}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def away_from_the_start(module):
    """Every parameter and running statistic random, as if it had been trained."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape) / max(tensor[0].numel() if tensor.ndim else 1, 1) ** 0.5
                tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return module


class SharedReLU(nn.Module):
    """As in torchvision's residual networks: one in-place ReLU, called behind every norm."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4, bias=False), nn.BatchNorm2d(8)
        self.relu, self.down = nn.ReLU(inplace=True), nn.Conv2d(8, 8, 1, stride=2)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.relu(self.bn2(self.conv2(x))) + self.down(x))


class Functional(nn.Module):
    def __init__(self, activation=F.relu):
        super().__init__()
        self.conv, self.activation = nn.Conv2d(3, 6, 3, padding=1, groups=3), activation

    def forward(self, x, scale=None):
        x = self.activation(self.conv(x))
        return x if scale is None else x * scale


def mobile(activation=nn.ReLU6):
    """An inverted residual: depthwise convolution, norm and activation in a row; a last norm without activation."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 1), nn.BatchNorm2d(12), activation(),
        nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=12, bias=False), nn.BatchNorm2d(12), activation(),
        nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12),
        nn.Conv2d(12, 4, 1),
    )  # fmt: skip


NETWORKS = {
    "zoo": (lambda: create_model("resnext_small", in_channels=3), "grouped3x3"),
    "senet": (lambda: create_model("senet_small", in_channels=3), "grouped3x3"),
    "mobile": (mobile, "depthwise3x3"),
    "silu": (lambda: mobile(nn.SiLU), "depthwise3x3"),
    "prelu": (lambda: mobile(nn.PReLU), "depthwise3x3"),
    "shared": (SharedReLU, "grouped3x3"),
    "functional": (Functional, "depthwise3x3"),
    "gelu": (lambda: Functional(F.gelu), "depthwise3x3"),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", NETWORKS)
def test_one_equal_branch_without_attention_is_the_network_unchanged(kind, training):
    make, select = NETWORKS[kind]
    torch.manual_seed(0)
    network = away_from_the_start(make()).train(training)
    changed = to_sk(network, select, [K3], attention="none")
    assert any(isinstance(part, SKConv2d) for part in changed.modules())
    assert count(changed) == count(network)
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(changed(x), network(x), rtol=0, atol=0)
    changed(x).sum().backward()
    assert all(parameter.grad is not None for parameter in changed.parameters())


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("m", [2, 3])
def test_equal_branches_with_attention_are_the_network_unchanged(kind, m):
    make, select = NETWORKS[kind]
    torch.manual_seed(0)
    network = away_from_the_start(make()).eval()
    changed = to_sk(network, select, [K3] * m)
    assert count(changed) > count(network)
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(changed(x), network(x), rtol=1e-4, atol=1e-5)
    changed.train()(x).sum().backward()


@pytest.mark.parametrize("kind", ["mobile", "silu", "shared"])
def test_the_branch_of_the_same_kernel_is_what_stood_there(kind):
    make, select = NETWORKS[kind]
    torch.manual_seed(0)
    network = away_from_the_start(make()).eval()
    changed = to_sk(network, select, [K5, K3])
    conv, norm = (network[3], network[4]) if kind != "shared" else (network.conv2, network.bn2)
    activation = network[5] if kind != "shared" else network.relu
    sk = changed[3] if kind != "shared" else changed.conv2
    x = torch.randn(2, conv.in_channels, 8, 8)
    torch.testing.assert_close(sk.branches[1](x), activation(norm(conv(x))), rtol=0, atol=0)
    dilated, fresh, _ = sk.branches[0]
    assert (dilated.dilation, dilated.padding, dilated.groups) == ((2, 2), (2, 2), conv.groups)
    assert (fresh.weight == 1).all()
    assert (fresh.running_mean == 0).all()
    assert sk(x).shape == conv(x).shape


def test_what_follows_moves_into_the_branches_and_is_not_applied_twice():
    changed = to_sk(mobile(), "depthwise3x3")
    kinds = [type(part).__name__ for part in changed]
    assert kinds == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU6",
        "SKConv2d",
        "Identity",
        "Identity",
        "SKConv2d",
        "Identity",
        "Conv2d",
    ]
    assert [type(part).__name__ for part in changed[3].branches[0]] == ["Conv2d", "BatchNorm2d", "ReLU6"]
    assert [type(part).__name__ for part in changed[6].branches[1]] == ["Conv2d", "BatchNorm2d"]
    assert changed[6].branches[1][0].bias is not None


def test_what_can_not_move_stays_behind():
    changed = to_sk(Functional(F.gelu), "*")
    assert [type(part).__name__ for part in changed.conv.branches[0]] == ["Conv2d"]
    split = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Dropout(), nn.BatchNorm2d(4))
    assert type(to_sk(split)[2]) is nn.BatchNorm2d


def test_the_plain_zoo_network_becomes_the_selective_one():
    with torch.device("meta"):
        assert count(to_sk(create_model("resnext50"))) == count(create_model("sknet50")) == 27_479_784
    torch.manual_seed(0)
    changed, ours = to_sk(create_model("resnext_small"), min_dim=8), create_model("sknet_small")
    away_from_the_start(ours)
    state = {name.replace(".sk.", ".sk.branches.0.0."): value for name, value in ours.state_dict().items()}
    changed.load_state_dict(state)
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(changed.eval()(x), ours.eval()(x))


def test_the_given_network_is_left_as_it_is():
    network = SharedReLU()
    before, shown = copy.deepcopy(network.state_dict()), repr(network)
    changed = to_sk(network)
    for parameter in changed.parameters():
        parameter.data.zero_()
    assert repr(network) == shown
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("select", "paths"),
    [
        ("depthwise3x3", ["3", "6"]),
        ("?", ["0", "3", "6", "8"]),
        (re.compile("[3-5]"), ["3"]),
        (lambda path, conv: conv.stride == (2, 2), ["3"]),
    ],
)
def test_selectors(select, paths):
    changed = to_sk(mobile(), select, [{"kernel": 1}, K3])
    assert [path for path, part in changed.named_children() if isinstance(part, SKConv2d)] == paths


def test_groups_are_those_of_the_convolution_unless_stated():
    conv = nn.Conv2d(8, 16, 3, padding=1, groups=2)
    sk = to_sk(conv, branches=[K3, {"kernel": 5, "groups": "2x"}, Branch(kernel=1, groups=8)])
    assert [branch[0].groups for branch in sk.branches] == [2, 4, 8]
    assert sk.attention.squeeze[0].out_features == 32
    assert to_sk(conv, reduction=2, min_dim=4).attention.squeeze[0].out_features == 8


def test_type_device_and_mode_are_those_of_the_convolution():
    sk = to_sk(nn.Conv2d(8, 8, 3, padding=1, groups=2).double().eval())
    assert {tensor.dtype for tensor in sk.parameters()} == {torch.float64}
    assert not any(part.training for part in sk.modules())
    assert {tensor.device.type for tensor in to_sk(nn.Conv2d(8, 8, 3, 1, 1, groups=2).to("meta")).parameters()} == {
        "meta"
    }


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.sampled_from([1, 3, 5]),
    dilation=st.integers(1, 3),
    stride=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
)
def test_any_size_keeping_convolution_can_be_replaced(kernel, dilation, stride, groups, bias, size):
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, kernel, stride, dilation * (kernel - 1) // 2, dilation, groups, bias)
    x = torch.randn(2, 4, *size)
    same = {"kernel": kernel, "dilation": dilation}
    torch.testing.assert_close(to_sk(conv, "*", [same], attention="none")(x), conv(x), rtol=0, atol=0)
    assert to_sk(conv, "*", [same, {"kernel": 3, "groups": 1}]).eval()(x).shape == conv(x).shape


def grouped(**changes):
    return nn.Conv2d(**{"in_channels": 8, "out_channels": 8, "kernel_size": 3, "padding": 1, "groups": 2, **changes})


class Own(nn.Conv2d):
    pass


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = grouped()

    def forward(self, x):
        return self.conv(self.conv(x))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = grouped(), grouped()
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.first(x) + self.second(x)


class Branching(Twice):
    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


def same_object():
    conv = grouped()
    return nn.Sequential(conv, nn.ReLU(), conv)


def hooked():
    conv = grouped()
    conv.register_forward_hook(lambda *_: None)
    return conv


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (grouped(kernel_size=4), "its kernel (4, 4) is even"),
        (grouped(kernel_size=(3, 1), padding=(1, 0)), "its kernel_size (3, 1) is not square"),
        (grouped(stride=(1, 2)), "its stride (1, 2) is not square"),
        (grouped(dilation=(1, 2), padding=(1, 2)), "its dilation (1, 2) is not square"),
        (grouped(padding=0), "its padding (0, 0) is not 1"),
        (grouped(padding="valid"), "its padding (0, 0) is not 1"),
        (grouped(padding_mode="reflect"), "its padding mode is 'reflect'"),
        (nn.ConvTranspose2d(8, 8, 3, padding=1), "it is a ConvTranspose2d, not a plain Conv2d"),
        (nn.Conv1d(8, 8, 3, padding=1), "it is a Conv1d"),
        (Own(8, 8, 3, padding=1), "it is a Own"),
        (nn.utils.parametrizations.weight_norm(grouped()), "it is a ParametrizedConv2d"),
        (hooked(), "it carries hooks"),
        (nn.Sequential(grouped(), grouped(padding=0)), "\n  1: its padding"),
        (same_object(), "its weights are shared: 0.weight, 2.weight"),
        (Tied(), "first: its weights are shared: first.weight, second.weight"),
        (Twice(), "conv: the forward pass calls it 2 times"),
        (Branching(), "can't be traced"),
        (nn.Sequential(nn.Linear(2, 2)), "select '*' matches no convolution of this Sequential"),
    ],
)
def test_what_has_no_exact_replacement_is_refused_with_the_reason(network, words):
    with pytest.raises(SklabError) as caught:
        to_sk(network, "*")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("branches", "words"),
    [
        ([{"kernel": 3, "groups": 2}], "conv: the groups of the branch 3x3 G2 do not divide its 3 and 6"),
        ([{"kernel": 2}], "conv: branches.kernel: a kernel must be odd"),
        ([{"kernel": 3, "dilaton": 2}], "branches.dilaton"),
        ([], "at least one branch"),
    ],
)
def test_branches_that_do_not_fit_are_refused(branches, words):
    with pytest.raises(SklabError) as caught:
        to_sk(Functional(), "*", branches)
    assert words in str(caught.value)


def test_same_padding_is_size_keeping_padding():
    conv = grouped(padding="same", dilation=2)
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(to_sk(conv, branches=[K5], attention="none")(x), conv(x))
