"""SKConv2d against the equations of the paper, written out in NumPy."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from sklab.errors import SklabError
from sklab.models.attention.pooling import global_average
from sklab.models.sk import SKConv2d
from sklab.spec.model import Branch, Mixer, Mixing

K3, K5 = Branch(kernel=3, groups=2), Branch(kernel=3, dilation=2, groups=2)


def np_convolution(x, weight, stride, padding, dilation, groups):
    n, _, height, width = x.shape
    out_channels, per_group, kernel, _ = weight.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    span = dilation * (kernel - 1) + 1
    out_h, out_w = (height + 2 * padding - span) // stride + 1, (width + 2 * padding - span) // stride + 1
    out = np.zeros((n, out_channels, out_h, out_w))
    per_out = out_channels // groups
    for o in range(out_channels):
        first = (o // per_out) * per_group
        for c in range(per_group):
            for i in range(kernel):
                for j in range(kernel):
                    top, left = i * dilation, j * dilation
                    rows = slice(top, top + (out_h - 1) * stride + 1, stride)
                    columns = slice(left, left + (out_w - 1) * stride + 1, stride)
                    out[:, o] += weight[o, c, i, j] * x[:, first + c, rows, columns]
    return out


def np_norm(x, norm, training):
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    if training:
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    else:
        mean, var = norm["running_mean"].reshape(shape), norm["running_var"].reshape(shape)
    return (x - mean) / np.sqrt(var + 1e-5) * norm["weight"].reshape(shape) + norm["bias"].reshape(shape)


def np_sk(x, state, branches, stride, training):
    """Equations 1 to 6. `state` is the module's state_dict as arrays."""

    def under(prefix):
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    features = []
    for index, branch in enumerate(branches):
        weight, padding = state[f"branches.{index}.0.weight"], branch.dilation * (branch.kernel - 1) // 2
        u = np_convolution(x, weight, stride, padding, branch.dilation, branch.groups)
        features.append(np.maximum(np_norm(u, under(f"branches.{index}.1."), training), 0))
    if "attention.expand.weight" not in state:
        return sum(features), None
    s = sum(features).mean(axis=(2, 3))
    z = np.maximum(np_norm(s @ state["attention.squeeze.0.weight"].T, under("attention.squeeze.1."), training), 0)
    logits = (z @ state["attention.expand.weight"].T).reshape(len(x), len(branches), -1)
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return sum(weights[:, m, :, None, None] * features[m] for m in range(len(branches))), weights


