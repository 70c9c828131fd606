"""Networks as ONNX files, against torch by ONNX's reference implementation."""

from __future__ import annotations

import sys
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from peers import peers
from torch import Tensor, nn

from sklab.errors import SklabError
from sklab.models.families.bottleneck import Spec
from sklab.models.sk import DecimatedConv2d
from sklab.models.weights import graph
from sklab.models.weights.graph import graph_file
from sklab.models.zoo import build
from sklab.spec.model import family_spec
from sklab.spec.networks import network

KINDS = get_args(Spec.model_fields["attention"].annotation)
TWO = [{"kernel": 3}, {"kernel": 3, "dilation": 2}]  # the second is decimated where its unit has a stride
TOY = {"stem_width": 4, "width": 8, "out_width": 16, "cardinality": 2, "depths": [1, 1]}


def seen(spec, seed: int = 0) -> nn.Module:
    """The network with weights, and statistics of its normalisations, that are not those of the start."""
    torch.manual_seed(seed)
    made = build(spec)
    for parameter in made.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    for images in torch.randn(3, 8, spec.in_channels, 32, 32).unbind():
        made(images)
    return made.eval()


def convolutions(read: onnx.ModelProto) -> list[dict[str, list[int]]]:
    """Strides and dilations of each convolution."""
    convolved = [node.attribute for node in read.graph.node if node.op_type == "Conv"]
    return [{entry.name: [*entry.ints] for entry in of if entry.name in ("strides", "dilations")} for of in convolved]


def computed(content: bytes, images: Tensor) -> np.ndarray:
    (logits,) = ReferenceEvaluator(onnx.load_from_string(content)).run(None, {"images": images.numpy()})
    return logits


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_attention_gives_the_outputs_of_torch_for_any_number_of_images(kind):
    spec = network("sknet_small", **TOY, attention=kind, branches=TWO)
    model = seen(spec)
    content = graph_file(model, (1, 32, 32), {"run": "0"})
    for number in (1, 5):
        images = torch.randn(number, 1, 32, 32)
        with torch.no_grad():
            expected = model(images).numpy()
        assert expected.std(axis=0).min() > 0 or number == 1
        np.testing.assert_allclose(computed(content, images), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv1_sk", "shufflenetv2_x0_5_se"])
def test_other_families_too(name):
    spec = network(name, num_classes=10, in_channels=1)
    model = seen(spec)
    images = torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        expected = model(images).numpy()
    found = computed(graph_file(model, (1, 32, 32), {}), images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"library": "timm", "name": "skresnet18"},
        {"library": "torchvision", "name": "resnet18", "in_channels": 3, "sk": {"select": "*.conv2", "branches": TWO}},
    ],
    ids=["timm", "torchvision with SK"],
)
def test_networks_of_other_libraries_too(settings):
    with peers():
        spec = family_spec("foreign").model_validate({"num_classes": 5, "in_channels": 1, **settings})
        model = seen(spec)
        images = torch.randn(3, spec.in_channels, 32, 32)
        content = graph_file(model, images.shape[1:], {})
    with torch.no_grad():
        expected = model(images).numpy()
    np.testing.assert_allclose(computed(content, images), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_convolutions_are_strided_and_the_network_stays_as_it_was():
    model = seen(network("sknet_small", **TOY))
    decimated = [layer for layer in model.modules() if isinstance(layer, DecimatedConv2d)]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    read = onnx.load_from_string(graph_file(model, (1, 32, 32), {"mean": "[0.5]", "run": "1"}))
    assert {entry.key: entry.value for entry in read.metadata_props} == {"mean": "[0.5]", "run": "1"}
    assert {"strides": [2, 2], "dilations": [2, 2]} in convolutions(read)
    assert decimated
    assert all(type(layer) is DecimatedConv2d for layer in decimated)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    (images,), (logits,) = read.graph.input, read.graph.output
    assert [dimension.dim_param or dimension.dim_value for dimension in images.type.tensor_type.shape.dim] == [
        *("N", 1, 32, 32)
    ]
    assert (images.name, logits.name) == ("images", "logits")


def test_a_package_that_is_missing_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SklabError, match=r"needs the package onnxscript, .*; pip install 'sklab\[onnx\]'"):
        graph_file(nn.Flatten(), (1, 8, 8), {})


class _ByContent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


def test_what_onnx_can_not_express_is_told():
    with pytest.raises(SklabError, match="ONNX can't express this network: "):
        graph_file(_ByContent(), (1, 4, 4), {})


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_file_with_other_outputs_is_not_written(monkeypatch, factor):
    translated = graph._translated
    monkeypatch.setattr(graph, "_translated", lambda network, images: translated(_Times(network, factor), images))
    with pytest.raises(SklabError, match=r"outputs differ by (0\.01|nan) of the largest; nothing was written"):
        graph_file(nn.Flatten(), (1, 4, 4), {})


class _Times(nn.Module):
    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.factor
