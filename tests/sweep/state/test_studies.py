"""`sklab list`: every study of a folder, in a few words, and `sklab --version`."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from sklab.cli import main
from sklab.store.records import RunOrder, RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.state.studies import studies

QUESTIONS = """\
question,planned,pair,verdict
attention,True,,lower
attention,True,K3 against K5,
another,False,,higher
"""
CODE = "import sys\ntry:\n from sklab.cli import main; main(['--version'])\nfinally: assert 'torch' not in sys.modules"


@pytest.fixture
def results(toy_files, toy_order, monkeypatch):
    """A study with a complete, a failed and two waiting runs, one that a runner works on, and one that is damaged."""
    monkeypatch.chdir(toy_files)
    sweep = load_sweep(toy_files / "sweep.yaml")
    first, second, third = (StudyFolder(toy_files / "results" / name) for name in ("first", "second", "third"))
    first.write_sweep(sweep.model_copy(update={"study": "first"}))
    for cell, status in zip(sweep.cells, ("complete", "failed"), strict=True):
        spec = run_spec(sweep, cell, 0)
        order = RunOrder(key=spec.key, study="first", cell=cell.name, spec=spec, code=toy_order().code)
        first.run(order.key).write_order(order)
        first.run(order.key).write_record(RunRecord.of(order, status=status))
        os.utime(first.run(order.key).record_file, (1e9, 1e9))
    os.utime(first.sweep_file, (1e9 - 60, 1e9 - 60))
    (first.path / "questions.csv").write_text(QUESTIONS)
    second.write_sweep(sweep.model_copy(update={"study": "second", "question": ""}))
    third.path.mkdir(parents=True)
    third.sweep_file.write_text("a: [")
    return toy_files / "results"


def test_studies_are_told_with_their_runs_their_runner_and_their_answers(results):
    with (results / "second" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first, second, third = studies(results, 2e9)
    assert (first.study, first.question, first.answers) == ("first", "Does attention help?", ("attention: lower",))
    assert (first.cells, first.total, first.counts["complete"], first.counts["failed"]) == (2, 4, 1, 1)
    assert (first.live, first.changed) == (False, "2001-09-09T01:46:40+00:00")
    assert (second.live, second.answers) == (True, ())
    assert "can't be read" in third.fault


def test_the_list_is_a_table_or_json_and_says_that_a_study_is_damaged(results, capsys):
    assert main(["list"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["study", "second", "first", "third"], "the newest on top"
    assert lines[2].split()[1:6] == ["2", "4", "1", "0", "1"]
    assert "first: Does attention help? attention: lower" in lines
    assert main(["list", "--json"]) == 1
    assert [study["study"] for study in json.loads(capsys.readouterr().out)] == ["first", "second", ""]
    assert main(["list", "--results", "nowhere"]) == 0
    assert capsys.readouterr().out == "no studies under nowhere\n"


def test_the_version_is_told_without_loading_torch():
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert told == f"sklab {version('sklab')}, Python {sys.version.split()[0]}, torch {version('torch')}\n"
