"""A file of trained weights as a value: where it is, and what it is."""

from __future__ import annotations

import hashlib
import stat
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from sklab.spec.values import Value

OF_RUN = "weights.pt"  # in the folder of a complete run
_SHOWN = 8  # digits of a checksum in a line of text


class Weights(Value):
    """A file of trained weights, from which a network starts.

    file    its path, or the folder of a run, whose weights it then is; `~` is the home folder. It says where the
            weights are, not what they are: no part of a run's identity
    sha256  of its content

    In a YAML file the path may stand alone; its content is then read once. Nothing is read where both are given, as in
    records and resolved sweeps.
    """

    file: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="64 hex digits")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, str) or not given:
            return given
        file = Path(given).expanduser()
        named = Path(given) / OF_RUN if file.is_dir() else Path(given)
        return {"file": str(named), "sha256": checksum_of(named.expanduser())}

    @property
    def unkeyed(self) -> frozenset[str]:
        """The path is no part of a key."""
        return frozenset({"file"})

    def __str__(self) -> str:
        return f"{self.file} (SHA-256 {self.sha256[:_SHOWN]}...)"


def checksum_of(file: Path) -> str:
    """SHA-256 of the content of `file`; it is computed anew once size or time of the file differ. Raises ValueError for
    a file that can't be read."""
    try:
        state = file.stat()
        if not stat.S_ISREG(state.st_mode):  # reading a pipe would wait
            raise ValueError(f"{file} can't be read: no regular file")
        return _checksum(file.absolute(), state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror}") from None


@cache
def _checksum(file: Path, size: int, changed: int) -> str:
    del size, changed
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Started(Value):
    """How a network started from trained weights.

    sha256        of the file, or of the tensors that a library gave
    taken, fresh  numbers of tensors that came from there, and of those that were drawn anew
    head          whether the last layer is among those that were taken: it is where the classes are as many
    """

    sha256: str
    taken: int
    fresh: int
    head: bool

    def __str__(self) -> str:
        return f"{self.taken} tensors taken, {self.fresh} fresh{'' if self.head else ', the head among these'}"
