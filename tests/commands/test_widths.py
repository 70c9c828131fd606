"""Tables and text of the commands fit a terminal; elsewhere they are as wide as they are."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.system import terminal

ROOT = Path(__file__).parents[2]
COMMANDS = [
    ["plan", "sweeps/kernels.yaml", "--toy"],
    ["plan", "sweeps/dilation_groups.yaml"],
    ["plan", "sweeps/nothing.yaml", "--experiment", "sweeps/kernels.yaml"],
    ["table", "example"],
    ["table", "example-scale"],
    ["status", "example"],
    ["compare", "example", "results/../results/twin"],
    ["models"],
    ["doctor"],
]


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    """A project with the shipped files and two studies of the same cells."""
    for name in ("sweeps", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "results").mkdir()
    for name, source in {"example": "example", "example-scale": "example-scale", "twin": "example"}.items():
        (tmp_path / "results" / name).symlink_to(ROOT / "results" / source)
    return tmp_path


def shown(arguments: list[str], columns: int, folder: Path) -> str:
    """What the command writes to a terminal of this width, both streams."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-P", "-m", "sklab.cli", *arguments]
    process = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, cwd=folder, env=environment)
    os.close(slave)
    text = b""
    while part := _read(master):
        text += part
    os.close(master)
    process.wait()
    return text.decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # nobody writes any more
        return b""


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_what_a_command_shows_fits_a_terminal_of_80_columns(twin: Path, arguments: list[str]) -> None:
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(arguments, 80, twin)).splitlines()  # a bar moves
    assert lines
    assert [line for line in lines if len(line) > 80 and " " in line.strip()] == []


def test_the_most_important_columns_stay_and_the_others_are_named(twin: Path) -> None:
    lines = shown(["table", "example"], 80, twin).splitlines()
    assert lines[0].split() == [
        "cell",
        "n",
        "error",
        "%",
        "±95%",
        "P(best)",
        "diff",
        "±95%",
        "p",
        "adj.",
        "verdict",
    ]
    at = lines.index("(no room for: shrunken, test %, ±95%, gap, seeds+, vs best, params k, MACs M,")
    assert lines[at + 1] == "  publ. %)"
    narrow = shown(["table", "example"], 30, twin).splitlines()
    assert narrow[0].split() == ["cell", "n", "error", "%"]


def test_without_a_terminal_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal.width() is None
    assert terminal.fitting("word " * 100) == "word " * 100


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.integers(1, 200), st.randoms())
def test_as_many_columns_as_fit_are_chosen_by_importance(widths: list[int], room: int, random: object) -> None:
    order = list(range(len(widths)))
    random.shuffle(order)  # type: ignore[attr-defined]
    kept = terminal.columns_that_fit(widths, order, room)
    assert kept == sorted(order[: len(kept)])
    need = [sum(widths[at] + 2 for at in order[:count]) - 2 for count in range(1, len(widths) + 1)]
    assert len(kept) == max((count for count, total in enumerate(need, 1) if total <= room), default=1)
    assert terminal.columns_that_fit(widths, order, None) == sorted(order)


@given(st.text("ab -\n", max_size=200), st.integers(10, 60))
def test_no_word_is_broken(text: str, columns: int) -> None:
    assert terminal.filled(text, columns).split() == text.split()
    assert all(len(line) <= columns or " " not in line.strip() for line in terminal.filled(text, columns).split("\n"))


def test_what_goes_on_is_indented() -> None:
    text = f"  base.yaml:3: {'word ' * 20}".rstrip()
    first, *others = terminal.filled(text, 60).split("\n")
    assert first.startswith("  base.yaml")
    assert all(line.startswith("    word") for line in others)
    assert textwrap.dedent("\n".join(others)).split() + first.split()[1:] == ["word"] * 20
