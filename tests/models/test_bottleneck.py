"""The networks against the published architecture, layer by layer and by their parameter counts."""

import pytest
import torch
from learning import learn
from torch import nn

from sklab.models.attention.gates import SqueezeExcite
from sklab.models.zoo import build, create_model, list_models
from sklab.spec.networks import network

K3, K5, K7 = {"kernel": 3}, {"kernel": 3, "dilation": 2}, {"kernel": 3, "dilation": 3}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def count_on_meta(name, **overrides):
    with torch.device("meta"):
        return count(create_model(name, **overrides))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sknet26", 16_746_408),
        ("sknet50", 27_479_784),
        ("sknet101", 48_736_040),
        ("resnext50", 25_028_904),
        ("resnext101", 44_177_704),
        ("senet50", 27_559_896),
        ("senet101", 48_955_416),
        ("resnext29_16x32d", 25_136_970),
        ("resnext29_8x64d", 34_426_698),
        ("resnext29_16x64d", 68_155_210),
        ("senet29", 34_948_506),
        ("sknet29", 27_813_450),
        ("resnext50_wider", 28_017_832),
        ("resnext56", 27_281_704),
        ("resnext50_36x4d", 27_549_352),
    ],
)
def test_parameter_counts_are_exact(name, params):
    assert count_on_meta(name) == params


@pytest.mark.parametrize(
    ("kernels", "attention", "millions"),
    [
        ([K3], "none", 25.03),
        ([K5], "none", 25.03),
        ([K7], "none", 25.03),
        ([K3, K5], "none", 26.46),
        ([K3, K5], "sk", 27.48),
        ([K3, K7], "none", 26.46),
        ([K3, K7], "sk", 27.48),
        ([K5, K7], "none", 26.46),
        ([K5, K7], "sk", 27.48),
        ([K3, K5, K7], "none", 27.89),
        ([K3, K5, K7], "sk", 29.25),
    ],
)
def test_table_7_of_the_paper(kernels, attention, millions):
    assert round(count_on_meta("sknet50", branches=kernels, attention=attention) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("second", "millions"),
    [
        ({"kernel": 3, "dilation": 3}, 27.48),
        ({"kernel": 3, "dilation": 2}, 27.48),
        ({"kernel": 3, "dilation": 1}, 27.48),
        ({"kernel": 5, "groups": "2x"}, 28.03),
        ({"kernel": 7, "groups": "4x"}, 27.99),
    ],
)
def test_table_6_of_the_paper(second, millions):
    assert round(count_on_meta("sknet50", branches=[K3, second]) / 1e6, 2) == millions


def conv(entering, leaving, kernel=1, stride=1, dilation=1, groups=1):
    padding = dilation * (kernel - 1) // 2
    return ("conv", entering, leaving, kernel, stride, padding, dilation, groups, False)


def sknet50_listing():
    """The authors' released SKNet-50 in the order of the forward pass, the projection last in its unit."""
    layers = [conv(3, 64, kernel=7, stride=2)]
    entering = 64
    for inner, outer, units, first_stride, d in [
        (128, 256, 3, 1, 32),
        (256, 512, 4, 2, 32),
        (512, 1024, 6, 2, 32),
        (1024, 2048, 3, 2, 64),
    ]:
        for unit in range(units):
            stride = first_stride if unit == 0 else 1
            layers += [
                conv(entering, inner),
                conv(inner, inner, kernel=3, stride=stride, groups=32),
                conv(inner, inner, kernel=3, stride=stride, dilation=2, groups=32),
                ("linear", inner, d, False),
                ("linear", d, 2 * inner, False),
                conv(inner, outer),
            ]
            if unit == 0:
                layers.append(conv(entering, outer, stride=stride))
            entering = outer
    return [*layers, ("linear", 2048, 1000, True)]


def described(layer):
    if isinstance(layer, nn.Linear):
        return ("linear", layer.in_features, layer.out_features, layer.bias is not None)
    sides = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    assert all(height == width for height, width in sides)
    square = [side[0] for side in sides]
    return ("conv", layer.in_channels, layer.out_channels, *square, layer.groups, layer.bias is not None)


