"""What follows from a failure: another attempt, maybe with more memory or smaller batches, or none; and the end of a
study in which the same error comes too often.

preempted, stale, killed  ended from outside: tried again as long as a newer checkpoint shows that the run gets on;
                          without one, up to ATTEMPTS times in a row by one runner
device                    the GPU is at fault: tried again in the same way, on another one if there is one; the
                          launcher hears of it, and gives up a GPU on which run after run fails
oom                       tried again with fewer runs at a time; where each run has a device of its own, with batches
                          of half the size, of which twice as many are accumulated
diverged                  not tried again: this is a result
data, code                left to the user: the same would happen again

A run whose process ended without a record gets one here, with the last line of its log; `retry` sets records aside.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from sklab.launch.base import DEVICE_BROKEN, FOLDER_HELD, Ended, Launcher
from sklab.spec.train import TrainSpec
from sklab.store.causes import class_of_words
from sklab.store.files import last_line_and_traceback
from sklab.store.records import FailureClass, RunOrder, RunRecord, now
from sklab.store.run_folder import RunFolder
from sklab.store.states import study_lock
from sklab.store.study_folder import StudyFolder
from sklab.sweep.state.named import trained_name
from sklab.system.processes import STOP_SIGNALS, oom_kills, signal_name
from sklab.system.terminal import quantity

ATTEMPTS = 3  # of a run by one runner, if it is ended from outside again and again and does not get on
MAX_IDENTICAL = 3  # runs with the same traceback, after which a study stops
_FROM_OUTSIDE = frozenset[FailureClass]({"preempted", "stale", "killed", "device"})
NO_DEVICE_LEFT = (
    "every device is given up, as told above, and nothing more can be started; finished runs are safe. `nvidia-smi` "
    "and `dmesg` show what is wrong with them; the same command goes on once they, or the machine, are reset, or with "
    "others (--gpus, --cpu)"
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class Retries:
    """Counts how often one runner has tried each run again. `records` are those on disk when the runner starts: a
    run that had smaller batches in its last attempt keeps them."""

    def __init__(self, launcher: Launcher, records: Mapping[str, RunRecord]) -> None:
        self._launcher = launcher
        self._factors = {key: record.accumulate_factor for key, record in records.items() if not record.final}
        self._ended_from_outside, self._reached = Counter[str](), Counter[str]()
        self._capacity: dict[str, int] = {}
        self._oom_kills: dict[str, int] = {}

    def start(self, order: RunOrder) -> RunOrder:
        """The order to submit for a run; from now on it counts as started."""
        self._capacity[order.key], self._oom_kills[order.key] = self._launcher.capacity, oom_kills()
        return order.model_copy(update={"accumulate_factor": self._factors.get(order.key, 1)})

    def killed_for_memory(self, key: str) -> bool:
        """Whether the kernel has killed a process for lack of memory since the run was started; it may have been
        another process. False for a run that another runner started."""
        return key in self._oom_kills and oom_kills() > self._oom_kills[key]

    def again(self, order: RunOrder, record: RunRecord, reached: int) -> str:
        """The way in which a run that ended with this record is tried again; "" when it is not. `start` then gives the
        order. `reached` is the step of its newest checkpoint."""
        if record.failure == "oom":
            return self._with_more_memory(order)
        if record.failure not in _FROM_OUTSIDE:
            return ""
        if reached > self._reached[order.key]:
            self._reached[order.key], self._ended_from_outside[order.key] = reached, 0
            return f"from step {reached}"
        self._ended_from_outside[order.key] += 1
        ended = self._ended_from_outside[order.key]
        return f"attempt {ended + 1} of {ATTEMPTS}" if ended < ATTEMPTS else ""

    def _with_more_memory(self, order: RunOrder) -> str:
        before = self._capacity.get(order.key, self._launcher.capacity)
        if self._launcher.capacity < before or self._launcher.fewer():
            return f"at most {quantity(self._launcher.capacity, 'run')} at a time"
        train, factor = order.spec.experiment.train, 2 * order.accumulate_factor
        if not _can_be_cut(train, factor):
            return ""
        self._factors[order.key] = factor
        return f"batches of {train.batch_size // factor}, {train.accumulate * factor} accumulated"


class Tracebacks:
    """The number of runs that ended with each traceback."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._first: dict[str, RunRecord] = {}
        self._count = Counter[str]()

    def add(self, record: RunRecord) -> str:
        """The message about the traceback of a failed run: all of it the first time, later the count; "" for others."""
        if not record.traceback or record.failure not in ("code", "data"):
            return ""
        text = _ADDRESS.sub("0x...", record.traceback)
        self._count[text] += 1
        first = self._first.setdefault(text, record)
        if first is record:
            return record.traceback.rstrip()
        return f"the same traceback as of {first.cell}, seed {first.spec.seed} ({self._count[text]} runs)"

    @property
    def enough(self) -> bool:
        """Whether a traceback has come so often that the study stops."""
        return any(count >= self._most for count in self._count.values())


