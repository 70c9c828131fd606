"""What the Slurm launcher promises beyond the contract, on a real Slurm."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from curves import ensure_logged
from slurm_commands import end_all_jobs, said, until
from workers import hang

from sklab.launch.base import Ended, Job
from sklab.launch.slurm import launcher as launching
from sklab.launch.slurm.job import Note, read_note, write_note
from sklab.launch.slurm.launcher import SlurmLauncher
from sklab.launch.slurm_task import SlurmTask
from sklab.spec.study.launchers import SlurmSpec
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

ROOT = Path(__file__).parents[3]
LAUNCHER = "launcher: slurm\npartition: low\ntime: 10\nparallel: 1\n"


Made = Callable[[int], RunFolder]


@pytest.fixture
def made(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Made:
    """Writes the order of a toy run of so many epochs."""

    def make(epochs: int) -> RunFolder:
        order = toy_order(train={"epochs": epochs})
        run = RunFolder(tmp_path / order.key)
        run.write_order(order)
        return run

    return make


def submitted(run: RunFolder, folder: Path, minutes: int) -> tuple[SlurmLauncher, str]:
    launcher = SlurmLauncher(SlurmSpec(launcher="slurm", partition="low", time=minutes, parallel=1), folder, "toy")
    launcher.submit(Job("train", run.path))
    assert launcher.wait(0.0) == []
    note = read_note(run.path)
    assert note is not None
    return launcher, note.slurm


def ended(launcher: SlurmLauncher, seconds: float) -> list[Ended]:
    found: list[Ended] = []
    until(lambda: bool(found.extend(launcher.wait(1.0)) or found), seconds)
    return found


def restarts(number: str) -> str:
    [told] = [word for word in said("scontrol", "show", "job", number).split() if word.startswith("Restarts=")]
    return told.removeprefix("Restarts=")


def holders(file: Path) -> list[int]:
    """The processes that have `file` open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.readlink() == file:
                found.append(int(link.parts[2]))
    return found


