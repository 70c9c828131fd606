"""A run of every kind of attention in every family: trained, interrupted and gone on from, kept, analysed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from attempts import CPU, assert_same, attempt, died, outcome

from sklab.spec.model import Gate, Mixer
from sklab.spec.networks import SETTINGS
from sklab.spec.run import RunSpec
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.training.attention.analyze import analyze
from sklab.training.evaluate import kept_network

SK = [{"kernel": 3}, {"kernel": 3, "dilation": 2}]
IN_UNITS = (*get_args(Mixer), *get_args(Gate))
LIGHT: dict[str, dict[str, Any]] = {
    "shufflenetv2_x0_5_sk": {"depths": [1, 1], "widths": [8, 16], "last_width": 8, "stem_width": 4, "min_dim": 4},
    "mobilenetv1_sk": {"width": 0.25, "min_dim": 4},
    "mobilenetv2_sk": {"width": 0.25, "min_dim": 4},
}


@pytest.fixture
def made(tmp_path: Any, toy_order: Callable[..., RunOrder]) -> Callable[..., tuple[RunOrder, RunFolder]]:
    """An order that keeps a checkpoint after every step, and a folder of its own."""

    def make(folder: str, model: dict[str, Any]) -> tuple[RunOrder, RunFolder]:
        order = toy_order(train={"epochs": 2})
        tree = order.spec.model_dump()
        tree["experiment"]["model"] = {**model, "in_channels": 1, "num_classes": 10}
        spec = RunSpec.model_validate(tree)
        order = order.model_copy(update={"spec": spec, "key": spec.key, "checkpoint_seconds": 0.0})
        place = RunFolder(tmp_path / folder)
        place.write_order(order)
        return order, place

    return make


def check(made: Any, dies: Any, model: dict[str, Any], *, recorded: bool) -> None:
    """Interrupted in the second epoch, a run ends as one that never was; what it keeps can be analysed."""
    calm = attempt(*made("calm", model))
    order, folder = made("disturbed", model)
    dies(batch=5)
    died(order, folder)
    dies()
    record = attempt(order, folder)
    assert (record.status, record.resumed_from) == ("complete", 5)
    assert_same(outcome(folder, record), outcome(RunFolder(folder.path.parent / "calm"), calm))
    assert folder.attention_file.exists() == recorded
    network = kept_network(folder, record, CPU)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    analysis = analyze(folder, {}, (1.0, 1.5), "cpu")
    assert bool(analysis.units) == recorded
    assert analysis.fields
    assert all(field.area > 0 for field in analysis.fields)


@pytest.mark.parametrize("kind", [*IN_UNITS, "bam"])
def test_in_the_bottleneck_family(made: Any, dies: Any, kind: str) -> None:
    model = {**SETTINGS["sknet_small"], "stem_width": 4, "width": 8, "out_width": 8, "cardinality": 2, "depths": [1, 1]}
    settings = {**model, "branches": SK, "attention": kind, "reduction": 2}
    check(made, dies, settings, recorded=kind in ("sk", "splat"))


@pytest.mark.parametrize("choices", [{"fuse_pool": "max"}, {"fuse_pool": "both", "select_act": "sigmoid"}])
def test_with_other_choices_of_fuse_and_select(made: Any, dies: Any, choices: dict[str, str]) -> None:
    model = {**SETTINGS["sknet_small"], "stem_width": 4, "width": 8, "out_width": 8, "cardinality": 2, "depths": [1, 1]}
    check(made, dies, {**model, **choices}, recorded="select_act" not in choices)


@pytest.mark.slow
@pytest.mark.parametrize("kind", IN_UNITS)
@pytest.mark.parametrize("name", LIGHT)
def test_in_the_light_families(made: Any, dies: Any, name: str, kind: str) -> None:
    settings = {**SETTINGS[name], **LIGHT[name], "branches": SK, "attention": kind}
    check(made, dies, settings, recorded=kind in ("sk", "splat"))
