"""What holds of every SK convolution, whatever its weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.models.sk import SKConv2d
from sklab.spec.model import Branch, Mixing

branch = st.builds(
    Branch, kernel=st.sampled_from([1, 3, 5]), dilation=st.integers(1, 2), groups=st.sampled_from([1, 2, 4])
)


def drawn(branches, seed, **settings):
    """An SK convolution in float64 with random weights, and its attention's output once it has been called."""
    torch.manual_seed(seed)
    module = SKConv2d(4, 4, branches, mixing=Mixing(squeezed=3), **settings).double()
    seen = []
    module.attention.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    return module, seen


@settings(max_examples=12, deadline=None)
@given(
    branches=st.lists(branch, min_size=1, max_size=4),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 99),
    training=st.booleans(),
)
def test_attention_sums_to_one_for_any_input(branches, scale, seed, training):
    module, seen = drawn(branches, seed)
    module.train(training)(scale * torch.randn(3, 4, 5, 6, dtype=torch.float64))
    assert seen[0].shape == (3, len(branches), 4)
    assert (seen[0] >= 0).all()
    torch.testing.assert_close(seen[0].sum(dim=1), torch.ones(3, 4, dtype=torch.float64))


@settings(max_examples=10, deadline=None)
@given(branch=branch, m=st.integers(1, 4), seed=st.integers(0, 99))
def test_equal_branches_get_equal_attention_at_symmetric_weights(branch, m, seed):
    module, seen = drawn([branch] * m, seed)
    with torch.no_grad():
        for other in module.branches[1:]:
            other.load_state_dict(module.branches[0].state_dict())
        module.attention.expand.weight.copy_(module.attention.expand.weight[:4].repeat(m, 1))
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    output = module.eval()(x)
    torch.testing.assert_close(seen[0], torch.full_like(seen[0], 1 / m))
    torch.testing.assert_close(output, module.branches[0](x))


@settings(max_examples=10, deadline=None)
@given(branches=st.lists(branch, min_size=2, max_size=4), seed=st.integers(0, 99), data=st.data())
def test_the_order_of_the_branches_does_not_matter(branches, seed, data):
    order = data.draw(st.permutations(range(len(branches))))
    (module, _), (other, _) = drawn(branches, seed), drawn([branches[index] for index in order], seed + 1)
    with torch.no_grad():
        for place, index in enumerate(order):
            other.branches[place].load_state_dict(module.branches[index].state_dict())
        other.attention.squeeze.load_state_dict(module.attention.squeeze.state_dict())
        parts = module.attention.expand.weight.view(len(branches), 4, -1)
        other.attention.expand.weight.copy_(parts[list(order)].flatten(0, 1))
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(other(x), module(x))


@pytest.mark.parametrize(("m", "training"), [(1, True), (2, False), (3, True), (4, False)])
def test_gradients_of_input_and_weights(m, training):
    branches = [Branch(kernel=3, groups=2), Branch(kernel=3, dilation=2, groups=1), Branch(kernel=1, groups=2)]
    torch.manual_seed(3)
    module = SKConv2d(2, 2, [*branches, branches[0]][:m], stride=2, mixing=Mixing(squeezed=2)).double().train(training)
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    names, values = zip(*module.named_parameters(), strict=True)

    def function(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *values))
