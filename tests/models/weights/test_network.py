"""A trained network from a file, by our names or by timm's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sklab.errors import SklabError
from sklab.models.weights.files import tensor_file
from sklab.models.weights.network import trained_network
from sklab.models.weights.timm_names import in_timm
from sklab.models.zoo import build
from sklab.spec.networks import network
from sklab.store.files import checksum


@pytest.mark.parametrize("name", ["sknet50", "senet50", "resnext50"])
def test_a_file_with_timms_names_is_the_network_that_it_was(name, tmp_path):
    settings = {"base": name, "in_channels": 1, "num_classes": 5}
    spec = network(name, in_channels=1, num_classes=5)
    torch.manual_seed(0)
    ours = build(spec)
    ours(torch.randn(4, 1, 64, 64))
    file = tmp_path / "net.timm.safetensors"
    file.write_bytes(tensor_file(in_timm(spec, ours.state_dict()), {"architecture": "of timm"}))
    trained = trained_network(file, settings)
    assert (trained.model, trained.description, trained.digest) == (spec, None, checksum(file.read_bytes()))
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(trained.network(images), ours.eval()(images))


def test_a_head_of_other_classes_does_not_fit(tmp_path):
    file = tmp_path / "net.pt"
    torch.save(build(network("sknet_small")).state_dict(), file)
    with pytest.raises(SklabError, match=r"net\.pt does not fit the network: 2 tensors of another shape \(head"):
        trained_network(file, {"base": "sknet_small", "num_classes": 3})


def test_a_description_that_names_a_family_of_its_own_is_told(tmp_path):
    metadata = {"sklab": "1", "model": '{"family":"nobodys"}', "mean": "[0]", "std": "[1]", "image_size": "32"}
    file = Path(tmp_path / "net.safetensors")
    file.write_bytes(tensor_file({"weight": torch.zeros(1)}, metadata))
    with pytest.raises(SklabError, match=r"net\.safetensors: its description .* unknown family 'nobodys'"):
        trained_network(file, {})