def _can_be_cut(train: TrainSpec, factor: int) -> bool:
    """Whether each batch divides into `factor` batches that a recipe may have."""
    try:
        TrainSpec.model_validate(train.model_dump() | {"batch_size": train.batch_size // factor})
    except ValidationError:
        return False
    return train.batch_size % factor == 0


def record_of(order: RunOrder, ended: Ended, attempt: int, *, out_of_memory: bool, deleted: bool) -> RunRecord:
    """The record of a run whose process wrote none. `out_of_memory`: the kernel has killed a process for lack of
    memory since the run started; `deleted`: the run's folder is gone."""
    failure, reason = _cause(ended, memory=out_of_memory and ended.exitcode == -signal.SIGKILL)
    line, traceback = "", ""
    if deleted:
        failure, reason = "killed", "the run's folder was deleted while it ran"
    elif failure == "code" or (ended.exitcode == -signal.SIGABRT and not ended.beside):
        # torch ends by SIGABRT when it can't even raise an error
        line, traceback = last_line_and_traceback(RunFolder(ended.job.folder).log_file)
        failure = class_of_words(f"{traceback}\n{line}") or failure
    texts = {"reason": f"{reason}: {line}" if line else reason, "traceback": traceback}
    return RunRecord.of(order, status="failed", failure=failure, ended=now(), attempt=attempt, **texts)


def _cause(ended: Ended, *, memory: bool) -> tuple[FailureClass, str]:
    """The failure class and the reason."""
    if ended.left is not None:
        stuck = f"its process {ended.left} does not even end when killed (stuck in a driver, or on a disk that is gone)"
        return "stale", f"the run made no step any more, and {stuck}; its slot is given up"
    if ended.hung:
        return "stale", "the run made no step any more and was ended"
    if ended.exitcode == FOLDER_HELD:
        held = shlex.quote(str(RunFolder(ended.job.folder).lock_file))
        return "stale", f"another process works in the run's folder or was stopped there; end it first: fuser -k {held}"
    if memory:
        return "oom", "the process of the run was killed by SIGKILL, and the kernel did so because memory ran out"
    if ended.exitcode == DEVICE_BROKEN and not ended.beside:
        return "killed", "the process that was to train it ended, because another run had broken CUDA in it"
    if ended.beside and -ended.exitcode not in STOP_SIGNALS:
        how = signal_name(-ended.exitcode) if ended.exitcode < 0 else f"exit code {ended.exitcode}"
        return "killed", f"the process that trained it and {quantity(ended.beside, 'other run')} ended by {how}"
    if ended.exitcode >= 0:
        return "code", f"the process of the run ended with exit code {ended.exitcode}"
    how = f"the process of the run was killed by {signal_name(-ended.exitcode)}"
    # A run that is asked to end before its first step simply ends.
    return "preempted" if -ended.exitcode in STOP_SIGNALS else "killed", how


def retry(folder: StudyFolder, cells: Sequence[str] | None, *, failed: bool) -> list[RunRecord]:
    """Move the files of the failed runs' last attempt into `attempts/`. Returns their records, in the table's order.

    With `cells`, only runs of these cells, diverged and pruned ones included unless `failed`. Complete runs always stay
    as they are, and so do stopped ones, which the next start continues. Raises StudyLockedError while a runner
    has the study, SklabError for a cell that it does not have.
    """
    sweep = folder.read_sweep()
    known = dict.fromkeys((*map(sweep.name_of_row, sweep.cells), *(cell.name for cell in sweep.cells)))
    names = None if cells is None else {trained_name(sweep, known, name) for name in cells}
    chosen = [cell for cell in sweep.cells if names is None or {cell.name, sweep.name_of_row(cell)} & names]
    wanted = {"failed"} if failed or cells is None else {"failed", "diverged", "pruned"}
    with study_lock(folder):
        records = folder.records(key for cell in chosen for key in cell.runs.values())
        moved = [record for record in records.values() if record.state in wanted]
        for record in moved:
            folder.run(record.key).begin_attempt()
    return moved
