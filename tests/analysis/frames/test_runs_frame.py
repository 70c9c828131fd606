"""The runs as data: a line each, as measured, whatever became of them."""

from dataclasses import replace

import pandas as pd
import pytest
from studies import failed_record, key_of, make_evaluations, make_record, make_records, make_sweep, write_study

from sklab.analysis.frames.runs import curves_frame, runs_frame
from sklab.analysis.frames.table import data_frame
from sklab.analysis.table.ablation import ablation_table
from sklab.spec.study.nuisance import Nuisance
from sklab.spec.study.sweep import Cell, Metric
from sklab.store.records import Reused
from sklab.store.study_folder import StudyFolder

ERRORS = {"K3": [20.0 + 1 / 3, 21.0, 22.5], "K5": [18.0, None, 20.0]}


def test_a_line_is_a_run_and_holds_what_was_measured():
    records = {**make_records(ERRORS), key_of("K5", 1): failed_record("K5", 1)}
    frame = runs_frame(ablation_table(make_sweep(list(ERRORS)), records, make_evaluations(48, ERRORS)))
    assert frame["cell"].tolist() == frame["kernel"].tolist() == ["K3"] * 3 + ["K5"] * 3
    assert frame["seed"].tolist() == [0, 1, 2, 0, 1, 2]
    assert frame["key"].tolist() == [key_of(cell, seed) for cell in ERRORS for seed in range(3)]
    assert frame.loc[0, "val_error"] == 20.0 + 1 / 3
    assert frame["error_48"].isna().tolist() == [False] * 4 + [True, False]
    assert frame["params"].dtype == frame["attempts"].dtype == "Int64"
    assert frame["started"].dt.tz is not None
    assert frame["latency_ms"].isna().all()


def test_only_complete_runs_have_metrics_so_a_mean_over_lines_is_the_tables():
    records = {**make_records(ERRORS), key_of("K5", 1): failed_record("K5", 1)}
    table = ablation_table(make_sweep(list(ERRORS)), records)
    frame = runs_frame(table)
    failed = frame.loc[4]
    assert (failed["status"], failed["reason"]) == ("failed", "oom: CUDA out of memory")
    assert pd.isna(failed["val_error"])
    assert failed["wall_seconds"] == 22.0
    means = frame.groupby("cell")["val_error"].mean()
    assert means.tolist() == pytest.approx(data_frame(table)["mean"].tolist())


def test_metrics_are_those_of_the_epoch_that_the_study_reads():
    sweep = make_sweep(["K3"], metric=Metric(epoch="best"))
    assert runs_frame(ablation_table(sweep, make_records({"K3": [20.0]})))["val_error"][0] == 19.0


def test_a_study_of_which_nothing_has_ended_has_its_lines():
    frame = runs_frame(ablation_table(make_sweep(["K3"]), {}))
    assert frame["status"].tolist() == ["waiting"] * 3
    assert frame["val_error"].isna().all()
    assert runs_frame(ablation_table(make_sweep([], cells=()), {})).empty


def test_a_factor_called_like_a_column_keeps_its_own():
    cell = Cell(name="K3", factors={"seed": "lots", "lr": "high"}, runs={4: key_of("K3", 4)})
    sweep = make_sweep(["K3"], (4,), cells=(cell,), columns=("seed", "lr"))
    frame = runs_frame(ablation_table(sweep, {}))
    assert frame.loc[0, ["factor seed", "lr", "seed"]].tolist() == ["lots", "high", 4]


def test_a_study_that_tunes_shows_every_run_with_its_setting():
    rates, common = {"0.1": 0.1, "0.2": 0.2}, {"train.lr": "0.1"}
    nuisance = Nuisance(settings={"train.lr": rates}, seeds=1, common=common)
    seeds = (*nuisance.tuning_seeds, 0)
    cells = tuple(
        Cell(name=nuisance.name("K3", {"train.lr": rate}), factors={"kernel": "3", "train.lr": rate},
             runs={seed: key_of(f"K3{rate}", seed) for seed in seeds})
        for rate in rates
    )  # fmt: skip
    sweep = make_sweep(["K3"], seeds, cells=cells, nuisance=nuisance, baseline=cells[0].name)
    done = {"0.1": [(seeds[0], 30.0), (0, 31.0)], "0.2": [(seeds[0], 20.0), (0, 21.0)]}
    records = [
        make_record("K3", seed, error, key=key_of(f"K3{rate}", seed))
        for rate, runs in done.items()
        for seed, error in runs
    ]
    table = ablation_table(sweep, {record.key: record for record in records})
    frame = runs_frame(table)
    assert frame["cell"].tolist() == ["K3"] * 4
    assert frame["train.lr"].tolist() == ["0.1", "0.1", "0.2", "0.2"]
    assert frame["val_error"].tolist() == [30.0, 31.0, 20.0, 21.0]
    assert [row.mean for row in table.rows] == [21.0]


def test_curves_count_epochs_from_1_and_hold_what_a_run_has_finished(tmp_path):
    sweep, records = make_sweep(list(ERRORS)), make_records(ERRORS)
    study = StudyFolder(write_study(tmp_path / "made", sweep, records))
    running = study.run(key_of("K5", 1))
    running.path.mkdir()
    running.metrics_file.write_text("epoch,train_loss,val_loss,val_error,lr,seconds\n1,1.0,2.0,3.0,0.1,1.5\n2,1.0")
    frame = curves_frame(study, ablation_table(sweep, records))
    assert frame.groupby(["cell", "seed"])["epoch"].apply(list).tolist() == [[1, 2, 3]] * 4 + [[1], [1, 2, 3]]
    assert frame[frame["epoch"] == 3]["val_error"].tolist() == [20.0 + 1 / 3, 21.0, 22.5, 18.0, 20.0]
    assert [*frame][:4] == ["cell", "seed", "status", "epoch"]
    assert curves_frame(study, ablation_table(make_sweep(["K9"]), {})).empty


def test_a_run_that_was_taken_over_names_its_origin():
    records = make_records({"K3": [20.0]})
    reused = {key_of("K3", 0): Reused(study="other", key=key_of("K3", 0), code=records[key_of("K3", 0)].code)}
    table = replace(ablation_table(make_sweep(["K3"]), records), reused=reused)
    assert runs_frame(table)["reused_from"].tolist() == ["other", "", ""]
