"""What others wrote reaches a terminal as text: nothing in it is obeyed."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.live import Live

from sklab.cli import main
from sklab.commands.screen.progress import LiveProgress, PlainProgress
from sklab.errors import Fault
from sklab.store.records import RunOrder, RunRecord
from sklab.store.states import counts_of
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.run.orders import State
from sklab.system import terminal as streams
from sklab.system.terminal import one_line, visible

EVIL = "K\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\rgone\nsklab: all runs complete"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@given(st.text())
def test_shown_text_holds_nothing_that_is_obeyed(text):
    assert not OBEYED.search(visible(text))
    assert len(one_line(text).splitlines()) <= 1


@given(st.text())
def test_json_means_the_same_when_shown(text):
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "M"])))
def test_plain_text_is_shown_as_it_is(text):
    assert visible(text) == one_line(text) == text


@pytest.fixture
def study(toy_files, toy_order) -> StudyFolder:
    """A study from elsewhere, hostile in its names and in the reason of a failed run."""
    sweep, folder = load_sweep(toy_files / "sweep.yaml"), StudyFolder(toy_files / "results" / "sweep")
    cells = tuple(cell.model_copy(update={"name": cell.name + EVIL, "factors": {EVIL: EVIL}}) for cell in sweep.cells)
    about = {"question": EVIL, "experiment_name": EVIL, "columns": (EVIL,), "baseline": cells[0].name, "cells": cells}
    folder.write_sweep(sweep.model_copy(update=about))
    for cell in cells:
        for seed, key in cell.runs.items():
            spec = run_spec(sweep, cell, seed)
            order = RunOrder(key=key, study="sweep", cell=cell.name, spec=spec, code=toy_order().code)
            folder.run(key).write_order(order)
            last = {"val_error": 10.0 + seed, "val_loss": 1.0}
            ended = {"status": "failed", "failure": "data", "reason": EVIL} if seed else {"status": "complete"}
            folder.run(key).write_record(RunRecord.of(order, last=last, best=last, epochs=2, **ended))
            folder.run(key).log_file.write_text(EVIL + "\n")
    return folder


COMMANDS = ["table", "table --json", "status", "status --json", "report", "logs", "retry --failed", "wandb sync"]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_anything_through_that_a_terminal_obeys(study, command, capsys):
    name, *options = command.split()
    place = str(study.run(study.read_sweep().cells[0].runs[0]).path) if name == "logs" else str(study.path)
    main([*([name, *options] if name == "wandb" else [name]), place, *(options if name != "wandb" else [])])
    said = capsys.readouterr()
    assert name in ("wandb", "logs") or "evil" in said.out
    if name != "logs":  # captured, it is as good as a file
        assert not OBEYED.search(said.out + said.err)
        assert not any(line.startswith("sklab: all") for line in (said.out + said.err).splitlines())


def test_nor_does_a_plan_or_an_error(toy_files, capsys):
    file = toy_files / "sweep.yaml"
    quoted = json.dumps(EVIL)
    file.write_text(file.read_text().replace("design: list", f"design: {quoted}\n{quoted}: {quoted}"))
    assert main(["plan", str(file)]) == 2
    assert main(["status", EVIL]) == 2
    said = capsys.readouterr()
    assert said.err.count("evil") > 2
    assert not OBEYED.search(said.out + said.err)


def test_a_value_in_a_fault_is_one_line():
    assert len(str(Fault(EVIL, EVIL, EVIL, found=EVIL, allowed=EVIL, hint=EVIL)).splitlines()) == 1


@pytest.fixture
def failed(study) -> RunRecord:
    record = study.run(study.read_sweep().cells[0].runs[1]).read_record()
    assert record is not None
    return record


NOTHING = State(counts_of([]), 1, (), None)


def test_progress_in_lines_shows_and_obeys_nothing(failed, capsys):
    PlainProgress().ended(failed, NOTHING)
    PlainProgress().note(EVIL, NOTHING)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert not OBEYED.search(said)


def test_the_live_display_draws_but_lets_nothing_through(failed, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    streams.escape_control_characters()
    console = Console(stderr=True, force_terminal=True, width=200)
    with Live(console=console, auto_refresh=False) as live:
        streams.escape_control_characters()
        LiveProgress(live).ended(failed, NOTHING)
        LiveProgress(live).note(EVIL, NOTHING)
        sys.stderr.write(EVIL + "\n")
    drawn = terminal.getvalue()
    assert "\x1b[?25l" in drawn, "rich draws with escape sequences of its own"
    assert drawn.count("evil") == 4
    assert "\\u001b[2K" not in drawn, "what rich draws is not for us to show"
    assert not re.search("\x1b\\]|\x1b\\[2J|\x9b|\u202e|\u2066|\x07", drawn)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_log_is_shown_harmless_on_a_terminal_and_given_as_it_is_to_a_file(study, terminal, tmp_path):
    run = study.run(study.read_sweep().cells[0].runs[0])
    file = tmp_path / "output"
    command = [sys.executable, "-c", "import sys; from sklab.cli import main; sys.exit(main())", "logs", str(run.path)]
    if terminal:
        ours, theirs = pty.openpty()
        subprocess.run(command, stdout=theirs, check=True)
        os.close(theirs)
        said = os.read(ours, 10_000).decode().replace("\r\n", "\n")
        os.close(ours)
        assert not OBEYED.search(said)
        assert "\\u001b]0;owned" in said
    else:
        with file.open("wb") as stream:
            subprocess.run(command, stdout=stream, check=True)
        assert file.read_bytes() == run.log_file.read_bytes()


def test_no_file_of_a_report_holds_anything_that_a_terminal_obeys(study, capsys):
    main(["report", str(study.path)])
    names = ["table.csv", "table.md", "table.tex", "report.md", "report.html", "report.tex"]
    for file in [*(study.path / name for name in names), *(study.path / "figures").glob("*.svg")]:
        assert not OBEYED.search(file.read_text(encoding="utf-8")), file
