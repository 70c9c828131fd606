"""What a command is at before it has anything else to show: a line that moves on a terminal, a plain one elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sklab.system.phases import Phase
from sklab.system.terminal import duration, escape_control_characters, one_line, raw, tell, time_left

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_BAR = 20  # characters
_MARKS = "-\\|/"
_stack: list[tuple[Live, Phase]] = []  # the phases under way on the terminal, the innermost last
_last: list[str] = []  # the last plain line: a phase that comes again at once is not told again


@contextmanager
def show_phase(phase: Phase) -> Iterator[None]:
    """Show the phase on standard error while it goes on."""
    if not sys.stderr.isatty():
        if _last != [phase.what]:
            tell(f"{one_line(phase.what)} ...")
        _last[:] = [phase.what]
        yield
        return
    from rich.console import Console
    from rich.live import Live

    if _stack:
        live, outer = _stack[-1]
        _stack.append((live, phase))
        live.update(Moving(phase), refresh=True)
        try:
            yield
        finally:
            _stack.pop()
            live.update(Moving(outer), refresh=True)
        return
    with Live(Moving(phase), console=Console(file=raw(sys.stderr)), refresh_per_second=4, transient=True) as live:
        escape_control_characters()  # in what is printed meanwhile by way of rich
        _stack.append((live, phase))
        try:
            yield
        finally:
            _stack.pop()


class Moving:
    """A phase as a line of a display that is drawn again and again."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(phase_line(self._phase, time.monotonic()), no_wrap=True, overflow="ellipsis")


def phase_line(phase: Phase, moment: float) -> str:
    """The phase as it is at `moment` (of `time.monotonic`): a mark that turns, a bar where it is countable, its
    time."""
    age = max(0.0, moment - phase.began)
    bar = ""
    if phase.total:
        full = min(_BAR, _BAR * phase.done // phase.total)
        bar = f" {'#' * full}{'.' * (_BAR - full)} {phase.done:,}/{phase.total:,}{_left(phase, age)}"
    return f"{_MARKS[int(4 * age) % 4]} {one_line(phase.what)}{bar}, {duration(age)}"


def _left(phase: Phase, age: float) -> str:
    """The time left at the pace so far, once a tenth of it or ten seconds have passed."""
    if not 0 < phase.done < phase.total or (age < 10 and phase.done < phase.total / 10):
        return ""
    return f", {time_left(age * (phase.total - phase.done) / phase.done)}"
