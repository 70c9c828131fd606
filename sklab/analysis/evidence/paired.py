"""Two cells that were judged on the same images, paired by seed and by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from sklab.analysis.evidence.images import same_images
from sklab.analysis.statistics.intervals import ALPHA, none_if_nan, paired_difference
from sklab.analysis.variance.crossed import crossed, deviations, half_width, one_run_each
from sklab.spec.study.sweep import Metric
from sklab.store.measured.images import FloatArray, IntArray, read_images
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder


@dataclass(frozen=True)
class OverImages:
    """A difference paired by image: `half` width of its 95 % interval and two-sided `p`, over so many `images`.

    With one shared seed (n = 1) both are for new images and these two networks alone, p by McNemar's exact test; with
    more, for new seeds and images. None: no spread. `adjusted` is p after Holm over all tests of the comparison.
    """

    images: int
    n: int
    half: float | None
    p: float | None
    adjusted: float | None = None


def over_images(
    first: tuple[StudyFolder, Mapping[int, RunRecord]],
    second: tuple[StudyFolder, Mapping[int, RunRecord]],
    metric: Metric,
) -> OverImages | None:
    """The second cell minus the first: studies, and the complete runs of the cell by seed. None where a shared seed
    lacks its images on either side, or has other ones, and for a metric that is no mean over images."""
    if not metric.measure.per_image:
        return None
    seeds = sorted(first[1].keys() & second[1].keys())
    pairs = [(first[1][seed], second[1][seed]) for seed in seeds]
    if not pairs or not all(same_images(*pair) and same_images(pair[0], pairs[0][0]) for pair in pairs):
        return None
    own, other = (
        [read_images(study.run(records[seed].key), records[seed], metric) for seed in seeds]
        for study, records in (first, second)
    )
    held = [run for run in (*own, *other) if run is not None]
    if len(held) < 2 * len(seeds):
        return None
    values = np.array([outcomes.of(metric) for outcomes, _ in held]).reshape(2, len(seeds), -1)
    sources = next((sources for _, sources in held if sources is not None), None)
    half, p = one_run_each(values[0, 0], values[1, 0], sources) if len(seeds) == 1 else _seeds(values, sources)
    return OverImages(values.shape[-1], len(seeds), none_if_nan(half), none_if_nan(p))


def _seeds(values: FloatArray, sources: IntArray | None) -> tuple[float, float]:
    """Half width and p for new seeds and images, from `values` (first and second, seeds, images)."""
    own, other = values.mean(-1)
    seeds = paired_difference(other[None], own)
    df = seeds.df
    error = seeds.half / stdtrit(df, 1 - ALPHA / 2)
    effects = crossed(deviations(values[1] - values[0], sources)[None])
    both, df_both = effects.standard_error([[1.0]], error, df)
    p = np.fmax(seeds.p, 2 * stdtr(df_both, -np.abs(seeds.mean) / both))
    half = half_width(error, df, seeds.half, (both, df_both))
    return float(half[0]), float(np.where(np.isnan(seeds.half), np.nan, p)[0])