def test_the_networks_for_cifar_end_at_8_pixels():
    with torch.device("meta"):
        model, sizes = create_model("sknet29").eval(), []
        for part in (model.stem, model.units):
            part.register_forward_hook(lambda _module, _inputs, output: sizes.append(tuple(output.shape[1:])))
        assert model(torch.empty(1, 3, 32, 32)).shape == (1, 10)
    assert sizes == [(64, 32, 32), (1024, 8, 8)]
    assert len(model.units) * 3 + 2 == 29


def test_every_layer_of_sknet50():
    with torch.device("meta"):
        model = create_model("sknet50")
    layers = [described(layer) for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert layers == sknet50_listing()
    norms = [layer.num_features for layer in model.modules() if isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm1d))]
    # One BN behind every convolution and behind the first fc of every unit.
    assert norms == [
        layer[2]
        for index, layer in enumerate(sknet50_listing()[:-1])
        if layer[0] == "conv" or sknet50_listing()[index + 1][0] == "linear"
    ]
    pools = [
        (layer.kernel_size, layer.stride, layer.padding) for layer in model.modules() if type(layer) is nn.MaxPool2d
    ]
    assert pools == [(3, 2, 1)]


def test_units_have_the_names_of_the_paper():
    with torch.device("meta"):
        model = create_model("sknet50")
    names = [f"SK_{stage}_{unit}" for stage, units in [(2, 3), (3, 4), (4, 6), (5, 3)] for unit in range(1, units + 1)]
    assert [name for name, _ in model.units.named_children()] == names
    assert model.get_submodule("units.SK_2_3.sk.attention").branches == 2


@pytest.mark.parametrize("name", [name for name in list_models() if "small" in name])
def test_a_small_network_learns_from_a_batch(name):
    """Over 20 seeds and on three kinds of processors the least loss was at most 0.28 of the first."""
    torch.manual_seed(0)
    model = create_model(name)
    x, labels = torch.randn(8, 1, 32, 32), torch.arange(8)
    assert model(x).shape == (8, 10)
    losses = learn(model, x, labels, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), steps=12)
    assert min(losses) < 0.6 * losses[0]


def test_a_224_pixel_image_leaves_the_stages_at_the_sizes_of_table_1():
    with torch.device("meta"):
        model = create_model("sknet26").eval()
        sizes = {}
        for name in ("stem", "units.SK_2_2", "units.SK_3_2", "units.SK_4_2", "units.SK_5_2"):
            model.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: sizes.update({name: tuple(output.shape[1:])})
            )
        assert model(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
    expected = [(64, 56, 56), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]
    assert list(sizes.values()) == expected


def test_weights_start_as_documented():
    torch.manual_seed(0)
    model = create_model("sknet50", depths=[1, 1], num_classes=2)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_the_seed_decides_the_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(build(network("sknet_small")).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_squeeze_and_excitation_scales_the_unit_before_the_shortcut():
    torch.manual_seed(0)
    model = create_model("senet_small").eval()
    unit = model.units.SK_3_1
    x = torch.randn(2, 32, 8, 8).relu()
    residual = unit.expand(unit.sk(unit.reduce(x)))
    pooled = residual.mean(dim=(2, 3))
    first, second = unit.se.gate[0], unit.se.gate[2]
    assert isinstance(unit.se, SqueezeExcite)
    assert (first.out_features, first.bias is not None, second.bias is not None) == (64 // 16, True, True)
    gates = torch.sigmoid((pooled @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias)
    torch.testing.assert_close(unit(x), (residual * gates[..., None, None] + unit.shortcut(x)).relu())


def test_a_unit_that_keeps_its_shape_has_no_projection():
    model = create_model("sknet_small", depths=[2], stem_width=32)
    assert isinstance(model.units.SK_2_1.shortcut, nn.Identity)
    assert isinstance(model.units.SK_2_2.shortcut, nn.Identity)
