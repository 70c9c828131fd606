"""The report of a study under way, and that whatever befalls its making costs the study nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from studies import make_records, make_sweep, write_study

from sklab.sweep.state.live import PAUSE, LiveReport, live_report

SLEEPS = "import time; time.sleep(600)"
COUNTS = "import sys; open(sys.argv[1] + '/built', 'a').write('.'); print(4.0)"
FAILS = "import sys; sys.stderr.write('Traceback\\nOSError: No space left on device\\n'); sys.exit(1)"
KILLED = "import os; os.kill(os.getpid(), 9)"


class Shown:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.notes, self.looks, self.records = list[str](), 0, 0

    def ended(self, record: object, state: object) -> None:
        self.records += 1

    def note(self, text: str, state: object) -> None:
        self.notes.append(text)

    def look(self, state: object) -> None:
        self.looks += 1


@pytest.fixture
def made(tmp_path):
    """Makes a live report whose builder runs `code`, with a clock that the test sets."""
    reports = []

    def make(code: str, *, program: str = sys.executable) -> SimpleNamespace:
        shown, clock = Shown(), SimpleNamespace(now=0.0)
        report = LiveReport(shown, tmp_path, lambda folder: [program, "-c", code, str(folder)], lambda: clock.now)
        reports.append(report)
        return SimpleNamespace(report=report, shown=shown, clock=clock, folder=tmp_path)

    yield make
    for report in reports:
        report.stop()


def look_until_idle(made: SimpleNamespace, state: object = None) -> None:
    """Look as the runner does until no builder is left."""
    give_up = time.monotonic() + 60
    made.report.look(state)
    while made.report._builder is not None and time.monotonic() < give_up:
        made.report._builder.wait(60)
        made.report.look(state)


def built(made: SimpleNamespace) -> int:
    file = made.folder / "built"
    return len(file.read_text()) if file.exists() else 0


def test_the_first_run_that_ends_gets_a_report_and_its_place_is_told_once(made):
    live = made(COUNTS)
    live.report.look(None)
    assert live.report._builder is None  # no run has ended
    for _ in range(2):
        live.report.ended(None, None)
        live.clock.now += 1000
        look_until_idle(live)
    assert built(live) == 2
    assert live.shown.notes == [f"report, rebuilt as runs end: file://{live.folder}/report.html"]


def test_rebuilds_take_at_most_a_twentieth_of_the_time(made):
    live = made(COUNTS)
    live.report.ended(None, None)
    live.report.look(None)
    live.report.ended(None, None)  # while it is being built
    live.report._builder.wait(60)
    live.clock.now = 100.0  # on a busy machine: what counts are its 4 s of CPU time
    live.report.look(None)
    for moment, builds in ((100.0 + 4.0 * PAUSE - 0.1, 1), (100.0 + 4.0 * PAUSE, 2)):
        live.clock.now = moment
        look_until_idle(live)
        assert built(live) == builds
    live.clock.now += 1e6
    look_until_idle(live)
    assert built(live) == 2  # nothing has ended since


@pytest.mark.parametrize(
    ("code", "program", "why"),
    [
        (FAILS, sys.executable, "OSError: No space left on device"),
        (KILLED, sys.executable, "exit code -9"),
        ("", "/no/such/python", "No such file or directory"),
    ],
)
def test_a_rebuild_that_fails_is_told_once_and_tried_again(made, code, program, why):
    live = made(code, program=program)
    for ended in (1, 2, 3):
        live.report.ended(None, None)
        live.clock.now += 1000
        look_until_idle(live)
        assert live.shown.records == ended
    [note] = live.shown.notes
    assert why in note


def test_nobody_waits_for_a_rebuild_and_none_is_left_at_the_end(made):
    live = made(SLEEPS)
    live.report.ended(None, None)
    live.report.look(None)
    builder = live.report._builder
    for _ in range(3):
        live.report.ended(None, None)
        live.report.look(None)
    assert live.report._builder is builder  # one at a time
    assert (live.shown.records, live.shown.looks) == (4, 4)
    assert builder.poll() is None
    live.report.stop()
    assert builder.poll() == -9


def test_the_builder_of_a_study_writes_its_page(tmp_path):
    study, shown = write_study(tmp_path / "made", make_sweep(), make_records({"K3": (10.0,)})), Shown()
    with live_report(shown, study) as report:
        report.ended(None, None)
        report.look(None)
        assert report._builder.wait(600) == 0
        report.look(None)
        assert 0 < report._next - time.monotonic() < 600 * PAUSE
    assert shown.notes == [f"report, rebuilt as runs end: {(study / 'report.html').as_uri()}"]
    assert "1 of 6 runs complete" in (study / "report.html").read_text(encoding="utf-8")


def test_the_page_of_a_runner_that_is_gone_is_not_written(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", f"""
import threading, time
from sklab.report.interim import _end_with_runner
threading.Thread(target=_end_with_runner, daemon=True).start()
{SLEEPS}"""], stdin=subprocess.PIPE)  # fmt: skip
    process.stdin.close()
    assert process.wait(60) == 1


def test_a_sweep_leaves_the_report_that_sklab_report_writes(toy_files, monkeypatch):
    from sklab.cli import main

    monkeypatch.chdir(toy_files)
    assert main(["sweep", "sweep.yaml", "--no-wandb", "--seeds", "1"]) == 0
    study = Path("results/sweep")
    before = {file.name: file.read_bytes() for file in study.iterdir() if file.is_file()}
    assert b"reload" not in before["report.html"]
    assert b"http-equiv" not in before["report.html"]
    assert main(["report", "sweep"]) == 0
    assert {file.name: file.read_bytes() for file in study.iterdir() if file.is_file()} == before
