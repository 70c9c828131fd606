"""What follows from a failure: another attempt, with more memory to itself or in smaller batches, or none; and when a
study has seen enough of one error.

preempted, stale, killed  came from outside: tried again as long as a newer checkpoint shows that the run gets further,
                          and by one runner up to ATTEMPTS in a row where none does
oom                       with fewer runs at a time; where each has a device to itself, in half as large batches, twice
                          as many of them accumulated
diverged                  a result
data, code                left to the user: the same would happen again
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from pydantic import ValidationError

from sklab.launch.base import Launcher
from sklab.spec.train import TrainSpec
from sklab.store.records import FailureClass, RunOrder, RunRecord
from sklab.system.processes import oom_kills
from sklab.system.terminal import counted

ATTEMPTS = 3  # of a run by one runner, while it is ended from outside and gets no further
MAX_IDENTICAL = 3  # runs with one and the same traceback that end a study
_FROM_OUTSIDE = frozenset[FailureClass]({"preempted", "stale", "killed"})
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class Retries:
    """The runs of one runner's life, as far as they were tried again. `records` are those on disk at its start: a run
    that went on in smaller batches then does so now."""

    def __init__(self, launcher: Launcher, records: Mapping[str, RunRecord]) -> None:
        self._launcher = launcher
        self._factors = {key: record.accumulate_factor for key, record in records.items() if not record.final}
        self._ended_from_outside, self._reached = Counter[str](), Counter[str]()
        self._capacity: dict[str, int] = {}
        self._oom_kills: dict[str, int] = {}

    def start(self, order: RunOrder) -> RunOrder:
        """The order to submit for a run, which starts now."""
        self._capacity[order.key], self._oom_kills[order.key] = self._launcher.capacity, oom_kills()
        return order.model_copy(update={"accumulate_factor": self._factors.get(order.key, 1)})

    def killed_for_memory(self, key: str) -> bool:
        """Whether the kernel has killed a process for memory since the run was started; it may have been another's.
        Of a run that somebody else started, nothing is known."""
        return key in self._oom_kills and oom_kills() > self._oom_kills[key]

    def again(self, order: RunOrder, record: RunRecord, reached: int) -> str:
        """How the run that ended so is tried again; "" when it is not. `start` then gives the order. `reached` is the
        step of its newest checkpoint."""
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
            return f"at most {counted(self._launcher.capacity, 'run')} at a time"
        train, factor = order.spec.experiment.train, 2 * order.accumulate_factor
        if not _can_be_cut(train, factor):
            return ""
        self._factors[order.key] = factor
        return f"batches of {train.batch_size // factor}, {train.accumulate * factor} accumulated"


class Tracebacks:
    """How many runs ended with each traceback."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._first: dict[str, RunRecord] = {}
        self._count = Counter[str]()

    def add(self, record: RunRecord) -> str:
        """What to say of the traceback of a run: all of it the first time."""
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
        """Whether one of them has come as often as the study bears."""
        return any(count >= self._most for count in self._count.values())


def _can_be_cut(train: TrainSpec, factor: int) -> bool:
    """Whether each batch divides into `factor` batches that a recipe may have."""
    try:
        TrainSpec.model_validate(train.model_dump() | {"batch_size": train.batch_size // factor})
    except ValidationError:
        return False
    return train.batch_size % factor == 0
