"""What a graph can hold: nothing that waits for the device, as a card would refuse it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sklab.data.loaders import Loaders, TrainArrays, ValArrays, open_loaders
from sklab.models.zoo import build
from sklab.spec.run import Experiment
from sklab.store.records import RunOrder
from sklab.training.metrics.scores import Kept
from sklab.training.replay import evaluation as evaluations
from sklab.training.replay import steps
from sklab.training.replay.evaluation import GraphedEvaluation
from sklab.training.replay.steps import GraphedTraining

ALL = {
    "mixup": 0.3,
    "ema_decay": 0.6,
    "clip_norm": 0.5,
    "label_smoothing": 0.1,
    "decay_norm_and_bias": False,
    "augment": {"pad_crop": 2, "flip": True},
    "precision": "bf16",
    "memory_format": "channels_last",
}
CUT = {"cutmix": 1.0, "mixup": 0.2, "loss": "bce", "label_smoothing": 0.1, "precision": "bf16"}
CPU = torch.device("cpu")
# Operations whose result decides on the host what comes next, or how large it is.
WAITING = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.is_nonzero.default,
}


class NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in WAITING, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _recording_refuses_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a card, what is recorded runs once more, under its rules; then it is called directly."""

    def recorded(work: Callable[[], object], _: torch.device) -> Callable[[], object]:
        with NoWaiting():
            work()
        return work

    monkeypatch.setattr(steps, "recorded", recorded)
    monkeypatch.setattr(evaluations, "recorded", recorded)


def opened(order: RunOrder) -> tuple[Experiment, Loaders]:
    experiment = order.experiment
    return experiment, open_loaders(experiment.data, experiment.train, 0, CPU)


@pytest.mark.parametrize("recipe", [{}, ALL, CUT], ids=["plain", "all that goes together", "cutmix"])
@pytest.mark.parametrize("attention", ["sk", "none"])
def test_a_step_does_not_wait_for_the_device(toy_order, recipe: dict[str, Any], attention: str) -> None:
    experiment, loaders = opened(toy_order(train=recipe, model={"attention": attention}))
    assert isinstance(loaders.train, TrainArrays)
    model = build(experiment.model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    training = GraphedTraining(model, experiment.train, 0, loaders.train)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "what was computed to record it is undone"
    assert float(training.train_loss) == 0.0
    assert training.average is None or not training.average.begun


def test_an_evaluation_does_not_wait_for_the_device(toy_order) -> None:
    experiment, loaders = opened(toy_order(train={"batch_size": 12}))
    assert isinstance(loaders.val, ValArrays)
    network = build(experiment.model).eval()
    evaluation = GraphedEvaluation(network, experiment.train, loaders.val, Kept(32, 10, ("val_macro_f1",)))
    assert len(list(evaluation.replayed())) == 3, "two full batches and a rest"
    replayed, f1 = float(evaluation.scores.loss), evaluation.scores.further
    assert evaluation.scores.seen == 32
    list(evaluation.one_by_one())
    assert float(evaluation.scores.loss) == replayed
    assert evaluation.scores.further == f1


def test_what_waits_is_noticed() -> None:
    rates, row = torch.ones(3), torch.tensor(1)
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        rates[row]
