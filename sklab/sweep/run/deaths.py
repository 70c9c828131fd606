"""Runs whose process ended without a word."""

from __future__ import annotations

import shlex
import signal

from sklab.launch.base import FOLDER_HELD, Ended
from sklab.launch.last_words import last_words
from sklab.store.records import FailureClass, RunOrder, RunRecord, now
from sklab.store.run_folder import RunFolder
from sklab.system.processes import STOP_SIGNALS, signal_name


def record_of(order: RunOrder, ended: Ended, attempt: int, *, out_of_memory: bool, deleted: bool) -> RunRecord:
    """The record that the run's process did not write; `out_of_memory`: the kernel has killed a process for memory
    meanwhile, `deleted`: the run's folder is not there any more."""
    failure, reason = _cause(ended, memory=out_of_memory and ended.exitcode == -signal.SIGKILL)
    line, traceback = "", ""
    if deleted:
        failure, reason = "killed", "the run's folder was deleted while it ran"
    elif failure == "code":
        line, traceback = last_words(RunFolder(ended.job.folder).log_file)
    told = {"reason": f"{reason}: {line}" if line else reason, "traceback": traceback}
    return RunRecord.of(order, status="failed", failure=failure, ended=now(), attempt=attempt, **told)


def _cause(ended: Ended, *, memory: bool) -> tuple[FailureClass, str]:
    """Failure class and reason."""
    if ended.hung:
        return "stale", "the run made no step any more and was ended"
    if ended.exitcode == FOLDER_HELD:
        held = shlex.quote(str(RunFolder(ended.job.folder).lock_file))
        return "stale", f"another process works in the run's folder or was stopped there; end it first: fuser -k {held}"
    if memory:
        return "oom", "the process of the run was killed by SIGKILL, and the kernel did so because memory ran out"
    if ended.exitcode >= 0:
        return "code", f"the process of the run ended with exit code {ended.exitcode}"
    how = f"the process of the run was killed by {signal_name(-ended.exitcode)}"
    # A run that is asked to end before its first step simply ends.
    return "preempted" if -ended.exitcode in STOP_SIGNALS else "killed", how
