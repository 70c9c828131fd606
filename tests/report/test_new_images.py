"""What table, report and `sklab compare` say of single images, on runs that were really trained."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklab.analysis.statistics.intervals import holm
from sklab.cli import main
from sklab.report.build import study_table
from sklab.report.evidence.images import image_sentences
from sklab.spec.study.sweep import Metric
from sklab.store.measured.images import read_images
from sklab.store.study_folder import StudyFolder

NEW, LACKING = "New images: the verdicts hold for new seeds on the same 200 images", "New images: not judged"
EXPERIMENT = """\
data: {name: scaled_digits, train_size: 64, val_size: 200}
model: {base: sknet_small, stem_width: 4, width: 8, out_width: 8, cardinality: 2, min_dim: 1, depths: [1, 1]}
train: {epochs: 2, batch_size: 16, lr: 0.05}
"""
SWEEP = """\
experiment: toy.yaml
design: list
seeds: 3
baseline: K3
columns: [kernels, SK]
cells:
  - {name: K3, factors: {kernels: "3"}, set: {model.branches: [{kernel: 3}], model.attention: none}}
  - {name: K3+K5 SK, factors: {kernels: "3, 5", SK: x}}
"""
QUESTION = "questions:\n  attention: {cells: [K3+K5 SK], against: [K3]}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the studies `sweep` (three seeds), `one` (the same cells, one seed, another rate), `again` (reuses
    all of `sweep`) and `wide` (other images)."""
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("toy.yaml").write_text(EXPERIMENT)
        Path("sweep.yaml").write_text(SWEEP + QUESTION)
        Path("again.yaml").write_text(SWEEP + QUESTION)
        Path("other.yaml").write_text(EXPERIMENT.replace("lr: 0.05", "lr: 0.3"))
        Path("one.yaml").write_text(SWEEP.replace("toy.yaml", "other.yaml").replace("seeds: 3", "seeds: 1"))
        Path("more.yaml").write_text(EXPERIMENT.replace("val_size: 200", "val_size: 40"))
        Path("wide.yaml").write_text(SWEEP.replace("toy.yaml", "more.yaml").replace("seeds: 3", "seeds: 1"))
        for study in ("sweep", "again", "one", "wide"):
            assert main(["sweep", f"{study}.yaml", "--no-wandb", "--slots", "1"]) == 0
    return folder


@pytest.fixture
def studies(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them to change, in the current folder."""
    shutil.copytree(trained / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def report(study: Path) -> str:
    assert main(["report", study.name]) == 0
    return (study / "report.md").read_text()


def runs(study: Path) -> list[Path]:
    return sorted(study.glob("runs/*/images.json"))


def test_the_report_says_what_new_images_change_in_every_format(studies):
    text = report(studies / "sweep")
    assert NEW in text
    assert "Noise: " in text
    for page in ("report.html", "report.tex"):
        assert NEW in (studies / "sweep" / page).read_text()
    table = pd.read_csv(studies / "sweep/table.csv").set_index("cell")
    rows = table.loc["K3+K5 SK"]
    assert rows["vs_baseline_half_images"] >= rows["vs_baseline_half"] > 0
    assert np.isnan(table.loc["K3"]["vs_baseline_half_images"])
    questions = pd.read_csv(studies / "sweep/questions.csv")
    assert (questions["half_images"] >= questions["half"])[questions["planned"]].all()


def test_the_terminal_and_json_have_them_too(studies, capsys):
    assert main(["table", "sweep"]) == 0
    assert NEW in " ".join(capsys.readouterr().out.split())
    assert main(["table", "sweep", "--json"]) == 0
    assert "vs_baseline_half_images" in json.loads(capsys.readouterr().out)[0]


@pytest.mark.parametrize(("guessing", "told"), [(90.0, True), (None, False)])
def test_where_nothing_was_learned_more_images_are_no_advice(studies, guessing, told):
    table = study_table(studies / "sweep")
    rows = tuple(replace(row, guessing=guessing) for row in table.rows)
    advice = image_sentences(replace(table, rows=rows))[-1]
    assert ("Nothing was learned yet" in advice) == told


def test_runs_that_were_taken_over_bring_their_images(studies):
    assert len([*studies.glob("again/runs/*/reused.json")]) == 6
    assert NEW in report(studies / "again")


def test_one_run_without_images_is_told_and_nothing_else_is_said(studies):
    runs(studies / "sweep")[0].unlink()
    text = report(studies / "sweep")
    assert f"{LACKING}, because 1 of 6 complete runs kept no record of single images." in text
    assert NEW not in text
    assert "for new images" not in text


def test_damaged_images_count_as_none(studies):
    file = runs(studies / "sweep")[0]
    file.write_bytes(file.read_bytes().replace(b'"loss"', b'"lost"'))
    assert LACKING in report(studies / "sweep")


def test_a_study_of_an_older_version_reports_as_before(studies):
    for file in runs(studies / "sweep"):
        file.unlink()
    text = report(studies / "sweep")
    assert "ew images" not in text
    assert "Noise: " not in text
    assert "images" not in (studies / "sweep/table.csv").read_text().splitlines()[0].replace("val_images", "")


def test_cells_that_were_judged_on_other_images_are_not_paired(studies, capsys):
    study = StudyFolder(studies / "sweep")
    for key in study.records():
        record = study.run(key).read_record()
        if record.cell == "K3":  # as if its validation images had been other ones
            tree = record.model_dump(mode="json")
            tree["spec"]["experiment"]["data"]["seed"] = 5
            study.run(key).record_file.write_text(json.dumps(tree))
    assert f"{LACKING}, because the runs were judged on different validation images." in report(studies / "sweep")
    assert main(["compare", "one", "wide"]) == 0
    assert "by image" not in capsys.readouterr().out


def test_one_seed_is_compared_image_by_image_as_by_mcnemar(studies, capsys):
    from statsmodels.stats.contingency_tables import mcnemar

    assert main(["compare", "sweep", "one", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["cells"]
    expected = {}
    for name in found:
        wrong = []
        for study in (StudyFolder(studies / "sweep"), StudyFolder(studies / "one")):
            record = next(one for one in study.records().values() if (one.cell, one.spec.seed) == (name, 0))
            images = read_images(study.run(record.key), record, Metric())
            assert images is not None
            assert images[1] is None, "200 canvases from 200 digits"
            wrong.append(images[0].wrong)
        table = [[int((wrong[0] == a) @ (wrong[1] == b).astype(int)) for b in (True, False)] for a in (True, False)]
        expected[name] = mcnemar(table, exact=True).pvalue
        shift = found[name][1]["shift"]
        assert (shift["p"], shift["images"]["images"], shift["images"]["n"]) == (None, 200, 1)
        assert shift["images"]["p"] == pytest.approx(expected[name])
    adjusted = [found[name][1]["shift"]["images"]["adjusted"] for name in found]
    assert adjusted == pytest.approx(holm([*expected.values()]).tolist())
    assert main(["compare", "sweep", "one"]) == 0
    assert "by image: the same Δ, paired by image as well; one shared seed: for new images" in capsys.readouterr().out


def test_several_seeds_are_compared_for_new_seeds_and_images(studies, capsys):
    assert main(["compare", "sweep", "again", "--markdown"]) == 0
    assert "no test" in capsys.readouterr().out, "the same runs: no spread"
    table = study_table(studies / "sweep")
    assert table.images is not None
    assert table.images.noise is not None
    assert 0 <= table.images.noise.share <= 1
