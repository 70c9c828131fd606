"""Networks of the real timm and torchvision, which `make test-slow` installs beside the environment."""

import pytest
import torch
from peers import peers

from sklab.errors import SklabError
from sklab.models.convert import to_sk
from sklab.models.families.foreign import Spec
from sklab.models.libraries import create_foreign
from sklab.models.sk import SKConv2d
from sklab.models.zoo import build, convolutions, cost

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_peers")]


@pytest.fixture(scope="module")
def _peers():
    with peers():
        yield


REAL = [
    ("timm", "resnext50_32x4d", "grouped3x3"),
    ("timm", "mobilenetv2_100", "depthwise3x3"),
    ("timm", "efficientnet_b0", "depthwise3x3"),
    ("torchvision", "resnext50_32x4d", "grouped3x3"),
    ("torchvision", "mobilenet_v2", "depthwise3x3"),
    ("torchvision", "mobilenet_v3_small", "depthwise3x3"),
    ("torchvision", "shufflenet_v2_x0_5", "depthwise3x3"),
]


@pytest.mark.parametrize(("library", "name", "select"), REAL)
def test_real_networks_start_from_their_weights(library, name, select):
    torch.manual_seed(0)
    network = create_foreign(library, name, num_classes=5, in_channels=3).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(
            to_sk(network, select, [{"kernel": 3}], attention="none")(x), expected, rtol=0, atol=0
        )
        torch.testing.assert_close(to_sk(network, select, [{"kernel": 3}] * 2)(x), expected, rtol=1e-4, atol=1e-5)
    changed = to_sk(network, select).train()
    units = [part for part in changed.modules() if isinstance(part, SKConv2d)]
    assert units
    assert all(len(branch) >= 2 for unit in units for branch in unit.branches)  # the norm has moved in
    changed(x).sum().backward()
    assert all(parameter.grad is not None for parameter in changed.parameters())


@pytest.mark.parametrize(("library", "name", "select"), REAL)
def test_real_networks_are_counted_as_they_are_built(library, name, select):
    branches = [{"kernel": 3}, {"kernel": 3, "dilation": 2, "groups": "1x"}]
    for sk in (None, {"select": select, "branches": branches}):
        spec = Spec(library=library, name=name, num_classes=5, sk=sk)
        assert cost(spec, 64).params == sum(parameter.numel() for parameter in build(spec).parameters())
        dilated = [each for each in convolutions(spec, 64) if each.dilation == (2, 2)]
        assert bool(dilated) == (sk is not None)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_the_published_resnext_is_the_zoos(library):
    counted = cost(Spec(library=library, name="resnext50_32x4d"), 224)
    assert (counted.params, round(counted.macs / 1e9, 3)) == (25_028_904, 4.230)


def test_the_same_network_of_both_libraries_counts_the_same():
    timms, torchvisions = (
        cost(Spec(library=library, name=name), 224)
        for library, name in (("timm", "vit_base_patch16_224"), ("torchvision", "vit_b_16"))
    )
    assert timms == torchvisions


def test_a_network_that_the_meta_device_can_not_build_is_counted():
    assert cost(Spec(library="torchvision", name="regnet_x_400mf"), 224).params == 5_495_976


def test_an_unknown_name_says_which_may_be_meant():
    with pytest.raises(SklabError, match="timm has no network 'resnext50_32x4' - did you mean 'resnext50_32x4d'"):
        build(Spec(library="timm", name="resnext50_32x4"))


def test_a_size_that_the_network_is_not_made_for_is_an_error_of_one_line():
    with pytest.raises(SklabError, match="VisionTransformer of timm can't take images of 32x32 pixels: Input height"):
        cost(Spec(library="timm", name="vit_tiny_patch16_224"), 32)


@pytest.mark.parametrize(
    ("name", "select", "groups", "reason"),
    [
        ("resnet18", "grouped3x3", "1x", "matches no convolution of this ResNet"),
        ("convnext_tiny", "stem.0", "1x", r"stem.0: its kernel \(4, 4\) is even"),
        ("resnext50_32x4d", "layer1.*.conv2", 7, "groups of the branch 3x3 G7 do not divide"),
    ],
)
def test_what_can_not_be_replaced_is_refused_with_the_reason(name, select, groups, reason):
    with pytest.raises(SklabError, match=reason):
        cost(Spec(library="timm", name=name, sk={"select": select, "branches": [{"kernel": 3, "groups": groups}]}), 224)
