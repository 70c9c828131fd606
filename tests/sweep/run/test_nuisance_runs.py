"""Settings that are tuned in every cell: from the sweep file to the table, with runs whose errors are planted."""

from __future__ import annotations

import random

import pytest
from launchers import in_parts, start
from planted import PLANTED, SWEEP, Planted

from sklab.analysis.evidence.nuisance import tuned_cells
from sklab.commands.screen.plan import plan_text
from sklab.commands.screen.progress import heading
from sklab.commands.screen.status import status_text
from sklab.report.build import study_table
from sklab.spec.study.nuisance import FIRST_SEED
from sklab.spec.study.sweep import Metric
from sklab.store.records import RunOrder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.toy import toy
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.plan import make_plan, price_left
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.run.failures import retry
from sklab.sweep.state.status import study_status

pytestmark = pytest.mark.usefixtures("sound")


@pytest.fixture
def study(toy_files) -> StudyFolder:
    (toy_files / "sweep.yaml").write_text(SWEEP)
    return StudyFolder(toy_files / "results" / "sweep")


def prepared(study: StudyFolder):
    return prepare(Start(load_sweep(study.path.parent.parent / "sweep.yaml"), study))


def plan(study: StudyFolder):
    return make_plan(prepared(study), Resources(2), lambda _: (1, 1))


def chosen(study: StudyFolder) -> dict[str, str]:
    sweep = study.read_sweep()
    tuned = tuned_cells(sweep, study.records())
    return {cell.name: cell.tried[cell.judged[-1]].factors["train.lr"] for cell in tuned}


def test_each_cell_is_tuned_on_seeds_of_its_own_and_judged_on_the_sweeps_at_its_own_setting(study):
    launcher = Planted()
    assert start(study, launcher)
    tuning = [(cell, seed) for cell, seed in launcher.asked() if seed >= FIRST_SEED]
    rates = ("0.02", "0.05", "0.2")
    assert sorted(tuning) == sorted((f"{cell}, train.lr={rate}", FIRST_SEED) for cell in PLANTED for rate in rates)
    assert launcher.asked()[:6] == [*dict.fromkeys(launcher.asked()[:6])]
    assert {seed for _, seed in launcher.asked()[:6]} == {FIRST_SEED}, "tuning comes first"
    judged = {cell for cell, seed in launcher.asked() if seed < FIRST_SEED}
    assert judged == {"plain, train.lr=0.02", "plain, train.lr=0.05", "lucky, train.lr=0.05"}
    assert len(launcher.submitted) == 6 + 3 * 4
    assert chosen(study) == {"plain": "0.02", "lucky": "0.05"}
    table = study_table(study.path)
    assert [(row.name, row.n, row.planned) for row in table.rows] == [("plain", 4, 4), ("lucky", 4, 4)]
    assert table.rows[0].settings["train.lr"] == 0.02
    assert table.sweep.seeds == (0, 1, 2, 3)
    assert (table.sweep.baseline, table.sweep.nuisance) == ("plain", None)


def test_by_a_metric_of_which_higher_is_better_each_cell_is_tuned_as_in_the_mirror_image(study):
    start(study, Planted())
    sweep, records = study.read_sweep(), study.records()
    turned = {
        key: record.model_copy(update={"last": {**record.last, "val_macro_f1": 100 - record.last["val_error"]}})
        for key, record in records.items()
    }
    mirrored = sweep.model_copy(update={"metric": Metric(name="val_macro_f1")})
    for tuned, mirror in zip(tuned_cells(sweep, records), tuned_cells(mirrored, turned), strict=True):
        assert mirror.chosen == tuned.chosen
        assert mirror.means == pytest.approx([100 - mean for mean in tuned.means])


