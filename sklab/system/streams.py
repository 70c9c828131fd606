"""Standard streams that are closed from the start or read no further, and terminals that go or obey what they show."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast

from sklab.system.shown import visible

_LAST = 2  # standard error


def open_closed() -> None:
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


def is_unread() -> bool:
    """Whether standard output, and no other pipe, has lost its reader; what is left for it is dropped then."""
    output = select.poll()
    output.register(sys.stdout, select.POLLOUT)
    unread = any(event & select.POLLERR for _, event in output.poll(0))
    if unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return unread


def show_plainly() -> None:
    """From now on all that is said shows what a terminal would obey: whoever says it need not know where it is from."""
    sys.stdout, sys.stderr = _plain(sys.stdout), _plain(sys.stderr)


def raw(stream: TextIO) -> TextIO:
    """`stream` as it was before `show_plainly`, and before rich."""
    while inner := getattr(stream, "rich_proxied_file", None):
        stream = inner
    return stream


def _plain(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, _Plain) else cast(TextIO, _Plain(stream))


class _Plain:
    """A stream that is told text as it should be shown. rich, which draws with escape sequences, writes past it."""

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
