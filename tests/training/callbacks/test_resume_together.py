"""Several devices: what one of them wants is done by all, a step later, and nobody waits for the answer meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sklab.data.augment import Share
from sklab.system.processes import PreemptedError, Stop
from sklab.training import devices
from sklab.training.callbacks.resume import ExactResume

STOP = 2


class Others:
    """In the place of torch.distributed: another device, whose wishes are known, and the order of what happens."""

    ReduceOp = torch.distributed.ReduceOp

    def __init__(self, wishes: list[int]) -> None:
        self.wishes, self.said = iter(wishes), []

    def all_reduce(self, held: torch.Tensor, _op: Any, *, async_op: bool) -> Any:
        assert async_op
        assert held.device.type == "cpu"
        self.said.append(f"told {int(held)}")
        wish = next(self.wishes)

        def wait() -> None:
            self.said.append("heard")
            held.fill_(max(wish, int(held)))

        return SimpleNamespace(wait=wait)


class Trainer:
    """A trainer that keeps the steps of its checkpoints."""

    accumulate_grad_batches, num_training_batches, max_epochs, current_epoch = 1, 10, 9, 0

    def __init__(self) -> None:
        self.global_step, self.saved = 0, []

    def save_checkpoint(self, _path: str) -> None:
        self.saved.append(self.global_step)


@pytest.fixture
def keeper(tmp_path: Path) -> ExactResume:
    keeper = ExactResume(None, None, 0.0, Share(0, 2), Stop(), tmp_path / "prune")  # type: ignore[arg-type]
    keeper._next = float("inf")
    return keeper


def take_steps(keeper: ExactResume, trainer: Trainer, count: int) -> None:
    for batch in range(count):
        trainer.global_step += 1
        keeper.on_train_batch_end(trainer, None, None, None, batch)  # type: ignore[arg-type]


def test_an_answer_is_read_a_step_after_the_question(keeper, monkeypatch):
    monkeypatch.setattr(devices, "dist", others := Others([0, 0, 0]))
    take_steps(keeper, Trainer(), 3)
    assert others.said == ["told 0", "heard", "told 0", "heard", "told 0"]


def test_all_stop_a_step_after_one_was_asked_to(keeper, monkeypatch):
    monkeypatch.setattr(devices, "dist", Others([0, STOP, 0]))
    trainer = Trainer()
    with pytest.raises(PreemptedError, match="another device was stopped after step 3"):
        take_steps(keeper, trainer, 5)
    assert trainer.saved == [3]


def test_checkpoints_are_due_at_every_step_from_the_second_on(keeper, monkeypatch):
    monkeypatch.setattr(devices, "dist", Others([0] * 9))
    keeper._next, trainer = 0.0, Trainer()
    take_steps(keeper, trainer, 5)
    assert trainer.saved == [2, 3, 4, 5]


def test_what_devices_tell_each_other_lies_on_the_cpu(keeper):
    with FakeTensorMode():  # a tensor without numbers may lie on a device that is not there
        loss = torch.empty((), device="cuda")
        module = SimpleNamespace(average=None, train_loss=loss, device=torch.device("cpu"))
        checkpoint: dict[str, Any] = {}
        keeper.on_save_checkpoint(None, module, checkpoint)  # type: ignore[arg-type]
    assert checkpoint["devices"][0]["train_loss"].device.type == "cpu"


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda:1", "cpu:gloo,cuda:nccl")])
def test_processes_with_a_gpu_can_talk_without_it(monkeypatch, device, backend):
    asked = []
    monkeypatch.setattr(devices.dist, "TCPStore", lambda *_, **__: None)
    monkeypatch.setattr(devices.dist, "init_process_group", lambda kind, **_: asked.append(kind))
    devices.join(Share(0, 2), torch.device(device), 1)
    assert asked == [backend]
