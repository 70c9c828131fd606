"""Watching a study and a run for as long as they go on, and the journal's copy that the dashboard gets."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import pytest
from rich.console import Console

from sklab.commands.screen import optuna_dashboard
from sklab.commands.screen.progress import follow, log_of, watch
from sklab.errors import SklabError
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep


@pytest.fixture
def study(toy_files):
    folder = StudyFolder(toy_files / "results" / "sweep")
    folder.write_sweep(load_sweep(toy_files / "sweep.yaml"))
    return folder


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    return folder


def test_a_study_is_watched_until_its_runner_has_gone(study):
    shown, pauses = io.StringIO(), []
    lock = study.lock_file.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            lock.close()

    status = watch(study, Console(file=shown, force_terminal=True, width=200), pause)
    assert (pauses, status.live) == ([2.0] * 3, False)
    assert shown.getvalue().count("a runner is at work") == 3
    assert "no runner is at work" in shown.getvalue()


def test_a_log_is_followed_until_the_process_of_the_run_ends(run):
    lines = iter(["two\n", "three\n"])
    lock = (run.path / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    run.log_file.write_text("one\n")

    def pause(seconds: float) -> None:
        with run.log_file.open("a") as log:
            log.write(next(lines, "last\n"))
        if "last" in run.log_file.read_text():
            lock.close()

    assert list(follow(run, pause)) == ["one\n", "two\n", "three\n", "last\n"]


def test_the_log_of_a_new_attempt_is_shown_from_its_start(run):
    lock = (run.path / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    run.log_file.write_text("first attempt\n")

    def pause(seconds: float) -> None:
        run.log_file.write_text("second\n")
        lock.close()

    assert list(follow(run, pause)) == ["first attempt\n", "second\n"]


def test_a_run_that_has_not_begun_has_no_log(run):
    with pytest.raises(SklabError, match="the run has not begun"):
        log_of(run)


def test_the_dashboard_gets_a_read_only_copy_of_the_whole_lines(study, tmp_path):
    study.index_file.write_text('{"op": 1}\n{"op": 2}\n{"op"')
    place = tmp_path / "copy"
    place.mkdir()
    copy = optuna_dashboard.copy_journal(study, place)
    assert [json.loads(line) for line in copy.read_text().splitlines()] == [{"op": 1}, {"op": 2}]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o444
    assert study.index_file.read_text().endswith('{"op"'), "the study's own stays as it is"


def test_a_study_without_a_journal_is_told(study, tmp_path):
    with pytest.raises(SklabError, match="no journal yet"):
        optuna_dashboard.copy_journal(study, tmp_path)


def test_a_missing_dashboard_gives_the_line_that_installs_it(study, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(SklabError, match=r"pip install 'sklab\[dashboard\]'"):
        optuna_dashboard.open_dashboard(study, print)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_dashboards_copy_goes_with_it_when_its_terminal_closes(study, monkeypatch, tmp_path, number):
    study.index_file.write_text('{"op": 1}\n')
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(optuna_dashboard, "_command", lambda: "optuna-dashboard")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: os.kill(os.getpid(), number))
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    with pytest.raises(SystemExit) as ended:
        optuna_dashboard.open_dashboard(study, lambda _: None)
    for each, handler in before.items():
        signal.signal(each, handler)
    assert (ended.value.code, list(tmp_path.glob("sklab-dashboard-*"))) == (128 + number, [])


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        except OSError:
            pass  # somebody else has taken it, which is as good
        assert optuna_dashboard.free_port() not in (0, 8080)
