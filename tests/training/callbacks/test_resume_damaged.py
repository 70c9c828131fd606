"""Checkpoints that are damaged, foreign or could not be written."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from attempts import PLAIN, assert_same, attempt, died, outcome

from sklab.store.run_folder import RunFolder
from sklab.training import run as training
from sklab.training.callbacks import checkpoint


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [torn, flipped, empty])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_is_used(made, dies, caplog, damage):
    calm = attempt(*made("calm", PLAIN))
    order, folder = made("run", PLAIN)
    dies(batch=6)
    died(order, folder)
    newest = max(folder.checkpoints.iterdir())
    damage(newest)
    dies()
    with caplog.at_level(logging.WARNING):
        record = attempt(order, folder)
    assert record.resumed_from == 5
    assert f"{newest} can't be used, set aside" in caplog.text
    assert_same(outcome(folder, record), outcome(RunFolder(folder.path.parent / "calm"), calm))


@pytest.mark.parametrize("change", ["key", "torch", "format"])
def test_a_foreign_checkpoint_is_set_aside_and_the_run_begins_anew(made, dies, caplog, monkeypatch, change):
    order, folder = made("run", PLAIN)
    true = checkpoint.origin

    def foreign(*args: Any) -> checkpoint.Origin:
        origin = true(*args)
        return checkpoint.Origin({**origin.must, change: "another"}, origin.may)

    monkeypatch.setattr(training, "origin", foreign)
    dies(batch=3)
    died(order, folder)
    monkeypatch.setattr(training, "origin", true)
    dies()
    with caplog.at_level(logging.WARNING):
        record = attempt(order, folder)
    assert (record.status, record.resumed_from, record.attempt) == ("complete", 0, 2)
    assert f"it is foreign: {change} another there" in caplog.text


def test_other_threads_are_gone_on_from_with_a_warning(made, dies, caplog):
    order, folder = made("run", PLAIN)
    dies(batch=3)
    died(order, folder)
    dies()
    torch.set_num_threads(2)
    with caplog.at_level(logging.WARNING):
        record = attempt(order, folder)
    assert (record.resumed_from, record.resumed_across) == (3, ("threads 1 there, 2 here",))
    assert "the last bits may differ: threads 1 there, 2 here" in caplog.text


def test_another_kind_of_gpu_is_told_and_is_not_forgotten_by_the_attempt_after(made, dies, caplog, monkeypatch):
    order, folder = made("run", PLAIN)
    true, gpu = checkpoint.origin, "NVIDIA A100"

    def on_gpu(*args: Any) -> checkpoint.Origin:
        origin = true(*args)
        return checkpoint.Origin(origin.must, {**origin.may, "GPU": gpu})

    monkeypatch.setattr(training, "origin", on_gpu)
    dies(batch=3)
    died(order, folder)
    gpu = "NVIDIA H100"
    dies(batch=3)
    with caplog.at_level(logging.WARNING):
        died(order, folder)
    change = "GPU NVIDIA A100 there, NVIDIA H100 here"
    assert f"the last bits may differ: {change}" in caplog.text
    dies()
    record = attempt(order, folder)
    assert (record.attempt, record.resumed_from > 3, record.resumed_across) == (3, True, (change,))


def test_the_gpus_and_cudnn_are_part_of_a_checkpoints_origin(toy_order, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index or 0}")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    order = toy_order(train={"devices": 2})
    made = checkpoint.origin(order, torch.device("cuda")).may
    assert (made["GPU"], made["cuDNN"]) == ("GPU 0 + GPU 1", "9.10.2")
    assert {"GPU", "cuDNN"}.isdisjoint(checkpoint.origin(order, torch.device("cpu")).may)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_costs_checkpoints_and_not_the_run(made, monkeypatch, caplog, number):
    full = OSError(number, os.strerror(number))
    monkeypatch.setattr(checkpoint, "write_whole", Mock(side_effect=full))
    with caplog.at_level(logging.WARNING):
        record = attempt(*made("run", PLAIN))
    assert record.status == "complete"
    assert f"no checkpoint at step 000000001, training goes on: {full}" in caplog.text


def test_a_checkpoint_of_replayed_steps_and_one_of_lightnings_loop_are_foreign_to_each_other(toy_order):
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert checkpoint.origin(toy_order(), cuda).must["steps"] == "replayed"
    assert "steps" not in checkpoint.origin(toy_order(), cpu).must
    assert "steps" not in checkpoint.origin(toy_order(train={"compile": True}), cuda).must