def test_a_cell_that_wins_at_the_experiments_setting_alone_is_unmasked(study):
    assert start(study, Planted())
    table = study_table(study.path)
    lucky = table.rows[1]
    assert table.tuning.untuned["lucky"].verdict == "better"
    assert lucky.verdict != "better"
    assert table.tuning.untuned["plain"].n == table.tuning.untuned["lucky"].n == 4


def test_the_plan_counts_and_prices_the_tuning_runs_and_tells_what_may_come(study):
    before = plan(study)
    assert (before.missing, before.tuning.runs, before.tuning.further) == (6 + 2 * 4, 6, 2 * 4)
    assert before.seeds == (0, 1, 2, 3)
    assert "every cell tunes train.lr over 0.02, 0.05, 0.2, on 1 seed of its own: 0 of 6" in plan_text(before)
    with pytest.raises(KeyboardInterrupt):
        start(study, Planted(capacity=1, stop_after=4))
    during = plan(study)
    assert (during.complete, during.tuning.ended, during.tuning.tuned, during.tuning.further) == (4, 4, 1, 4)
    assert price_left(prepared(study), Resources(1)).seconds == during.missing * 7.0
    assert start(study, Planted())
    after = plan(study)
    assert (after.complete, after.missing, after.tuning.further) == (18, 0, 0)
    assert not after.confounds


def test_the_status_and_the_heading_tell_the_stage(study):
    with pytest.raises(KeyboardInterrupt):
        start(study, Planted(capacity=1, stop_after=5))
    sweep = study.read_sweep()
    status = study_status(sweep, study, study.records(), 0.0)
    assert "5 of 6 tuning runs ended; 1 of 2 cells tuned; at most 4 runs more" in status_text(status)
    assert status.model_dump(mode="json")["tuning"]["tuned"] == 1
    assert heading(sweep).startswith("sweep: 2 cells x 4 seeds on toy, each tuned: train.lr over 0.02, 0.05, 0.2")


def test_a_study_that_is_killed_again_and_again_makes_the_choices_and_runs_of_one_that_is_not(study):
    whole = Planted()
    start(study, whole)
    wanted, choice = whole.keys, chosen(study)
    made = in_parts(study, lambda: Planted(capacity=3, stop_after=2), starts=20)
    assert sorted(made) == sorted(wanted), "each run of the whole study was made once, and no other"
    assert chosen(study) == choice


def test_the_same_again_starts_nothing_and_a_further_seed_only_what_is_missing(study):
    assert start(study, Planted())
    again = Planted()
    assert start(study, again)
    assert again.submitted == []
    more = Planted()
    assert start(study, more, SWEEP.replace("seeds: 4", "seeds: 5"))
    assert sorted(more.asked()) == [
        ("lucky, train.lr=0.05", 4), ("plain, train.lr=0.02", 4), ("plain, train.lr=0.05", 4)
    ]  # fmt: skip


def test_fewer_seeds_or_tuning_seeds_lose_no_run_and_leave_them_apart(study):
    assert start(study, Planted(), SWEEP.replace("tuning_seeds: 1", "tuning_seeds: 2"))
    runs = len(study.records())
    fewer = Planted()
    assert start(study, fewer, SWEEP.replace("seeds: 4", "seeds: 2"))
    assert len(study.records()) == runs + len(fewer.submitted)
    table = study_table(study.path)
    assert table.sweep.seeds == (0, 1, 2, 3), "a tuning seed is never one of judging"
    assert table.tuning.nuisance.tuning_seeds == (FIRST_SEED,)


def test_failed_and_diverged_tuning_runs_are_told_and_block_nothing(study):
    def ends(order: RunOrder) -> str | int:
        if order.spec.seed < FIRST_SEED or order.cell.startswith("lucky"):
            return "complete"
        return "diverged" if order.spec.experiment.train.lr == 0.02 else 1

    launcher = Planted(ends)
    assert not start(study, launcher), "runs failed"
    assert chosen(study) == {"plain": "0.05", "lucky": "0.05"}, "without a number, the experiment's own setting"
    assert [row.n for row in study_table(study.path).rows] == [4, 4]
    again = Planted()
    assert not start(study, again), "one run diverged"
    assert [order for order in again.asked() if order[1] >= FIRST_SEED] == [
        ("plain, train.lr=0.05", FIRST_SEED),
        ("plain, train.lr=0.2", FIRST_SEED),
    ]
    assert chosen(study)["plain"] == "0.2", "the one that diverged lost"
    assert [row.n for row in study_table(study.path).rows] == [4, 4]


