"""The experiment on Imagenette plans on a folder of its layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded

from sklab.cli import main
from sklab.data.check import check
from sklab.sweep.design.cells import resolve
from sklab.sweep.files.experimentfile import read_experiment

ROOT = Path(__file__).parents[2]
CLASSES = (
    *("n01440764", "n02102040", "n02979186", "n03000684", "n03028079"),
    *("n03394916", "n03417042", "n03425413", "n03445777", "n03888257"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder as it is unpacked, with a few photographs of many sizes and the list of noisy labels beside them."""
    random = np.random.default_rng(0)
    for split, count in (("train", 7), ("val", 2)):
        for name in CLASSES:
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                width, height = random.integers(320, 400, 2)
                pixels = np.tile(random.integers(0, 256, (1, 1, 3), dtype=np.uint8), (height, width, 1))
                (folder / f"{name}_{number}.JPEG").write_bytes(encoded(pixels, "JPEG"))
    (tmp_path / "noisy_imagenette.csv").write_text("path,noisy_labels_0\n")
    return tmp_path


def test_it_plans_on_a_folder_of_its_layout(root: Path, capsys) -> None:
    sweep, experiment = ROOT / "sweeps" / "kernels.yaml", ROOT / "experiments" / "imagenette.yaml"
    given = [
        "--experiment",
        str(experiment),
        "--set",
        f"data.root={root}",
        "--results",
        str(root / "results"),
        "--json",
    ]
    assert main(["plan", str(sweep), *given]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (len(plan["cells"]), plan["missing"]) == (11, 36)
    assert plan["cells"][0]["macs"] > 1e8


def test_its_recipe_fits_the_folder(root: Path) -> None:
    given = read_experiment(ROOT / "experiments" / "imagenette.yaml", {"data.root": str(root)})
    experiment = resolve(given.tree)
    checked = check(experiment.data, [experiment.train])
    assert checked.inventory is not None
    assert [group.images for group in checked.inventory.groups.values()] == [7] * 10 + [2] * 10
    assert any("84 of 90 images were opened" in notice for notice in checked.notices)
    assert experiment.data.title == "Imagenette"
