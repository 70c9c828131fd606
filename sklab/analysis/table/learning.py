"""What the runs of a cell learned, from their records: more than guessing?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sklab.analysis.statistics.intervals import no_better_than_guessing
from sklab.spec.study.sweep import Metric
from sklab.store.records import RunRecord


def at_chance(records: Sequence[RunRecord], metric: Metric) -> float | None:
    """The error in % of guessing, where the mean error of these runs of one cell is no lower as far as their images
    can tell; None where it is lower, or where there is no run.

    It is that of always naming the most frequent class, of which older records know only what it is in even classes.
    The errors are those of the epoch that the study is about: the best of many looks lower by chance too.
    """
    error_metric = Metric(name="val_error", epoch=metric.epoch)
    errors = [error for record in records if (error := record.value(error_metric)) is not None]
    if not errors:
        return None
    guessing, images = _guessing(records[0])
    epochs = records[0].epochs if metric.epoch == "best" else 1
    mean = math.fsum(errors) / len(errors)
    return guessing if no_better_than_guessing(mean, guessing, images, max(epochs, 1)) else None


def _guessing(record: RunRecord) -> tuple[float, int]:
    """The error in % of guessing, and the number of validation images, 0 where it is not known."""
    experiment = record.spec.experiment
    if record.val_images:
        return record.guessing_error, record.val_images
    images = experiment.data.images
    return 100 * (1 - 1 / experiment.model.num_classes), images.val if images else 0
