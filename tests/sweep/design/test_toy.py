"""Any sweep at toy size: `--toy` needs no data, takes minutes, and can't be mistaken for the real thing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweepfiles import SWEEPS, load, write

from sklab.cli import main
from sklab.launch.inline import InlineLauncher
from sklab.launch.local import launcher
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import resolve, run_spec, searched_cell
from sklab.sweep.design.toy import toy

ROOT = Path(__file__).parents[3]
FOLDER = """\
data: {name: image_folder, root: /no/such/place, num_classes: 700, image_size: 64, resize: 72}
model: {base: sknet_small, in_channels: 3, num_classes: 700, stem_width: 4, width: 8, out_width: 8, depths: [1, 1]}
train:
  epochs: 90
  batch_size: 256
  accumulate: 4
  lr: 0.1
  warmup_epochs: 5
  schedule: step
  step_at: [30, 60]
  augment: {random_resized_crop: [0.08, 1.0], pad_crop: 2, flip: true}
"""
CELLS = """\
question: Does it pay?
experiment: base.yaml
design: list
seeds: 3
baseline: as it is
cells:
  - {name: as it is}
  - {name: plain, set: {model.attention: none}}
  - {name: longer, set: {train.epochs: 180}}
  - {name: longer and larger, set: {train.epochs: 180, train.batch_size: 512, data.image_size: 72}}
  - {name: milder, set: {train.augment: {random_resized_crop: [0.5, 1.0]}}}
  - {name: other data, set: {data: {name: parquet, root: /no, num_classes: 100}, model.num_classes: 100}}
published:
  source: a paper
  data: ImageNet-1k
  rows: {plain: {error: 22.2}}
