"""A family is found by its name, and its file says what it is without torch."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from sklab.spec.jobs import Checked
from sklab.spec.model import ModelSpec, families, family_module, family_spec
from sklab.spec.networks import SETTINGS, image_size, network
from sklab.spec.run import Experiment
from sklab.sweep.run.preflight import _covering

DATA = {"name": "scaled_digits"}
TRAIN = {"epochs": 1, "batch_size": 2, "lr": 0.1}
SMALLEST = {settings["family"]: name for name, settings in reversed(SETTINGS.items())}

ALONE = """
import sys
from pathlib import Path
from sklab.spec.model import families, family_module
from sklab.sweep.files.load import load_sweep

named = [family for family in families() if family_module(family).SETTINGS]
for family in named:
    name = next(iter(family_module(family).SETTINGS))
    Path("base.yaml").write_text(f"data: {{name: scaled_digits}}\\ntrain: {{epochs: 1, batch_size: 2, lr: 0.1}}\\n"
                                 f"model: {{base: {name}, in_channels: 1, num_classes: 10}}\\n")
    Path("sweep.yaml").write_text("experiment: base.yaml\\ndesign: grid\\nseeds: 1\\nbaseline: {A: none}\\n"
                                  "factors: {A: {path: model.attention, levels: [none, se]}}\\n")
    assert len(load_sweep(Path("sweep.yaml")).cells) == 2
print("torch" in sys.modules, len(named))
"""


def test_sweeps_over_every_family_load_without_torch(tmp_path):
    answer = subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", str(len(SMALLEST))]


@pytest.mark.parametrize("family", families())
def test_a_family_is_called_like_its_module(family):
    spec = family_spec(family)
    assert issubclass(spec, ModelSpec)
    assert {network(name).family for name in family_module(family).SETTINGS} <= {family}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_network_survives_the_way_through_a_file(name):
    asked = Checked(model=network(name), image_size=image_size(name), precision="fp32", memory_format="contiguous")
    assert Checked.model_validate_json(asked.model_dump_json()) == asked
    assert type(Checked.model_validate_json(asked.model_dump_json()).model) is type(network(name))


def test_an_unknown_family_says_which_are_known():
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate({"data": DATA, "model": {"family": "botleneck"}, "train": TRAIN})
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"], error["ctx"]["hint"]) == ("unknown_family", ("model",), "bottleneck")


def test_the_arithmetic_check_asks_about_the_batch_of_one_device_and_the_way_a_gpu_computes():
    def experiment(**train):
        model = {**SETTINGS["sknet_small"], "in_channels": 1, "num_classes": 10}
        return Experiment.model_validate({"data": DATA, "model": model, "train": {**TRAIN, **train}})

    recipes = [{"batch_size": 64}, {"batch_size": 64, "devices": 2}, {"batch_size": 64, "deterministic": False}]
    asked = _covering(experiment(**recipe) for recipe in recipes)
    assert [(each.batch, each.deterministic) for each in asked] == [(64, True), (32, True), (64, False)]


@pytest.mark.parametrize("name", SMALLEST.values())
def test_the_arithmetic_check_asks_about_what_is_new(name):
    def experiment(**model):
        settings = {**SETTINGS[name], "in_channels": 1, "num_classes": 10, **model}
        return Experiment.model_validate({"data": DATA, "model": settings, "train": TRAIN})

    one, two = experiment(), experiment(branches=[{"kernel": 5}])
    assert [checked.model for checked in _covering([one, one, two, one])] == [one.model, two.model]


def test_no_two_families_share_a_name():
    assert len(SETTINGS) == sum(len(family_module(family).SETTINGS) for family in families())
