"""Files that appear whole or not at all, and reading them back: from a folder that may have come from anywhere."""

from __future__ import annotations

import errno
import gc
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from sklab.errors import DamagedRecordError
from sklab.store.seal import open_text

V = TypeVar("V", bound=BaseModel)

MOST_BYTES = 16 * 2**20  # of a file that is read whole; a record has some thousand


def write_whole(file: Path, content: str | bytes | memoryview) -> None:
    """Write `file` so that a reader, and a machine that dies now, sees all of it or what was there before."""
    with writing_whole(file) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_whole(file: Path) -> Iterator[IO[bytes]]:
    """The same for what is written bit by bit: a stream whose content is put in place at the end of the context."""
    # No process number: two containers that share a disk have the same ones.
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
    """Bring the names in `folder` to the disk, where one can ask for that: some network mounts answer EINVAL."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(opened)


def content(file: Path, most: int = MOST_BYTES) -> bytes:
    """What `file` holds. Raises OSError as `opened` does, and for more than `most` bytes."""
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
    """The regular file `file`, to be read. Raises FileNotFoundError where there is none, and OSError for what can't be
    read or is something else: a pipe would be waited for."""
    try:
        _ensure_regular(file.stat(), file)
    except FileNotFoundError:
        if file.is_symlink():
            raise OSError(errno.ENOLINK, "a link to nothing", str(file)) from None
        raise
    # It may have been exchanged since: a pipe would still not be waited for.
    stream = open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: PTH123, SIM115 - a number
    try:
        _ensure_regular(os.fstat(stream.fileno()), file)
    except OSError:
        stream.close()
        raise
    return stream


def is_regular(file: Path) -> bool:
    """Whether `file` is there and may be opened: what is no file is not."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _ensure_regular(status: os.stat_result, file: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(file))


def why_unreadable(error: OSError | ValidationError) -> str:
    """What is wrong with a file that could not be read, in a line."""
    return first_fault(error) if isinstance(error, ValidationError) else error.strerror or str(error)


def read_optional(file: Path, kind: type[V], remedy: str, most: int = MOST_BYTES) -> V | None:
    """The value in `file`, or None where there is none. Raises DamagedRecordError, with `remedy`, for anything else."""
    try:
        text, is_intact = open_text(content(file, most))
        value = kind.model_validate_json(text)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        told = f"{file} can't be read as {kind.__name__}: {why_unreadable(error)}; {remedy}"
        raise DamagedRecordError(told) from error
    if not is_intact:
        raise DamagedRecordError(f"{file} was changed after it was written; {remedy}")
    return value


def first_fault(error: ValidationError) -> str:
    """What is wrong with a file, in a line: the place and the rule that it breaks, and how many more there are."""
    details = error.errors(include_url=False, include_context=False)
    place = ".".join(map(str, details[0]["loc"]))
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{f'{place}: ' if place else ''}{details[0]['msg']}{more}"


def read_kept(file: Path, kind: type[V], most: int = MOST_BYTES) -> V | None:
    """The answer kept in `file`; None where there is none, or none that can be read as it was written: it is then made
    again."""
    try:
        text, is_intact = open_text(content(file, most))
        return kind.model_validate_json(text) if is_intact else None
    except (OSError, ValidationError):
        return None


def is_torn(error: ValidationError) -> bool:
    """Whether a file is no JSON at all."""
    return error.errors()[0]["type"] == "json_invalid"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector from going through thousands of records again and again: they have no cycles, and
    it takes as long as the reading."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
