"""Files that appear whole or not at all, and reading them back: from a folder that may have come from anywhere.

A checksum ties what is read to what was written: that of a file, and that of a JSON file's content within it (its
seal). It reveals flipped bits, mixed-up files and numbers edited by hand. It does not protect against intent: whoever
can write a number can write its seal.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from sklab.errors import DamagedRecordError

V = TypeVar("V", bound=BaseModel)

_TAIL = 1 << 16  # bytes of a log
_TRACEBACK = "Traceback (most recent call last):"
MOST_BYTES = 16 * 2**20  # of a file that is read whole; a record has some thousand
_SEAL = "seal"


def write_whole(file: Path, content: str | bytes | memoryview) -> None:
    """Write `file` so that a reader, also after a power failure, finds either all of it or the old content."""
    with writing_whole(file) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_whole(file: Path) -> Iterator[IO[bytes]]:
    """A stream to write `file` piece by piece; its content is put in place at the end of the context."""
    # Not the process number: two containers that share a disk may have the same one.
    aside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with aside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _flush(file.parent)


def _flush(folder: Path) -> None:
    """Flush the names in `folder` to the disk; some network mounts do not support that (EINVAL)."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(opened)


def content(file: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of `file`. Raises OSError as `opened` does, and for more than `most` bytes."""
    with opened(file) as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most >> 20} MB", str(file))
        return stream.read()


def tail(file: Path, most: int) -> str:
    """The last `most` bytes of `file` as text; "" where it can't be read."""
    try:
        with opened(file) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - most))
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def opened(file: Path) -> BinaryIO:
    """Open the regular file `file` for reading. Raises FileNotFoundError where there is none, and OSError where it
    can't be read or is no regular file: reading a pipe would wait."""
    try:
        _ensure_regular(file.stat(), file)
    except FileNotFoundError:
        if file.is_symlink():
            raise OSError(errno.ENOLINK, "a link to nothing", str(file)) from None
        raise
    # The file may have been replaced since: O_NONBLOCK does not wait for a pipe.
    stream = open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: PTH123, SIM115 - a number
    try:
        _ensure_regular(os.fstat(stream.fileno()), file)
    except OSError:
        stream.close()
        raise
    return stream


def is_regular(file: Path) -> bool:
    """Whether `file` exists and is a regular file."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _ensure_regular(status: os.stat_result, file: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(file))


def why_unreadable(error: OSError | ValidationError) -> str:
    """The reason why a file could not be read, in one line."""
    return first_fault(error) if isinstance(error, ValidationError) else error.strerror or str(error)


def read_optional(file: Path, kind: type[V], remedy: str, most: int = MOST_BYTES) -> V | None:
    """The value in `file`, or None where there is none. Raises DamagedRecordError, with `remedy`, for anything else."""
    try:
        text, is_intact = unseal_text(content(file, most))
        value = kind.model_validate_json(text)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        message = f"{file} can't be read as {kind.__name__}: {why_unreadable(error)}; {remedy}"
        raise DamagedRecordError(message) from error
    if not is_intact:
        raise DamagedRecordError(f"{file} was changed after it was written; {remedy}")
    return value


def first_fault(error: ValidationError) -> str:
    """The first fault of a file in one line: the place, the broken rule, and how many more faults there are."""
    details = error.errors(include_url=False, include_context=False)
    place = ".".join(map(str, details[0]["loc"]))
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{f'{place}: ' if place else ''}{details[0]['msg']}{more}"


def read_kept(file: Path, kind: type[V], most: int = MOST_BYTES) -> V | None:
    """The value kept in `file`; None where there is none, or where it is unreadable or changed: the caller then makes
    it again."""
    try:
        text, is_intact = unseal_text(content(file, most))
        return kind.model_validate_json(text) if is_intact else None
    except (OSError, ValidationError):
        return None


def is_torn(error: ValidationError) -> bool:
    """Whether the error is that a file is no JSON at all."""
    return error.errors()[0]["type"] == "json_invalid"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's cycle collector. Thousands of records have no cycles, but going through them again and again takes
    as long as reading them."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def checksum(content: bytes | memoryview) -> str:
    """SHA-256, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def sealed(value: BaseModel, indent: int | None = 1) -> str:
    """`value` as JSON, with its seal as one more entry."""
    tree = from_json(value.model_dump_json())
    return json.dumps({**tree, _SEAL: _seal_of(tree)}, indent=indent, ensure_ascii=False)


def reseal(tree: dict[str, Any]) -> str:
    """The content of a JSON file, which was changed on purpose, as text; with a new seal where it had one."""
    had_seal = tree.pop(_SEAL, None) is not None
    return json.dumps({**tree, **({_SEAL: _seal_of(tree)} if had_seal else {})}, indent=1, ensure_ascii=False)


def unseal(tree: dict[str, Any]) -> bool:
    """Remove the seal from the content of a JSON file; returns False where the rest is not what was sealed. Files of
    sklab 0.1.0 have no seal and are trusted."""
    seal = tree.pop(_SEAL, None)
    return seal is None or seal == _seal_of(tree)


def unseal_text(text: bytes) -> tuple[bytes, bool]:
    """The JSON text of a file without its seal, and whether it is what was sealed."""
    try:
        tree = from_json(text) if b'"seal"' in text else None
    except ValueError:  # the later reader reports it
        tree = None
    if not isinstance(tree, dict) or _SEAL not in tree:
        return text, True
    is_intact = unseal(tree)
    return json.dumps(tree, ensure_ascii=False).encode(), is_intact


def _seal_of(tree: dict[str, Any]) -> str:
    """The seal of the content of a JSON file; the layout of the file does not matter."""
    return checksum(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode())


def last_line_and_traceback(log: Path) -> tuple[str, str]:
    """The last line of `log`, and the last traceback in it; "" where there is none."""
    text = tail(log, _TAIL)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    start = text.rfind(_TRACEBACK)
    return lines[-1] if lines else "", text[start:] if start >= 0 else ""


def last_line_suffix(log: Path) -> str:
    """The last line of `log`, as the end of a sentence."""
    line, _ = last_line_and_traceback(log)
    return f": {line}" if line else ""
