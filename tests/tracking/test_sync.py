"""Offline runs reach the server one after the other; what stops an upload loses nothing, and the rest goes on."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from loopback_wandb import LoopbackServer
from services import service_processes, wait_for
from studies import make_sweep

from sklab.cli import main
from sklab.errors import SklabError
from sklab.store.records import Tracking
from sklab.store.study_folder import StudyFolder
from sklab.tracking import sync as module
from sklab.tracking.client import Client
from sklab.tracking.sync import pending, sync

RUNS = ("a", "b", "c")


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A study whose three runs were tracked offline."""
    study = StudyFolder(tmp_path / "kernels")
    study.write_sweep(make_sweep())
    for name in RUNS:
        folder = study.run(name).path
        folder.mkdir(parents=True)
        with Client(Tracking(mode="offline"), folder).open(id=name, group="kernels") as run:
            run.log({"val_error": 1.0})
            run.finish(0)
    return study


def runs_of(files: list[Path]) -> list[str]:
    return [file.parents[2].name for file in files]


def begun(server: LoopbackServer) -> int:
    return server.operations.count("CreateRunFiles")


def test_an_interrupted_upload_goes_on_where_it_stopped(
    server: LoopbackServer, study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs_of(pending(study)) == list(RUNS)
    uploading = sync(study, pending(study)[:2])
    first = next(uploading)
    uploading.close()
    assert first not in pending(study)
    left = len(pending(study))
    assert 1 <= left <= 2
    capsys.readouterr()
    assert main(["wandb", "sync", str(study.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{number} of {left} uploaded" for number in range(1, left + 1)]
    assert {run.exit_code for run in server.runs.values()} == {0}
    assert {name: [row["val_error"] for row in run.history] for name, run in server.runs.items()} == {
        name: [1.0] for name in RUNS
    }
    connections = server.connections
    assert main(["wandb", "sync", str(study.path)]) == 0
    assert "uploaded before" in capsys.readouterr().out
    assert server.connections == connections
    assert not list(Path.home().rglob("wandb"))


def test_without_a_key_or_a_server_the_error_says_so_at_once(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["wandb", "sync", str(study.path)]) == 2
    assert "an upload needs the server: no API key is configured, `wandb login` sets one" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert main(["wandb", "sync", str(study.path)]) == 2
    assert "can't be reached: [Errno 111] Connection refused; WANDB_BASE_URL names" in capsys.readouterr().err
    assert runs_of(pending(study)) == list(RUNS)


@pytest.mark.slow
def test_a_server_that_goes_away_ends_the_upload(
    server: LoopbackServer, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL", 0.5)
    monkeypatch.setattr(server, "_UpsertBucket", lambda _: vars(server).update(dead=True) or {})
    with pytest.raises(SklabError, match=r"the upload stopped: .* can't be reached.*the same command uploads the rest"):
        list(sync(study, pending(study)))
    monkeypatch.undo()
    server.dead = False
    assert not service_processes()


def uploaders(study: StudyFolder) -> list[int]:
    """The processes that upload files of the study."""
    lines = {file.parent.name: read_or_nothing(file) for file in Path("/proc").glob("[0-9]*/cmdline")}
    return [
        int(pid)
        for pid, line in lines.items()
        if b"\0sync\0" in line and b"sklab.cli" not in line and str(study.path).encode() in line
    ]


def read_or_nothing(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
def test_an_upload_that_is_killed_is_made_whole_by_the_next_and_nothing_is_there_twice(
    server: LoopbackServer, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    held = server._CreateRunFiles
    monkeypatch.setattr(server, "_CreateRunFiles", lambda variables: hold.wait() and held(variables))
    command = [sys.executable, "-m", "sklab.cli", "wandb", "sync", str(study.path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as killed:
        wait_for(lambda: server.operations.count("CreateRunFiles"), 30)
        assert uploaders(study)
        killed.kill()
    wait_for(lambda: len(uploaders(study)) == 0)
    assert pending(study)
    hold.set()
    assert main(["wandb", "sync", str(study.path)]) == 0
    assert pending(study) == []
    assert {name: [row["val_error"] for row in run.history] for name, run in server.runs.items()} == {
        name: [1.0] for name in RUNS
    }
    assert {run.exit_code for run in server.runs.values()} == {0}


@pytest.mark.slow
def test_files_that_are_none_are_told_and_the_others_uploaded(
    server: LoopbackServer, study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = pending(study)[1]
    damaged.write_bytes(b"no run at all")
    assert main(["wandb", "sync", str(study.path)]) == 2
    shown = capsys.readouterr()
    assert f"1 of 3 runs could not be uploaded:\n{damaged}: " in shown.err
    assert set(server.runs) == {"a", "c"}
    assert pending(study) == [damaged]


@pytest.mark.slow
def test_what_a_killed_run_has_left_is_uploaded_once(server: LoopbackServer, study: StudyFolder) -> None:
    cut, empty, _ = pending(study)
    cut.write_bytes(cut.read_bytes()[:-3])
    empty.write_bytes(empty.read_bytes()[:7])
    assert runs_of(list(sync(study, pending(study)))) == ["c", "a"]
    assert [row["val_error"] for row in server.runs["a"].history] == [1.0]
    assert pending(study) == []


def test_runs_in_training_are_left_alone(tmp_path: Path) -> None:
    """And those that ended are not, nor any once nobody trains."""
    study = StudyFolder(tmp_path)
    for name in ("runs/done", "runs/training", "."):
        file = tmp_path / name / "wandb" / "offline-run-1-x" / "run-x.wandb"
        file.parent.mkdir(parents=True)
        file.write_bytes(b":W&B     x")
    for name in ("done", "training"):
        (study.run(name).path / "run.json").touch()
    (study.run("done").path / "record.json").touch()
    with study.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert runs_of(pending(study)) == ["done", tmp_path.name]
    assert runs_of(pending(study)) == ["done", "training", tmp_path.name]


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wandb", "sync", "typo", "--results", str(tmp_path)]) == 2
    assert "typo is no study" in capsys.readouterr().err
