"""The weights of the best epoch are kept where they are asked for, however often the run was interrupted."""

from __future__ import annotations

import pytest
import torch
from attempts import PLAIN, attempt, died

from sklab.training.callbacks.meter import Meter


@pytest.fixture
def first_is_best(monkeypatch):
    monkeypatch.setattr(Meter, "best_epoch", property(lambda self: min(1, len(self.epochs))))


def weights(file):
    return torch.load(file, weights_only=True)


def asked(made, name, recipe=PLAIN):
    order, folder = made(name, recipe)
    return order.model_copy(update={"keep_best": True}), folder


@pytest.mark.parametrize("recipe", [PLAIN, {**PLAIN, "ema_decay": 0.6}], ids=["plain", "average"])
def test_they_are_those_of_that_epoch_after_interruptions_too(made, dies, first_is_best, recipe):
    order, calm = asked(made, "calm", recipe)
    record = attempt(order, calm)
    order, disturbed = asked(made, "disturbed", recipe)
    for point in ({"batch": 6}, {"evaluation": 1}, {"batch": 1}):
        dies(**point)
        died(order, disturbed)
    dies()
    again = attempt(order, disturbed)
    assert again.resumed_from > 0
    ours, theirs = weights(disturbed.best_weights_file), weights(calm.best_weights_file)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not all(torch.equal(theirs[name], weights(calm.weights_file)[name]) for name in theirs)
    assert record.files["best.pt"] == again.files["best.pt"]


def test_one_file_is_enough_where_the_last_epoch_is_the_best(made, monkeypatch):
    monkeypatch.setattr(Meter, "best_epoch", property(lambda self: len(self.epochs)))
    order, folder = asked(made, "run")
    assert "best.pt" not in attempt(order, folder).files
    assert not folder.best_weights_file.exists()


def test_nothing_is_kept_unasked(made, first_is_best):
    order, folder = made("run", PLAIN)
    assert "best.pt" not in attempt(order, folder).files


def test_a_checkpoint_without_them_is_set_aside(made, dies, first_is_best):
    order, folder = made("run", PLAIN)
    dies(batch=9)
    died(order, folder)
    dies()
    record = attempt(order.model_copy(update={"keep_best": True}), folder)
    assert (record.status, record.resumed_from) == ("complete", 0)
    assert folder.best_weights_file.exists()