def randomised(module, seed=0):
    """Every parameter and running statistic away from its special starting value (0, 1)."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=random, dtype=tensor.dtype)
            tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return module


def attention_of(module, x):
    seen = []
    handle = module.attention.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    output = module(x)
    handle.remove()
    return output, seen[0]


branches_of_8_or_4 = st.builds(
    Branch, kernel=st.sampled_from([1, 3, 5, 7]), dilation=st.integers(1, 3), groups=st.sampled_from([1, 2, 4])
)


@settings(max_examples=40, deadline=None)
@given(
    branches=st.lists(branches_of_8_or_4, min_size=1, max_size=4),
    stride=st.integers(1, 3),
    out_channels=st.sampled_from([4, 8]),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    attention=st.sampled_from(["none", "sk"]),
    training=st.booleans(),
)
def test_it_is_the_equations_of_the_paper(branches, stride, out_channels, size, attention, training):
    module = SKConv2d(4, out_channels, branches, stride=stride, mixing=Mixing(kind=attention, squeezed=3))
    module = randomised(module.double()).train(training)
    x = torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    state = {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
    expected, weights = np_sk(x.numpy(), state, branches, stride, training)
    if attention == "sk":
        output, seen = attention_of(module, x)
        np.testing.assert_allclose(seen.detach().numpy(), weights, rtol=1e-9, atol=1e-12)
    else:
        output = module(x)
    np.testing.assert_allclose(output.detach().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_attention_is_a_distribution_over_the_branches(m):
    module = randomised(SKConv2d(4, 8, [K3, K5, K3, K5][:m], mixing=Mixing(squeezed=4)))
    _, weights = attention_of(module, torch.randn(5, 4, 6, 6))
    assert weights.shape == (5, m, 8)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5, 8))


def test_the_attention_module_decides_the_mixture():
    module = randomised(SKConv2d(4, 8, [K3, K5], mixing=Mixing(squeezed=4)))
    x, only_second = torch.randn(2, 4, 6, 6), torch.tensor([0.0, 1.0])[None, :, None].expand(2, 2, 8)
    module.attention.register_forward_hook(lambda _module, _inputs, _output: only_second)
    features = module.branches[1](x)
    torch.testing.assert_close(module(x), features)


def test_the_plain_sum_has_no_parameter_beyond_its_branches():
    module = SKConv2d(4, 8, [K3, K5], mixing=Mixing(kind="none"))
    assert {name.split(".")[0] for name in module.state_dict()} == {"branches"}
    with_attention = SKConv2d(4, 8, [K3, K5], mixing=Mixing(squeezed=4))
    extra = sum(p.numel() for p in with_attention.parameters()) - sum(p.numel() for p in module.parameters())
    assert extra == 8 * 4 + 2 * 4 + 4 * (2 * 8)  # fc C -> d, BN, fc d -> M C


def test_one_branch_with_attention_is_that_branch():
    module = randomised(SKConv2d(4, 8, [K5], mixing=Mixing(squeezed=4))).eval()
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(module(x), module.branches[0](x))


def test_equal_branches_with_equal_logits_share_equally():
    module = SKConv2d(4, 8, [K3, K3], mixing=Mixing(squeezed=4))
    with torch.no_grad():
        weight = module.attention.expand.weight
        weight[8:] = weight[:8]
    _, weights = attention_of(module, torch.randn(3, 4, 6, 6))
    torch.testing.assert_close(weights, torch.full_like(weights, 0.5))


@pytest.mark.parametrize("attention", get_args(Mixer))
def test_gradients_are_those_of_the_function(attention):
    module = randomised(SKConv2d(2, 2, [K3, K5], stride=2, mixing=Mixing(kind=attention, squeezed=2)).double())
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    names, values = zip(*module.named_parameters(), strict=True)

    def function(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *values))


@pytest.mark.parametrize("attention", get_args(Mixer))
def test_channels_last_gives_the_same_numbers(attention):
    module = randomised(SKConv2d(8, 8, [K3, K5], mixing=Mixing(kind=attention, squeezed=4)))
    other = SKConv2d(8, 8, [K3, K5], mixing=Mixing(kind=attention, squeezed=4))
    other.load_state_dict(module.state_dict())
    other.to(memory_format=torch.channels_last)
    x = torch.randn(4, 8, 10, 10)
    output, other_output = module(x), other(x.contiguous(memory_format=torch.channels_last))
    assert other_output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(other_output, output, rtol=1e-4, atol=1e-5)
    output.square().sum().backward()
    other_output.square().sum().backward()
    for ours, theirs in zip(module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-3, atol=1e-2)


def test_without_a_branch_there_is_no_module():
    with pytest.raises(SklabError, match="at least one branch"):
        SKConv2d(4, 8, [], mixing=Mixing(squeezed=4))


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="divisible by groups"):
        SKConv2d(4, 8, [Branch(kernel=3, groups=3)], mixing=Mixing(squeezed=4))


@pytest.fixture
def autocast_on_cuda():
    """Autocast on CUDA in bf16, where there may be none: `torch.autocast` would turn itself off."""
    kind = ("cuda", torch.get_autocast_dtype("cuda"))
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_enabled("cuda", True)
    yield
    torch.set_autocast_enabled("cuda", False)
    torch.set_autocast_dtype(*kind)


@pytest.mark.parametrize(
    ("dtype", "summed"),
    [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32), (torch.float32, torch.float32)],
)
def test_autocast_on_cuda_leaves_the_sum_over_pixels_in_bf16(autocast_on_cuda, dtype, summed):
    with FakeTensorMode():  # tensors without numbers may lie on a device that is not there
        features = torch.empty(2, 3, 4, 4, dtype=dtype, device="cuda")
        assert features.sum(dim=(2, 3)).dtype == torch.float32  # as torch has it
        assert global_average(features).dtype == summed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_gradient_of_the_average_is_one_number_a_channel(dtype):
    features = torch.randn(2, 3, 4, 4, dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(global_average(features).sum(), features)
    assert gradient.untyped_storage().nbytes() <= 2 * 3 * dtype.itemsize


def test_a_branch_may_be_a_mapping_and_a_faulty_one_is_told():
    stated = SKConv2d(8, 8, [{"kernel": 3, "groups": 2}, Branch(kernel=3, dilation=2, groups=4)])
    assert [branch[0].groups for branch in stated.branches] == [2, 4]
    with pytest.raises(SklabError, match=r"branches: {'kernel': 4, 'groups': 2}: kernel: .*must be odd"):
        SKConv2d(8, 8, [{"kernel": 4, "groups": 2}])
