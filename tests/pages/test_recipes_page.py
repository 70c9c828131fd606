"""docs/recipes.md against the program: every setting with its default, and every block loads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic_core import PydanticUndefined

from sklab.spec.train import Augment, TrainSpec
from sklab.sweep.files.yamltree import parse

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE, re.MULTILINE))


def shown(default: object) -> str:
    if default is PydanticUndefined:
        return "needed"
    if default == Augment():
        return "nothing"
    if isinstance(default, str):
        return f"`{default}`"
    return f"`{json.dumps(default)}`"  # a tuple is a list here, as in YAML


def test_every_setting_is_on_the_page_with_its_default():
    fields = {**TrainSpec.model_fields, **Augment.model_fields}
    assert {name: ROWS.get(name) for name in fields} == {
        name: shown(0.0001 if name == "weight_decay" else field.default) for name, field in fields.items()
    }
    assert set(ROWS) == set(fields)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_recipe_on_the_page_is_one(block):
    given = parse(block, "recipes.md", ()).tree
    assert list(given) == ["train"]
    recipe = TrainSpec.model_validate(given["train"])
    assert recipe.model_dump(exclude_unset=True, mode="json").keys() == given["train"].keys()
    assert yaml.safe_load(block).keys() == given.keys()


@pytest.mark.parametrize(
    ("block", "experiment"),
    [(0, "sknet50_imagenet"), (2, "shufflenet_imagenet"), (3, "sknet29_cifar10"), (3, "sknet29_cifar100")],
)
def test_the_recipes_that_ship_stand_on_the_page_as_they_are(block, experiment):
    file = Path(__file__).parents[2] / "experiments" / f"{experiment}.yaml"
    assert f"`experiments/{file.name}`" in PAGE
    assert parse(BLOCKS[block], "", ()).tree["train"] == parse(file.read_text(), "", ()).tree["train"]
