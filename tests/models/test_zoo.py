"""Building networks by name."""

import pytest

from sklab.errors import FaultyInputError
from sklab.models.bottleneck import BottleneckNet
from sklab.models.zoo import create_model, list_models
from sklab.spec.model import Branch
from sklab.spec.networks import SETTINGS


def test_every_name_is_listed():
    assert list_models() == tuple(SETTINGS)
    assert {"sknet50", "resnext50", "senet50", "sknet_small"} <= set(list_models())


def test_overrides_replace_fields():
    model = create_model("sknet_small", num_classes=3, branches=[Branch(kernel=5, groups=4)], attention="none")
    assert isinstance(model, BottleneckNet)
    assert model.head.out_features == 3
    assert [branch[0].kernel_size for branch in model.units.SK_2_1.sk.branches] == [(5, 5)]


def test_an_unknown_name_says_which_are_known():
    with pytest.raises(FaultyInputError) as caught:
        create_model("sknet5O")
    assert "did you mean 'sknet50'" in str(caught.value)
    assert all(name in str(caught.value) for name in list_models())


@pytest.mark.parametrize(
    ("overrides", "place", "words"),
    [
        ({"dephts": [1]}, "dephts", "did you mean 'depths'"),
        ({"branches": [{"kernel": 3, "dilaton": 2}]}, "branches.0.dilaton", "did you mean 'dilation'"),
        ({"branches": [{"kernel": 4}]}, "branches.0.kernel", "must be odd"),
        ({"width": "64"}, "width", "found '64'"),
        ({"width": 50}, "overrides", "G = 4 does not divide C = 50"),
        ({"attention": "softmax"}, "attention", "'none', 'mean', 'static', 'sk'"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(overrides, place, words):
    with pytest.raises(FaultyInputError) as caught:
        create_model("sknet_small", **overrides)
    fault = next(fault for fault in caught.value.faults if fault.place == place)
    assert words in str(fault)


def test_all_faults_come_at_once():
    with pytest.raises(FaultyInputError) as caught:
        create_model("sknet_small", width=0, reduction=-1, depths=[])
    assert {fault.place for fault in caught.value.faults} == {"width", "reduction", "depths"}
