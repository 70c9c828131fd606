"""A run's metrics reach W&B, offline and online, and nothing of W&B can delay or fail the training."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import torch
import wandb
from loopback_wandb import LoopbackServer, ServedRun
from offline_wandb import read_offline_run
from services import service_processes, wait_for
from studies import make_sweep

from sklab.store.records import RunOrder, Tracking
from sklab.store.study_folder import StudyFolder
from sklab.tracking import client
from sklab.tracking.live import LiveRun, close, open_live
from sklab.tracking.mode import sync_command
from sklab.tracking.summary import log_to_run
from sklab.tracking.sync import pending

EPOCHS = 3


def fit(live: LiveRun | None) -> None:
    """What the meter of a run tells of three epochs of two steps."""
    assert live is not None
    for epoch in range(1, EPOCHS + 1):
        live.log({"val_error": 11.0 - epoch, "epoch": epoch}, 2 * epoch)


def track(order: RunOrder, folder: Path, failed: bool = False) -> None:
    """A whole run: opened, trained, closed."""
    folder.mkdir(parents=True, exist_ok=True)
    live = open_live(order, folder)
    try:
        fit(live)
    finally:
        close(live, failed)


def online(order: RunOrder) -> RunOrder:
    return order.model_copy(update={"tracking": Tracking(mode="online")})


def test_offline_run_holds_everything_and_asks_nobody(
    server: LoopbackServer, order: RunOrder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    track(order, tmp_path / "run")
    run = read_offline_run(tmp_path / "run")
    assert (run.group, run.job_type, run.name, run.project) == ("kernels", "K3-5", "K3-5 s3", "sklab")
    assert run.id == client.run_id(order.key, tmp_path / "run")
    assert run.config["experiment"] == order.spec.experiment.model_dump(mode="json")
    assert (run.config["seed"], run.config["key"], run.config["factors"]) == (3, order.key, {"kernels": "3-5"})
    assert [(row["epoch"], row["val_error"], row["trainer/global_step"]) for row in run.history] == [
        (1, 10.0, 2), (2, 9.0, 4), (3, 8.0, 6),
    ]  # fmt: skip
    assert run.summary["val_error"] == 8.0
    assert run.exit_code == 0
    assert server.connections == 0
    assert not [line for line in caplog.messages if line.startswith("W&B")]


def test_everything_that_wandb_writes_lies_in_the_run_folder(order: RunOrder, tmp_path: Path) -> None:
    track(order, tmp_path / "run")
    outside = [path for path in (tmp_path / "home").rglob("*") if "wandb" in path.name]
    assert not outside
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"wandb"}


def test_the_next_attempt_is_the_same_run_and_takes_the_place_of_the_first(order: RunOrder, tmp_path: Path) -> None:
    study, run = StudyFolder(tmp_path), tmp_path / "runs" / order.key
    track(order, run, failed=True)
    (first,) = pending(study)
    assert read_offline_run(run).exit_code == 1
    track(order, run)
    (second,) = pending(study)
    assert first.name == second.name == f"run-{client.run_id(order.key, run)}.wandb"
    assert first.parent != second.parent


def test_ids_differ_between_folders(tmp_path: Path) -> None:
    here, there = client.run_id("k-1", tmp_path / "a"), client.run_id("k-1", tmp_path / "b")
    assert here != there
    assert here == client.run_id("k-1", tmp_path / "a" / ".." / "a")


def test_disabled_has_no_logger(order: RunOrder, tmp_path: Path) -> None:
    live = open_live(order.model_copy(update={"tracking": Tracking()}), tmp_path)
    assert live is None
    close(live, failed=False)


def test_opening_waits_for_nothing_and_draws_no_random_numbers(
    order: RunOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, setup = threading.Event(), wandb.setup
    monkeypatch.setattr(wandb, "setup", lambda settings: setup(settings) if opened.wait(60) else None)
    before = random.getstate(), torch.get_rng_state()
    live = open_live(order, tmp_path)
    assert not service_processes()
    opened.set()
    wait_for(service_processes)
    close(live, failed=False)
    assert read_offline_run(tmp_path).exit_code == 0
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_online_run_arrives(server: LoopbackServer, order: RunOrder, tmp_path: Path) -> None:
    track(online(order), tmp_path, failed=True)
    ((id, run),) = server.runs.items()
    assert id == client.run_id(order.key, tmp_path)
    assert_arrived(run, order)
    assert run.exit_code == 1
    assert server.reports == 0


def assert_arrived(run: ServedRun, order: RunOrder) -> None:
    assert (run.group, run.job_type, run.name) == ("kernels", "K3-5", "K3-5 s3")
    assert run.config["experiment"] == order.spec.experiment.model_dump(mode="json")
    assert [row["val_error"] for row in run.history] == [10.0, 9.0, 8.0]
    assert run.summary["val_error"] == 8.0


def test_the_command_of_the_notice_uploads_all_offline_runs_of_a_study(
    server: LoopbackServer, order: RunOrder, tmp_path: Path
) -> None:
    there, study = tmp_path / "kernels", tmp_path / "copied to" / "kernels"
    track(order, there / "runs" / order.key)
    (there / "table.csv").write_text("cell,error\nK3-5,21.5\n")
    log_to_run(there / "table.csv", "kernels", order.tracking, there)
    StudyFolder(there).write_sweep(make_sweep())
    study.parent.mkdir()
    there.rename(study)
    subprocess.run(sync_command(study), shell=True, check=True, capture_output=True)
    run, table = sorted(server.runs.values(), key=lambda run: run.job_type)
    assert_arrived(run, order)
    assert (run.exit_code, table.exit_code) == (0, 0)
    uploaded = json.loads(table.files[table.summary["table"]["path"]])
    assert uploaded == {"columns": ["cell", "error"], "data": [["K3-5", 21.5]]}


def test_server_that_dies_before_the_run_makes_it_an_offline_one(
    server: LoopbackServer, order: RunOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setitem(client.SETTINGS, "init_timeout", 0.3)
    server.dead = True
    track(online(order), tmp_path)
    run = read_offline_run(tmp_path)
    assert [row["val_error"] for row in run.history] == [10.0, 9.0, 8.0]
    assert run.exit_code == 0
    assert "tracked offline" in caplog.text


def test_key_that_is_gone_makes_it_an_offline_one(
    server: LoopbackServer, order: RunOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    track(online(order), tmp_path)
    assert read_offline_run(tmp_path).exit_code == 0


def test_network_that_dies_during_the_run_costs_the_deadline_at_most(
    server: LoopbackServer, order: RunOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.SETTINGS, "finish_timeout", 0.5)
    live = open_live(online(order), tmp_path)
    fit(live)
    wait_for(lambda: server.runs)
    server.dead = True
    start = time.perf_counter()
    close(live, failed=False, deadline_s=5.0)
    assert time.perf_counter() - start < 60.0


@pytest.mark.slow
def test_what_a_dead_network_left_can_be_uploaded(
    server: LoopbackServer, order: RunOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.SETTINGS, "finish_timeout", 0.5)
    live = open_live(online(order), tmp_path)
    wait_for(lambda: server.runs)
    server.dead = True
    fit(live)
    close(live, failed=False)
    (run,) = server.runs.values()
    assert not run.history
    server.dead = False
    (left,) = (tmp_path / "wandb").glob("run-*")
    subprocess.run(
        [Path(sys.executable).with_name("wandb"), "sync", "--include-online", left], check=True, capture_output=True
    )
    (run,) = server.runs.values()
    assert_arrived(run, order)


def test_service_process_that_dies_does_not_fail_the_training(
    order: RunOrder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = open_live(order, tmp_path)
    wait_for(service_processes)
    os.kill(service_processes()[0], signal.SIGKILL)
    fit(live)
    close(live, failed=False)
    assert "tracking of this run stopped" in caplog.text


def has_history(folder: Path) -> bool:
    return any(folder.glob("wandb/*/*.wandb")) and bool(read_offline_run(folder).history)


def test_rows_are_on_disk_a_second_after_they_were_logged(order: RunOrder, tmp_path: Path) -> None:
    """wandb alone would lose up to fifteen seconds of a run that is killed."""
    live = open_live(order, tmp_path)
    try:
        live.log({"val_error": 1.0}, 7)
        wait_for(lambda: has_history(tmp_path), seconds=10.0)
        assert read_offline_run(tmp_path).history[0]["val_error"] == 1.0
    finally:
        close(live, failed=False)


def test_service_process_that_hangs_does_not_hang_the_run(
    order: RunOrder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = open_live(order, tmp_path)
    live.log({"val_error": 1.0}, 1)
    wait_for(lambda: has_history(tmp_path))
    os.kill(service_processes()[0], signal.SIGSTOP)
    close(live, failed=False, deadline_s=0.2)
    assert "not finished within 0.2 s" in caplog.text
    assert not service_processes()
    assert read_offline_run(tmp_path).exit_code is None


def test_without_wandb_installed_there_is_a_warning_and_no_logger(
    order: RunOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert open_live(order, tmp_path) is None
    assert "wandb is not installed" in caplog.text


def test_neither_wandb_nor_torch_is_imported_to_decide_or_to_do_nothing(order: RunOrder, tmp_path: Path) -> None:
    disabled = order.model_copy(update={"tracking": Tracking()}).model_dump_json()
    code = f"""
        import sys
        from pathlib import Path
        from sklab.store.records import RunOrder
        from sklab.tracking import mode, summary
        from sklab.tracking.live import close, open_live
        assert mode.choose("", Path("s")).tracking.mode == "offline"
        close(open_live(RunOrder.model_validate_json({disabled!r}), Path({str(tmp_path)!r})), failed=False)
        sys.exit(", ".join({{"wandb", "torch", "lightning", "requests"}} & set(sys.modules)) or 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_the_page_in_the_docs_gives_the_command_of_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    page = Path(__file__).parents[2] / "docs" / "loggers.md"
    assert sync_command(Path("results/kernels")) in page.read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_uploading_again_sends_nothing(server: LoopbackServer, order: RunOrder, tmp_path: Path) -> None:
    track(order, tmp_path / "runs" / order.key)
    StudyFolder(tmp_path).write_sweep(make_sweep())
    for _ in range(2):
        subprocess.run(sync_command(tmp_path), shell=True, check=True, capture_output=True)
        assert server.operations.count("CreateRunFiles") == 1


@pytest.mark.slow
def test_preload_leaves_nothing_to_import_in_a_run(tmp_path: Path) -> None:
    code = f"""
        import sys
        from pathlib import Path
        from sklab.tracking.client import load_wandb
        load_wandb()
        from sklab.store.records import Tracking
        from sklab.tracking.client import Client
        before = set(sys.modules)
        with Client(Tracking(mode="offline"), Path({str(tmp_path)!r})).open(id="x") as run:
            run.log({{"a": 1}})
            run.finish(0)
        sys.exit(", ".join(name for name in set(sys.modules) - before if name.startswith("wandb")) or 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_runs_that_one_process_trains_in_turn_are_runs_of_their_own(order: RunOrder, tmp_path: Path) -> None:
    folders = [tmp_path / "runs" / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
    first, second = (open_live(order, folder) for folder in folders)
    fit(first)
    close(first, failed=False)
    fit(second)
    close(second, failed=True)
    runs = [read_offline_run(folder) for folder in folders]
    assert [[row["epoch"] for row in run.history] for run in runs] == [[1, 2, 3], [1, 2, 3]]
    assert [run.exit_code for run in runs] == [0, 1]


def test_what_was_asked_for_goes_along(order: RunOrder, tmp_path: Path) -> None:
    asked = Tracking(
        mode="offline", project="p", entity="e", group="g", name="{cell} seed {seed}", tags=("t", "u"), notes="n",
        artifacts=("weights",),
    )  # fmt: skip
    (tmp_path / "weights.pt").write_bytes(b"weights")
    live = open_live(order.model_copy(update={"tracking": asked}), tmp_path)
    close(live, failed=False)
    run = read_offline_run(tmp_path)
    assert (run.project, run.entity, run.group, run.name) == ("p", "e", "g", "K3-5 seed 3")
    assert (run.tags, run.notes, run.exit_code) == (["t", "u"], "n", 0)
    assert run.artifacts == {f"weights-{order.key}": ["weights.pt"]}


def test_the_machine_is_measured_where_that_is_asked_for(
    order: RunOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.SETTINGS, "x_stats_sampling_interval", 0.1)
    for folder, system in ((tmp_path / "off", False), (tmp_path / "on", True)):
        folder.mkdir()
        tracking = Tracking(mode="offline", system=system)
        live = open_live(order.model_copy(update={"tracking": tracking}), folder)
        wait_for(lambda folder=folder: any(folder.glob("wandb/*/*.wandb")))
        if system:
            wait_for(lambda folder=folder: read_offline_run(folder).measured, seconds=20.0)
        close(live, failed=False)
        assert read_offline_run(folder).measured is system
