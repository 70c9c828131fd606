"""A program `nvidia-smi`, first on the PATH, that says what a test has it say; and a driver that has GPUs or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sklab.system import nvidia

_PROGRAM = """\
#!/bin/sh
case "$1" in
  --query-gpu=index,uuid,name) cat "$0.names" ;;
  --query-gpu=*) cat "$0.use" ;;
  *) cat "$0.apps" ;;
esac
. "$0.end"
"""


class NvidiaSmi:
    """Before it is told to say anything, there is none, and no driver."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._program, self._monkeypatch = folder / "nvidia-smi", monkeypatch
        self._driver = folder / "driver"
        monkeypatch.setattr(nvidia, "_DRIVER", self._driver)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setenv("PATH", os.pathsep.join((str(folder), os.environ["PATH"])))

    def says(self, *rows: str, apps: str = "", end: str = "exit 0") -> None:
        """Print `rows`, "index, uuid, used, total, busy, name" each, and `apps`; then do `end`, which sh reads."""
        self._file("use").write_text("".join(f"{row}\n" for row in rows))
        parts = [row.split(", ", 5) for row in rows]
        self._file("names").write_text("".join(", ".join((*part[:2], *part[5:])) + "\n" for part in parts))
        self._file("apps").write_text(apps)
        self._file("end").write_text(end)
        self._program.write_text(_PROGRAM)
        self._program.chmod(0o755)

    def has_gpus(self, count: int, name: str = "H100") -> None:
        """Print so many GPUs that nobody uses."""
        self.says(*(f"{index}, GPU-{index}{index}, 0, 80000, 0, {name}" for index in range(count)))

    def driver_has(self, *gpus: str) -> None:
        """The kernel's driver knows these GPUs, by their bus."""
        for gpu in gpus:
            (self._driver / gpu).mkdir(parents=True)

    def visible(self, value: str) -> None:
        self._monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)

    def _file(self, name: str) -> Path:
        return self._program.with_suffix(f".{name}")
