"""Two specifications have the same `built()` exactly where the same layers are built of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.models.zoo import build
from sklab.spec.model import ModelSpec, family_spec
from sklab.spec.networks import SETTINGS, network

SMALL = {
    "bottleneck": "sknet_small",
    "mobilenetv1": "mobilenetv1_sk",
    "mobilenetv2": "mobilenetv2_sk",
    "shufflenetv2": "shufflenetv2_x0_5_sk",
}
KINDS = ["mean", "static", "eca", "cbam", "splat", "lsk"]
WINDOWS = [{"kernel": 1}, {"kernel": 1, "dilation": 2}, {"kernel": 3}, {"kernel": 3, "dilation": 2}]


@st.composite
def changes(draw: st.DrawFn, family: str) -> dict[str, Any]:
    """Settings around the places where they stop to have an effect."""
    windows = st.lists(st.sampled_from(WINDOWS), min_size=1, max_size=2)
    chosen = {
        "attention": draw(st.sampled_from(["none", "se", "sk", *KINDS])),
        "fuse_pool": draw(st.sampled_from(["average", "both"])),
        "select_act": draw(st.sampled_from(["softmax", "sigmoid"])),
        "reduction": draw(st.sampled_from([2, 4, 16, 32])),
        "min_dim": draw(st.sampled_from([1, 4, 8, 64])),
        "branches": draw(windows),
    }
    if family == "bottleneck":
        chosen["attention"] = draw(st.sampled_from([chosen["attention"], "bam"]))
        chosen["depths"] = draw(st.sampled_from([[1], [1, 1]]))
        chosen["cardinality"] = draw(st.sampled_from([2, 4]))
        groups = st.sampled_from([2, 4, "1x", "2x"])
        chosen["branches"] = [{**window, "groups": draw(groups)} for window in chosen["branches"]]
    if family.startswith("mobilenet"):
        chosen["width"] = draw(st.sampled_from([0.25, 0.251, 0.3]))
    if family == "shufflenetv2":
        chosen |= {"depths": [1, 1], "widths": draw(st.sampled_from([[16, 32], [16, 48]])), "last_width": 8}
    return chosen


def layers(spec: ModelSpec) -> str:
    """Every layer with its name and settings. The dilation of a 1x1 convolution is none, and no class of its own is
    needed. (The text of a whole network counts layers in a row that have the same text.)"""
    with torch.device("meta"):
        modules = [*build(spec).named_modules()]
    texts = (
        f"{name}: {module}" if not [*module.children()] else f"{name}: {type(module)} {module.extra_repr()}"
        for name, module in modules
    )
    lines = (text.replace("DecimatedConv2d", "Conv2d") for text in texts)
    return "\n".join(line.replace(", dilation=(2, 2)", "") if "kernel_size=(1, 1)" in line else line for line in lines)


@pytest.mark.parametrize("family", SMALL)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_networks_are_built_alike_exactly_where_it_is_said(family: str, data: st.DataObject) -> None:
    one, two = (data.draw(changes(family)) for _ in range(2))
    kept = data.draw(st.sets(st.sampled_from(sorted(one)), min_size=len(one) - 1))  # most pairs differ in little
    specs = [network(SMALL[family], **change) for change in (one, two | {name: one[name] for name in kept})]
    assert (specs[0].built() == specs[1].built()) == (layers(specs[0]) == layers(specs[1]))


def test_weights_are_the_same_too() -> None:
    def weights(reduction: int) -> list[torch.Tensor]:
        torch.manual_seed(3)
        return list(build(network("sknet_small", reduction=reduction)).state_dict().values())

    assert network("sknet_small", reduction=16).built() == network("sknet_small", reduction=64).built()
    assert all(torch.equal(one, two) for one, two in zip(weights(16), weights(64), strict=True))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"reduction": 8}, {"reduction": 64}),  # d is L = 8 in both stages and more
        ({"attention": "none", "min_dim": 4}, {"attention": "none", "reduction": 2}),
        ({"attention": "se", "min_dim": 4}, {"attention": "se", "min_dim": 64}),
        ({"branches": [{"kernel": 3, "groups": "2x"}]}, {"branches": [{"kernel": 3, "groups": 8}]}),
        ({"branches": [{"kernel": 3, "groups": 4}], "cardinality": 2}, {"branches": [{"kernel": 3, "groups": 4}]}),
        ({"branches": [{"kernel": 1, "dilation": 3}]}, {"branches": [{"kernel": 1}]}),
        ({"attention": "mean", "branches": [{"kernel": 3}]}, {"attention": "none", "branches": [{"kernel": 3}]}),
        ({"attention": "static", "fuse_pool": "max"}, {"attention": "static", "reduction": 2}),
        ({"attention": "cbam", "select_act": "sigmoid"}, {"attention": "cbam", "min_dim": 2}),
        ({"attention": "bam", "depths": [2]}, {"attention": "none", "depths": [2]}),  # it stands between stages
        ({"attention": "bam", "depths": [2, 1]}, {"attention": "bam", "depths": [2, 1], "select_act": "sigmoid"}),
    ],
)
def test_settings_without_effect_are_resolved(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert network("sknet_small", **one).built() == network("sknet_small", **two).built()


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"reduction": 4}, {"reduction": 8}),
        ({"attention": "se", "reduction": 8}, {"attention": "se", "reduction": 16}),
        ({"attention": "bam", "reduction": 8}, {"attention": "bam", "reduction": 16}),
        ({"attention": "mean"}, {"attention": "none"}),
        ({"attention": "sk"}, {"attention": "splat"}),
        ({"fuse_pool": "max"}, {"fuse_pool": "both"}),
        ({"attention": "splat", "select_act": "sigmoid"}, {"attention": "splat"}),
        ({"branches": [{"kernel": 3}]}, {"branches": [{"kernel": 3}], "attention": "none"}),  # idle, but it is built
        ({"branches": [{"kernel": 3}, {"kernel": 1}]}, {"branches": [{"kernel": 1}, {"kernel": 3}]}),
    ],
)
def test_other_layers_are_another_network(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert network("sknet_small", **one).built() != network("sknet_small", **two).built()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_network_says_what_is_built(name: str) -> None:
    assert network(name).built()["family"] == network(name).family


def test_a_librarys_network_keeps_what_only_its_layers_decide() -> None:
    def foreign(**sk: Any) -> dict[str, Any]:
        changed = {"select": "*", "branches": [{"kernel": 3}], **sk}
        return family_spec("foreign").model_validate({"library": "timm", "name": "resnet18", "sk": changed}).built()

    assert foreign(attention="none", reduction=2) == foreign(attention="none", min_dim=2)
    assert foreign(reduction=16) != foreign(reduction=64)
