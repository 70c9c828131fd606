"""kill -9 and signals to runs in processes of their own, through the launcher that trains everything."""

from __future__ import annotations

import csv
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
import pytest
import torch

from sklab.launch.base import Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder

FULL = {
    "epochs": 16,  # of 4 steps each
    "batch_size": 8,
    "accumulate": 2,
    "mixup": 0.3,
    "ema_decay": 0.6,
    "clip_norm": 0.5,
    "augment": {"pad_crop": 2, "flip": True},
}
LONG = {**FULL, "epochs": 100_000}
KILLS = 6


@pytest.fixture
def made(tmp_path: Path, toy_order: Callable[..., Any]) -> Callable[..., RunFolder]:
    def make(name: str, train: dict[str, Any], every: float = 0.0) -> RunFolder:
        run = RunFolder(tmp_path / name)
        run.write_order(toy_order(train=train).model_copy(update={"checkpoint_seconds": every}))
        return run

    return make


def start(launcher: LocalLauncher, run: RunFolder) -> int:
    """Start an attempt; its process."""
    launcher.submit(Job("train", run.path))
    [process] = launcher.processes
    assert process.pid is not None
    return process.pid


def end(launcher: LocalLauncher) -> int:
    """Wait for the attempt; its exit code."""
    deadline = time.monotonic() + 600
    while not (ended := launcher.wait(1.0)):
        assert time.monotonic() < deadline, "the run never ended"
    return ended[0].exitcode


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def newest(run: RunFolder) -> int:
    """The step of the newest checkpoint, 0 without one."""
    return max((int(file.name[:9]) for file in run.checkpoints.glob("*.ckpt")), default=0)


def recorded(run: RunFolder) -> RunRecord:
    record = run.read_record()
    assert record is not None
    return record


def outcome(run: RunFolder) -> tuple[Any, ...]:
    record = recorded(run)
    weights = torch.load(run.weights_file, weights_only=True)
    with run.metrics_file.open() as stream:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]
    return record.status, record.last, record.best, rows, {name: each.tolist() for name, each in weights.items()}


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_killed_many_times_ends_as_one_that_never_was(launcher, made, devices):
    recipe = {**FULL, "devices": devices}
    calm, run, chance = made("calm", recipe), made("run", recipe), random.Random(devices)
    start(launcher, calm)
    assert end(launcher) == 0
    for at in sorted(chance.sample(range(1, 32), KILLS if devices == 1 else 3)):
        process = start(launcher, run)
        until(lambda at=at: newest(run) >= at or run.record_file.exists())
        time.sleep(chance.uniform(0.0, 0.02))  # the moment of the kill is what is random here
        os.kill(process, signal.SIGKILL)
        end(launcher)
        assert not run.record_file.exists(), "the run was over before it was killed: give it more epochs"
    start(launcher, run)
    assert end(launcher) == 0
    assert recorded(run).resumed_from > 0
    assert recorded(run).attempt > 1  # one that was killed before it began to write leaves no trace
    assert outcome(run) == outcome(calm)
    assert not run.checkpoints.exists()


def test_a_signal_ends_a_run_as_preempted_with_a_checkpoint(launcher, made):
    run = made("run", LONG, every=1000.0)
    process = start(launcher, run)
    until(run.metrics_file.exists)
    os.kill(process, signal.SIGUSR1)
    assert end(launcher) == 0
    record = recorded(run)
    assert (record.status, record.failure, record.final) == ("failed", "preempted", False)
    assert record.reason.startswith("SIGUSR1 after step ")
    assert newest(run) > 0
    start(launcher, run)
    until(lambda: (run.attempts / "001/record.json").exists() and run.metrics_file.exists())
    launcher.drain()
    assert end(launcher) == 0
    assert recorded(run).resumed_from == int(record.reason.split("step ")[1].split(";")[0])


def test_a_signal_to_all_processes_of_a_run_leaves_it_its_loaders_for_a_checkpoint(launcher, toy_order, tmp_path):
    data = pictures.folder(tmp_path / "photos", train=400)
    tree = toy_order(train=LONG).model_dump() | {"checkpoint_seconds": 0.0}
    tree["spec"]["experiment"]["data"] = {"name": "image_folder", "root": str(data), "num_classes": 2, "image_size": 32}
    tree["spec"]["experiment"]["model"] |= {"in_channels": 3, "num_classes": 2}
    run = RunFolder(tmp_path / "run")
    run.write_order(RunOrder.model_validate(tree))
    process = start(launcher, run)
    until(lambda: newest(run) > 2)
    os.killpg(process, signal.SIGTERM)
    assert end(launcher) == 0
    assert recorded(run).reason.startswith("SIGTERM after step ")


@pytest.mark.slow
def test_a_signal_ends_all_devices_of_a_run_with_one_checkpoint(launcher, made):
    calm, run = made("calm", {**FULL, "devices": 2}), made("run", {**FULL, "devices": 2}, every=1000.0)
    start(launcher, calm)
    assert end(launcher) == 0
    start(launcher, run)
    until(lambda: run.metrics_file.exists() and len(run.metrics_file.read_text().splitlines()) > 2)
    launcher.drain()
    assert end(launcher) == 0
    assert recorded(run).failure == "preempted"
    assert recorded(run).epochs >= 2
    assert newest(run) > 0
    start(launcher, run)
    assert end(launcher) == 0
    assert recorded(run).resumed_from > 0
    assert outcome(run) == outcome(calm)
