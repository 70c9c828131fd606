"""What a network takes from trained weights, what starts fresh, and what is refused: for every family."""

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklab.errors import SklabError
from sklab.models.weights.matching import Misfit, counted, in_module_order, match
from sklab.models.weights.start import start
from sklab.models.zoo import build
from sklab.spec.model import ModelSpec
from sklab.spec.networks import network

TOY = {
    "bottleneck": ("resnext_small", {"width": 8, "out_width": 16, "depths": [1, 1], "reduction": 2, "min_dim": 2}),
    "mobilenetv1": ("mobilenetv1", {"width": 0.25, "num_classes": 10}),
    "mobilenetv2": ("mobilenetv2", {"width": 0.25, "num_classes": 10}),
    "shufflenetv2": ("shufflenetv2_x0_5", {"num_classes": 10}),
}
PLAIN = {"branches": [{"kernel": 3}], "attention": "none"}
KINDS = {
    "se": {"branches": [{"kernel": 3}], "attention": "se"},
    "two branches": {"branches": [{"kernel": 3}, {"kernel": 3, "dilation": 2}], "attention": "none"},
    "sk": {"branches": [{"kernel": 3}, {"kernel": 3, "dilation": 2}], "attention": "sk"},
    "the trained one last": {
        "branches": [{"kernel": 1}, {"kernel": 3, "dilation": 2}, {"kernel": 3}],
        "attention": "sk",
    },
}
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def spec(family: str, **changes) -> ModelSpec:
    name, small = TOY[family]
    return network(name, **{**small, **PLAIN, **changes})


def trained(tmp_path: Path, plain: ModelSpec, name: str = "trained.pt"):
    """A file of the network's tensors, all random, and these."""
    torch.manual_seed(99)
    tensors = {
        each: torch.rand_like(tensor) + 0.5 if tensor.is_floating_point() else tensor
        for each, tensor in build(plain).state_dict().items()
    }
    return saved(tmp_path / name, tensors), tensors


def saved(file: Path, tensors) -> str:
    (safetensors.torch.save_file if file.suffix == ".safetensors" else torch.save)(tensors, file)
    return str(file)


def begun(model: ModelSpec, seed: int = 0):
    torch.manual_seed(seed)
    return start(model)


def refused(model: ModelSpec) -> str:
    with pytest.raises(SklabError) as caught:
        start(model)
    return str(caught.value)


@pytest.mark.parametrize("family", TOY)
def test_a_network_takes_all_tensors_of_its_own_file(tmp_path, family):
    file, tensors = trained(tmp_path, spec(family))
    made = begun(spec(family, init=file))
    own = made.network.state_dict()
    assert all(torch.equal(own[name], tensors[name]) for name in counted(tensors))
    assert made.trunk == {name for name, _ in made.network.named_parameters()}
    assert made.origin.model_dump() == {
        "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
        "taken": len(counted(tensors)),
        "fresh": 0,
        "head": True,
    }


@pytest.mark.parametrize("family", TOY)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("renamed", [False, True], ids=["by name", "by order"])
def test_attention_and_further_branches_start_fresh_as_without_the_file(tmp_path, family, kind, renamed):
    file, tensors = trained(tmp_path, spec(family))
    if renamed:
        tensors = {
            f"features.{place}.{name.rpartition('.')[2]}": each for place, (name, each) in enumerate(tensors.items())
        }
        file = saved(tmp_path / "renamed.pt", tensors)
    model = spec(family, **KINDS[kind], num_classes=7)
    made, fresh = begun(spec(family, **KINDS[kind], num_classes=7, init=file)), begun(model)
    own, drawn = made.network.state_dict(), fresh.network.state_dict()
    held = list(counted(tensors).values())
    taken = {
        name
        for name in counted(own)
        if any(own[name].shape == each.shape and torch.equal(own[name], each) for each in held)
    }
    assert len(taken) == made.origin.taken == len(held) - 2, "all but the head"
    assert not made.origin.head
    rest = counted(own).keys() - taken
    assert len(rest) == made.origin.fresh
    assert all(torch.equal(own[name], drawn[name]) for name in rest), "what is fresh is as without the file"
    number = KINDS[kind]["branches"].index({"kernel": 3})
    branches = {name.split(".branches.")[1][0] for name in taken if ".branches." in name}
    has_branches = any(".branches." in name for name in own)
    assert branches == ({str(number)} if has_branches else set()), "the branch that is like the trained one"
    assert made.trunk == taken & {name for name, _ in made.network.named_parameters()}


@pytest.mark.parametrize("name", ["plain.safetensors", "plain.pt"])
def test_the_order_of_a_file_does_not_matter_where_names_are_ours(tmp_path, name):
    _, tensors = trained(tmp_path, spec("bottleneck"))
    file = saved(tmp_path / name, dict(sorted(tensors.items())))
    assert begun(spec("bottleneck", **KINDS["sk"], init=file)).origin.taken == len(counted(tensors))


