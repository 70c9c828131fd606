"""The test split in table and report: the claim of a study that chose by validation images, a column, its readings."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import studies

from sklab.analysis.evidence.held_out import on_test
from sklab.cli import main
from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.study.search import Search
from sklab.spec.study.sweep import Metric
from sklab.store.dated import Reading
from sklab.store.files import read_kept, sealed
from sklab.store.measured.scores import FinalScore
from sklab.store.study_folder import StudyFolder

EXPERIMENT = {**studies.EXPERIMENT, "data": {"name": "scaled_digits", "test": 500}}
SPLIT = Experiment.model_validate(EXPERIMENT)
ERRORS = {"K3": [12.0, 12.4, 11.8], "K5": [10.1, 10.6, 10.2]}
ON_TEST = {"K3": [13.0, 13.5, 12.7], "K5": [11.6, 12.1, 11.6]}
FIRST, SECOND = "2026-11-28T09:00:00.000+00:00", "2026-12-01T09:00:00.000+00:00"


def score(cell, seed, error, **changes):
    fields = {
        "key": studies.key_of(cell, seed), "data": SPLIT.data, "images": 500, "error": error, "loss": error / 50,
        "epoch": studies.EPOCHS, "device": "cpu", "torch": "2.13.0", "weights": "", "evaluated": FIRST,
    }  # fmt: skip
    return FinalScore(**{**fields, **changes})


@pytest.fixture
def study(tmp_path):
    """Writes a study with a test split, read in as many readings as `read` has lists of seeds."""

    def write(read=((0, 1, 2),), *, tests=ON_TEST, **changes):
        seeds = range(max(len(errors) for errors in ERRORS.values()))
        sweep = studies.make_sweep(experiment=EXPERIMENT, seeds=seeds, **changes)
        records = {
            key: record.model_copy(update={"spec": RunSpec(experiment=SPLIT, seed=record.spec.seed)})
            for key, record in studies.make_records(ERRORS).items()
        }
        folder = StudyFolder(studies.write_study(tmp_path / "made", sweep, records))
        epoch = 2 if sweep.metric.epoch == "best" else studies.EPOCHS
        for number, (dated, of_reading) in enumerate(zip((FIRST, SECOND), read, strict=False), start=1):
            scores = [score(cell, seed, tests[cell][seed], epoch=epoch) for cell in tests for seed in of_reading]
            what = {one.key: f"test: 500, {sweep.metric.epoch} epoch" for one in scores}
            (folder.path / "readings").mkdir(exist_ok=True)
            (folder.path / "readings" / f"{number:03d}.json").write_text(sealed(Reading(dated=dated, runs=what)))
            for one in scores:
                folder.run(one.key).test_file.write_text(sealed(one))
        return folder

    return write


def text_of(folder, name="report.md"):
    build(folder.path)
    return (folder.path / name).read_text()


def test_a_planned_study_has_a_column_with_its_gap_and_no_other_claim(study):
    folder = study()
    table = study_table(folder.path)
    assert table.held_out.rows["K5"].mean == pytest.approx(np.mean(ON_TEST["K5"]))
    assert table.held_out.rows["K5"].gap == pytest.approx(np.mean(np.subtract(ON_TEST["K5"], ERRORS["K5"])))
    shown = terminal_table(table)
    assert "test %" in shown
    assert "+1.47 ± " in shown
    assert "The test split was read on 2026-11-28 with 6 runs of 3 seeds." in shown
    assert "On the test split" not in shown
    text = text_of(folder)
    assert "## Test split" in text
    assert text.index("11.77") > 0


def test_a_gap_that_is_the_same_in_every_run_has_no_interval(study):
    same = {"K3": [1 + error for error in ERRORS["K3"]], "K5": ON_TEST["K5"]}
    lines = terminal_table(study_table(study(tests=same).path)).splitlines()
    assert "+1.00  " in next(line for line in lines if line.startswith("K3 "))
    assert "+1.47 ± " in next(line for line in lines if line.startswith("K5 "))


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({"metric": Metric(epoch="best")}, "The cell and the epoch of each run were chosen by validation images"),
        (
            {"design": "search", "search": Search(sampler="random", trials=1)},
            "The cell was chosen by validation images",
        ),
    ],
)
@pytest.mark.parametrize("name", ["report.md", "report.html", "report.tex"])
def test_a_study_that_chose_by_validation_images_claims_the_test_first(study, changes, chosen, name):
    text = text_of(study(**changes), name).replace(r"$\pm$", "±").replace("$-$", "−")
    begin = text.index("On the test split, by which nothing was chosen, K5 has 11.77 ± ")
    assert begin < text.index("Against the baseline K3")
    assert "of the baseline K3 (−1.30 ± " in text
    assert chosen in text
    validation = 9.30 if "metric" in changes else 10.30
    assert f"where it has {validation:.2f}" in text
    assert f"the test is {11.7667 - validation:.2f} points worse" in text


def test_a_study_by_a_metric_of_which_higher_is_better_has_that_of_the_test_split(study):
    chosen = {"design": "search", "search": Search(sampler="random", trials=1)}
    folder = study(metric=Metric(name="val_macro_f1"), **chosen)
    for key, record in folder.records().items():
        last = {**record.last, "val_macro_f1": 100 - record.last["val_error"]}
        folder.run(key).write_record(record.model_copy(update={"last": last}))
        tested = read_kept(folder.run(key).test_file, FinalScore)
        of_test = tested.model_copy(update={"metrics": {"val_macro_f1": 100 - tested.error}})
        folder.run(key).test_file.write_text(sealed(of_test))
    text = text_of(folder)
    assert "On the test split, by which nothing was chosen, K5 has 88.23 ± " in text
    assert "(+1.30 ± " in text
    assert "where it has 89.70 %: the test is 1.47 points worse" in text
    assert "test macro-F1 (%)" in text
    one = next(iter(folder.records()))
    folder.run(one).test_file.write_text(sealed(of_test.model_copy(update={"metrics": {}, "key": one})))
    assert "1 complete run has not been read" in text_of(folder), "an older reading has no such figure"


def test_before_the_reading_such_a_study_warns_of_its_figures(study):
    folder = study(read=(), metric=Metric(epoch="best"))
    shown = terminal_table(study_table(folder.path))
    assert "were chosen by validation images, so the figures below flatter." in shown
    assert "The test split has not been read: that is done once, when every run has ended." in shown
    assert "test %" not in shown


def test_seeds_that_were_read_later_are_told_with_their_date(study):
    text = text_of(study(read=((0, 1), (2,))))
    told = "read on 2026-11-28 with 4 runs of 2 seeds; on 2026-12-01 with 2 runs that were added after that."
    assert told in text


def test_runs_that_have_not_been_read_are_counted_and_have_no_figure(study):
    folder = study(read=((0, 1),))
    assert "with 4 runs of 2 seeds; 2 complete runs have not been read." in text_of(folder)
    assert study_table(folder.path).held_out.rows["K3"].n == 2


def test_an_evaluation_that_was_edited_or_is_of_another_epoch_or_split_does_not_count(study):
    folder = study()
    one, two, three = (folder.run(studies.key_of("K3", seed)).test_file for seed in range(3))
    one.write_text(one.read_text().replace("13.0", "3.0"))
    two.write_text(sealed(score("K3", 1, 13.5, epoch=2)))
    other = SPLIT.data.model_copy(update={"test": 400})
    three.write_text(sealed(score("K3", 2, 12.7, data=other)))
    held = study_table(folder.path).held_out
    assert (held.rows["K3"].n, held.rows["K5"].n, held.unread) == (0, 3, 3)
    assert held.rows["K5"].baseline is None


def test_a_reading_that_was_edited_is_told(study):
    folder = study()
    file = folder.path / "readings" / "001.json"
    file.write_text(file.read_text().replace("2026-11-28", "2026-11-27"))
    text = text_of(folder)
    assert "When the test split was read is not known." in text
    assert "was changed after it was written" in text


def test_table_csv_and_json_have_it(study, capsys):
    folder = study()
    rows = list(csv.DictReader(io.StringIO(text_of(folder, "table.csv"))))
    assert rows[1]["test_n"] == "3"
    assert float(rows[1]["test_mean"]) == pytest.approx(11.7667, abs=1e-4)
    runs = list(csv.DictReader(io.StringIO(text_of(folder, "runs.csv"))))
    assert [run["test_error"] for run in runs if run["cell"] == rows[1]["cell"]] == ["11.6", "12.1", "11.6"]
    assert main(["table", str(folder.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["test_vs_baseline_difference"] == pytest.approx(-1.3)


def test_the_same_files_make_the_same_bytes(study):
    folder = study(metric=Metric(epoch="best"))
    assert text_of(folder, "report.html") == text_of(folder, "report.html")


def test_a_run_that_lacks_one_of_both_figures_takes_no_part():
    sweep = studies.make_sweep()
    validation = np.array([[12.0, 12.4, np.nan], [10.0, 10.5, 10.2]])
    test = np.array([[13.0, np.nan, 14.0], [11.0, 12.0, 11.4]])
    first, second = on_test(sweep, validation, test, 0)
    assert (first.n, first.mean, first.gap) == (1, 13.0, 1.0)
    assert second.gap == pytest.approx((1.0 + 1.5 + 1.2) / 3)
    assert first.baseline is None
