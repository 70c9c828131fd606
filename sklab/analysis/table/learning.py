"""Whether the runs of a cell learned more than guessing, and whether they were still improving when they ended.

A cell is undertrained where its mean error over the runs fell in the last epoch by more than

    a fifth of the last error: a cosine schedule that ends at 0 always gains a little in its last epochs. The
        network of the quickstart gains about 40 % in the last of 4 epochs, at most 17 % in that of 8, nothing in that
        of 16
    twice the standard deviation between its runs, as errors also go up and down by chance from epoch to epoch
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from sklab.analysis.statistics.intervals import no_better_than_guessing
from sklab.spec.study.metrics import TOP1_ERROR
from sklab.spec.study.sweep import Metric
from sklab.store.records import RunRecord

_SHARE = 0.2  # of the last error
_DEVIATIONS = 2.0


def learned(records: Sequence[RunRecord], metric: Metric) -> dict[str, float | None]:
    """The fields of a row on learning: `at_chance` and `last_fall` of the runs of one cell."""
    return {"guessing": at_chance(records, metric), "last_fall": last_fall(records)}


def last_fall(records: Sequence[RunRecord]) -> float | None:
    """The number of points by which the error fell in the last epoch, if the cell is undertrained; else None, also
    where no record has the errors."""
    pairs = [(record.previous[TOP1_ERROR], record.last[TOP1_ERROR]) for record in records if _has_errors(record)]
    if not pairs:
        return None
    fall = math.fsum(before - now for before, now in pairs) / len(pairs)
    last = math.fsum(now for _, now in pairs) / len(pairs)
    deviation = statistics.stdev(now for _, now in pairs) if len(pairs) > 1 else 0.0
    return fall if fall > max(_SHARE * last, _DEVIATIONS * deviation) else None


def _has_errors(record: RunRecord) -> bool:
    return TOP1_ERROR in record.previous and TOP1_ERROR in record.last


def at_chance(records: Sequence[RunRecord], metric: Metric) -> float | None:
    """The error of guessing in %, if the mean error of these runs of one cell is no lower, as far as their images can
    tell; None if it is lower, or if there is no run.

    Guessing always names the most frequent class; for older records, all classes count as equally frequent. The runs'
    errors are those of the epoch that the study's metric names; the best of many epochs is lower by chance too.
    """
    error_metric = Metric(name=TOP1_ERROR, epoch=metric.epoch)
    errors = [error for record in records if (error := record.value(error_metric)) is not None]
    if not errors:
        return None
    guessing, images = _guessing(records[0])
    epochs = records[0].epochs if metric.epoch == "best" else 1
    mean = math.fsum(errors) / len(errors)
    return guessing if no_better_than_guessing(mean, guessing, images, max(epochs, 1)) else None


def _guessing(record: RunRecord) -> tuple[float, int]:
    """The error of guessing in %, and the number of validation images, which is 0 where it is not known."""
    experiment = record.spec.experiment
    if record.val_images:
        return record.guessing_error, record.val_images
    images = experiment.data.images
    return 100 * (1 - 1 / experiment.model.num_classes), images.val if images else 0
