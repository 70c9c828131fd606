"""What fits a terminal: fewer columns of a table, lines that end between words. Elsewhere lines are of any length."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

GAP = 2  # blanks between two columns


def width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal that `stream` (standard output) is, or as COLUMNS says; None where there is none."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size((stream or sys.stdout).fileno()).columns or None
    except (OSError, ValueError):  # no terminal, or no file at all
        return None


def filled(text: str, columns: int | None) -> str:
    """`text` with lines of at most so many columns, as far as words allow that; what goes on is indented."""
    if columns is None:
        return text
    return "\n".join(_filled(line, columns) for line in text.split("\n"))


def _filled(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    indent = " " * (len(line) - len(line.lstrip(" ")) + 2)
    return textwrap.fill(line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def fitting(text: str, stream: TextIO | None = None) -> str:
    """`text` in lines that fit `stream`, by default standard output."""
    return filled(text, width(stream))


def tell(text: str) -> None:
    """Say something beside the output, at once, in lines that fit."""
    print(fitting(text, sys.stderr), file=sys.stderr, flush=True)  # noqa: T201 - what the commands speak through


def chosen(widths: Sequence[int], order: Iterable[int], room: int | None) -> list[int]:
    """The columns, by position from left to right, that fit together in `room`: the less important ones go first.

    `order` names all by importance; the first of it stays in any case.
    """
    kept = list(order)
    while room is not None and len(kept) > 1 and sum(widths[at] + GAP for at in kept) - GAP > room:
        kept.pop()
    return sorted(kept)


def left_out(names: Iterable[str]) -> Iterator[str]:
    """A line that says which columns there was no room for; none where there was."""
    told = ", ".join(name for name in names if name)
    if told:
        yield f"(no room for: {told})"
