"""A sweep whose terminal closes, whose group gets a signal, or whose reader is gone: it ends with checkpoints."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sklab.store.study_folder import StudyFolder
from sklab.system import processes
from sklab.system.processes import stop_requests

SWEEP = ("-m", "sklab.cli", "sweep", "sweep.yaml", "--no-wandb", "--set", "train.epochs=100000")
STUDY = Path("results/sweep-train.epochs-100000")


@pytest.fixture
def on_a_terminal(toy_files: Path) -> Iterator[Callable[..., tuple[int, int]]]:
    """Starts a command in a session of its own on a new terminal; its process and the terminal's other end."""
    started: list[int] = []

    def start(*command: str) -> tuple[int, int]:
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(toy_files)
            os.execvp(command[0], command)
        started.append(process)
        return process, terminal

    yield start
    for process in started:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def epochs(files: Path) -> int:
    """Lines of metrics that the runs of the sweep have written."""
    return sum(len(file.read_text().splitlines()) for file in (files / STUDY).glob("runs/*/metrics.csv"))


def read_to_the_end(terminal: int) -> str:
    """What was said on the terminal until nobody has it open any more."""
    said = b""
    with suppress(OSError):
        while piece := os.read(terminal, 65536):
            said += piece
    return said.decode()


def assert_stopped_with_checkpoints(files: Path) -> None:
    study = StudyFolder(files / STUDY)
    records = study.records()
    assert records
    assert {record.failure for record in records.values()} == {"preempted"}
    assert all(study.run(key).checkpoint_step for key in records)


def end(process: int) -> int:
    """Wait for it; its exit code."""
    statuses: list[int] = []

    def has_ended() -> bool:
        found, status = os.waitpid(process, os.WNOHANG)
        statuses.extend([status] if found else [])
        return bool(statuses)

    until(has_ended)
    return os.waitstatus_to_exitcode(statuses[0])


def test_a_terminal_that_closes_ends_a_sweep_with_checkpoints(toy_files, on_a_terminal):
    """What is said from then on can't be written any more."""
    process, terminal = on_a_terminal(sys.executable, *SWEEP)
    until(lambda: epochs(toy_files))
    os.close(terminal)
    assert end(process) == 130
    assert_stopped_with_checkpoints(toy_files)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_a_sweep_with_checkpoints(toy_files, on_a_terminal, number):
    """The server that its runs are forked from is not of the group: ended, it would take the runs with it."""
    process, terminal = on_a_terminal(sys.executable, *SWEEP)
    until(lambda: epochs(toy_files))
    os.killpg(process, number)
    assert "stopping: " in read_to_the_end(terminal)
    assert end(process) == 130
    assert_stopped_with_checkpoints(toy_files)


def test_under_nohup_a_sweep_outlives_its_terminal(toy_files, on_a_terminal):
    process, terminal = on_a_terminal("nohup", sys.executable, *SWEEP)
    until(lambda: epochs(toy_files))
    os.close(terminal)
    before = epochs(toy_files)
    until(lambda: epochs(toy_files) > before + 2)
    os.kill(process, signal.SIGTERM)
    assert end(process) == 130
    assert_stopped_with_checkpoints(toy_files)


def test_a_reader_of_its_messages_that_ends_first_does_not_end_a_sweep(toy_files):
    """As with `2>&1 | tee log`, which ends at Ctrl-C as well."""
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, *SWEEP], cwd=toy_files, stdout=write, stderr=write) as process:
        os.close(write)
        until(lambda: epochs(toy_files))
        os.close(read)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert_stopped_with_checkpoints(toy_files)


@pytest.mark.parametrize(
    ("first", "second", "seconds", "at_once"),
    [
        (signal.SIGTERM, signal.SIGTERM, 0.1, False),  # `timeout` sends it to the process and to its group
        (signal.SIGTERM, signal.SIGTERM, 1.0, True),
        (signal.SIGUSR1, signal.SIGTERM, 0.1, False),
        (signal.SIGHUP, signal.SIGHUP, 60.0, False),  # from the shell, and from the kernel once the shell has ended
        (signal.SIGTERM, signal.SIGHUP, 60.0, False),
        (signal.SIGINT, signal.SIGINT, 0.1, True),
        (signal.SIGHUP, signal.SIGINT, 0.1, True),
    ],
)
def test_which_second_signal_means_at_once(first, second, seconds, at_once):
    moments = iter([0.0, 5.0, 5.0 + seconds])
    with stop_requests(lambda: next(moments, 0.0)) as asked:
        os.kill(os.getpid(), first)
        if at_once:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), second)
        else:
            os.kill(os.getpid(), second)
        assert asked == [first]


def test_a_hangup_that_was_ignored_from_the_start_is_not_heard():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = processes.Stop()
    try:
        with stop_requests() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked == []
        stop.listen()
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.asked == ""
    finally:
        stop.release()
        assert signal.signal(signal.SIGHUP, before) == signal.SIG_IGN
