"""How far a running study is, and who wants to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sklab.store.records import RunOrder, RunRecord, RunState
from sklab.store.run_folder import RunFolder


@dataclass(frozen=True)
class State:
    """A study at a moment: how many runs are in each state. `running` pairs each run with the seconds since it was
    submitted; `eta_seconds` are those until all is done, None while nothing tells what runs take."""

    counts: Mapping[RunState, int]
    capacity: int
    running: tuple[tuple[RunOrder, RunFolder, float], ...]
    eta_seconds: float | None

    @property
    def total(self) -> int:
        """All runs of the study, ended ones included."""
        return sum(self.counts.values())


class Progress(Protocol):
    """Who shows how a study goes: `ended` once per run trained, `note` what else there is to say, `look` about once a
    second."""

    def ended(self, record: RunRecord, state: State) -> None: ...

    def note(self, text: str, state: State) -> None: ...

    def look(self, state: State) -> None: ...
