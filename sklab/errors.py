"""The errors that a user can mend, and how they are worded.

Everything sklab raises on purpose is a `SklabError`; the command line prints its text without a
traceback and leaves with its `exit_code`. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sklab.system.terminal import counted, one_line

_MOST_TOLD = 100  # faults of an input


class SklabError(Exception):
    """Base of all intended errors. `exit_code` is what the command line leaves with."""

    exit_code = 2


class StudyLockedError(SklabError):
    """Another runner works on this study at this moment."""


class DamagedRecordError(SklabError):
    """A record on disk can't be read as one; the text names the file and the remedy."""


@dataclass(frozen=True)
class Fault:
    """One mistake in an input file.

    `file` and `line` (counted from 1; 0 when the value does not stand in the file, for example a missing
    key of the whole document) say where, `place` is the dotted path of keys, `found` the value as written
    ("" when it is missing), `allowed` what may stand there, `hint` a "did you mean".
    """

    file: str
    place: str
    message: str
    line: int = 0
    found: str = ""
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        parts = [f"{where}: {self.place or '(document)'}: {self.message}"]
        if self.found:
            parts.append(f"found {self.found}")
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        return one_line("; ".join(parts) + (f" - did you mean {self.hint!r}?" if self.hint else ""))


class FaultyInputError(SklabError):
    """Every fault of the given input at once, in the order of the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.file, fault.line)))
        lines = "\n".join(f"  {fault}" for fault in self.faults[:_MOST_TOLD])
        if len(self.faults) > _MOST_TOLD:
            lines += f"\n  and {len(self.faults) - _MOST_TOLD} more"
        super().__init__(f"{counted(len(self.faults), 'fault')}, nothing was started:\n{lines}")
