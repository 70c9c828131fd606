"""What the log of a run says: an attempt that goes on tells from where, and a recipe is told in one line."""

from __future__ import annotations

import logging

import pytest
from attempts import PLAIN, attempt, died

from sklab.spec.train import Augment, TrainSpec
from sklab.training.callbacks.logbook import recipe_in_a_line, told


def test_an_attempt_that_goes_on_says_from_which_step(made, dies, caplog):
    caplog.set_level(logging.INFO, "sklab")
    order, folder = made("run", PLAIN)
    dies(batch=6)
    died(order, folder)
    dies()
    caplog.clear()
    record = attempt(order, folder)
    told = caplog.messages
    assert told[0] == f"cell, seed 0: attempt 2 at run {order.key} of toy"
    assert f"goes on from step {record.resumed_from}: 3 epochs of 4 batches, 1 done by earlier attempts" in told
    assert [line.partition(":")[0] for line in told if line.startswith("epoch")] == ["epoch 2 of 3", "epoch 3 of 3"]
    assert told[-2].startswith("complete after 3 epochs, ")


def test_a_recipe_is_told_by_the_settings_that_are_not_the_usual_ones():
    recipe = TrainSpec(epochs=3, batch_size=8, lr=0.1, augment=Augment(flip=True))
    assert recipe_in_a_line(recipe) == "epochs 3, batch_size 8, lr 0.1, augment.flip True"
    longest = recipe.model_copy(update={"schedule": "step", "step_at": tuple(range(1, 900))})
    assert len(recipe_in_a_line(longest)) < 410


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("val_auroc", 93.1234, "val_auroc 93.12 %"), ("val_cohen_kappa", 0.5, "val_cohen_kappa 0.5000")],
)
def test_a_metric_is_told_with_the_unit_that_it_has(name, value, text):
    assert told(name, value) == text
