"""`sklab confirm`: the best cell against the baseline on fresh seeds, from command to report; runs are faked."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
from launchers import start
from measured import SWEEP, Measured
from scipy.stats import t as student
from scipy.stats import ttest_rel

from sklab.cli import main
from sklab.commands import run
from sklab.report.build import study_table
from sklab.store.study_folder import StudyFolder
from sklab.sweep.plan.confirm import FIRST_SEED, choose, confirmation

pytestmark = pytest.mark.usefixtures("sound")
CHOSEN = SWEEP.replace("replicates: {start: 3, max: 10, stop: resolved}", "seeds: 3\nchoose_best: true").replace(
    "baseline: usual", "baseline: near"
)


@pytest.fixture
def study(toy_files, monkeypatch) -> StudyFolder:
    monkeypatch.chdir(toy_files)
    folder = StudyFolder(toy_files / "results" / "sweep")
    assert start(folder, Measured(), CHOSEN)
    return folder


@pytest.fixture
def launchers(monkeypatch) -> list[Measured]:
    """The launchers that the command used; `stop_after` of the next one may be set on the list's first entry."""
    used: list[Measured] = []

    def make(*_: object) -> Measured:
        used.append(Measured())
        return used[-1]

    monkeypatch.setattr(run, "_launcher", make)
    return used


def confirm(*options: str) -> int:
    return main(["confirm", "sweep", "--no-wandb", *options])


def seeds_of(folder: StudyFolder) -> set[int]:
    return {record.spec.seed for record in folder.records().values()}


def test_the_best_cell_is_tested_once_on_fresh_seeds_and_reported_apart(study, launchers, capsys):
    before = study_table(study.path)
    winner = before.likeliest.name
    assert confirm("--yes") == 0
    told = capsys.readouterr().out
    confirmed = StudyFolder(study.confirmation)
    assert f"{winner} against near on " in told
    assert "fresh seeds (500000 to" in told
    assert seeds_of(confirmed).isdisjoint(seeds_of(study))
    assert {job.folder.parent.parent.resolve() for job in launchers[0].submitted} == {confirmed.path}
    table = study_table(confirmed.path)
    assert [row.name for row in table.rows] == [cell.name for cell in table.sweep.cells]
    assert {row.name for row in table.rows} == {winner, "near"}
    values = {row.name: [run.value for run in row.runs] for row in table.rows}
    against = next(row.baseline for row in table.rows if not row.is_baseline)
    test = ttest_rel(values[winner], values["near"])
    assert against.adjusted == pytest.approx(test.pvalue)
    assert against.half == pytest.approx(
        test.confidence_interval().high - np.mean(np.subtract(values[winner], values["near"]))
    )
    for name in ("report.md", "report.html", "report.tex"):
        text = " ".join((study.path / name).read_text().replace("\\", "").split())
        assert "fresh seeds (study sweep-confirm), apart from all runs above" in text
        assert f"{winner} against near: −" in text.replace("$-$", "−")
    after = study_table(study.path)
    assert [row.mean for row in after.rows] == [row.mean for row in before.rows], "never pooled"
    assert main(["table", "sweep"]) == 0
    assert "Confirmation on" in capsys.readouterr().out


def test_the_same_again_trains_nothing_and_asks_nothing(study, launchers, capsys):
    assert confirm("--yes", "--seeds", "4") == 0
    assert confirm() == 0
    assert launchers[1].submitted == []
    assert confirm("--seeds", "6") == 2
    assert "stated before its first run" in capsys.readouterr().err


def test_a_confirmation_that_was_stopped_goes_on_with_its_seeds(study, launchers, monkeypatch, capsys):
    monkeypatch.setattr(run, "_launcher", lambda *_: Measured(stop_after=3))
    assert confirm("--yes", "--seeds", "5") == 130
    assert main(["report", "sweep"]) == 0
    assert "not finished, 3 of 10 runs are complete" in (study.path / "report.md").read_text()
    last = Measured()
    monkeypatch.setattr(run, "_launcher", lambda *_: last)
    assert confirm() == 0
    assert len(last.submitted) == 7
    assert seeds_of(StudyFolder(study.confirmation)) == set(range(FIRST_SEED, FIRST_SEED + 5))


