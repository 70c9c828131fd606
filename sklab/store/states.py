"""The states of a run, in the words that every command, page and file uses.

complete  it has its numbers
diverged  its loss was no finite number: a result, not repeated
pruned    its search ended it, for it looked worse than others: not repeated while that prunes
failed    something is at fault, whose class the record names: the next start tries it again
stopped   it was asked to end (Ctrl-C, a signal, preemption), or ended with its runner: the next start goes on with it
unreadable  a record lies there that can't be read, so that nothing is known
running   a runner or a cluster is at work on it
waiting   it has not begun
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import inf
from typing import get_args

from sklab.store.files import is_regular
from sklab.store.locks import is_held
from sklab.store.records import RunRecord, RunState
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

STATES: tuple[RunState, ...] = get_args(RunState)
TROUBLED: tuple[RunState, ...] = ("failed", "diverged")
UNENDED: tuple[RunState, ...] = ("stopped", "unreadable", "running", "waiting")
ENDED_WITH_RUNNER = "it ended with its runner"  # why a run without a record is stopped
TO_DO: tuple[RunState, ...] = ("failed", "stopped", "waiting")  # by the next start


def counts_of(states: Iterable[RunState]) -> dict[RunState, int]:
    """How many there are of each state, none left out."""
    found = Counter(states)
    return {state: found[state] for state in STATES}


def others_told(counts: Mapping[RunState, int]) -> str:
    """What follows on the number of complete runs: `, 1 diverged, 2 waiting`."""
    return "".join(f", {counts[state]} {state}" for state in STATES[1:] if counts.get(state))


def ending(record: RunRecord) -> str:
    """How a run without numbers ended, and why: `failed (oom): CUDA out of memory`."""
    if record.state == "pruned":
        return f"pruned after epoch {record.epochs}: {record.reason}"
    kind = f" ({record.failure})" if record.state == "failed" else ""
    return f"{record.state}{kind}: {record.reason or 'no reason recorded'}"


def begun_at(study: StudyFolder) -> float:
    """When the runner that works on the study began, in seconds as `time.time` tells them; infinite without one."""
    return study.lock_file.stat().st_mtime if is_held(study.lock_file) else inf


def unended(run: RunFolder, since: float) -> RunState:
    """The state of a run without a record, where a runner is at work `since` then (infinite: none is)."""
    if not is_regular(run.order_file):
        return "waiting"
    if run.is_queued:
        return "running" if since < inf or is_held(run.lock_file) else "waiting"
    if run.order_file.stat().st_mtime >= since:
        return "running"
    return "stopped" if run.log_file.exists() else "waiting"


def unended_states(study: StudyFolder, keys: Iterable[str]) -> dict[str, RunState]:
    """The states of those runs of a study that have no record."""
    since = begun_at(study)
    return {key: unended(study.run(key), since) for key in keys}
