"""Metrics of torchmetrics by their names, and those of the user's own, as figures of runs."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torchmetrics.classification
from attempts import PLAIN, attempt
from hypothesis import given, settings
from hypothesis import strategies as st
from own_lab import LAB, lab_in
from pydantic import TypeAdapter, ValidationError
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional import classification

from sklab.errors import SklabError
from sklab.own import files
from sklab.spec.study.metrics import BY_TORCHMETRICS, METRICS, MetricName, own_metrics
from sklab.spec.study.sweep import Metric
from sklab.training.evaluate import evaluate_missing
from sklab.training.metrics.scores import further

OWN = "val_worst_class_error"
# Of torchmetrics' metrics of several classes: those that sklab has under other names, and those that are no one number.
OTHER_NAMES = {"accuracy": "val_error", "calibration_error": "val_ece", "f1_score": "val_macro_f1"}
NO_NUMBER = {
    *("confusion_matrix", "stat_scores", "roc", "precision_recall_curve", "exact_match", "fbeta_score", "eer"),
    *("logauc", "precision_at_fixed_recall", "recall_at_fixed_precision"),
    *("sensitivity_at_specificity", "specificity_at_sensitivity"),
}


@pytest.fixture
def lab(tmp_path):
    files.choose(lab_in(tmp_path))
    yield tmp_path
    files.choose(None, tmp_path)
    METRICS._own.clear()


def named(name: str) -> str:
    return TypeAdapter(MetricName).validate_python(name)


def test_every_metric_of_several_classes_has_its_name():
    theirs = {name.removeprefix("multiclass_") for name in dir(classification) if name.startswith("multiclass_")}
    assert theirs == {name.removeprefix("val_") for name in BY_TORCHMETRICS} | OTHER_NAMES.keys() | NO_NUMBER


def test_the_direction_is_that_of_torchmetrics():
    classes = {re.sub("[^a-z]", "", name.lower()): getattr(torchmetrics.classification, name)
               for name in dir(torchmetrics.classification) if name.startswith("Multiclass")}  # fmt: skip
    for name, measure in BY_TORCHMETRICS.items():
        stated = classes["multiclass" + name.removeprefix("val_").replace("_", "")].higher_is_better
        if stated is not None:
            assert measure.better == ("higher" if stated else "lower"), name


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 8), st.integers(2, 40), st.integers(1, 8), st.sampled_from([0.1, 5.0]))
def test_classes_that_no_image_has_are_left_out(seed, classes, images, occurring, scale):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, min(occurring, classes), images)
    logits = (scale * rng.standard_normal((images, classes))).astype(np.float32)
    found = further(tuple(BY_TORCHMETRICS), torch.from_numpy(logits), torch.from_numpy(labels))
    assert all(METRICS[name].lowest <= value <= METRICS[name].highest for name, value in found.items())
    odds = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    scores = odds / odds.sum(1, keepdims=True)
    told = [label for label in np.unique(labels) if not (labels == label).all()]
    for name, score in (("val_auroc", roc_auc_score), ("val_average_precision", average_precision_score)):
        expected = 100 * np.mean([score(labels == label, scores[:, label]) for label in told]) if told else 50
        assert found[name] == pytest.approx(expected, abs=1e-2)


def test_an_own_metric_is_known_with_its_direction_once_it_is_named(lab):
    with pytest.raises(ValidationError, match="unknown metric"):
        named("val_worst")
    measure = METRICS[named(OWN)]
    assert (measure.better, measure.unit, measure.title) == ("lower", "%", "validation worst class error")
    assert Metric(name=OWN).measure == measure


def test_a_name_that_comes_with_sklab_is_refused(lab):
    files.choose(lab_in(lab, LAB.replace('"worst_class_error"', '"auroc"')))
    with pytest.raises(ValidationError, match="metric 'auroc' comes with sklab"):
        named("val_mine")


def ordered(made, name="run"):
    order, folder = made(name, PLAIN)
    metrics = {"metrics": (OWN, "val_auroc"), "own_metrics": own_metrics([named(OWN)])}
    return order.model_copy(update=metrics), folder


def test_it_is_a_figure_of_each_epoch_and_says_what_code_made_it(lab, made):
    order, folder = ordered(made)
    record = attempt(order, folder)
    assert record.status == "complete", record.traceback
    assert record.last[OWN] >= record.last["val_error"], "the worst class is no better than all"
    assert record.own_metrics == order.own_metrics
    assert f"{OWN},val_auroc" in folder.metrics_file.read_text()


def test_it_comes_from_the_kept_weights_where_it_is_asked_for_later_or_was_edited(lab, made):
    first, folder = made("run", PLAIN)
    attempt(first, folder)
    order, _ = ordered(made)
    other = made("other", PLAIN)[0]
    assert order.key == other.key, "a metric is no part of a run's identity"
    evaluate_missing(folder, folder.read_record(), order, "cpu")
    before = folder.read_record()
    assert folder.missing_metrics(before, order.metrics) == ()
    files.choose(lab_in(lab, LAB.replace("return max(wrong", "return 1 - max(wrong")))
    order, _ = ordered(made)
    assert folder.missing_metrics(before, order.metrics) == (OWN,)
    assert before.value(Metric(name=OWN)) is None, "the other code's figure is not shown"
    evaluate_missing(folder, before, order, "cpu")
    now = folder.read_record()
    assert now.last[OWN] == pytest.approx(100 - before.last[OWN], abs=1e-4)
    assert now.last["val_auroc"] == before.last["val_auroc"]
    assert folder.missing_metrics(now, order.metrics) == ()


@pytest.mark.parametrize("given", ["None", "torch.nan", "scores", "1 / 0"])
def test_what_it_gives_is_checked(lab, given):
    files.choose(lab_in(lab, LAB.replace("wrong = scores.argmax(1) != targets", f"return {given}")))
    named(OWN)
    told = r"metric 'worst_class_error': (found .*; allowed: a finite number|.*my_lab.py:\d+: ZeroDiv)"
    with pytest.raises(SklabError, match=told):
        further((OWN,), torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64))
