"""Networks of other libraries: made by their own create functions, or refused with the remedy."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from sklab.errors import SklabError
from sklab.models.convert import to_sk
from sklab.models.foreign import create_foreign
from sklab.models.sk import SKConv2d


@pytest.fixture
def calls(monkeypatch):
    """Stand-ins for both libraries that note how they are asked."""
    seen = []

    def create(*args, **kwargs):
        seen.append((args, kwargs))
        return nn.Identity()

    names = ["resnext50_32x4d", "mobilenetv2_100"]
    timm, torchvision = ModuleType("timm"), ModuleType("torchvision")
    timm.list_models, timm.create_model = lambda: names, create
    torchvision.models = SimpleNamespace(list_models=lambda module: names, get_model=create)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    return seen


def test_the_libraries_own_create_functions_are_called_without_weights(calls):
    create_foreign("timm", "resnext50_32x4d", num_classes=7, in_channels=1)
    create_foreign("torchvision", "resnext50_32x4d", num_classes=7, in_channels=3)
    assert calls == [
        (("resnext50_32x4d",), {"pretrained": False, "num_classes": 7, "in_chans": 1}),
        (("resnext50_32x4d",), {"weights": None, "num_classes": 7}),
    ]


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize("name", ["resnext50_32x4", "hf-hub:someone/resnext50_32x4d", "os.system"])
def test_only_listed_names_are_made(calls, library, name):
    with pytest.raises(SklabError, match=f"{library} has no network '{name}'") as caught:
        create_foreign(library, name, num_classes=7, in_channels=3)
    assert ("did you mean 'resnext50_32x4d'" in str(caught.value)) == (name != "os.system")
    assert calls == []


def test_torchvision_makes_networks_for_three_channels(calls):
    with pytest.raises(SklabError, match="3 channels only, not 1"):
        create_foreign("torchvision", "resnext50_32x4d", num_classes=7, in_channels=1)


def test_an_unknown_library_is_refused():
    with pytest.raises(SklabError, match="unknown library 'os'; allowed: timm, torchvision"):
        create_foreign("os", "system", num_classes=7, in_channels=3)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_missing_library_says_how_to_get_it(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SklabError, match=f'{library} is not installed; pip install "{library}>='):
        create_foreign(library, "resnext50_32x4d", num_classes=7, in_channels=3)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("operator torchvision::nms does not exist"), "can't be imported .operator torchvision::nms"),
        (
            ModuleNotFoundError("No module named 'safetensors'", name="safetensors"),
            "timm lacks the package 'safetensors'",
        ),
    ],
)
def test_a_library_that_fails_to_import_says_why(monkeypatch, error, words):
    def fail(_name):
        raise error

    monkeypatch.setattr("sklab.models.foreign.import_module", fail)
    with pytest.raises(SklabError, match=words):
        create_foreign("timm", "resnext50_32x4d", num_classes=7, in_channels=3)


REAL = [
    ("timm", "resnext50_32x4d", "grouped3x3"),
    ("timm", "mobilenetv2_100", "depthwise3x3"),
    ("timm", "efficientnet_b0", "depthwise3x3"),
    ("torchvision", "resnext50_32x4d", "grouped3x3"),
    ("torchvision", "mobilenet_v2", "depthwise3x3"),
    ("torchvision", "mobilenet_v3_small", "depthwise3x3"),
    ("torchvision", "shufflenet_v2_x0_5", "depthwise3x3"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name", "select"), REAL)
def test_real_networks_start_from_their_weights(library, name, select):
    try:
        torch.manual_seed(0)
        network = create_foreign(library, name, num_classes=5, in_channels=3).eval()
    except SklabError as error:
        pytest.skip(str(error))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(
            to_sk(network, select, [{"kernel": 3}], attention=False)(x), expected, rtol=0, atol=0
        )
        torch.testing.assert_close(to_sk(network, select, [{"kernel": 3}] * 2)(x), expected, rtol=1e-4, atol=1e-5)
    changed = to_sk(network, select).train()
    units = [part for part in changed.modules() if isinstance(part, SKConv2d)]
    assert units
    assert all(len(branch) >= 2 for unit in units for branch in unit.branches)  # the norm has moved in
    changed(x).sum().backward()
    assert all(parameter.grad is not None for parameter in changed.parameters())
