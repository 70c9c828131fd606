"""The errors that a user can fix, and their wording.

Everything sklab raises on purpose is a `SklabError`; the command line prints its text without a
traceback and exits with its `exit_code`. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sklab.system.terminal import one_line, quantity

_MOST_SHOWN = 100  # faults of an input


class SklabError(Exception):
    """Base of all intended errors. The command line exits with `exit_code`."""

    exit_code = 2


class StudyLockedError(SklabError):
    """Another runner is working on this study."""


class DamagedRecordError(SklabError):
    """A record on disk can't be read; the text names the file and the remedy."""


@dataclass(frozen=True)
class Fault:
    """One mistake in an input file.

    `file` and `line` say where (lines count from 1; 0 if the value is not in the file, for example a missing key
    of the whole document). `place` is the dotted path of keys, `found` the value as written ("" if it is
    missing), `allowed` the allowed values, `hint` a "did you mean".
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
    """All faults of the input at once, in the order of the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.file, fault.line)))
        lines = "\n".join(f"  {fault}" for fault in self.faults[:_MOST_SHOWN])
        if len(self.faults) > _MOST_SHOWN:
            lines += f"\n  and {len(self.faults) - _MOST_SHOWN} more"
        super().__init__(f"{quantity(len(self.faults), 'fault')}, nothing was started:\n{lines}")
