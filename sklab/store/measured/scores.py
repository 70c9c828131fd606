"""What kept weights score when they are evaluated once more: files beside the record of a complete run."""

from __future__ import annotations

from sklab.spec.data import Fingerprint
from sklab.spec.own.parts import AnyData
from sklab.spec.study.metrics import TOP1_ERROR, OwnMetric
from sklab.spec.study.sweep import Metric
from sklab.spec.values import Value


class Evaluation(Value):
    """`evaluation-<size>.json`: a run's weights on its validation images at `image_size` pixels a side; errors in %.
    `weights` is the SHA-256 of their file, "" in older ones."""

    key: str
    data: AnyData
    image_size: int
    images: int
    val_error: float
    val_loss: float
    device: str
    torch: str
    weights: str = ""


class FurtherMetrics(Value):
    """`metrics.json`: further metrics of the kept weights of a complete run on its validation images, by name, where
    the run did not compute them itself.

    own_metrics    which code has computed those of the user's own
    last, best     at the epochs of the record's `last` and `best`; `best` is empty where those weights were not kept
    weights, best_weights  SHA-256 of the files of the weights; "" where the record names none
    """

    key: str
    last: dict[str, float] = {}
    best: dict[str, float] = {}
    own_metrics: dict[str, OwnMetric] = {}
    device: str
    torch: str
    weights: str = ""
    best_weights: str = ""


class FinalScore(Value):
    """`test.json`: the weights of a complete run, those of `epoch`, on the test split; error in %.

    weights      SHA-256 of the file of the weights
    metrics      the further metrics by their names on validation images; empty in older ones
    evaluated    UTC, ISO 8601
    fingerprint  of what the split holds; None where the settings alone decide that
    """

    key: str
    data: AnyData
    images: int
    error: float
    loss: float
    epoch: int
    device: str
    torch: str
    weights: str
    evaluated: str
    fingerprint: Fingerprint | None = None
    metrics: dict[str, float] = {}

    def value(self, metric: Metric) -> float | None:
        """What stands for the study's metric; None when it is not among what an earlier version has computed."""
        return {TOP1_ERROR: self.error, "val_loss": self.loss, **self.metrics}.get(metric.name)
