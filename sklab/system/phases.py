"""What a command is at, while it prepares its work: said by whoever does it, shown by whoever has a screen.

Nothing is shown unless `phases_shown_by` says how: who calls sklab from Python sees nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Phase:
    """A part of the work. `done` of `total` things are done; `total` is 0 where they can't be counted."""

    what: str
    total: int = 0
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def advance(self, number: int = 1) -> None:
        """So many more things are done."""
        self.done += number


Show = Callable[[Phase], AbstractContextManager[object]]
_show: ContextVar[Show | None] = ContextVar("show", default=None)


@contextmanager
def phase(what: str, total: int = 0) -> Iterator[Phase]:
    """Say what is done inside, before it is done. A phase inside another one stands in its place meanwhile."""
    begun, show = Phase(what, total), _show.get()
    with show(begun) if show else nullcontext():
        yield begun


@contextmanager
def phases_shown_by(show: Show) -> Iterator[None]:
    """Have the phases that begin inside shown in this way."""
    before = _show.set(show)
    try:
        yield
    finally:
        _show.reset(before)
