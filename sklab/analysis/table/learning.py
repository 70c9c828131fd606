"""What the runs of a cell learned, from their records: more than guessing, and were they still at it when they ended?

A cell is undertrained where its error fell, in the last epoch and in the mean over its runs, by more than

    a fifth of the error that is left: a cosine schedule that ends at 0 always gains a little in its last epochs. The
        network of the quickstart gains about 40 % in the last of 4 epochs, at most 17 % in that of 8, nothing in that
        of 16
    twice the standard deviation between its runs: an error goes up and down from one epoch to the next, too
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from sklab.analysis.statistics.intervals import no_better_than_guessing
from sklab.spec.study.sweep import Metric
from sklab.store.records import RunRecord

_SHARE = 0.2  # of the last error
_DEVIATIONS = 2.0


def learned(records: Sequence[RunRecord], metric: Metric) -> dict[str, float | None]:
    """What a row says of it: `at_chance` and `last_fall` of these runs of one cell."""
    return {"guessing": at_chance(records, metric), "last_fall": last_fall(records)}


def last_fall(records: Sequence[RunRecord]) -> float | None:
    """By how many points the error fell in the last epoch, where the cell is undertrained; else None, and where no
    record tells."""
    pairs = [(record.previous["val_error"], record.last["val_error"]) for record in records if _tells(record)]
    if not pairs:
        return None
    fall, last = (math.fsum(of) / len(pairs) for of in ((was - now for was, now in pairs), (now for _, now in pairs)))
    deviation = statistics.stdev(now for _, now in pairs) if len(pairs) > 1 else 0.0
    return fall if fall > max(_SHARE * last, _DEVIATIONS * deviation) else None


def _tells(record: RunRecord) -> bool:
    return "val_error" in record.previous and "val_error" in record.last


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
