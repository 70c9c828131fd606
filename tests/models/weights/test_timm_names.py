"""Networks of ours by timm's names, against timm itself where it is installed."""

from __future__ import annotations

import pytest
import torch
from peers import peers
from torch import Tensor, nn

from sklab.errors import SklabError
from sklab.models.weights.files import tensor_file
from sklab.models.weights.timm_names import _RESNETS, _ours, in_timm, timm_name
from sklab.models.zoo import build
from sklab.spec.model import ModelSpec, family_spec
from sklab.spec.networks import network

COMPUTED = ["resnet26", "wide_resnet50_2", "seresnet50", "resnext50_32x4d", "seresnext50_32x4d", "skresnext50_32x4d"]


def spec_of(name: str) -> ModelSpec:
    return _ours(name, network("sknet50", in_channels=1, num_classes=5))


def seen(spec: ModelSpec) -> nn.Module:
    """The network with statistics of its normalisations that are not those of the start."""
    torch.manual_seed(0)
    made = build(spec)
    for parameter in made.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    made(torch.randn(4, spec.in_channels, 64, 64))
    return made.eval()


@pytest.mark.parametrize(("ours", "theirs"), [("resnext50", "resnext50_32x4d"), ("senet101", "seresnext101_32x4d"),
                                              ("sknet50", "skresnext50_32x4d")])  # fmt: skip
def test_any_number_of_classes_and_channels_has_the_name(ours, theirs):
    for classes, channels in ((1000, 3), (7, 1)):
        assert timm_name(network(ours, num_classes=classes, in_channels=channels)) == theirs


def test_settings_without_effect_make_no_other_network():
    assert timm_name(network("resnext50", reduction=8)) == "resnext50_32x4d"


@pytest.mark.parametrize(
    "spec",
    [
        *(
            network(name)
            for name in ("sknet26", "sknet101", "senet26", "sknet_small", "resnext56", "shufflenetv2_x1_0")
        ),
        network("sknet50", branches=[{"kernel": 3}, {"kernel": 5}]),
        network("sknet50", reduction=32),
        network("sknet50", attention="mean"),
        network("sknet50", attention="none"),
        network("senet50", reduction=8),
        network("resnext50", attention="eca"),
        network("resnext50", stem_width=32),
    ],
    ids=str,
)
def test_what_timm_has_not_is_refused_with_what_it_has(spec):
    with pytest.raises(SklabError, match=r"timm has no such network; of ours it has resnet26, .*skresnext50"):
        timm_name(spec)


def test_names_of_timms_own_networks_are_theirs():
    foreign = {"family": "foreign", "library": "timm", "name": "vit_tiny"}
    spec = _foreign(foreign)
    assert timm_name(spec) == "vit_tiny"
    tensors = {"blocks.0.weight": torch.zeros(2)}
    assert in_timm(spec, tensors) == tensors
    sk = {"select": "grouped3x3", "branches": [{"kernel": 3}]}
    for other in ({"library": "torchvision"}, {"sk": sk}):
        with pytest.raises(SklabError, match=r"timm has no such network: .*'s vit_tiny"):
            timm_name(_foreign({**foreign, **other}))


def _foreign(settings: dict) -> ModelSpec:
    return family_spec("foreign").model_validate(settings)


def shapes(tensors: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", _RESNETS)
def test_timm_has_the_same_tensors_in_the_same_order(name):
    spec = spec_of(name)
    with torch.device("meta"):
        ours = in_timm(spec, build(spec).state_dict())
        with peers():
            import timm

            theirs = timm.create_model(name, num_classes=5, in_chans=1).state_dict()
    assert timm_name(spec) == name
    assert list(shapes(ours).items()) == list(shapes(theirs).items())


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPUTED)
def test_timm_reads_the_file_and_computes_the_same(name, tmp_path):
    spec = spec_of(name)
    ours = seen(spec)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(tensor_file(in_timm(spec, ours.state_dict()), {"architecture": name}))
    with peers():
        import timm

        theirs = timm.create_model(name, num_classes=5, in_chans=1, checkpoint_path=str(file)).eval()
    images = torch.randn(2, 1, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = ours.double()(images)
        assert (theirs.double()(images) - expected).abs().max() <= 1e-9 * expected.abs().max()
