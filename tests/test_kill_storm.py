"""kill -9 of anything at any moment: the same command again ends with the table of an undisturbed study."""

from __future__ import annotations

import contextlib
import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sklab.store.study_folder import StudyFolder

KILLS = 20
RUNS = 9
EPOCHS = 100
STUDY = f"sweep-train.epochs-{EPOCHS}"
CHECKPOINTS = f"results/{STUDY}/runs/*/checkpoints/*.ckpt"
MEASURED = ("seconds", "samples", "memory", "latency", "commit", "host")  # columns that no two studies share

SWEEP = """\
experiment: toy.yaml
design: list
seeds: 3
baseline: K3
cells:
  - {name: K3, set: {model.branches: [{kernel: 3}], model.attention: none}}
  - {name: K3+K5, set: {model.attention: none}}
  - {name: K3+K5 SK}
"""


# The runs are short, so they write checkpoints more often than those of a user.
RUNNER = """\
import functools, sys
from sklab.sweep.run import orders
orders.RunOrder = functools.partial(orders.RunOrder, checkpoint_seconds=0.1)
from sklab.cli import main
sys.exit(main())
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", RUNNER, "sweep", "sweep.yaml", "--no-wandb", "--set", f"train.epochs={EPOCHS}"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, the nearest first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for process in found:
        found += parents.get(process, [])
    return found[1:]


def reach_a_checkpoint(runner: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until a run has gone on past the checkpoints that were there, or the runner has ended."""
    there = set(folder.glob(CHECKPOINTS))
    while runner.poll() is None and set(folder.glob(CHECKPOINTS)) <= there:
        time.sleep(0.05)


def strike(runner: subprocess.Popen[bytes], chance: random.Random) -> None:
    """Kill the runner alone, everything at once, or one process below the runner."""
    below = descendants(runner.pid)
    victims = chance.choice([[runner.pid], [runner.pid, *below], [chance.choice(below)] if below else [runner.pid]])
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.kill(victim, signal.SIGKILL)
    if runner.pid in victims:
        runner.wait()


def results(folder: Path) -> tuple[list[dict[str, str]], dict[str, dict[str, float]]]:
    """The table without its measured columns, and every run's numbers."""
    study = StudyFolder(folder / "results" / STUDY)
    with (study.path / "table.csv").open(newline="") as stream:
        rows = [
            {name: value for name, value in row.items() if not any(word in name for word in MEASURED)}
            for row in csv.DictReader(stream)
        ]
    return rows, {key: {**record.last, **record.best} for key, record in study.records().items()}


@pytest.mark.slow
def test_a_study_killed_twenty_times_ends_with_the_table_of_an_undisturbed_one(toy_files, tmp_path_factory):
    calm = tmp_path_factory.mktemp("calm")
    for folder in (calm, toy_files):
        (folder / "toy.yaml").write_text((toy_files / "toy.yaml").read_text())
        (folder / "sweep.yaml").write_text(SWEEP)
    assert start(calm).wait(600) == 0

    chance = random.Random(20)
    finished: dict[str, str] = {}
    disturbed = 0
    for kill in range(KILLS):
        runner = start(toy_files)
        if kill % 4:  # else it may be struck before it has a run
            reach_a_checkpoint(runner, toy_files)
        time.sleep(chance.uniform(0.0, 2.0))  # the moment of the kill is what is random here
        strike(runner, chance)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a runner that lost a run goes on for a while
            runner.wait(chance.uniform(0.0, 2.0))
        runner.kill()
        runner.wait()
        ended = StudyFolder(toy_files / "results" / STUDY).records()
        disturbed += sum(record.status == "complete" for record in ended.values()) < RUNS
        for key, when in finished.items():
            assert ended[key].ended == when, "a finished run was trained again"
        finished |= {key: record.ended for key, record in ended.items() if record.status == "complete"}
    assert disturbed >= KILLS // 2, "the study was over before it was struck: give it more epochs"
    for _ in range(3):  # the last strike may have left a run recorded as killed
        if start(toy_files).wait(600) == 0:
            break
    assert results(toy_files) == results(calm)
    records = StudyFolder(toy_files / "results" / STUDY).records().values()
    assert any(record.resumed_from for record in records), "no run went on from a checkpoint"
