"""Networks of other libraries: made by their own create functions, or refused with the remedy."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from sklab.errors import SklabError
from sklab.models.libraries import create_foreign


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
    with pytest.raises(SklabError, match=rf"{library} is not installed; pip install 'sklab\[{library}\]'"):
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

    monkeypatch.setattr("sklab.store.versions.import_module", fail)
    with pytest.raises(SklabError, match=words):
        create_foreign("timm", "resnext50_32x4d", num_classes=7, in_channels=3)


@pytest.fixture
def timm(monkeypatch):
    """A timm with one network, made by the function that the test puts in its place."""
    library = ModuleType("timm")
    library.list_models = lambda: ["net"]
    monkeypatch.setitem(sys.modules, "timm", library)
    return library


@pytest.mark.parametrize("error", [TypeError, ValueError, RuntimeError, AssertionError])
def test_a_network_that_the_library_can_not_make_says_why(timm, error):
    def fail(*_, **__):
        raise error("only 3 channels")

    timm.create_model = fail
    with pytest.raises(SklabError, match="timm can't make net for 7 classes and 1 channels: only 3 channels"):
        create_foreign("timm", "net", num_classes=7, in_channels=1)


def test_a_network_that_computes_its_shape_with_tensors_is_made_for_the_meta_device_too(timm):
    timm.create_model = lambda *_, **__: nn.Linear(int(torch.tensor(3.0).cpu().item()), 2)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with torch.device("meta"):
        network = create_foreign("timm", "net", num_classes=7, in_channels=1)
    assert network.weight.is_meta
    assert network.weight.shape == (2, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_with_further_outputs_in_training_is_refused(monkeypatch):
    torchvision, network = ModuleType("torchvision"), nn.Identity()
    network.aux_logits = True
    torchvision.models = SimpleNamespace(list_models=lambda module: ["net"], get_model=lambda *_, **__: network)
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    with pytest.raises(SklabError, match="net has further outputs in training"):
        create_foreign("torchvision", "net", num_classes=7, in_channels=3)