def test_nothing_starts_without_a_yes(study, launchers, monkeypatch, capsys):
    assert confirm() == 2
    assert "--yes starts it without asking" in capsys.readouterr().err
    assert confirm("--plan") == 0
    assert "of device time" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "\n", raising=False)
    assert confirm() == 2
    assert not study.confirmation.exists()
    assert launchers == []
    monkeypatch.setattr(sys.stdin, "readline", lambda: "y\n", raising=False)
    assert confirm() == 0


@pytest.mark.parametrize("count", ["1", "0", "-3"])
def test_a_single_seed_is_refused(study, launchers, capsys, count):
    assert confirm("--yes", "--seeds", count) == 2
    assert "--seeds: found" in capsys.readouterr().err


def test_a_baseline_that_is_the_best_has_nothing_to_confirm(study, launchers, capsys):
    worse = CHOSEN.replace("baseline: near", "baseline: usual").replace(
        "  - {name: same, set: {model.reduction: 8}}\n", ""
    )
    other = StudyFolder(study.path.parent / "other")
    assert start(other, Measured(), f"study: other\n{worse}")
    assert main(["confirm", "other", "--yes"]) == 2
    assert "nothing to confirm" in capsys.readouterr().err


def test_a_confirmation_is_not_confirmed_and_a_small_difference_is_too_dear(study, launchers, capsys):
    assert confirm("--yes", "--seeds", "3") == 0
    assert main(["confirm", "sweep-confirm", "--yes"]) == 2
    assert "a confirmation is made once" in capsys.readouterr().err
    chosen = choose(study.read_sweep(), study.records())
    assert 3 <= chosen.needed <= 50
    small = type(chosen)(chosen.sweep, chosen.cell, -0.02, chosen.sd)
    with pytest.raises(Exception, match="80 % power takes more than 1000 seeds"):
        confirmation(small, "small", None)
    assert len(confirmation(small, "small", 60).seeds) == 60


def test_as_many_seeds_as_are_asked_for_have_80_percent_power(study):
    chosen = choose(study.read_sweep(), study.records())
    rng = np.random.default_rng(0)
    for size in (-1.0, -1.8):
        planned = type(chosen)(chosen.sweep, chosen.cell, size, 1.3).needed
        drawn = size + 1.3 * rng.standard_normal((20_000, planned))
        t = drawn.mean(1) / (drawn.std(1, ddof=1) / np.sqrt(planned))
        power = (np.abs(t) > student.ppf(0.975, planned - 1)).mean()
        assert 0.79 < power < 0.9


def test_seeds_of_an_earlier_confirmation_are_not_fresh(study):
    """A study that holds seeds from FIRST_SEED on gets later ones."""
    chosen = choose(study.read_sweep(), study.records())
    cells = tuple(
        cell.model_copy(update={"runs": {**cell.runs, FIRST_SEED + random.Random(0).randrange(9): "x"}})
        for cell in chosen.sweep.cells
    )
    held = type(chosen)(chosen.sweep.model_copy(update={"cells": cells}), chosen.cell, chosen.difference, chosen.sd)
    used = {seed for cell in cells for seed in cell.runs}
    assert used.isdisjoint(confirmation(held, "fresh", 12).seeds)


def test_what_is_confirmed_is_the_best_cell_of_the_table_where_the_baseline_has_more_seeds(toy_files):
    folder = StudyFolder(toy_files / "results" / "sweep")
    assert start(folder, Measured(), CHOSEN.replace("seeds: 3", "seeds: {baseline: 8, others: 3}"))
    table, chosen = study_table(folder.path), choose(folder.read_sweep(), folder.records())
    baseline = next(row for row in table.rows if row.is_baseline)
    assert chosen.cell.name == table.likeliest.name
    assert chosen.difference == pytest.approx(table.likeliest.shrunken - baseline.shrunken)
