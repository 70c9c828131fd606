"""A cell or a factor that puts another network, by its name, in the place of the experiment's."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweepfiles import load

from sklab.errors import FaultyInputError
from sklab.spec.networks import network
from sklab.sweep.design.cells import run_spec

GRID = """\
experiment: base.yaml
design: grid
seeds: 1
baseline: {network: sknet50, r: 2}
factors:
  network: {path: model.base, levels: [sknet50, shufflenetv2_x0_5_sk]}
  r: {path: model.reduction, levels: [2, 4]}
"""
CELLS = """\
experiment: base.yaml
design: list
seeds: 1
baseline: as it is
cells:
  - {name: as it is}
  - {name: other, set: {SETTINGS}}
"""


def cells(settings: str) -> str:
    return CELLS.replace("{SETTINGS}", settings)


def faults(tmp_path: Path, text: str, **overrides: str) -> dict[str, str]:
    with pytest.raises(FaultyInputError) as caught:
        load(tmp_path, text, overrides=overrides)
    return {fault.place: str(fault) for fault in caught.value.faults}


def test_the_network_is_the_named_one_for_the_classes_and_channels_of_the_experiment(tmp_path: Path) -> None:
    sweep = load(tmp_path, cells("{model.base: senet50}"))
    model = run_spec(sweep, sweep.cells[1], 0).experiment.model
    assert model == network("senet50", in_channels=1, num_classes=10)


def test_networks_of_two_families_are_levels_that_later_factors_refine(tmp_path: Path) -> None:
    sweep = load(tmp_path, GRID)
    models = [run_spec(sweep, cell, 0).experiment.model for cell in sweep.cells]
    assert [cell.name for cell in sweep.cells][-1] == "network=shufflenetv2_x0_5_sk, r=4"
    assert [model.family for model in models] == ["bottleneck"] * 2 + ["shufflenetv2"] * 2
    assert [model.model_dump()["reduction"] for model in models] == [2, 4, 2, 4]


def test_a_setting_before_the_network_would_be_lost(tmp_path: Path) -> None:
    told = faults(tmp_path, cells("{model.reduction: 8, model.base: senet50}"))
    assert "put the wider path first" in told["cells.1.set.model.base"]


def test_a_setting_of_the_command_line_would_be_lost(tmp_path: Path) -> None:
    told = faults(tmp_path, cells("{model.base: senet50}"), **{"model.reduction": "8"})
    assert "sets this too, at cells.1.set.model.base" in told["model.reduction"]


def test_the_classes_of_the_command_line_are_kept(tmp_path: Path) -> None:
    sweep = load(tmp_path, cells("{model.base: resnext50}"), overrides={"model.num_classes": "10"})
    assert run_spec(sweep, sweep.cells[1], 0).experiment.model.num_classes == 10


@pytest.mark.parametrize(("name", "hint"), [("senet5O", "did you mean 'senet50'"), ("[]", "unknown network")])
def test_an_unknown_network_says_which_are_known(tmp_path: Path, name: str, hint: str) -> None:
    told = faults(tmp_path, cells(f"{{model.base: {name}}}"))
    assert hint in told["cells.1.set.model.base"]
    assert "allowed: resnext26, " in told["cells.1.set.model.base"]
    assert ":7: " in told["cells.1.set.model.base"]


def test_an_unknown_family_says_which_are_known(tmp_path: Path) -> None:
    told = faults(tmp_path, cells("{model.family: shufflenet}"))
    assert "did you mean 'shufflenetv2'" in told["cells.1.set.model.family"]


def test_what_a_family_does_not_have_is_an_unknown_key(tmp_path: Path) -> None:
    told = faults(tmp_path, cells("{model.base: mobilenetv2, model.cardinality: 4}"))
    assert "allowed: family, in_channels, num_classes, init, branches" in told["cells.1.set.model.cardinality"]
