"""Further metrics: held against scikit-learn, computed by every way to train, and by the kept weights afterwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from attempts import attempt, died
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score, top_k_accuracy_score

from sklab.data.loaders import open_loaders
from sklab.spec.study.metrics import BY_TORCHMETRICS, METRICS
from sklab.spec.study.sweep import Metric
from sklab.store.measured.metrics import read_epochs
from sklab.training.evaluate import evaluate_missing, kept_network
from sklab.training.metrics.scores import BINS, Kept, Scores, every, further

ALL = tuple(name for name in every(10) if name not in BY_TORCHMETRICS)
CPU = torch.device("cpu")


def by_hand(logits: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error, bin by bin."""
    odds = np.exp(logits - logits.max(1, keepdims=True))
    confidence = (odds / odds.sum(1, keepdims=True)).max(1)
    right, bins = logits.argmax(1) == labels, np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(right[bins == at].sum() - confidence[bins == at].sum()) for at in range(BINS)]
    return 100 * sum(gaps) / len(labels)


def expected(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    classes, named, there = logits.shape[1], logits.argmax(1), np.unique(labels)
    right = top_k_accuracy_score(labels, logits, k=5, labels=range(classes))
    return {
        "val_top5_error": 100 * (1 - right),
        "val_balanced_error": 100 * (1 - recall_score(labels, named, labels=there, average="macro", zero_division=0)),
        "val_macro_f1": 100 * f1_score(labels, named, average="macro", zero_division=0),
        "val_ece": by_hand(logits, labels),
    }


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(6, 12), st.integers(2, 60), st.sampled_from([0.1, 1.0, 5.0, 50.0]),
    st.integers(1, 12),
)  # fmt: skip
def test_they_are_those_of_scikit_learn_whatever_classes_occur(seed, classes, images, scale, occurring):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, min(occurring, classes), images)  # classes beyond these are never there, but may be named
    logits = (scale * rng.standard_normal((images, classes))).astype(np.float32)
    logits[np.arange(images), labels] += scale * rng.integers(0, 2, images)
    found = further(ALL, torch.from_numpy(logits), torch.from_numpy(labels))
    assert found == pytest.approx(expected(logits.astype(np.float64), labels), abs=2e-3)
    assert all(METRICS[name].lowest <= value <= METRICS[name].highest for name, value in found.items())


def test_a_certain_network_that_is_right_is_calibrated_and_logits_below_one_are_no_probabilities():
    labels = torch.arange(10)
    certain = 100 * torch.eye(10)
    assert further(("val_ece",), certain, labels)["val_ece"] == pytest.approx(0, abs=1e-4)
    small = 0.5 * torch.eye(10)
    assert further(("val_ece",), small, labels)["val_ece"] == pytest.approx(
        by_hand(small.numpy(), labels.numpy()), abs=1e-3
    )


def test_deterministic_algorithms_stay_asked_for():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        further(ALL, torch.randn(20, 10), torch.arange(20) % 10)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(before)


def test_of_few_classes_there_is_no_top_5_error():
    assert "val_top5_error" not in every(5)
    assert set(every(6)) == {name for name, measure in METRICS.items() if measure.further}


def test_batches_give_what_all_images_give_at_once():
    logits, labels = torch.randn(50, 10), torch.arange(50) % 7
    scores = Scores("cpu", Kept(60, 10, ALL))  # more room than images
    for _ in range(2):
        scores.clear()
        for at in range(0, 50, 8):
            scores.add(logits[at : at + 8], labels[at : at + 8])
        assert scores.further == further(ALL, logits, labels)
    assert Scores("cpu", Kept(60, 10)).further == {}


def asked(order, *names):
    return order.model_copy(update={"metrics": names})


def test_a_run_computes_what_it_is_asked_for_after_each_epoch(made):
    plain_order, plain_folder = made("plain", {"epochs": 2})
    plain = attempt(plain_order, plain_folder)
    order, folder = made("asked", {"epochs": 2})
    record = attempt(asked(order, *ALL), folder)
    assert record.key == plain.key
    assert {name: record.last[name] for name in plain.last} == plain.last, "nothing else is another"
    assert set(record.last) - set(plain.last) == set(ALL) == set(record.best) - set(plain.best)
    epochs = read_epochs(folder.metrics_file)
    assert [epochs[-1][name] for name in ALL] == [record.last[name] for name in ALL]
    assert not set(ALL) & set(read_epochs(plain_folder.metrics_file)[0])
    loaders = open_loaders(order.spec.trained.data, order.spec.experiment.train, 0, CPU)
    with torch.inference_mode():
        outputs = [(kept_network(folder, record, CPU)(images), labels) for images, labels in loaders.val]
    logits, labels = (torch.cat(part).numpy() for part in zip(*outputs, strict=True))
    assert {name: record.last[name] for name in ALL} == pytest.approx(expected(logits, labels), abs=2e-3)


class TestOfFinishedRuns:
    def test_they_are_computed_from_the_kept_weights_and_nothing_is_trained(self, made):
        order, folder = made("asked", {"epochs": 2})
        at_once = attempt(asked(order, *ALL), folder)
        order, folder = made("later", {"epochs": 2})
        attempt(order, folder)
        before = folder.record_file.read_bytes()
        for names in (ALL[:1], ALL):
            later = asked(order, *names)
            folder.write_order(later)
            evaluate_missing(folder, folder.read_record(), later, "cpu")
        record = folder.read_record()
        assert folder.record_file.read_bytes() == before
        assert {name: record.last[name] for name in ALL} == pytest.approx({name: at_once.last[name] for name in ALL})
        assert folder.missing_metrics(record, ALL) == ()
        assert record.value(Metric(name="val_macro_f1")) == record.last["val_macro_f1"]

    def test_those_of_other_weights_or_of_a_damaged_file_are_missing_again(self, made):
        order, folder = made("later", {"epochs": 1})
        record = attempt(order, folder)
        evaluate_missing(folder, record, asked(order, "val_ece"), "cpu")
        assert folder.missing_metrics(folder.read_record(), ["val_ece"]) == ()
        text = folder.metrics_evaluated_file.read_text()
        folder.metrics_evaluated_file.write_text(text[: len(text) // 2])
        assert folder.missing_metrics(folder.read_record(), ["val_ece"]) == ("val_ece",)
        folder.metrics_evaluated_file.write_text(text)
        other = record.model_copy(update={"files": {**record.files, "weights.pt": "0" * 64}})
        folder.write_record(other)
        assert folder.missing_metrics(folder.read_record(), ["val_ece"]) == ("val_ece",)

    def test_what_can_not_be_evaluated_is_told_and_loses_nothing(self, made, capsys):
        order, folder = made("later", {"epochs": 1})
        attempt(order, folder)
        folder.weights_file.unlink()
        evaluate_missing(folder, folder.read_record(), asked(order, "val_ece"), "cpu")
        assert "no such file" in capsys.readouterr().err
        assert folder.read_record().status == "complete"


def test_a_run_that_is_asked_for_more_after_a_stop_goes_on_and_lacks_it_before(made, dies):
    order, folder = made("stopped", {"epochs": 3})
    dies(evaluation=2)  # in the second epoch
    died(order, folder)
    dies()
    record = attempt(asked(order, "val_macro_f1"), folder)
    assert record.resumed_from > 0
    epochs = read_epochs(folder.metrics_file)
    assert math.isnan(epochs[0]["val_macro_f1"])
    assert epochs[-1]["val_macro_f1"] == record.last["val_macro_f1"]
    assert len(epochs) == 3
