"""The report of a study under way: rebuilt as runs end, by a process of its own.

Whatever befalls that process costs no run anything: it has a low priority, there is one at a time, nobody waits
for it, and what goes wrong in it is told once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from sklab.store.records import RunRecord
    from sklab.sweep.run.orders import Progress, State

PAUSE = 19.0  # times the CPU time of a rebuild, before the next: together they take at most a twentieth of one core
_PATIENCE = 2.0  # seconds for a process that is killed
Command = Callable[[Path], list[str]]


def interim_command(folder: Path) -> list[str]:
    """The process that writes the page of the study in `folder` once, and prints the seconds of CPU time it took."""
    return [sys.executable, "-m", "sklab.report.interim", str(folder)]


@contextmanager
def live_report(shown: Progress, folder: Path) -> Iterator[LiveReport]:
    """Progress that is `shown`, and a report that is rebuilt meanwhile; no process is left at the end."""
    report = LiveReport(shown, folder)
    try:
        yield report
    finally:
        report.stop()


class LiveReport:
    """Passes on what happens to the display `shown`, and rebuilds the report of the study in `folder` after runs have
    ended: after the first at once, later at most for a twentieth of the time."""

    def __init__(
        self,
        shown: Progress,
        folder: Path,
        command: Command = interim_command,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shown, self._folder, self._command, self._clock = shown, folder.absolute(), command, clock
        self._builder: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._is_old = self._told = self._complained = False
        self._began = self._next = -float("inf")

    def ended(self, record: RunRecord, state: State) -> None:
        """A run has ended."""
        self._is_old = True
        self._shown.ended(record, state)

    def note(self, text: str, state: State) -> None:
        """A message."""
        self._shown.note(text, state)

    def look(self, state: State) -> None:
        """About a second has passed."""
        if self._builder is not None:
            self._collect(self._builder, state)
        elif self._is_old and self._clock() >= self._next:
            self._build(state)
        self._shown.look(state)

    def stop(self) -> None:
        """End the rebuild that goes on."""
        if self._builder is not None:
            self._builder.kill()
            with suppress(subprocess.TimeoutExpired):  # it hangs in a disk that is gone: it is left alone
                self._builder.wait(_PATIENCE)
            self._leave()

    def _build(self, state: State) -> None:
        self._is_old, self._began = False, self._clock()
        try:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the process runs
            self._builder = subprocess.Popen(
                self._command(self._folder), stdin=subprocess.PIPE, stdout=self._said, stderr=self._said
            )
        except OSError as error:
            self._leave()
            self._complain(str(error), state)

    def _collect(self, builder: subprocess.Popen[bytes], state: State) -> None:
        if (code := builder.poll()) is None:
            return
        self._next = self._clock() + PAUSE * self._took()
        if code:
            self._complain(self._last_words() or f"exit code {code}", state)
        elif not self._told:
            self._told = True
            self.note(f"report, rebuilt as runs end: {(self._folder / 'report.html').as_uri()}", state)
        self._leave()

    def _took(self) -> float:
        """The CPU time of the last rebuild in seconds; all the time since it began where it has not told that."""
        try:
            return float(self._last_words())
        except ValueError:
            return self._clock() - self._began

    def _complain(self, why: str, state: State) -> None:
        if not self._complained:
            self._complained = True
            self.note(f"the report can't be rebuilt now: {why}; runs go on, and it is tried again as they end", state)

    def _last_words(self) -> str:
        assert self._said is not None
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _leave(self) -> None:
        if self._builder is not None and self._builder.stdin is not None:
            self._builder.stdin.close()
        if self._said is not None:
            self._said.close()
        self._builder = self._said = None
