"""What is told of a run whose process ended without a word."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sklab.launch.base import DEVICE_BROKEN, FOLDER_HELD, Ended, Job
from sklab.sweep.run.failures import record_of


@pytest.mark.parametrize(
    ("exitcode", "hung", "out_of_memory", "failure", "reason"),
    [
        (-signal.SIGKILL, False, False, "killed", "was killed by SIGKILL"),
        (-signal.SIGSEGV, False, True, "killed", "was killed by SIGSEGV"),
        (-signal.SIGTERM, False, False, "preempted", "was killed by SIGTERM"),
        (-signal.SIGHUP, False, False, "preempted", "was killed by SIGHUP"),
        (-signal.SIGKILL, False, True, "oom", "the kernel did so because memory ran out"),
        (-signal.SIGKILL, True, True, "stale", "made no step any more"),
        (-(signal.SIGRTMIN + 3), False, False, "killed", f"was killed by signal {signal.SIGRTMIN + 3}"),
        (FOLDER_HELD, False, False, "stale", "was stopped there; end it first: fuser -k run/.lock"),
        (0, False, False, "code", "ended with exit code 0"),
        (1, False, True, "code", "ended with exit code 1"),
    ],
)
def test_each_end_has_its_class(toy_order, exitcode, hung, out_of_memory, failure, reason):
    ended = Ended(Job("train", Path("run")), exitcode, hung)
    record = record_of(toy_order(), ended, 2, out_of_memory=out_of_memory, deleted=False)
    assert (record.status, record.failure, record.attempt) == ("failed", failure, 2)
    assert reason in record.reason


@pytest.mark.parametrize(
    ("exitcode", "beside", "failure", "reason"),
    [
        (
            DEVICE_BROKEN,
            0,
            "killed",
            "the process that was to train it ended, because another run had broken CUDA in it",
        ),
        (DEVICE_BROKEN, 3, "killed", "the process that trained it and 3 other runs ended by exit code 70"),
        (-signal.SIGABRT, 3, "killed", "the process that trained it and 3 other runs ended by SIGABRT"),
        (-signal.SIGTERM, 3, "preempted", "the process of the run was killed by SIGTERM"),
    ],
)
def test_a_process_of_several_runs_that_dies_blames_none(toy_order, tmp_path, exitcode, beside, failure, reason):
    (tmp_path / "log.txt").write_text("AcceleratorError: CUDA error: uncorrectable ECC error encountered\n")
    ended = Ended(Job("train", tmp_path), exitcode, beside=beside)
    record = record_of(toy_order(), ended, 1, out_of_memory=False, deleted=False)
    assert (record.failure, record.reason) == (failure, reason)


def test_a_deleted_folder_is_the_cause_whatever_else_there_is(toy_order):
    ended = Ended(Job("train", Path("run")), 1, hung=False)
    record = record_of(toy_order(), ended, 1, out_of_memory=True, deleted=True)
    assert (record.failure, record.reason) == ("killed", "the run's folder was deleted while it ran")


def test_an_end_by_an_error_is_told_with_its_last_line_and_traceback(toy_order, tmp_path):
    """As of a library that can't be loaded, before anything could write a record."""
    traceback = "Traceback (most recent call last):\n  File x\nRuntimeError: no such operator\n"
    (tmp_path / "log.txt").write_text(f"hello\nTraceback (most recent call last):\nan earlier one\n{traceback}")
    record = record_of(toy_order(), Ended(Job("train", tmp_path), 1), 1, out_of_memory=False, deleted=False)
    assert record.reason == "the process of the run ended with exit code 1: RuntimeError: no such operator"
    assert record.traceback == traceback
    killed = record_of(toy_order(), Ended(Job("train", tmp_path), -9), 1, out_of_memory=False, deleted=False)
    assert (killed.reason, killed.traceback) == ("the process of the run was killed by SIGKILL", "")
