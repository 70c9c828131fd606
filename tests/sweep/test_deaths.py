"""What is told of a run whose process ended without a word."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sklab.launch.base import FOLDER_HELD, Ended, Job
from sklab.sweep.deaths import record_of


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


def test_a_deleted_folder_is_the_cause_whatever_else_there_is(toy_order):
    ended = Ended(Job("train", Path("run")), 1, hung=False)
    record = record_of(toy_order(), ended, 1, out_of_memory=True, deleted=True)
    assert (record.failure, record.reason) == ("killed", "the run's folder was deleted while it ran")
