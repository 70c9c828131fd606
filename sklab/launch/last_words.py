"""What a process printed before it ended without an answer."""

from __future__ import annotations

from pathlib import Path

from sklab.store.files import tail

_TAIL = 1 << 16  # bytes of a log
_TRACEBACK = "Traceback (most recent call last):"


def last_words(log: Path) -> tuple[str, str]:
    """The last line of `log`, and the last traceback in it; "" for what is not there."""
    text = tail(log, _TAIL)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    start = text.rfind(_TRACEBACK)
    return lines[-1] if lines else "", text[start:] if start >= 0 else ""


def and_last(log: Path) -> str:
    """The last line of `log`, as the end of a sentence."""
    line, _ = last_words(log)
    return f": {line}" if line else ""
