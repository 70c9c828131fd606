"""The test split beside the validation images: the same comparisons on images by which nothing was chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sklab.analysis.evidence.blocks import block_means
from sklab.analysis.statistics.compare import Versus, compare, means
from sklab.analysis.statistics.intervals import FloatArray, mean_interval
from sklab.spec.study.sweep import Sweep


@dataclass(frozen=True)
class OnTest:
    """The figures of one cell on the test split, in the unit of the metric; NaN where there is none.

    n, mean, half   over the runs that were evaluated there, with the half width of the mean's 95 % t interval
    gap, gap_half   the mean of test minus validation over the same runs, with its 95 % t interval: what choosing by
                    validation images made look better, and that these are other images
    baseline        the comparison with the baseline, as that on validation images; None on the baseline's own row
    """

    n: int = 0
    mean: float = math.nan
    half: float = math.nan
    gap: float = math.nan
    gap_half: float = math.nan
    baseline: Versus | None = None


@dataclass(frozen=True)
class Read:
    """One reading of the test split: its date (UTC, ISO 8601), and how many of the table's runs and seeds it had."""

    dated: str
    runs: int
    seeds: int


@dataclass(frozen=True)
class HeldOut:
    """What is known of a study's test split.

    rows      the figures of the cells by name
    values    of the runs, by key
    readings  in their order; without one, nothing has been read yet
    unread    complete runs that have not been evaluated there
    mixed     whether runs were evaluated on different images
    faults    why records of readings can't be read
    """

    rows: Mapping[str, OnTest]
    values: Mapping[str, float]
    readings: tuple[Read, ...] = ()
    unread: int = 0
    mixed: bool = False
    faults: tuple[str, ...] = ()


def on_test(sweep: Sweep, validation: FloatArray, test: FloatArray, baseline: int | None) -> tuple[OnTest, ...]:
    """The figures of each row from the values (rows, seeds of the sweep) on both kinds of images; NaN where a run has
    none. `baseline` is the number of its row."""
    gaps = mean_interval(block_means(sweep, test - validation))
    values = block_means(sweep, np.where(np.isnan(validation), np.nan, test))
    there = baseline is not None and not np.all(np.isnan(values[baseline]))
    compared = compare(values, baseline, further=bool(sweep.baseline_seeds)) if baseline is not None and there else None
    estimate = means(values, compared.choice if compared else None)
    return tuple(
        OnTest(
            n=int(estimate.n[at]),
            mean=float(estimate.mean[at]),
            half=float(estimate.half[at]),
            gap=float(gaps.mean[at]),
            gap_half=float(gaps.half[at]),
            baseline=compared.rows[at] if compared and at != baseline and estimate.n[at] else None,
        )
        for at in range(len(values))
    )
