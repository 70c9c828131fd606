"""Runs that are asked to stop."""

from __future__ import annotations

from typing import Any

import pytest
from attempts import FULL, PLAIN, assert_same, attempt, outcome
from torch import Tensor

from sklab.store.run_folder import RunFolder
from sklab.system.processes import Stop
from sklab.training import module
from sklab.training.callbacks import resume


def ask_at(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Ask the process to stop while it computes batch number `batch`, from 0."""
    compute, stops, count = module.batch_loss, [], iter(range(10**6))
    listen = Stop.listen

    def listening(self: Stop) -> None:
        stops.append(self)
        listen(self)

    def asking(*args: Any) -> Tensor:
        if next(count) == batch:
            stops[-1]._ask(15, None)
        return compute(*args)

    monkeypatch.setattr(Stop, "listen", listening)
    monkeypatch.setattr(module, "batch_loss", asking)


@pytest.mark.parametrize(("batch", "step"), [(0, 1), (5, 2), (7, 3)])
def test_a_run_that_is_asked_to_stop_keeps_its_last_whole_step(made, monkeypatch, batch, step):
    calm = attempt(*made("calm", FULL))
    order, folder = made("run", FULL, every=60.0)
    with monkeypatch.context() as patch:
        ask_at(patch, batch)
        record = attempt(order, folder)
    assert (record.status, record.failure, record.final) == ("failed", "preempted", False)
    assert record.reason == f"SIGTERM after step {step}; the next start goes on from step {step}"
    assert record.traceback == ""
    record = attempt(order, folder)
    assert record.resumed_from == step
    assert (folder.attempts / "001" / "record.json").exists()
    assert_same(outcome(folder, record), outcome(RunFolder(folder.path.parent / "calm"), calm))


def test_the_log_of_a_run_that_was_asked_to_stop_says_so_without_a_traceback(made, monkeypatch, capsys, caplog):
    order, folder = made("run", PLAIN)
    ask_at(monkeypatch, 1)
    record = attempt(order, folder)
    assert caplog.messages[-1] == record.reason
    assert "Traceback" not in capsys.readouterr().err


def test_what_goes_wrong_after_the_signal_is_put_down_to_it(made, monkeypatch):
    order, folder = made("run", PLAIN)
    ask_at(monkeypatch, 1)

    def broken(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    monkeypatch.setattr(resume.ExactResume, "on_train_batch_end", broken)
    record = attempt(order, folder)
    assert record.failure == "code", "no signal has come yet"
    ask_at(monkeypatch, 0)
    record = attempt(order, folder)
    assert (record.failure, record.reason.partition(";")[0]) == ("preempted", "ended by SIGTERM")


def test_an_evaluation_under_way_is_given_up_after_a_while(made, monkeypatch):
    order, folder = made("run", PLAIN)
    ask_at(monkeypatch, 3)  # the last of the epoch
    monkeypatch.setattr(resume, "_PATIENCE", -1.0)
    record = attempt(order, folder)
    assert record.reason.startswith("SIGTERM during an evaluation")
    monkeypatch.undo()
    record = attempt(order, folder)
    assert (record.status, record.resumed_from) == ("complete", 3)
