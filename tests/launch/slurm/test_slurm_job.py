"""What a job does on its node, and what is executed there, without a Slurm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from left import number_in

from sklab.launch import slurm_task
from sklab.launch.base import Job
from sklab.launch.slots import Slot
from sklab.launch.slurm import job as slurm_job
from sklab.launch.slurm.job import End, Note, has_ended, own_slot, read_end, read_note, write_note
from sklab.launch.slurm.sbatch import hand_over
from sklab.spec.study.launchers import SlurmSpec
from sklab.store.causes import class_of_words


@pytest.fixture
def in_a_job(job: Job, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Does what the second task of array 9 does; its run ends at once, or is at its time limit."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    before = signal.getsignal(signal.SIGUSR2)

    def do(handed_over: str, *, at_the_limit: bool = False) -> None:
        def until_the_end(_self: object, done: Job) -> End:
            assert done == job
            if at_the_limit:
                signal.raise_signal(signal.SIGUSR2)
            return End(exitcode=0)

        monkeypatch.setattr(slurm_job.Watched, "do", until_the_end)
        given = slurm_job.arguments(job.folder.parent, handed_over, 0, 80.0, 0.0)
        monkeypatch.setattr(sys, "argv", [*given[1:], "check:/nowhere", f"train:{job.folder}"])
        slurm_job.main()

    yield do
    signal.signal(signal.SIGUSR2, before)


def test_the_module_that_a_job_executes_gives_way_when_it_is_executed(job, tmp_path):
    write_note(job.folder, Note(handed_over="to another"))
    command = [sys.executable, *slurm_job.arguments(tmp_path, "to this", 0, 1.0, 0.0), f"train:{job.folder}"]
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_note(job.folder) == Note(handed_over="to another")


def test_a_job_does_what_it_was_handed_over_for_and_tells_its_end(in_a_job, job):
    write_note(job.folder, Note(handed_over="abc"))
    in_a_job("abc")
    assert (number_in(job.folder), read_end(job.folder.parent, "9_1")) == ("9_1", End(exitcode=0))


def test_a_job_without_the_gpus_it_was_to_have_says_so_in_the_log_and_tells_its_end(job, nvidia_smi, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    nvidia_smi.says(end="exit 9")
    write_note(job.folder, Note(handed_over="abc"))
    slurm_job._do(slurm_job.Watched(1, 80.0, 0.0), job, job.folder.parent, "abc")
    assert read_end(job.folder.parent, "9_1") == End(exitcode=1)
    log = (job.folder / "log.txt").read_text()
    assert "this run was to have 1; none can be used: nvidia-smi ended with exit code 9" in log
    assert class_of_words(log) == "device"


@pytest.mark.parametrize("note", [None, Note(handed_over="def", slurm="10_0"), Note(slurm="7")])
def test_a_job_that_was_handed_over_again_gives_way(in_a_job, job, note):
    (job.folder / "job.json").unlink()
    if note:
        write_note(job.folder, note)
    in_a_job("abc")
    assert (read_note(job.folder), has_ended(job.folder.parent, "9_1")) == (note, False)


@pytest.mark.parametrize("before", [0, 19, 20])
def test_a_job_goes_back_to_the_queue_at_its_time_limit_up_to_twenty_times(in_a_job, job, monkeypatch, before):
    asked: list[list[str]] = []
    monkeypatch.setattr(slurm_job, "program", lambda name: name)
    monkeypatch.setattr(slurm_job.subprocess, "run", lambda command, **_: asked.append(command))
    write_note(job.folder, Note(handed_over="abc", time_limits=before))
    with pytest.raises(SystemExit) as left:
        in_a_job("abc", at_the_limit=True)
    note = read_note(job.folder)
    assert note is not None
    assert note.time_limits == before + 1
    assert asked == ([["scontrol", "requeue", "9_1"]] if before < 20 else [])
    assert has_ended(job.folder.parent, "9_1") == (before == 20)
    assert ("has reached its time limit 21 times" in str(left.value)) == (before == 20)


def test_what_is_executed_stands_in_the_batch_script_which_slurm_keeps(tmp_path, monkeypatch):
    given: dict[str, Any] = {}

    def sbatch(command: list[str], **how: Any) -> Any:
        given.update(how, command=command)
        return SimpleNamespace(returncode=0, stdout="12;cluster\n", stderr="")

    monkeypatch.setattr("sklab.launch.slurm.sbatch.program", lambda name: f"/bin/{name}")
    monkeypatch.setattr("sklab.launch.slurm.sbatch.subprocess.run", sbatch)
    spec = SlurmSpec(launcher="slurm", time=60, parallel=4, gpus=2, memory=8, sbatch={"exclusive": True, "qos": "a b"})
    files = tmp_path / "it's"
    assert hand_over(spec, "toy", files, 90, ["train:/a b", "train:/c"], ["-m", "x"]) == "12"
    assert given["command"][:2] == ["/bin/sbatch", "--parsable"]
    asked = {"--array=0-1%4", "--time=60", "--gpus-per-node=2", "--mem=8G", "--exclusive", "--qos=a b", "--requeue"}
    assert asked <= set(given["command"])
    assert given["input"].splitlines()[1].startswith("exec srun --unbuffered --cpus-per-task=1 ")
    assert given["input"].endswith(" -P -m x 'train:/a b' train:/c\n")
    assert list(files.iterdir()) == []


def test_a_job_of_before_that_its_run_does_not_know_gives_way(job, monkeypatch):
    environment = SimpleNamespace(JobEnvironment=lambda: SimpleNamespace(job_id="8"))
    monkeypatch.setitem(sys.modules, "submitit", environment)
    assert not slurm_task._is_for_us(job.folder)
    (job.folder / "job.json").write_text("{")
    assert slurm_task._is_for_us(job.folder)
    assert number_in(job.folder) == "8"


def test_threads_and_gpus_are_what_slurm_gave(monkeypatch, nvidia_smi):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    nvidia_smi.has_gpus(2)
    assert own_slot(2) == Slot("0,1", "H100", 3)
    assert own_slot(0).gpu is None
