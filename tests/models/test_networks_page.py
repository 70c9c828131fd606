"""docs/networks.md and benchmarks/zoo.md: their counts are ours, and their files load."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from sklab.models.zoo import cost
from sklab.spec.model import Gate, Mixer
from sklab.spec.networks import SETTINGS, network
from sklab.sweep.files.load import load_sweep

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
ZOO = (ROOT / "benchmarks" / "zoo.md").read_text(encoding="utf-8")
COUNTS = re.findall(r"^\| `(\w+)` \| .* \| ([0-9.]+) \| [0-9.]+ \|$", ZOO, re.M)


def test_the_counts_on_the_page_are_ours():
    assert len(COUNTS) == 11
    for name, millions in COUNTS:
        assert f"{cost(network(name), 32).params / 1e6:.2f}" == millions


def test_the_settings_on_the_page_are_settings():
    block, *_ = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    model = yaml.safe_load(block)["model"]
    network(model.pop("base"), **model)


def test_the_table_of_the_kinds_of_attention_is_counted():
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([0-9,]+) \| ([0-9,]+) \| ([0-9.]*) ?\|$", PAGE, re.M)
    assert {row[0] for row in rows} == {*get_args(Mixer), *get_args(Gate), "bam"}
    plain = cost(network("resnext50"), 32).params
    for kind, added, params, published in rows:
        counted = cost(network("resnext50", attention=kind), 32).params
        assert (f"{counted - plain:,}", f"{counted:,}") == (added, params)
        assert not published or counted / 1e6 == pytest.approx(float(published), abs=0.15)


@pytest.mark.parametrize(("name", "networks"), [("what_helps", 4), ("choices", 7)])
def test_the_sweeps_on_the_page_have_these_networks(tmp_path, name, networks):
    (text,) = re.findall(rf"```yaml\n(# sweeps/{name}.yaml.*?)```", PAGE, re.DOTALL)
    experiments = Path(__file__).parents[2] / "experiments"
    (tmp_path / "sweep.yaml").write_text(text.replace("../experiments", str(experiments)), encoding="utf-8")
    assert len(load_sweep(tmp_path / "sweep.yaml").cells) == networks


@pytest.mark.parametrize("family", sorted({settings["family"] for settings in SETTINGS.values()}))
def test_every_family_is_on_the_page(family):
    assert f"`{family}`" in PAGE
