"""The file of Optuna's journal. It has one writer and can be rebuilt from the records."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend
from pydantic_core import from_json

from sklab.store.files import content

_MOST_HELD = 1000  # lines
_MOST_BYTES = 2**30


class Journal(JournalFileBackend):
    """A journal that only this process writes, so that a line needs no lock. Nor does it wait for the disk: after a
    power failure the journal is rebuilt. Many lines can be written at once."""

    _held: list[dict[str, Any]] | None = None
    _written = 0  # lines in the file while others are held back

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._held is None:
            self._write(logs)
            return
        if len(self._held) >= _MOST_HELD:
            self._let_go()
        self._held += logs

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # it is iterated
        if self._held is None:
            return super().read_logs(log_number_from)
        assert log_number_from >= self._written, "what is in the file was read before"
        return iter(self._held[log_number_from - self._written :])

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Hold back what is written until the block ends; then all of it is in the file."""
        self._written, self._held = sum(1 for _ in super().read_logs(0)), []
        try:
            yield
        finally:
            self._let_go()
            self._held = None

    def _let_go(self) -> None:
        if self._held:
            self._write(self._held)
            self._written, self._held = self._written + len(self._held), []

    def _write(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with Path(self._file_path).open("ab") as file:
            file.write(lines.encode())


def is_whole(file: Path) -> bool:
    """Whether every line of the journal is a record. A line appended to a torn one would be lost with it."""
    try:
        text = content(file, _MOST_BYTES)
        return text.endswith(b"\n") and all(isinstance(from_json(line), dict) for line in text.splitlines())
    except (OSError, ValueError):
        return False
