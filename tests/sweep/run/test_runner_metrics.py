"""Further metrics of a study: a finished run that lacks one is evaluated, and nothing is trained for it."""

from __future__ import annotations

import pytest
from launchers import FakeLauncher, Seen, start

from sklab.analysis.table.replicates import race_of
from sklab.cli import main
from sklab.launch.base import Job
from sklab.report.build import study_table
from sklab.report.tables.terminal import terminal_table
from sklab.store.measured.scores import FurtherMetrics
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

pytestmark = pytest.mark.usefixtures("sound")


class Evaluating(FakeLauncher):
    """Writes, as the worker does, what a complete run lacks of the metrics that its order names."""

    lost = False

    def wait(self, timeout: float):
        ended = super().wait(timeout)
        for one in ended:
            self._evaluate(one.job)
        return ended

    def _evaluate(self, job: Job) -> None:
        run = RunFolder(job.folder)
        order, record = run.read_order(), run.read_record()
        names = run.missing_metrics(record, order.metrics)
        if names and not self.lost:
            of_cell = 60.0 + 10 * (order.cell != "K3") + order.spec.seed
            numbers = {**{name: record.last[name] for name in record.last if name in order.metrics}}
            last = {**numbers, **dict.fromkeys(names, of_cell)}
            found = FurtherMetrics(key=order.key, last=last, best=last, device="cpu", torch="2")
            run.metrics_evaluated_file.write_text(found.model_dump_json())


def with_line(study: StudyFolder, line: str) -> str:
    return f"{(study.path.parent.parent / 'sweep.yaml').read_text()}{line}\n"


ALSO = "also: [val_ece, val_top5_error]"
BY_F1 = "metric: {name: val_macro_f1}"


def test_a_metric_added_later_is_evaluated_and_shown_and_nothing_is_trained(study):
    start(study, FakeLauncher())
    before = {key: study.run(key).record_file.read_bytes() for key in study.records()}
    launcher, seen = Evaluating(), Seen()
    assert start(study, launcher, with_line(study, ALSO), seen)
    assert len(launcher.submitted) == 4
    assert RunFolder(launcher.submitted[0].folder).read_order().metrics == ("val_ece", "val_top5_error")
    assert {key: study.run(key).record_file.read_bytes() for key in study.records()} == before
    assert seen.records == [], "nothing was trained"
    again = Evaluating()
    assert start(study, again)
    assert again.submitted == []
    table = study_table(study.path)
    assert [row.also["val_ece"].mean for row in table.rows] == [60.5, 70.5]
    assert [row.also["val_ece"].n for row in table.rows] == [2, 2]
    text = terminal_table(table)
    assert "calibration error %" in text
    assert "60.50" in text


def test_the_studys_metric_may_change_when_all_runs_have_ended(study):
    start(study, FakeLauncher())
    launcher, seen = Evaluating(), Seen()
    assert start(study, launcher, with_line(study, BY_F1), seen)
    assert len(launcher.submitted) == 4
    assert (seen.states[-1].counts["complete"], seen.states[-1].total) == (4, 4)
    table = study_table(study.path)
    assert [row.mean for row in table.rows] == [60.5, 70.5]
    assert table.best.name != "K3", "higher is better"
    assert "higher is better" in " ".join(main_text(study))
    again = Evaluating()
    assert start(study, again)
    assert again.submitted == []


def main_text(study):
    main(["report", study.path.name, "--results", str(study.path.parent)])
    return (study.path / "report.md").read_text().splitlines()


def test_seeds_that_are_added_by_results_wait_for_the_metric(study):
    """The race of a study by another metric begins with the runs at hand, evaluated, not with none."""
    start(study, FakeLauncher())
    by_f1 = with_line(study, BY_F1).replace("seeds: 2", "replicates: {start: 2, max: 4}")
    assert "replicates" in by_f1
    launcher = Evaluating()
    start(study, launcher, by_f1)
    sweep, records = study.read_sweep(), study.records()
    race = race_of(sweep, records)
    assert len(race.looks) >= 1
    assert all("val_macro_f1" in record.last for record in records.values())
    kept = {job.folder.name for job in launcher.submitted[:4]}
    assert len(kept) == 4, "first what is there is evaluated"


def test_an_evaluation_that_failed_is_told_and_tried_again(study):
    class Failing(Evaluating):
        lost = True

    start(study, FakeLauncher())
    seen = Seen()
    assert not start(study, Failing(), with_line(study, ALSO), seen)
    assert any("not evaluated by val_ece, val_top5_error, see" in note for note in seen.notes)
    assert "complete but without validation calibration error: K3 (seeds 0, 1)" in terminal_table(
        study_table(study.path)
    )
    assert start(study, Evaluating())
