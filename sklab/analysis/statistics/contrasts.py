"""Contrasts of cell means: a question about several cells at once, answered from the cells' own variances.

    contrast = sum over cells of weight x level of the cell,  weights that add to 0

Levels are those of the additive model of `blocks` (value = cell + seed + error), so that the effects of seeds drop out,
and a missing run is a gap in the fit. Every cell has a variance of its own: the sum of its squared residuals, divided
by the value that this sum has on average where all variances are 1. Degrees of freedom are Satterthwaite's, corrected
for two biases of few runs: estimated shares are too small (as in `blocks`), their squares too large (Welch). A contrast
of two single cells keeps the rule of the table, `blocks.standard_errors`.

The contrasts of a family are tested together: each by the multivariate t with its own degrees of freedom and the
estimated correlations (Hasler and Hothorn). The ANOVA-type statistic, which does not assume equal variances, tests
whether the pairs behind a mean difference agree (Brunner, Dette and Munk).

Sources: F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 2
(1946), 110-114; B. L. Welch, The generalization of Student's problem, Biometrika 34 (1947), 28-35; M. Hasler, L. A.
Hothorn, Multiple contrast tests in the presence of heteroscedasticity, Biometrical Journal 50 (2008), 793-800; E.
Brunner, H. Dette, A. Munk, Box-type approximations in nonparametric factorial designs, JASA 92 (1997), 1494-1502.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc, stdtr, stdtrit

from sklab.analysis.statistics import blocks, planning
from sklab.analysis.statistics.compare import EQUAL, FEW, Versus
from sklab.analysis.statistics.dunnett import critical_of, exceedance_of
from sklab.analysis.statistics.intervals import ALPHA, ROUNDING, FloatArray, IntArray

_TABLES = 201  # simulated to plan a study


@dataclass(frozen=True)
class Contrasts:
    """Contrasts (..., contrasts) with their standard errors and degrees of freedom.

    parts      (..., contrasts, cells, seeds): the weight of every run, for the cells whose runs have one
    variance   (..., cells): the variance of one run of each of these cells; NaN for a cell with fewer than two runs
    precision  (..., cells, cells): covariance of two of these variances over twice their product; on the diagonal it is
               one over the cell's degrees of freedom

    Error and df are NaN where a cell with a weight has fewer than two runs, and where there is no spread.
    """

    estimate: FloatArray
    error: FloatArray
    df: FloatArray
    parts: FloatArray
    variance: FloatArray
    precision: FloatArray

    @property
    def covariance(self) -> FloatArray:
        """(..., contrasts, contrasts): the covariance of the estimates, from the cells' own variances."""
        scaled = self.parts * np.sqrt(np.nan_to_num(self.variance))[..., None, :, None]
        flat = scaled.reshape(*scaled.shape[:-2], -1)
        return np.asarray(flat @ np.swapaxes(flat, -1, -2))

    @property
    def correlation(self) -> FloatArray:
        """(..., contrasts, contrasts): the correlation of the estimates."""
        covariance = self.covariance
        sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(covariance / (sd[..., :, None] * sd[..., None, :]))


def family(values: npt.ArrayLike, weights: npt.ArrayLike, alpha: float = ALPHA) -> tuple[Versus, ...]:
    """The answers to contrasts `weights` (contrasts, cells) of one table `values` (cells, seeds; NaN: no run).

    Intervals miss together with probability `alpha`; p is adjusted over the family.
    """
    table, of_cells = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    results = with_table_rule(contrasts(table, of_cells), table, of_cells)
    tested = np.flatnonzero(~np.isnan(results.error))
    correlation = results.correlation[np.ix_(tested, tested)]
    return _answers(results, _seeds(table, of_cells), [correlation] * len(of_cells), alpha)


