"""The process of a run, forked from the server before there is one."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from sklab.errors import SklabError
from sklab.launch.base import Job
from sklab.launch.fork import spare as fork
from sklab.launch.fork.spare import SpareProcess
from sklab.launch.slots import Slot

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from pathlib import Path
from sklab.launch.fork import spare as fork
from sklab.launch.base import Job
from sklab.launch.slots import Slot

print("imported", flush=True)
if __name__ == "__main__":
    fork._PRELOAD = []  # a run that has ended needs no torch
    process = fork.SpareProcess().do(Job("train", Path(sys.argv[1])), Slot(None, "CPU", 1))
    process.join()
    print(process.exitcode, __name__)
"""


def test_a_script_that_starts_runs_is_imported_once(tmp_path):
    run = next((ROOT / "results/example/runs").iterdir())
    shutil.copytree(run, tmp_path / "run")
    script = tmp_path / "study.py"
    script.write_text(SCRIPT)
    printed = subprocess.run([sys.executable, script, tmp_path / "run"], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ["imported", "0", "__main__"]
    assert printed.stderr == ""


def test_a_spare_that_was_killed_is_a_run_that_ended_so(tmp_path):
    spare = SpareProcess()
    os.kill(spare._process.pid, signal.SIGKILL)
    spare._process.join()
    process = spare.do(Job("train", tmp_path), Slot(None, "CPU", 1))
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("died", [EOFError, ConnectionResetError, BrokenPipeError])
def test_a_server_that_dies_while_it_forks_is_started_again(monkeypatch, died):
    start, deaths = ForkServerProcess.start, iter([died, died])

    def dying(process):
        if death := next(deaths, None):
            raise death
        start(process)

    monkeypatch.setattr(ForkServerProcess, "start", dying)
    spare = SpareProcess()
    assert spare.is_alive
    spare.end()


def test_a_server_that_takes_a_moment_to_die_is_counted_once(monkeypatch):
    """Its socket is closed before its end can be told: until then every try meets the same dying server."""
    start, gone = ForkServerProcess.start, time.monotonic() + 0.3

    def dying(process):
        if time.monotonic() < gone:
            raise ConnectionRefusedError
        start(process)

    monkeypatch.setattr(ForkServerProcess, "start", dying)
    SpareProcess().end()


def test_a_server_that_dies_again_and_again_is_told_of(monkeypatch):
    def dying(_process):
        raise EOFError

    monkeypatch.setattr(ForkServerProcess, "start", dying)
    with pytest.raises(SklabError, match="was killed 3 times") as told:
        SpareProcess()
    assert "goes on" in str(told.value)


def test_a_spare_that_is_not_needed_goes_even_if_it_is_stopped(tmp_path):
    spare = SpareProcess()
    os.kill(spare._process.pid, signal.SIGSTOP)
    spare.end()
    assert spare._process not in multiprocessing.active_children()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_temporary_folder_with_too_long_a_path_is_told(tmp_path):
    script, long = tmp_path / "runner.py", tmp_path / ("a" * 100)
    script.write_text(RUNNER)
    long.mkdir()
    told = subprocess.run(
        [sys.executable, script], env={**os.environ, "TMPDIR": str(long)}, capture_output=True, text=True, timeout=300
    )
    assert f"SklabError: TMPDIR: the path {long} is too long for a socket in it; allowed: at most 75" in told.stderr


@pytest.mark.parametrize(("length", "fits"), [(fork._LONGEST, True), (fork._LONGEST + 1, False)])
def test_the_longest_path_that_is_short_enough(length, fits, temporary):
    script, folder = temporary / "runner.py", temporary / ("a" * (length - len(str(temporary)) - 1))
    script.write_text(RUNNER.replace("signal.pause()", ""))
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, script], env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, timeout=300
    )
    assert (done.returncode == 0) == fits


def test_a_spare_dies_with_the_process_that_it_waits_for_and_nothing_of_it_is_left(tmp_path, temporary):
    script = tmp_path / "runner.py"
    script.write_text(RUNNER)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as runner:
        spare, server = (os.pidfd_open(int(pid)) for pid in runner.stdout.readline().split())
        [folder] = temporary.iterdir()
        (folder / "copy of a run").mkdir()
        runner.kill()
        for process in (spare, server):
            assert select.select([process], [], [], 300)[0], "it still waits"
            os.close(process)
    assert list(temporary.iterdir()) == []


def test_a_process_that_ends_by_itself_leaves_the_server_its_folder():
    """From Python 3.14 on it calls what the server registered for its own end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(fork._PRELOAD)
    for _ in range(2):
        process = context.Process(target=atexit._run_exitfuncs)
        process.start()
        process.join()
        assert process.exitcode == 0


RUNNER = """
import signal
from multiprocessing.forkserver import _forkserver
from sklab.launch.fork import spare as fork

if __name__ == "__main__":
    fork._PRELOAD = ["sklab.launch.fork.server"]
    print(fork.SpareProcess()._process.pid, _forkserver._forkserver_pid, flush=True)
    signal.pause()
"""


def test_a_signal_to_the_server_ends_no_run_and_one_to_a_young_run_is_not_lost(tmp_path):
    """A cluster may send it to every process of a job, and a runner before the process of a run has settled."""
    script = tmp_path / "runner.py"
    script.write_text(DEAF_SERVER)
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=120)
    assert printed.stdout.split() == ["True", "True", str(-signal.SIGTERM)]
    assert printed.stderr == ""


DEAF_SERVER = """
import multiprocessing.forkserver
import os
import signal
from sklab.launch.fork import spare as fork

if __name__ == "__main__":
    fork._PRELOAD = ["sklab.launch.fork.server"]
    old = fork.SpareProcess()
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        os.kill(server, number)
    print(os.getsid(server) != os.getsid(0))
    young = fork.SpareProcess()
    os.kill(young._process.pid, signal.SIGTERM)
    young._process.join()
    print(old.is_alive, young._process.exitcode)
    old.end()
"""
