from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sklab.spec.model import Branch, ModelSpec
from sklab.spec.networks import SETTINGS, network
from sklab.spec.run import RunSpec
from sklab.spec.train import Augment, TrainSpec
from sklab.spec.values import RULE

EXPERIMENT = {
    "data": {"name": "scaled_digits"},
    "model": SETTINGS["sknet_small"],
    "train": {"epochs": 1, "batch_size": 8, "lr": 0.1},
}


def key(seed: int = 0, **parts: dict) -> str:
    experiment = {name: {**EXPERIMENT[name], **parts.get(name, {})} for name in EXPERIMENT}
    return RunSpec.model_validate({"experiment": experiment, "seed": seed}).key


def broken(**fields: object) -> set[str]:
    with pytest.raises(ValidationError) as caught:
        network("sknet50", **fields)
    return {error["type"] for error in caught.value.errors()}


def test_the_key_is_of_what_is_resolved_not_of_what_is_written():
    assert (
        key()
        == key(train={"momentum": 0.9})
        == key(model={"branches": [{"kernel": 3, "groups": 4}, {"kernel": 3, "dilation": 2}]})
    )
    assert key() == "7ed7490861919c47", "keys of finished runs must never change"


CHANGES = [
    {"seed": 1},
    {"model": {"reduction": 8}},
    {"train": {"precision": "bf16"}},
    {"train": {"memory_format": "channels_last"}},
    {"train": {"decay_norm_and_bias": False}},
    {"train": {"step_at": [150, 225]}},
    {"train": {"mixup": 0.2}},
    {"train": {"ema_decay": 0.99}},
    {"train": {"accumulate": 2}},
    {"train": {"clip_norm": 1.0}},
    {"train": {"compile": True}},
    {"train": {"deterministic": False}},
    {"train": {"devices": 2}},
    {"train": {"vary": ["init"]}},
    {"train": {"optimizer": "adamw"}},
    {"train": {"betas": [0.9, 0.95]}},
    {"train": {"eps": 1e-6}},
    {"train": {"cutmix": 1.0}},
    {"train": {"loss": "bce"}},
    {"train": {"augment": {"policy": "randaugment"}}},
    {"train": {"augment": {"magnitude": 5}}},
    {"train": {"augment": {"operations": 1}}},
    {"train": {"augment": {"erase": 0.25}}},
    {"train": {"augment": {"own": {"name": "dim", "code": 32 * "0"}}}},
    {"train": {"optimizer": {"name": "lion", "code": 32 * "0"}}},
    {"train": {"optimizer": {"name": "lion", "code": 32 * "1"}}},
    {"train": {"trunk_lr": 0.1}},
    {"train": {"freeze": ["stem"]}},
    {"model": {"init": {"file": "weights.pt", "sha256": 64 * "0"}}},
    {"data": {"seed": 1}},
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_moves_the_numbers_moves_the_key(change):
    assert key(**change) != key()


def test_a_field_that_was_added_counts_for_nothing_at_its_default():
    assert TrainSpec.added <= {name for change in CHANGES for name in change.get("train", {})}, "each is tried above"
    augments = [change["train"]["augment"] for change in CHANGES if "augment" in change.get("train", {})]
    assert Augment.added <= {name for augment in augments for name in augment}
    told = {name: TrainSpec.model_fields[name].default for name in TrainSpec.added}
    augment = {name: Augment.model_fields[name].default for name in Augment.added}
    assert key(train={**told, "augment": augment}) == key()


recipes = st.fixed_dictionaries(
    {},
    optional={
        "momentum": st.sampled_from([0.0, 0.9]),
        "mixup": st.sampled_from([0, 0.0, 0.2]),
        "compile": st.booleans(),
        "decay_norm_and_bias": st.booleans(),
        "accumulate": st.integers(1, 2),
        "augment": st.fixed_dictionaries({}, optional={"flip": st.booleans(), "pad_crop": st.integers(0, 1)}),
    },
)
folders = st.fixed_dictionaries({"root": st.sampled_from(["/a", "/b"])}, optional={"resize": st.integers(255, 257)})
runs = st.fixed_dictionaries({"train": recipes, "data": folders, "seed": st.integers(0, 1)})


def folder_run(drawn: dict) -> RunSpec:
    data = {"name": "image_folder", "num_classes": 10, **drawn["data"]}
    model = {**EXPERIMENT["model"], "in_channels": 3}
    experiment = {"data": data, "model": model, "train": {**EXPERIMENT["train"], **drawn["train"]}}
    return RunSpec.model_validate({"experiment": experiment, "seed": drawn["seed"]})


@given(runs, runs)
def test_keys_are_equal_where_runs_are_equal_up_to_places(one, other):
    ours, theirs = folder_run(one), folder_run({**other, "data": {**other["data"], "root": one["data"]["root"]}})
    assert (ours.key == folder_run(other).key) == (ours == theirs)


@given(runs)
def test_what_the_data_are_called_is_no_part_of_a_key(drawn):
    titled = folder_run({**drawn, "data": {**drawn["data"], "title": "ImageNet-1k"}})
    assert titled.experiment.data.title == "ImageNet-1k"
    assert titled.key == folder_run(drawn).key


@given(runs)
def test_a_key_is_kept_through_a_file(drawn):
    run = folder_run(drawn)
    assert RunSpec.model_validate_json(run.model_dump_json()).key == run.key


def test_groups_are_the_cardinality_a_number_or_a_multiple():
    branches = [{"kernel": 3}, {"kernel": 5, "groups": "2x"}, {"kernel": 7, "groups": 128}]
    assert [branch.groups for branch in network("sknet50", branches=branches).branches] == [32, 64, 128]
    assert [branch.groups for branch in network("sknet50", cardinality=16, branches=branches[:2]).branches] == [16, 32]


def test_rules_between_values_are_told_from_faults():
    assert broken(branches=[{"kernel": 3, "groups": 48}]) == {RULE}
    assert broken(branches=[{"kernel": 3, "groups": "x2"}]) >= {"int_type"}
    assert "value_error" in broken(branches=[{"kernel": 4}])
    assert broken(branches=[]) == {"too_short"}
    assert broken(depths=[3, 0, 1]) == {"greater_than_equal"}
    assert broken(reduction="16") == {"int_type"}
    assert broken(reduktion=16) == {"extra_forbidden"}


@pytest.mark.parametrize(("batch_size", "devices"), [(16, 3), (4, 4), (2, 3)])
def test_a_batch_that_devices_cant_share_breaks_a_rule(batch_size, devices):
    told = f"batch_size = {batch_size} can't be shared by devices = {devices}"
    with pytest.raises(ValidationError, match=told) as caught:
        TrainSpec(epochs=1, batch_size=batch_size, lr=0.1, devices=devices)
    assert [detail["type"] for detail in caught.value.errors()] == [RULE]


@given(st.integers(0, 10), st.integers(1, 8), st.integers(1, 4))
def test_a_branch_keeps_the_size_and_sees_its_window(half, dilation, groups):
    branch = Branch(kernel=2 * half + 1, dilation=dilation, groups=groups)
    assert branch.resulting_kernel == 1 + 2 * branch.padding


@given(st.integers(1, 4096), st.integers(1, 128), st.integers(1, 256))
def test_the_fuse_vector_is_never_narrower_than_l(channels, reduction, min_dim):
    squeezed = network("sknet50", reduction=reduction, min_dim=min_dim).squeezed(channels)
    assert squeezed == max(channels // reduction, min_dim)


def test_values_are_frozen():
    with pytest.raises(ValidationError):
        network("sknet50").reduction = 8


@pytest.mark.parametrize("name", SETTINGS)
def test_every_named_network_is_a_valid_one(name):
    assert isinstance(network(name), ModelSpec)
