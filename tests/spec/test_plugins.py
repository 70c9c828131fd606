"""Files that users put beside the sets and families that ship: their content is told, that of ours is the version's."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

import sklab
import sklab.data.sets
import sklab.spec.data
import sklab.spec.own.parts
from sklab.data import cache
from sklab.spec import data
from sklab.spec.data import data_spec, plugin_hash
from sklab.spec.run import Experiment
from sklab.store.versions import dependencies

PLUGIN = """
from typing import ClassVar, Literal

import numpy as np

from sklab.data.base import ArraySplit, Splits
from sklab.spec.data import DataSpec


class Spec(DataSpec):
    mean: ClassVar[tuple[float, ...]] = (0.5,)
    std: ClassVar[tuple[float, ...]] = (0.3,)
    name: Literal["LEVEL"] = "LEVEL"
    num_classes: Literal[2] = 2
    channels: Literal[1] = 1
    image_size: int = 8


def load(spec):
    split = ArraySplit(np.full((4, 1, 8, 8), 7, dtype=np.uint8), np.array([0, 1, 0, 1]))
    return Splits(split, split, ("a", "b"))
"""


@pytest.mark.parametrize("room", ["data.sets", "models.families"])
def test_what_ships_is_known_by_name(room):
    folder = Path(sklab.__path__[0]).joinpath(*room.split("."))
    ours = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert data._SHIPPED[room] == ours
    assert {plugin_hash(room, name) for name in ours} == {""}


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Puts a data set of this content beside those that ship, for a process that has not seen it yet."""
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sklab.data.sets, "__path__", [*sklab.data.sets.__path__, str(tmp_path)])
    anew = data.data_sets.__wrapped__
    for module in (sklab.spec.data, sklab.spec.own.parts):
        monkeypatch.setattr(module, "data_sets", anew)

    def put(text: str, name: str = "level"):
        (tmp_path / f"{name}.py").write_text(text.replace("LEVEL", name))
        plugin_hash.cache_clear()
        sys.modules.pop(f"sklab.data.sets.{name}", None)
        importlib.invalidate_caches()
        return data_spec(name)()

    yield put
    plugin_hash.cache_clear()


def test_a_change_of_its_code_makes_its_arrays_anew(plug_in):
    before = cache.load_splits(plug_in(PLUGIN))
    assert np.all(before.train.images == 7)
    spec = plug_in(PLUGIN.replace("), 7,", "), 99,"))
    now = cache.load_splits(spec)
    assert np.all(now.train.images == 99), "not those that the old code left in the cache"
    assert not now.inventory.fingerprint.same_as(before.inventory.fingerprint)


def test_what_decides_a_run_beside_sklab_has_names(plug_in):
    spec = plug_in(PLUGIN)
    model = {"family": "foreign", "library": "timm", "name": "resnet18", "in_channels": 1, "num_classes": 2}
    train = {"epochs": 1, "batch_size": 2, "lr": 0.1}
    experiment = Experiment.model_validate({"data": spec.model_dump(), "model": model, "train": train})
    needed = dependencies(experiment)
    assert set(needed) == {"timm", "sklab.data.sets.level"}
    assert len(needed["sklab.data.sets.level"]) == 16
    plug_in(PLUGIN + "\n# another line")
    assert dependencies(experiment)["sklab.data.sets.level"] != needed["sklab.data.sets.level"]