@FEW
@given(data=st.data())
def test_a_file_that_lacks_a_tensor_has_another_one_or_another_shape_is_refused_by_name(tmp_path, data):
    _, tensors = trained(tmp_path, spec("bottleneck"))
    name = data.draw(st.sampled_from([each for each in counted(tensors) if not each.startswith("head.")]))
    fault = data.draw(st.sampled_from(["missing", "foreign", "shape"]))
    if fault == "missing":
        del tensors[name]
    elif fault == "foreign":
        tensors[f"{name}_more"] = torch.ones(2)
    else:
        tensors[name] = torch.ones(*tensors[name].shape, 1, 2)
    file = saved(tmp_path / "odd.pt", tensors)
    for kind in (PLAIN, *KINDS.values()):
        text = refused(spec("bottleneck", **kind, init=file))
        assert "odd.pt (SHA-256 " in text
        assert "does not fit the network: " in text
        assert name in text, (fault, text)


@FEW
@given(data=st.data())
def test_a_file_is_matched_by_order_only_where_every_tensor_fits(data):
    """Against a plain reading of the rule: as many tensors, each with its partner's shape and kind."""
    kinds = ("weight", "bias", "running_mean")
    tensor = st.tuples(st.sampled_from(kinds), st.sampled_from([(2,), (3,), (2, 3), (2, 3, 1, 1), (2, 3, 3, 3)]))
    mine = data.draw(st.lists(tensor, min_size=1, max_size=6))
    theirs = data.draw(st.one_of(st.just(mine), st.lists(tensor, min_size=1, max_size=6), st.permutations(mine)))
    wanted = {f"mine.{at}.{kind}": torch.zeros(shape) for at, (kind, shape) in enumerate(mine)}
    held = {f"theirs{at}.{kind}": torch.zeros(shape) for at, (kind, shape) in enumerate(theirs)}

    def alike(one, other):
        return one[0] == other[0] and (one[1] == other[1] or {one[1], other[1]} == {(2, 3), (2, 3, 1, 1)})

    found = match(wanted, held, ())
    if len(mine) == len(theirs) and all(map(alike, mine, theirs)):
        assert found == dict(zip(wanted, held, strict=True))
    else:
        assert isinstance(found, Misfit)


def test_the_order_of_a_resnet_is_found_again():
    names = [
        *("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"),
        *("layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer1.0.conv2.paths.0.conv.weight"),
        *("layer1.0.conv2.paths.1.conv.weight", "layer1.0.conv2.attn.fc_reduce.weight"),
        *("layer1.0.conv2.attn.fc_select.weight", "layer1.0.conv3.weight", "layer1.0.se.fc1.weight"),
        *("layer1.0.se.fc1.bias", "layer1.0.downsample.0.weight", "layer1.2.conv1.weight", "layer1.10.conv1.weight"),
        *("layer4.0.conv1.weight", "fc.weight", "fc.bias"),
    ]
    tensors = {name: torch.ones(1) for name in names}
    assert list(in_module_order(dict(sorted(tensors.items())))) == names
    other = {**tensors, "blocks.0.conv.weight": torch.ones(1)}
    assert list(in_module_order(other)) == list(other), "of other networks nothing is known"


def test_a_file_of_a_network_with_attention_is_refused_by_one_without(tmp_path):
    file, _ = trained(tmp_path, spec("bottleneck", **KINDS["sk"]))
    text = refused(spec("bottleneck", init=file))
    assert "tensors that the network lacks (units.SK_2_1.sk.branches.1.0.weight [8, 2, 3, 3], " in text


def test_a_file_for_other_channels_is_refused(tmp_path):
    file, _ = trained(tmp_path, spec("bottleneck", in_channels=3))
    assert "1 tensor of another shape (stem.0.weight [16, 3, 3, 3] for [16, 1, 3, 3])" in refused(
        spec("bottleneck", init=file)
    )


def test_a_file_that_has_changed_or_gone_is_refused(tmp_path):
    file, tensors = trained(tmp_path, spec("bottleneck"))
    model = spec("bottleneck", init=file)
    saved(Path(file), {**tensors, "head.bias": torch.zeros(10)})
    assert "trained.pt has changed since the study was started: its SHA-256 is " in refused(model)
    Path(file).unlink()
    assert "trained.pt: can't be read (No such file or directory)" in refused(model)


def test_on_the_meta_device_it_is_only_checked(tmp_path):
    file, _ = trained(tmp_path, spec("bottleneck"))
    with torch.device("meta"):
        assert start(spec("bottleneck", **KINDS["sk"], init=file)).origin.fresh > 0
        assert "another shape" in refused(spec("bottleneck", in_channels=2, init=file))


def test_a_network_without_trained_weights_is_the_one_that_is_built():
    made, plain = begun(spec("bottleneck")), None
    torch.manual_seed(0)
    plain = build(spec("bottleneck")).state_dict()
    assert (made.trunk, made.origin) == (frozenset(), None)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in made.network.state_dict().items())