def test_a_preempted_run_goes_back_to_the_queue_and_is_completed(slurm, made, tmp_path):
    run = made(300)
    launcher, number = submitted(run, tmp_path, minutes=10)
    until(run.metrics_file.exists)
    said("sbatch", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap=true")
    until(lambda: restarts(number) == "1")
    assert ended(launcher, 120) == [Ended(Job("train", run.path), 0)]
    record = run.read_record()
    assert record is not None
    assert (record.status, record.attempt) == ("complete", 2)


def test_a_run_that_hangs_until_its_time_limit_starts_again_from_the_queue(slurm, made, tmp_path, monkeypatch):
    monkeypatch.setattr(launching, "_WARNING", 20)
    run = made(2)
    launcher, number = submitted(run, tmp_path, minutes=1)
    until(lambda: bool(holders(run.path / ".lock")))
    [hung] = holders(run.path / ".lock")
    os.kill(hung, signal.SIGSTOP)
    until(lambda: restarts(number) == "1", 120)
    assert not Path(f"/proc/{hung}").exists()
    assert ended(launcher, 180) == [Ended(Job("train", run.path), 0)]
    record = run.read_record()
    assert record is not None
    assert record.status == "complete"


def test_a_job_that_the_last_version_left_in_the_queue_is_done_and_taken_over(slurm, made, tmp_path):
    """It is a pickle, which the job reads on its node; the runner reads the run's record."""
    submitit = pytest.importorskip("submitit")
    run = made(1)
    executor = submitit.SlurmExecutor(tmp_path / ".slurm")
    executor.update_parameters(partition="low", time=10)
    job = executor.submit(SlurmTask(0, 80.0, 0.0), Job("train", run.path))
    write_note(run.path, Note(slurm=job.job_id))
    launcher = SlurmLauncher(SlurmSpec(launcher="slurm", partition="low", time=10, parallel=1), tmp_path, "toy")
    assert launcher.adopt([Job("train", run.path)]) == [Job("train", run.path)]
    assert [end.job for end in ended(launcher, 180)] == [Job("train", run.path)]
    record = run.read_record()
    assert record is not None
    assert record.status == "complete"


def test_the_page_leads_to_a_table(slurm, tmp_path):
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    for folder in ("experiments", "sweeps"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    [file] = re.findall(r"```yaml\n(# slurm.yaml\n.*?)```", page, re.DOTALL)
    (tmp_path / "slurm.yaml").write_text(file)
    [command] = re.findall(r"^sklab (sweep .* --toy .*slurm.yaml)$", page, re.MULTILINE)
    told = subprocess.run(
        [sys.executable, "-m", "sklab.cli", *command.split(), "--no-wandb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    [study] = (tmp_path / "results").glob("*-toy")
    records = StudyFolder(study).records().values()
    assert {record.status for record in records} == {"complete"}
    assert f"{len(records)} of {len(records)} runs complete" in told.stdout


@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_loggers_follow_a_study_in_slurm(slurm, toy_files):
    ensure_logged(toy_files, LAUNCHER)


def start(folder: Path) -> subprocess.Popen[str]:
    given = ["sweep.yaml", "--launcher", "slurm.yaml", "--no-wandb", "--seeds", "1", "--set", "train.epochs=30"]
    command = [sys.executable, "-m", "sklab.cli", "sweep", *given, "--stale-after", "0.1"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_jobs_outlive_their_runner_but_not_a_hang_and_what_was_ended_from_outside_is_tried_again(slurm, toy_files):
    (toy_files / "slurm.yaml").write_text(LAUNCHER)
    study = StudyFolder(toy_files / "results" / "sweep-train.epochs-30")

    first = start(toy_files)
    until(lambda: bool(jobs(study)))
    [(left, number)] = jobs(study).items()
    first.kill()
    first.communicate()
    assert number in said("squeue", "-h", "-r", "-o", "%i").split(), "it goes on without a runner"
    hang(study.run(left))
    until(lambda: number not in said("squeue", "-h", "-r", "-o", "%i").split())

    second = start(toy_files)
    until(lambda: bool(jobs(study)) and left not in jobs(study))
    [(cancelled, number)] = jobs(study).items()
    said("scancel", number)
    told = " ".join(second.communicate(timeout=300)[0].split())
    assert second.returncode == 0, told
    assert told.count("tried again: attempt 2 of 3") == 2, told
    assert "failed (stale): the run made no step any more and was ended" in told

    assert {record.status for record in study.records().values()} == {"complete"}
    assert [study.run(key).attempt for key in (left, cancelled)] == [2, 2], "the first one's first was adopted"
    assert not list(study.path.rglob("*.pkl"))
    past = RunFolder(study.run(left).attempts / "001").read_record()
    assert past is not None
    assert past.failure == "stale"


def jobs(study: StudyFolder) -> dict[str, str]:
    """The runs that a job was submitted for, with its number."""
    notes = {file.parent.name: read_note(file.parent) for file in study.path.glob("runs/*/job.json")}
    return {key: note.slurm for key, note in notes.items() if note and note.slurm}


def test_a_slurm_that_is_away_is_waited_for_and_no_run_is_done_twice(slurm, made, tmp_path, monkeypatch):
    monkeypatch.setattr(launching, "_SEND_AGAIN", 5.0)
    first, second = made(1), made(2)
    launcher, _ = submitted(first, tmp_path, minutes=10)
    assert ended(launcher, 120) == [Ended(Job("train", first.path), 0)]
    until(lambda: said("squeue", "-h") == "")
    controller = int((slurm / "slurmctld.pid").read_text())
    os.kill(controller, signal.SIGSTOP)
    try:
        launcher.submit(Job("train", second.path))
        with pytest.warns(UserWarning, match="Slurm does not take jobs now; they are handed over later"):
            assert launcher.wait(0.0) == []
    finally:
        os.kill(controller, signal.SIGCONT)
    assert ended(launcher, 120) == [Ended(Job("train", second.path), 0)]
    end_all_jobs()
    record = second.read_record()
    assert record is not None
    assert (record.status, record.attempt) == ("complete", 1)
