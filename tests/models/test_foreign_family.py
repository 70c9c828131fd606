"""The family of other libraries' networks, over a stand-in for timm."""

import sys
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from sklab.errors import SklabError
from sklab.models.families.foreign import Spec
from sklab.models.sk import SKConv2d
from sklab.models.zoo import Cost, build, convolutions, cost
from sklab.spec.jobs import Checked
from sklab.spec.run import Experiment, RunSpec
from sklab.sweep.run.preflight import _covering

SK = {"select": "grouped3x3", "branches": [{"kernel": 3}, {"kernel": 3, "dilation": 2, "groups": "2x"}]}


def spec(**settings):
    return Spec.model_validate({"library": "timm", "name": "net", "num_classes": 10, "in_channels": 1, **settings})


@pytest.fixture(autouse=True)
def timm(monkeypatch):
    """A library of one network: a grouped 3x3 convolution to 4 x 4 pixels, and an oblong one."""

    def create(_name, pretrained, num_classes, in_chans):
        assert not pretrained
        grouped = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, bias=False)
        oblong = nn.Conv2d(8, 4, (1, 3), padding="same")
        return nn.Sequential(
            nn.Conv2d(in_chans, 8, 1), grouped, nn.BatchNorm2d(8), oblong, nn.Flatten(), nn.Linear(64, num_classes)
        )

    library = ModuleType("timm")
    library.list_models, library.create_model = lambda: ["net"], create
    monkeypatch.setitem(sys.modules, "timm", library)
    return library


def test_without_sk_it_is_the_librarys_network():
    network = build(spec())
    assert not any(isinstance(part, SKConv2d) for part in network.modules())
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_with_sk_it_is_converted_as_the_specification_says():
    network = build(spec(sk={**SK, "attention": "none"}))
    unit = network[1]
    assert isinstance(unit, SKConv2d)
    assert unit.attention is None
    assert [(branch[0].dilation, branch[0].groups) for branch in unit.branches] == [((1, 1), 2), ((2, 2), 4)]
    assert build(spec(sk={**SK, "reduction": 2, "min_dim": 3}))[1].attention.squeeze[0].out_features == 4
    assert build(spec(sk={**SK, "reduction": 8, "min_dim": 3}))[1].attention.squeeze[0].out_features == 3


def test_counts_are_those_of_the_network_with_weights():
    plain = cost(spec(), 8)
    assert plain.macs == 64 * 8 + 16 * 8 * 4 * 9 + 16 * 4 * 8 * 3 + 64 * 10
    for one in (spec(), spec(sk=SK)):
        assert cost(one, 8) == Cost(sum(each.numel() for each in build(one).parameters()), cost(one, 8).macs)


def test_oblong_convolutions_are_told_as_they_are():
    told = [str(each) for each in convolutions(spec(), 8)]
    assert "1x3 convolution of 8 to 4 channels, stride 1, dilation 1, groups 1, on 4x4 pixels" in told
    assert "3x3 convolution of 8 to 8 channels, stride 2, dilation 1, groups 2, on 8x8 pixels" in told


def test_a_size_that_the_library_refuses_is_no_traceback():
    with pytest.raises(SklabError, match="Sequential of timm can't take images of 16x16 pixels: "):
        cost(spec(), 16)


@pytest.mark.parametrize("groups", [0, -1, True, 1.0, "0x", "x", "2", "2xx", None, [2]])
def test_groups_are_a_number_or_a_multiple(groups):
    with pytest.raises(ValidationError, match="a whole number of at least 1, or a multiple"):
        spec(sk={**SK, "branches": [{"kernel": 3, "groups": groups}]})


@pytest.mark.parametrize("wrong", [{"library": "os"}, {"name": ""}, {"sk": {"select": "x"}}, {"path": "os.system"}])
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValidationError):
        spec(**wrong)


branches = st.lists(
    st.fixed_dictionaries(
        {"kernel": st.sampled_from([1, 3, 5])},
        optional={"dilation": st.integers(1, 3), "groups": st.integers(1, 64) | st.sampled_from(["1x", "2x", "16x"])},
    ),
    min_size=1,
    max_size=3,
)


@given(sk=st.none() | st.fixed_dictionaries({"select": st.sampled_from(["grouped3x3", "a.*"]), "branches": branches}))
def test_a_network_survives_the_way_through_a_file(sk):
    asked = Checked(model=spec(sk=sk), image_size=8, precision="fp32", memory_format="contiguous")
    assert Checked.model_validate_json(asked.model_dump_json()) == asked


def test_plain_and_each_branch_and_each_selection_are_checked_once():
    def experiment(**settings):
        model = spec(**settings).model_dump()
        train = {"epochs": 1, "batch_size": 2, "lr": 0.1}
        return Experiment.model_validate({"data": {"name": "scaled_digits"}, "model": model, "train": train})

    plain, both = experiment(), experiment(sk=SK)
    one = experiment(sk={**SK, "branches": SK["branches"][:1], "attention": "none"})
    elsewhere, other = experiment(sk={**SK, "select": "*"}), experiment(name="other")
    chosen = [plain, both, elsewhere, other]
    assert [checked.model for checked in _covering([plain, both, one, elsewhere, other])] == [
        experiment.model for experiment in chosen
    ]
    assert len({RunSpec(experiment=each, seed=0).key for each in (*chosen, one)}) == 5
