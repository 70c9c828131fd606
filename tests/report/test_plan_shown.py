"""The report tells what was planned, when, and what was changed later."""

from __future__ import annotations

import pytest
import studies
from example_study import NASTY

from sklab.report.build import build
from sklab.spec.study.questions import Question
from sklab.store.dated import keep_plan
from sklab.store.study_folder import StudyFolder

ERRORS = {"K3": [12.0, 12.4, 11.8], "K5": [10.1, 10.6, 10.2]}


@pytest.fixture
def report(tmp_path):
    """Writes a study whose plans are `sweeps`, by date, and reads one of its files."""

    def read(sweeps, name="report.md", **changes):
        study = StudyFolder(tmp_path / "made")
        for day, sweep in sweeps.items():
            keep_plan(study, sweep, lambda day=day: f"{day}T07:00:00.000+00:00")
        studies.write_study(study.path, [*sweeps.values()][-1], studies.make_records(ERRORS, **changes))
        build(study.path)
        return (study.path / name).read_text()

    return read


def test_an_unchanged_plan(report):
    question = {"Is 5 better?": Question(cells=("K5",), against=("K3",))}
    text = report({"2025-12-30": studies.make_sweep(margin=1.0, questions=question)})
    assert "## Plan" in text
    assert "Planned on 2025-12-30, before the first run: explicit list of cells: 2 cells × 3 seeds (0, 1, 2)" in text
    assert "baseline K3; validation error in % at the last epoch of every run; lower is better" in text
    assert "margin 1 point; questions: Is 5 better?." in text
    assert "Nothing of this was changed later." in text


@pytest.mark.parametrize("name", ["report.md", "report.html", "report.tex"])
def test_changes_stand_there_with_their_dates_in_every_format(report, name):
    plans = {
        "2025-12-30": studies.make_sweep(seeds=range(2)),
        "2026-01-05": studies.make_sweep(),
        "2026-01-09": studies.make_sweep(margin=2.0),
    }
    text = report(plans, name).replace("&gt;", ">").replace("\\textgreater{}", ">")
    assert "Planned on 2025-12-30" in text
    assert "Changed later: on 2026-01-05: seeds 2 -" in text
    assert "on 2026-01-09: margin: not set -" in text


def test_runs_that_are_older_than_the_plan_are_counted(report):
    assert "Planned on 2026-02-01, after 6 runs had been started: " in report({"2026-02-01": studies.make_sweep()})


def test_a_study_of_an_earlier_version_says_nothing_of_a_plan(tmp_path):
    folder = studies.write_study(tmp_path / "old", studies.make_sweep(), studies.make_records(ERRORS))
    build(folder)
    assert not any("Planned" in (folder / name).read_text() for name in ("report.md", "report.html", "report.tex"))


def test_a_plan_that_was_edited_is_told(report, tmp_path):
    file = tmp_path / "made" / "plans" / "001.json"
    keep_plan(StudyFolder(tmp_path / "made"), studies.make_sweep(), lambda: "2025-12-30")
    file.write_text(file.read_text().replace("2025-12-30", "2025-11-30"))
    text = report({"2026-01-05": studies.make_sweep()})
    assert "Planned on 2026-01-05, after 6 runs had been started" in text
    assert "Caution: " in text
    assert "was changed after it was written" in text


def test_no_name_of_a_plan_becomes_markup(report):
    questions = {name: Question(cells=("K5",), against=("K3",)) for name in NASTY[:3]}
    plans = {"2025-12-30": studies.make_sweep(), "2026-01-05": studies.make_sweep(questions=questions)}
    text = report(plans, "report.html")
    assert "question added" in text
    assert "<script>alert(1)" not in text
