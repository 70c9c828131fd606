"""Whatever stands in the files, a sweep comes out or a FaultyInputError."""

from __future__ import annotations

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sweepfiles import EXPERIMENT, GRID, SWEEPS, load

from sklab.errors import FaultyInputError
from sklab.store.study_folder import StudyFolder

# Words and numbers that mean something somewhere in these files, and others.
KEYS = [
    "experiment",
    "cells",
    "factors",
    "baseline",
    "levels",
    "path",
    "set",
    "name",
    "base",
    "model",
    "train",
    "r",
    "G",
]
WORDS = ["list", "grid", "search", "fractional", "leave_one_out", "1/4", "16", "one", "2x", "sk", "."]
WORDS += ["model.branches.1.groups", "sknet50", "image_folder"]
known = st.sampled_from([*KEYS, *WORDS])
numbers = st.sampled_from([0, 1, -1, 2, 3, 16, 10**17, 0.0, 0.5, -0.5, 1e-300, 1e300])
scalars = st.none() | st.booleans() | numbers | known | st.text(max_size=5)
anything = st.recursive(
    scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(known, x, max_size=3), max_leaves=8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def try_to_load(folder: Path, sweep: str, experiment: str, **options: Any) -> None:
    with suppress(FaultyInputError):
        loaded = load(folder, sweep, experiment, **options)
        study = StudyFolder(folder / "study")
        study.write_sweep(loaded)
        assert study.read_sweep() == loaded


def places(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place, *(inner for key, part in parts for inner in places(part, (*place, key)))]


@st.composite
def mutated(draw: st.DrawFn, tree: Any) -> Any:
    """`tree` with a value replaced, a key renamed, an entry removed or one added, once or twice."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(0, 2))):
        *way, last = draw(st.sampled_from([place for place in places(tree) if place] or [("x",)]))
        node = tree
        for step in way:
            node = node[step]
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                node[last] = draw(anything)
            case "remove" if last in node or isinstance(node, list):
                node.pop(last)
            case "add" if isinstance(node, dict):
                node[draw(known)] = draw(anything)
    return tree


def full(text: str, baseline: str, column: str) -> Any:
    rows = {baseline: {"error": 1.5, "verified": True}}
    return {**yaml.safe_load(text), "published": {"source": "s", "data": "d", "rows": rows}, "columns": [column]}


NAMED = {
    "list": ("one", "M"),
    "fractional": ("D=2, r=16, lr=0.1", "r"),
    "leave_one_out": ("full model", "r"),
}  # the baseline's name and a column; in the other sweeps:
OTHERS = ("r=16, G=1x", "r")
TREES = [full(text, *NAMED.get(name, OTHERS)) for name, text in SWEEPS.items()]


def test_what_the_mistakes_are_made_in_is_sound(folder: Path) -> None:
    assert all(load(folder, yaml.safe_dump(tree, sort_keys=False)) for tree in TREES)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(TREES).flatmap(mutated), st.just(yaml.safe_load(EXPERIMENT)) | mutated(yaml.safe_load(EXPERIMENT))
)
def test_mistaken_values(folder: Path, sweep: Any, experiment: Any) -> None:
    try_to_load(folder, yaml.safe_dump(sweep, sort_keys=False), yaml.safe_dump(experiment, sort_keys=False))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_mistyped_text(folder: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([*SWEEPS.values(), EXPERIMENT]))
    at, gone = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 6))
    typed = text[:at] + data.draw(st.text("{}[]:,-'\"&*!\n aA0", max_size=4) | st.text(max_size=3)) + text[at + gone :]
    sweep, experiment = (GRID, typed) if text == EXPERIMENT else (typed, EXPERIMENT)
    try_to_load(folder, sweep, experiment)


words = st.sampled_from(["data", "model", "train", "branches", "base", "depths", "0", "1", "9", "lr", "x"])
paths = st.lists(words, max_size=4).map(".".join) | st.sampled_from(
    ["train.lr", "model.depths.0", "train.augment.flip"]
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(paths, scalars.map(str) | anything.map(yaml.safe_dump), max_size=2))
def test_mistaken_overrides(folder: Path, overrides: dict[str, str]) -> None:
    try_to_load(folder, GRID, EXPERIMENT, overrides=overrides)
