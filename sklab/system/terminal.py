"""Text that people read, and the streams it goes to: quantities, control characters made visible, lines that fit.

Streams may be closed from the start, or lose their reader; a terminal may go, and obeys what it shows.
"""

from __future__ import annotations

import io
import os
import re
import select
import sys
import textwrap
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TextIO, cast

GAP = 2  # blanks between two columns
# All control characters but tab and line feed, the line and paragraph separators, and what turns the writing direction.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LAST = 2  # standard error
_SOON = 10  # seconds


def duration(seconds: float) -> str:
    """Seconds in the two largest fitting units: 42s, 3m 05s, 2h 07m, 3d 04h."""
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // part:02d}{smaller}"
    return f"{whole}s"


def rest(seconds: float) -> str:
    """How long what is under way may still take: never nothing."""
    return f"under {_SOON}s" if seconds < _SOON else duration(seconds)


def time_left(seconds: float) -> str:
    """The same as part of a sentence."""
    return f"{'' if seconds < _SOON else 'about '}{rest(seconds)} left"


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
    """`text` in lines of at most `columns` characters where words allow it; continued lines are indented."""
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


def column_widths(lines: Iterable[Sequence[str]]) -> list[int]:
    """The width of each column of a table, which is that of its widest cell. All lines have as many cells."""
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def aligned(cells: Sequence[str], widths: Sequence[int], left: Container[int] = (0,)) -> str:
    """A line of a table, its columns GAP blanks apart. Columns at the positions in `left` are aligned to the left, the
    others to the right."""
    columns = enumerate(zip(cells, widths, strict=True))
    padded = (text.ljust(width) if at in left else text.rjust(width) for at, (text, width) in columns)
    return (" " * GAP).join(padded).rstrip()


def columns_that_fit(widths: Sequence[int], order: Iterable[int], room: int | None) -> list[int]:
    """The positions of the columns that fit together in `room`, from left to right; unimportant ones are dropped
    first.

    `order` names all by importance; its first column always stays.
    """
    kept = list(order)
    while room is not None and len(kept) > 1 and sum(widths[at] + GAP for at in kept) - GAP > room:
        kept.pop()
    return sorted(kept)


def no_room_for(names: Iterable[str]) -> Iterator[str]:
    """A line that says which columns there was no room for; none where there was."""
    told = ", ".join(name for name in names if name)
    if told:
        yield fitting(f"(no room for: {told})")


def visible(text: str) -> str:
    r"""`text` with what a terminal would obey instead of show as its code point, `\u001b` for ESC; inside JSON that
    means the same."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`text` with blanks for its line breaks, so that it can't pass for a line of ours."""
    return visible(" ".join(text.splitlines()))


def quantity(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def open_closed_streams() -> None:
    """Give a process that was started without them (`>&-`) its standard streams, and so its runs theirs: a file of the
    study that is opened would become one."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= _LAST:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def outlast_readers() -> None:
    """Drop what can't be said on standard error, and on a terminal: one that is closed, or a `| tee` that Ctrl-C ended,
    is no reason to leave runs without their checkpoints."""
    if _is_plain(sys.stderr):
        sys.stderr = _lossy(sys.stderr)
    if _is_plain(sys.stdout) and sys.stdout.isatty():
        sys.stdout = _lossy(sys.stdout)


def lost_reader() -> bool:
    """Whether standard output, and no other pipe, has lost its reader; what is left for it is dropped then."""
    output = select.poll()
    output.register(sys.stdout, select.POLLOUT)
    unread = any(event & select.POLLERR for _, event in output.poll(0))
    if unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return unread


def escape_control_characters() -> None:
    """Replace sys.stdout and sys.stderr by streams that show control characters instead of obeying them."""
    sys.stdout, sys.stderr = _plain(sys.stdout), _plain(sys.stderr)


def raw(stream: TextIO) -> TextIO:
    """`stream` as it was before `escape_control_characters`, and before rich."""
    while inner := getattr(stream, "rich_proxied_file", None):
        stream = inner
    return stream


def _plain(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, _Plain) else cast(TextIO, _Plain(stream))


class _Plain:
    """A stream that makes control characters visible. rich, which draws with escape sequences, writes past it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.rich_proxied_file = raw(stream)

    def write(self, text: str) -> int:
        self._stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self._stream.writelines(map(visible, lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Lossy(io.FileIO):
    """Takes what it can't write."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # it takes any buffer
        with suppress(OSError):
            if (written := super().write(data)) is not None:  # a terminal that somebody made non-blocking is full
                return written
        return len(data)


def _lossy(stream: TextIO) -> TextIO:
    stream.flush()
    raw: io.RawIOBase = _Lossy(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=True)


def _is_plain(stream: TextIO) -> bool:
    """Whether it is Python's own, not what a test or a notebook put in its place."""
    return type(stream) is io.TextIOWrapper and stream.fileno() <= _LAST
