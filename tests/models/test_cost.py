"""Parameters and multiply-accumulates against published figures and against networks with real weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklab.models.sk import DecimatedConv2d
from sklab.models.zoo import Cost, Signature, build, convolutions, cost
from sklab.spec.networks import SETTINGS, network


@pytest.mark.parametrize(
    ("name", "gmacs"), [("sknet50", 4.463), ("sknet101", 8.449), ("resnext50", 4.230), ("resnext101", 7.970)]
)
def test_published_macs_at_224_pixels(name, gmacs):
    assert round(cost(network(name), 224).macs / 1e9, 3) == gmacs


def real_calls(spec, image_size):
    """Every convolution and linear layer that one real image passes, with its input and output."""
    model, calls = build(spec).eval(), []
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(lambda layer, inputs, output: calls.append((layer, inputs[0], output)))
    with torch.no_grad():
        model(torch.randn(1, spec.in_channels, image_size, image_size))
    return model, calls


def macs_by_hand(layer, output):
    if isinstance(layer, nn.Linear):
        return layer.in_features * layer.out_features
    _, channels, height, width = output.shape
    kernel_height, kernel_width = layer.kernel_size
    return height * width * channels * (layer.in_channels // layer.groups) * kernel_height * kernel_width


def as_computed(layer, image):
    """The signature of a convolution; one that is decimated has stride 1 on every `stride`-th pixel."""
    step = layer.stride[0] if isinstance(layer, DecimatedConv2d) else 1
    stride, padding, dilation = (
        tuple(size // step for size in pair) for pair in (layer.stride, layer.padding, layer.dilation)
    )
    height, width = (-(-size // step) for size in image.shape[2:])
    channels, kernel = (layer.in_channels, layer.out_channels), layer.kernel_size
    return Signature(*channels, kernel, stride, padding, dilation, layer.groups, height, width)


branch = {"kernel": st.sampled_from([1, 3, 5]), "dilation": st.integers(1, 3), "groups": st.sampled_from([1, 4])}
branches = st.lists(st.fixed_dictionaries(branch), min_size=1, max_size=3)


@settings(max_examples=15, deadline=None)
@given(
    branches=branches,
    attention=st.sampled_from(["none", "se", "sk"]),
    stem=st.sampled_from(["imagenet", "small", "cifar"]),
    image_size=st.integers(32, 48),
)
def test_counts_are_those_of_a_network_with_weights(branches, attention, stem, image_size):
    spec = network("sknet_small", branches=branches, attention=attention, stem=stem)
    model, calls = real_calls(spec, image_size)
    params = sum(parameter.numel() for parameter in model.parameters())
    assert cost(spec, image_size) == Cost(params, sum(macs_by_hand(layer, output) for layer, _, output in calls))
    signatures = {as_computed(layer, image) for layer, image, _ in calls if isinstance(layer, nn.Conv2d)}
    assert convolutions(spec, image_size) == tuple(sorted(signatures))


def test_counting_allocates_no_weights_and_leaves_the_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for name in {setting["family"]: name for name, setting in SETTINGS.items()}.values():
        cost(network(name), 64)
    assert torch.equal(torch.get_rng_state(), before)
