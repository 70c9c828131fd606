"""Numbers far beyond anything real are told as faults within seconds, wherever they stand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sklab.cli import main
from sklab.errors import Fault, FaultyInputError
from sklab.launch.slots import runs_per_gpu
from sklab.spec import limits
from sklab.spec.model import families, family_module
from sklab.spec.run import Experiment
from sklab.spec.study.launchers import RaySpec, SlurmSpec
from sklab.spec.study.search import Search
from sklab.spec.values import Value
from sklab.sweep.files.inputs import MAX_BYTES, read_mapping
from sklab.sweep.files.yamltree import MAX_NODES, parse

Place = tuple[str | int, ...]

TRAIN = {"epochs": 4, "batch_size": 64, "lr": 0.1, "step_at": [1, 2]}
IMAGES = {"name": "image_folder", "root": "/images", "num_classes": 10}
DATA: dict[str, dict[str, Any]] = {
    "digits": {"name": "scaled_digits"},
    "noise": {"name": "stand_in", "num_classes": 10},
    "folder": IMAGES,
    "parquet": {**IMAGES, "name": "parquet"},
    "hub": {"name": "hub", "path": "a/b", "num_classes": 10},
}
SK = {"select": "grouped3x3", "branches": [{"kernel": 3, "groups": 2}]}
FOREIGN = {"family": "foreign", "library": "timm", "name": "resnet18", "sk": SK}
# What a larger number of is no more work.
HARMLESS = {"mean", "std", "seed"}


def networks() -> Iterator[dict[str, Any]]:
    for family in families():
        for settings in list(family_module(family).SETTINGS.values())[:1]:
            yield {"family": family, **settings}
    yield FOREIGN


def numbers(tree: Any, place: Place = ()) -> Iterator[Place]:
    """The places of all numbers in a tree."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    for key, value in inner:
        yield from numbers(value, (*place, key))
    if type(tree) in (int, float):
        yield place


def with_value(tree: Any, place: Place, value: Any) -> Any:
    changed = json.loads(json.dumps(tree))
    node = changed
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    return changed


def unbounded(kind: type[Value], tree: dict[str, Any]) -> list[Place]:
    """The places where a whole number of 18 digits, or one of 300, is taken."""
    taken = []
    for place in numbers(tree):
        old = tree
        for step in place:
            old = old[step]  # type: ignore[index]
        try:
            kind.model_validate(with_value(tree, place, 10**17 if type(old) is int else 1e300))
        except ValidationError:
            continue
        taken.append(place)
    return [place for place in taken if not HARMLESS.intersection(map(str, place))]


@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
@pytest.mark.parametrize("model", list(networks()), ids=lambda model: model["family"])
def test_every_number_of_an_experiment_has_a_limit(data, model):
    channels = 1 if data["name"] == "scaled_digits" else 3
    model = {**model, "num_classes": 10, "in_channels": channels}
    experiment = Experiment.model_validate({"data": data, "model": model, "train": TRAIN})
    tree = experiment.model_dump(mode="json")
    assert len(list(numbers(tree))) > 20
    assert unbounded(Experiment, tree) == []


def test_every_number_of_a_search_and_a_cluster_has_a_limit():
    pruning = {"rule": "halving", "start": 1, "factor": 3}
    assert unbounded(Search, {"trials": 2, "seed": 1, "pruning": pruning}) == []
    slurm = {"launcher": "slurm", "time": 1, "parallel": 1, "gpus": 1, "cpus": 1, "memory": 1}
    assert unbounded(SlurmSpec, slurm) == []
    assert unbounded(RaySpec, {"launcher": "ray", "parallel": 1, "gpus": 0.5, "cpus": 1}) == []


LISTS = {"depths": [1] * 9, "branches": [{"kernel": 3, "groups": 1}] * 17}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_stages_or_branches_has_a_limit(toy_order, name):
    with pytest.raises(ValidationError, match="at most"):
        toy_order(model={name: LISTS[name]})


@pytest.mark.parametrize(("units", "branches", "told"), [
    (limits.UNITS // 2 + 1, 1, "1026 units; allowed: up to 1024"),
    (limits.CONVOLUTIONS // 6, 16, "682 units of 16 branches; allowed: up to 2048 branches in all"),
])  # fmt: skip
def test_a_network_of_too_many_convolutions_is_no_network(toy_order, units, branches, told):
    with pytest.raises(ValidationError, match=told):
        toy_order(model={"depths": [units, units], "branches": [{"kernel": 3, "groups": 1}] * branches})


def told(sweep: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `sklab plan` says of a sweep that it refuses within seconds of processor time."""
    began = time.process_time()
    assert main(["plan", str(sweep)]) == 2
    assert time.process_time() - began < 60
    return capsys.readouterr().err


def test_a_billion_units_are_a_fault_of_the_file(toy_files, capsys):
    (toy_files / "toy.yaml").write_text((toy_files / "toy.yaml").read_text().replace("[1, 1]", "[1000000000, 1]"))
    assert "toy.yaml:2: model.depths.0: out of range; found 1000000000; allowed: at most 1024" in told(
        toy_files / "sweep.yaml", capsys
    )


GRID = """\
experiment: toy.yaml
design: {design}
seeds: {seeds}
baseline: {{}}
factors:
  r: {{path: model.reduction, levels: {levels}}}
  L: {{path: model.min_dim, levels: {levels}}}
"""


@pytest.mark.parametrize(("design", "seeds", "levels", "fault"), [
    ("grid", 2, 20_000, "factors.r.levels: out of range"),
    ("ofat", 2, 20_000, "allowed: at most 1000 entries"),
    ("grid", 1, 200, "factors: too many combinations of levels; allowed: at most 10000"),
    ("ofat", 1000, 60, "seeds: too many runs; found 119000; allowed: at most 100000"),
    ("ofat", "[" + "1, " * 50_000 + "2]", 2, "seeds: out of range"),
])  # fmt: skip
def test_a_study_of_too_many_runs_is_told_before_they_are_made(toy_files, capsys, design, seeds, levels, fault):
    text = GRID.format(design=design, seeds=seeds, levels=list(range(1, levels + 1)))
    (toy_files / "sweep.yaml").write_text(text)
    assert fault in told(toy_files / "sweep.yaml", capsys)


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path, capsys):
    (tmp_path / "large.yaml").write_text("cells: [" + "a," * 5_000_000 + "a]")
    assert f"larger than {MAX_BYTES >> 20} MB" in told(tmp_path / "large.yaml", capsys)
    with pytest.raises(FaultyInputError, match="larger than 4 MB"):
        read_mapping(Path("/dev/zero"))


def test_a_list_of_too_many_values_is_refused_before_it_is_read_to_its_end():
    began = time.process_time()
    with pytest.raises(FaultyInputError, match=f"more than {MAX_NODES} values"):
        parse("[" + "a," * (MAX_BYTES // 2) + "a]", "x.yaml")
    assert time.process_time() - began < 60


def test_many_faults_are_not_all_listed():
    lines = str(FaultyInputError([Fault("x.yaml", "a", "wrong", line) for line in range(1, 1001)])).splitlines()
    assert len(lines) == 102
    assert lines[0].startswith("1000 faults")
    assert lines[-1] == "  and 900 more"


@pytest.mark.parametrize("text", ["1001", "1000000000", "9" * 5000, "0", "-1", "two"])
def test_runs_that_share_a_gpu_have_a_limit(text):
    with pytest.raises(Exception, match="allowed: 1 to 1000, or auto"):
        runs_per_gpu(text)