def test_a_tuning_run_that_diverged_is_set_aside_by_the_name_of_its_cell(study):
    start(study, Planted(lambda order: "diverged" if order.spec.seed >= FIRST_SEED else "complete"))
    assert {record.spec.seed for record in retry(study, ["plain"], failed=False)} == {FIRST_SEED}
    assert len(retry(study, ["lucky, train.lr=0.2"], failed=False)) == 1
    assert len(retry(study, None, failed=False)) == 0


def test_equal_means_leave_the_experiments_own_setting(study, monkeypatch):
    for rates in PLANTED.values():
        monkeypatch.setitem(rates, 0.02, rates[0.05])
    monkeypatch.setattr(random.Random, "gauss", lambda *_: 0.0)
    start(study, Planted())
    assert chosen(study) == {"plain": "0.2", "lucky": "0.05"}


def test_runs_of_the_study_without_tuning_are_taken_over(study, toy_files):
    plain = StudyFolder(toy_files / "results" / "plain")
    whole = SWEEP[: SWEEP.index("nuisance")].replace("experiment", "study: plain\nexperiment")
    (toy_files / "sweep.yaml").write_text(whole)
    assert start(plain, Planted())
    for key in plain.records():
        (plain.run(key).path / "weights.pt").write_bytes(b"w")
        (plain.run(key).path / "metrics.csv").write_text("epoch\n")
    launcher = Planted()
    assert start(study, launcher, SWEEP)
    assert len(launcher.submitted) == 6 + 4, "at the experiment's own setting a run has the key that it had"


def test_the_baseline_may_have_more_seeds_at_its_own_setting_and_at_the_experiments(study):
    launcher = Planted()
    text = SWEEP.replace("seeds: 4", "seeds: {baseline: 6, others: 3}", 1)
    assert start(study, launcher, text)
    asked = sorted(seed for cell, seed in launcher.asked() if cell == "plain, train.lr=0.02")
    assert asked == [0, 1, 2, 3, 4, 5, FIRST_SEED]
    table = study_table(study.path)
    assert [(row.name, row.n) for row in table.rows] == [("plain", 6), ("lucky", 3)]
    assert table.tuning.untuned["plain"].n == 6
    assert start(study, Planted(), SWEEP.replace("seeds: 4", "seeds: 3", 1))
    assert [row.n for row in study_table(study.path).rows] == [6, 3], "what was trained stays"
    assert study_table(study.path).sweep.baseline_seeds == (3, 4, 5)


def test_while_cells_are_tuned_the_table_shows_them_at_the_experiments_setting(study):
    with pytest.raises(KeyboardInterrupt):
        start(study, Planted(capacity=1, stop_after=2))
    table = study_table(study.path)
    assert [(row.n, row.planned) for row in table.rows] == [(0, 4), (0, 4)]
    assert table.tuning.stage.tuned == 0
    assert start(study, Planted())
    assert study_table(study.path).is_look
    for key in [key for key, record in study.records().items() if record.spec.seed >= FIRST_SEED][:1]:
        study.run(key).record_file.unlink()
    assert not study_table(study.path).is_look, "a cell has no setting yet"


def test_a_toy_study_tunes_too(study, toy_files):
    small = toy(load_sweep(toy_files / "sweep.yaml"), 2)
    assert small.seeds == (FIRST_SEED, 0, 1)
    assert all(tuple(cell.runs) == small.seeds for cell in small.cells)
