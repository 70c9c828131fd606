"""`sklab.run` has the options of `sklab sweep`, and runs where a notebook or a script calls it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import sklab
from sklab.api.run import RunOptions, _options, known_options
from sklab.commands.run import add_sweep
from sklab.errors import FaultyInputError, SklabError
from sklab.store.study_folder import StudyFolder

# No `if __name__ == "__main__"`: nothing may import it again, not even to count the networks for `equal_budget`.
SCRIPT = """
import os, sys, threading
from multiprocessing import forkserver
sys.stderr = None
import sklab
before = dict(os.environ), sys.stdout
studies = []
def work():
    studies.append(sklab.run("sweep.yaml", slots=2, no_wandb=True, set={"train.epochs": 1}))
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert (dict(os.environ), sys.stdout) == before
assert forkserver._forkserver._forkserver_pid is None
print("STUDY", studies[0].path, studies[0].runs["status"].tolist())
"""


def command() -> argparse.ArgumentParser:
    commands = argparse.ArgumentParser().add_subparsers()
    add_sweep(commands)
    return commands.choices["sweep"]


def test_its_keyword_arguments_are_the_options_of_the_command():
    assert set(RunOptions.__annotations__) == set(known_options(command()))


@pytest.mark.parametrize(
    ("given", "option", "expected"),
    [
        ({"seeds": 5}, "seeds", 5),
        ({"toy": True}, "toy", True),
        ({"toy": False}, "toy", False),
        ({"results": Path("elsewhere")}, "results", Path("elsewhere")),
        ({"gpus": [0, 2]}, "gpus", "0,2"),
        ({"gpus": 1}, "gpus", "1"),
        ({"gpus": None}, "gpus", None),
        ({"per_gpu": "auto"}, "per_gpu", "auto"),
        ({"no_reuse": True}, "reuse", "never"),
        ({"strict": True}, "reuse", "same code"),
        ({"set": {"train.lr": 1e-5, "model.branches": [{"kernel": 3}], "train.optimizer": "adamw"}}, "set",
         ["train.lr=1.0e-05", "model.branches=[{kernel: 3}]", "train.optimizer=adamw"]),
        ({}, "file", Path("--odd.yaml")),
    ],
)  # fmt: skip
def test_an_option_means_what_it_means_on_a_command_line(given, option, expected):
    assert getattr(_options("--odd.yaml", given), option) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": 3}, "run: unknown option 'seed'; allowed: experiment, .* - did you mean 'seeds'?"),
        ({"seeds": "many"}, "run: argument --seeds: invalid int value: 'many'"),
        ({"gpus": 0, "cpu": True}, "run: argument --cpu: not allowed with argument --gpus"),
        ({"plan": True}, "run: unknown option 'plan'"),
    ],
)
def test_a_faulty_option_is_an_error_in_the_words_of_the_command(given, said):
    with pytest.raises(SklabError, match=said):
        sklab.run("sweep.yaml", **given)


def test_a_faulty_sweep_is_told_with_all_its_faults_and_streams_come_back(toy_files):
    (toy_files / "sweep.yaml").write_text("design: lists\nexperiment: toy.yaml\nseeds: none\n")
    before = sys.stdout, sys.stderr
    with pytest.raises(FaultyInputError) as caught:
        sklab.run(toy_files / "sweep.yaml")
    assert len(caught.value.faults) >= 2
    assert (sys.stdout, sys.stderr) == before


def test_beyond_its_budget_nothing_is_started(toy_files, monkeypatch, capsys):
    monkeypatch.chdir(toy_files)
    monkeypatch.setattr("sklab.commands.run.within", lambda *_: False)
    with pytest.raises(SklabError, match="the sweep takes more than its budget, so nothing was started"):
        sklab.run("sweep.yaml", budget="1m", slots=1)
    assert not (toy_files / "results").exists()


def test_a_thread_of_a_script_runs_a_sweep_and_leaves_its_process_as_it_was(toy_files):
    sweep = toy_files / "sweep.yaml"
    sweep.write_text(sweep.read_text() + "equal_budget: {params: 0.9}\n")
    (toy_files / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=toy_files, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "sweep-train.epochs-1: 2 cells x 2 seeds on toy"
    assert any(line.startswith("[4/4 complete") for line in lines)
    assert lines[-1] == f"STUDY results/sweep-train.epochs-1 {['complete'] * 4}"
    study = StudyFolder(toy_files / "results" / "sweep-train.epochs-1")
    assert (study.path / "report.html").exists()
    assert "\x1b" not in done.stdout