def one_by_one(values: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[Versus, ...]:
    """The answers to contrasts that are no family: every interval holds by itself with 95 %, and p is not adjusted."""
    table, of_cells = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    results = with_table_rule(contrasts(table, of_cells), table, of_cells)
    return _answers(results, _seeds(table, of_cells), [np.eye(1)] * len(of_cells), ALPHA)


def detectable(there: npt.ArrayLike, weights: npt.ArrayLike, sd: float) -> FloatArray:
    """The true differences (contrasts) that a family finds with 80 % probability each, before it has any run.

    there  (cells, seeds): the runs that are planned; `sd` is the standard deviation of a run, the same in all cells.
    Errors and degrees of freedom are averages over simulated tables.
    """
    runs, of_cells = np.asarray(there, dtype=bool), np.asarray(weights, dtype=np.float64)
    drawn = np.where(runs, sd * np.random.default_rng(0).standard_normal((_TABLES, *runs.shape)), np.nan)
    results = with_table_rule(contrasts(drawn, of_cells), drawn, of_cells)
    seeds, correlation = _seeds(drawn[0], of_cells), np.mean(results.correlation, 0)  # medians may be no correlation
    error, df = np.sqrt(np.mean(results.error**2, 0)), np.median(results.df, 0)
    critical = partial(critical_of, correlation=correlation)
    plans = zip((error * np.sqrt(seeds)).tolist(), seeds, df.tolist(), strict=True)
    return np.array([planning.detectable(seed_sd, n, freedom, critical) for seed_sd, n, freedom in plans])


def disagreement(values: npt.ArrayLike, weights: npt.ArrayLike) -> float:
    """p of the hypothesis that all contrasts `weights` (contrasts, cells) of one table are equal; NaN without a
    test."""
    table, of_cells = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if len(of_cells) < 2:
        return math.nan
    results = contrasts(table, of_cells)
    return math.nan if np.isnan(results.error).any() else float(disagreements(results))


def contrasts(values: FloatArray, weights: FloatArray) -> Contrasts:
    """The contrasts `weights` (contrasts, cells) of tables `values` (..., cells, seeds), with the cells' own
    variances."""
    fitted = blocks.fit(values)
    parts = _parts(values, weights, fitted)
    # Where runs are missing, these are more cells than those with a weight.
    held = np.flatnonzero((parts != 0).any(-1).reshape(-1, values.shape[-2]).any(0))
    parts, (variance, precision) = parts[..., held, :], _own_variances(values, fitted, held)
    of_cells = (parts**2).sum(-1) * np.nan_to_num(variance)[..., None, :]
    error, scale = np.sqrt(of_cells.sum(-1)), np.max(np.abs(np.nan_to_num(values)), axis=(-1, -2))[..., None]
    unknown = ((weights[:, held] != 0) & np.isnan(variance)[..., None, :]).any(-1) | (error <= ROUNDING * scale)
    df = np.where(unknown, np.nan, _degrees(of_cells, precision))
    estimate = np.einsum("...pis,...is->...p", parts, np.nan_to_num(values)[..., held, :])
    return Contrasts(estimate, np.where(unknown, np.nan, error), df, parts, variance, precision)


def with_table_rule(results: Contrasts, values: FloatArray, weights: FloatArray) -> Contrasts:
    """`results`, with the error and df of the table's rule for contrasts of two single cells."""
    error, df = results.error.copy(), results.df.copy()
    pairs = [(at, int(row.argmax()), int(row.argmin())) for at, row in enumerate(weights) if np.count_nonzero(row) == 2]
    for against in {low for _, _, low in pairs}:
        errors = blocks.standard_errors(values, against)
        for at, high, low in pairs:
            if low == against:
                error[..., at] = errors.error[..., high] * weights[at].max()
                df[..., at] = np.where(np.isnan(error[..., at]), np.nan, errors.df)
    return replace(results, error=error, df=df)


def disagreements(results: Contrasts) -> FloatArray:
    """(...): p of the hypothesis that all these contrasts are equal."""
    many = results.estimate.shape[-1]
    centre = np.eye(many) - 1 / many
    between = centre @ results.covariance
    centred = np.einsum("pq,...qis->...pis", centre, results.parts)
    of_cells = np.einsum("...pis,...pis->...i", results.parts, centred) * np.nan_to_num(results.variance)
    mean = np.trace(between, axis1=-2, axis2=-1)
    first = mean**2 / np.einsum("...pq,...qp->...", between, between)
    second = _degrees(of_cells[..., None, :], results.precision)[..., 0]
    distance = ((results.estimate - results.estimate.mean(-1, keepdims=True)) ** 2).sum(-1)
    return np.asarray(fdtrc(first, second, distance / mean))


def _seeds(values: FloatArray, weights: FloatArray) -> list[int]:
    """For every contrast, the smallest number of runs among the cells that have a weight."""
    runs = (~np.isnan(values)).sum(-1)
    return [int(runs[weighted != 0].min(initial=values.shape[-1])) for weighted in weights]


def _answers(
    results: Contrasts, seeds: Sequence[int], correlations: Sequence[FloatArray], alpha: float
) -> tuple[Versus, ...]:
    return tuple(
        _untested(float(results.estimate[at]), n)
        if np.isnan(results.error[at])
        else _answer(results, at, n, correlation, alpha)
        for at, (n, correlation) in enumerate(zip(seeds, correlations, strict=True))
    )


def _untested(estimate: float, n: int) -> Versus:
    return Versus(n, estimate if n else math.nan, reason=FEW if n < 2 else EQUAL)


def _answer(results: Contrasts, at: int, n: int, correlation: FloatArray, alpha: float) -> Versus:
    estimate, error, df = float(results.estimate[at]), float(results.error[at]), float(results.df[at])
    t, sd, reach = abs(estimate / error), error * math.sqrt(n), critical_of(df, correlation, 1 - alpha)
    p, critical = float(2 * stdtr(df, -t)), _critical_by_df(reach, df)
    adjusted, smallest = max(p, exceedance_of(t, df, correlation)), planning.detectable(sd, n, df, critical)
    needed, effect = planning.seeds_needed(estimate, sd, n, df, critical), planning.hedges(estimate, sd, df)
    return Versus(n, estimate, reach * error, p, adjusted, df, "contrast", effect, smallest, needed, error=error)


def _critical_by_df(critical: float, df: float) -> planning.Critical:
    """The critical |t| at other degrees of freedom, for planning: at the level that `critical` has at `df`."""
    level = float(stdtr(df, critical))
    return lambda other: float(stdtrit(other, level))


def _own_variances(values: FloatArray, fitted: blocks.Fit, held: IntArray) -> tuple[FloatArray, FloatArray]:
    """`variance` and `precision` of Contrasts, for the cells `held`."""
    there = (~np.isnan(values[..., held, :])).astype(float)
    n = there.sum(-1)
    share = there / np.maximum(n, 1)[..., None]
    centred = there[..., None] * (
        np.eye(values.shape[-1]) - share[..., None, :]
    )  # subtracts a cell's mean from its runs
    seeds = fitted.inverse[..., None, :, :] @ centred
    taken = np.trace(seeds, axis1=-2, axis2=-1)
    # The expected squares of cell i are sum_j expected[i, j] x variance of cell j; sum_j expected[i, j] is the number
    # of degrees of freedom of cell i.
    own = np.maximum(n - 1, 0) - 2 * taken
    expected = np.einsum("...iab,...jba->...ij", seeds, seeds) + own[..., None] * np.eye(len(held))
    freedom = np.where(n > 1, n - 1 - taken, np.nan)
    freedom = np.where(freedom > ROUNDING, freedom, np.nan)
    precision = expected / (freedom[..., :, None] * freedom[..., None, :])
    return np.asarray(fitted.squares[..., held] / freedom), np.nan_to_num(precision)


def _parts(values: FloatArray, weights: FloatArray, fitted: blocks.Fit) -> FloatArray:
    """The weight of every run (..., contrasts, cells, seeds) in the contrasts of the fitted levels."""
    there = (~np.isnan(values)).astype(float)[..., None, :, :]
    share = there / np.maximum(there.sum(-1, keepdims=True), 1)
    level = weights[..., None] * share
    if there.all():
        return np.asarray(level)  # the effects of seeds drop out exactly
    seeds = (level.sum(-2) @ fitted.inverse)[..., None, :]
    return np.asarray(level - there * (seeds - (share @ np.swapaxes(seeds, -1, -2))))


def _degrees(parts: FloatArray, precision: FloatArray) -> FloatArray:
    """Degrees of freedom (..., contrasts) of the sum of `parts` (..., contrasts, cells), each an estimated
    variance; rounded down to a tenth."""
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.diagonal(precision, axis1=-2, axis2=-1)[..., None, :]
        share = parts / parts.sum(-1, keepdims=True)
        share = np.minimum(share + 2 * share**2 * (1 - share) * own, 1)
        spread = np.einsum("...pi,...pj,...ij->...p", share, share, precision / (1 + 2 * precision))
        least = np.min(np.where(parts > 0, 1 / own, np.inf), -1)
        return np.asarray(np.floor(10 * np.maximum(1 / spread - 2, least)) / 10)
