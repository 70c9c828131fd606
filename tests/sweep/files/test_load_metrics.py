"""The metrics that a sweep file asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sklab.errors import FaultyInputError
from sklab.spec.study.metrics import METRICS
from sklab.spec.study.sweep import Metric
from sklab.store.records import RunOrder
from sklab.sweep.files.load import load_sweep


def load(toy_files: Path, lines: str, data: str = ""):
    text = (toy_files / "sweep.yaml").read_text()
    (toy_files / "asked.yaml").write_text(f"{text}{lines}\n")
    if data:
        model, train = "model: {base: sknet_small, num_classes: 5}", "train: {epochs: 1, batch_size: 4, lr: 0.1}"
        (toy_files / "toy.yaml").write_text(f"data: {data}\n{model}\n{train}\n")
    return load_sweep(toy_files / "asked.yaml")


def test_what_runs_are_asked_for_is_no_part_of_their_keys(toy_files):
    plain = load(toy_files, "")
    asked = load(toy_files, "metric: {name: val_macro_f1}\nalso: [val_error, val_ece]")
    assert asked.further_metrics == ("val_macro_f1", "val_ece"), "val_error is in every record"
    assert plain.further_metrics == ()
    assert [cell.runs for cell in asked.cells] == [cell.runs for cell in plain.cells]
    assert asked.metric == Metric(name="val_macro_f1")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_the_studys(toy_files, name):
    assert load(toy_files, f"metric: {{name: {name}}}").metric.measure is METRICS[name]


@pytest.mark.parametrize(
    ("line", "place"),
    [("metric: {name: val_top5_error}", "metric.name"), ("also: [val_ece, val_top5_error]", "also.1")],
)
def test_a_metric_that_says_nothing_of_so_few_classes_is_refused_before_anything_is_trained(toy_files, line, place):
    few = "{name: stand_in, num_classes: 5, channels: 1, image_size: 8}"
    with pytest.raises(FaultyInputError, match="says nothing of 5 classes; the top-5 error takes 6 or more") as caught:
        load(toy_files, line, few)
    assert [fault.place for fault in caught.value.faults] == [place]


def test_an_older_order_asks_for_no_further_metric(toy_order):
    tree = toy_order().model_dump(mode="json")
    del tree["metrics"]
    assert RunOrder.model_validate(tree).metrics == ()
