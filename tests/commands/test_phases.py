"""No command is silent while it prepares its work: it says what it is at, on standard error alone."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from sklab.cli import main
from sklab.commands.screen.phases import phase_line, show_phase
from sklab.system.phases import Phase, phase, phases_shown_by

LONGEST = 20.0  # seconds of silence, on a machine that has much else to do


def test_a_phase_shows_its_time_and_a_bar_where_it_can_be_counted():
    assert phase_line(Phase("reading", began=100.0), 100.3) == "\\ reading, 0s"
    counted = Phase("opening images", total=5000, began=100.0)
    assert phase_line(counted, 103.0) == "- opening images .................... 0/5,000, 3s"
    counted.advance(1250)
    expected = "- opening images #####............... 1,250/5,000, about 1m 00s left, 20s"
    assert phase_line(counted, 120.0) == expected


def test_phases_are_shown_in_turn_by_who_asks_for_them_and_by_nobody_else():
    told = []

    @contextmanager
    def show(shown: Phase):
        told.append(shown.what)
        yield

    with phase("unheard"), phases_shown_by(show), phase("outer"), phase("inner", 3):
        pass
    with phase("unheard too") as unheard:
        unheard.advance()
    assert told == ["outer", "inner"]


def test_a_phase_that_comes_again_at_once_is_told_once_where_nothing_moves(capsys):
    for what in ("counting a", "counting a", "probing", "counting a"):
        with show_phase(Phase(what)):
            pass
    assert capsys.readouterr().err.splitlines() == ["counting a ...", "probing ...", "counting a ..."]


@pytest.fixture
def here(toy_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(toy_files)
    return toy_files


def test_a_start_says_in_a_line_each_what_it_is_at_and_json_stays_clean(here, capsys):
    assert main(["plan", "sweep.yaml", "--cpu", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["study"] == "sweep"
    said = [line for line in shown.err.splitlines() if line.endswith(" ...")]
    assert [line for line in said if not line.startswith("counting")] == [  # counts are kept from earlier starts
        "reading sweep.yaml ...",
        "looking for GPUs ...",
        "reading the finished runs of sweep ...",
        "looking at the files of the data ...",
    ]
    assert "\x1b" not in shown.err


@pytest.mark.slow
def test_on_a_terminal_a_sweep_is_never_silent_before_its_first_run(here):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sklab.cli", "sweep", "sweep.yaml", "--no-wandb", "--slots", "1"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown, silences, last = b"", [], time.monotonic()
    while b"seed 0: epoch" not in shown:
        assert select.select([ours], [], [], 10 * LONGEST)[0]
        shown += os.read(ours, 65536)
        silences.append(time.monotonic() - last)
        last = time.monotonic()
    run.terminate()
    while select.select([ours], [], [], 10 * LONGEST)[0]:
        try:
            if not os.read(ours, 65536):
                break
        except OSError:  # the other end is closed
            break
    run.wait()
    os.close(ours)
    assert b"checking the gradients of every convolution" in shown
    assert len(silences) > 10, "it moves"
    assert max(silences) < LONGEST