"""


def keys(sweep: Sweep) -> list[str]:
    return [key for cell in sweep.cells for key in cell.runs.values()]


def test_a_toy_has_the_cells_of_its_sweep_on_a_stand_in(tmp_path: Path) -> None:
    real = load(tmp_path, CELLS, FOLDER)
    small = toy(real)
    assert small.study == f"{real.study}-toy"
    assert small.seeds == (0, 1)
    assert toy(real, 3).seeds == (0, 1, 2)
    assert [cell.name for cell in small.cells] == [cell.name for cell in real.cells]
    assert (small.baseline, small.published, small.invalid) == (real.baseline, real.published, ())
    for ours, theirs in zip(small.cells, real.cells, strict=True):
        full, tiny = run_spec(real, theirs, 0).experiment, run_spec(small, ours, 0).experiment
        assert tiny.model == full.model
        assert (tiny.data.name, tiny.data.num_classes, tiny.data.channels) == ("stand_in", full.data.num_classes, 3)
        assert (tiny.train.epochs, tiny.train.batch_size, tiny.data.image_size) == (1, 4, 16)
        assert (tiny.train.lr, tiny.train.schedule, tiny.train.augment.pad_crop) == (0.1, "step", 2)


def test_cells_that_differ_only_in_what_is_exchanged_stay_different_runs(tmp_path: Path) -> None:
    real = load(tmp_path, CELLS, FOLDER)
    small = toy(real)
    assert len(set(keys(small))) == 6 * 2
    assert not set(keys(small)) & set(keys(real))
    for cell in small.cells:
        assert cell.runs == {seed: run_spec(small, cell, seed).key for seed in small.seeds}


def test_a_longer_experiment_is_another_toy(tmp_path: Path) -> None:
    once, longer = (toy(load(tmp_path, CELLS, FOLDER.replace("epochs: 90", f"epochs: {n}"))) for n in (90, 91))
    assert once.cells[0].runs != longer.cells[0].runs


def test_a_search_asks_for_few_cells_of_its_own_space(tmp_path: Path) -> None:
    text = SWEEPS["search"].replace("{path: model.reduction,", "{path: train.batch_size,")
    small = toy(load(tmp_path, text))
    assert small.search is not None
    assert small.search.trials == 3
    found = [searched_cell(small, {"r": level, "G": "1x"}) for level in small.factors["r"].levels]
    assert len({cell.runs[4] for cell in found if isinstance(cell, Cell)}) == 3
    assert {run_spec(small, cell, 4).experiment.train.batch_size for cell in found if isinstance(cell, Cell)} == {4}


@given(
    epochs=st.integers(1, 500),
    warmup=st.floats(0, 0.99),
    batch=st.integers(2, 4096),
    accumulate=st.integers(1, 64),
    size=st.integers(8, 512),
    classes=st.integers(2, 1000),
    crop=st.none() | st.just([0.1, 1.0]),
)
def test_any_recipe_and_any_data_have_a_toy(
    epochs: int, warmup: float, batch: int, accumulate: int, size: int, classes: int, crop: Any
) -> None:
    tree = {
        "data": {"name": "image_folder", "root": "/no", "num_classes": classes, "image_size": size, "resize": 512},
        "model": {"family": "bottleneck", "depths": [1], "branches": [{"kernel": 3}], "num_classes": classes},
        "train": {"epochs": epochs, "batch_size": batch, "accumulate": accumulate, "lr": 0.1,
                  "warmup_epochs": warmup * epochs, "augment": {"random_resized_crop": crop}},
    }  # fmt: skip
    cell = Cell(name="one", settings={"train.lr": 0.2}, runs={})
    small = toy(Sweep(study="s" * 80, experiment_name="e", experiment=tree, design="list", seeds=(3,), baseline="one",
                      columns=(), cells=(cell,)))  # fmt: skip
    experiment = run_spec(small, small.cells[0], 3).experiment
    assert Sweep.model_validate(small.model_dump()) == small
    assert experiment.model == resolve(tree).model
    assert 8 <= experiment.data.image_size <= max(8, size // 4)
    assert (experiment.train.warmup_epochs > 0) == (warmup * epochs > 0)


def run(tmp_path: Path, *arguments: str) -> int:
    return main([*arguments, "--results", str(tmp_path / "results")])


def test_a_sweep_without_its_data_is_planned_run_and_reported_as_a_toy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launcher, "LocalLauncher", lambda slots, *_, **__: InlineLauncher(slots[0]))
    file = str(write(tmp_path, CELLS[: CELLS.index("  - {name: longer")] + CELLS[CELLS.index("published") :], FOLDER))
    assert run(tmp_path, "plan", file, "--toy", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["study"], plan["missing"]) == ("question-toy", 4)
    assert run(tmp_path, "sweep", file, "--toy", "--no-wandb", "--slots", "2") == 0
    capsys.readouterr()
    assert run(tmp_path, "table", "question-toy") == 0
    shown = capsys.readouterr().out
    folder = tmp_path / "results" / "question-toy"
    for text in (
        shown,
        *((folder / name).read_text() for name in ("table.md", "table.tex", "report.md", "report.html")),
    ):
        assert "TOY RUN on noise, its numbers mean nothing: 4 of 4 runs complete" in text
        shows_published = "published" in text or "publ." in text
        assert ("not comparable in level with stand" in text) == shows_published
    assert "not comparable in level with stand" in shown
    assert not (tmp_path / "results" / "question").exists()


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_sweep_that_ships_runs_at_toy_size(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "plan", str(file), "--toy", "--seeds", "1", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert run(tmp_path, "sweep", str(file), "--toy", "--seeds", "1", "--no-wandb", "--slots", "2") == 0
    folder = StudyFolder(tmp_path / "results" / f"{file.stem}-toy")
    assert [record.status for record in folder.records().values()] == ["complete"] * plan["missing"]
    sweep = folder.read_sweep()
    table = (folder.path / "table.csv").read_text().splitlines()
    assert len(table) == 1 + len(sweep.cells) + len(sweep.duplicates) + len(sweep.invalid)
    assert ("Published figures: " in (folder.path / "table.md").read_text()) == (sweep.published is not None)
    shutil.rmtree(folder.path)  # weights by the gigabyte
