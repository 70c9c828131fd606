"""Which next runs help most: more seeds of the baseline alone, or one more seed of every cell.

Both are judged by the half width of the simultaneous intervals of differences from the baseline, by the formulas of
`statistics.unpaired` with the variances at hand: those of the study's runs, else equal ones.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from sklab.analysis.statistics import blocks, dunnett, unpaired
from sklab.analysis.statistics.checks import choose
from sklab.analysis.statistics.intervals import LEVEL, FloatArray
from sklab.spec.study.sweep import Sweep
from sklab.spec.values import Value


class NextRuns(Value):
    """What further runs do for the half width of the differences from the baseline.

    now             the half width with the runs that are planned
    baseline_runs   further runs of the baseline alone, and the half width with them: the fewest that do as much as one
                    more seed of every cell, or as many runs as that takes where no fewer do
    every_runs      the number of runs of one more seed of every cell, and the half width with it
    baseline_has_more
                    whether the baseline has more seeds than the others, so that it needs none of these runs
    known           whether the half widths are in the unit of the metric; else in standard deviations of a run
    differ          p of the test of the seeds where they differ: further runs of the baseline alone do not count
    """

    now: float
    baseline_runs: int
    baseline_half: float
    every_runs: int
    every_half: float
    known: bool
    baseline_has_more: bool
    differ: float | None = None

    @property
    def baseline_helps_more(self) -> bool:
        """Whether runs of the baseline alone do as much with fewer runs."""
        return self.differ is None and self.baseline_half <= self.every_half


def next_runs(sweep: Sweep, values: FloatArray, spread: float | None = None) -> NextRuns | None:
    """The next runs for `values` (cells, seeds of the sweep; NaN: no run yet) and a standard deviation `spread` of a
    run, if the user states it.

    None where further runs of the baseline could not count: in a search, with seeds that follow the data or come in
    blocks, with too few cells or seeds, or in a table that is not pooled.
    """
    cells, seeds = len(sweep.cells), len(sweep.shared_seeds)
    fixed = not (sweep.search or sweep.replicates or sweep.nuisance or (sweep.vary and sweep.vary.block > 1))
    enough = seeds >= unpaired.FEWEST_SEEDS and (cells - 1) * (seeds - 1) >= unpaired.FEWEST_DF
    if not fixed or not enough:
        return None
    baseline = next(at for at, cell in enumerate(sweep.cells) if cell.name == sweep.baseline)
    shared, further = values[:, np.isin(sweep.seeds, sweep.shared_seeds)], values[baseline]
    further = further[np.isin(sweep.seeds, sweep.baseline_seeds)]
    if np.isnan(shared).any() or np.isnan(further).any():
        return _options(_equal(cells, spread or 1.0), (cells - 1, seeds, seeds + further.size), spread is not None)
    choice = choose(shared)
    if choice.method == "paired":
        return None
    kept = np.setdiff1d(np.arange(cells), [row for row in choice.noisy if row != baseline])
    quiet, at = shared[kept], int((kept < baseline).sum())
    found = unpaired.standard_errors(quiet, at, further, apart=len(kept) < cells).spread
    p = float(unpaired.seeds_p(quiet))
    size = (len(kept) - 1, seeds, seeds + further.size)
    return _options(found, size, True) if p >= unpaired.DIFFER else _paired(quiet, at, size, p)


def _equal(cells: int, spread: float) -> blocks.Spread:
    """Equal variances, before they are estimated; the degrees of freedom are those of the number of seeds."""
    variance, df = np.asarray(spread**2), np.asarray(1.0)
    return blocks.Spread(variance, np.full(cells, variance), variance, df, df * (cells - 1), df)


def _options(spread: blocks.Spread, size: tuple[int, int, int], known: bool) -> NextRuns:
    comparisons, seeds, of_baseline = size
    has_more = of_baseline > seeds
    every = comparisons + (not has_more)

    def half(further: int, more: int = 0) -> float:
        n0, n = max(of_baseline + further, seeds + more), seeds + more
        share, df = unpaired.planned(spread, n0, n)
        critical = dunnett.critical(comparisons, float(df), LEVEL, float(share))
        return critical * float(np.sqrt(spread.shared / n0 + spread.common / n))

    target = half(0, 1)
    fewest = 1 + bisect_left(range(1, every), -target, key=lambda runs: -half(runs))
    halves = {"now": half(0), "baseline_half": half(fewest), "every_half": target}
    return NextRuns(baseline_runs=fewest, every_runs=every, baseline_has_more=has_more, known=known, **halves)


def _paired(values: FloatArray, baseline: int, size: tuple[int, int, int], p: float) -> NextRuns:
    """The options where seeds differ: only those that all cells have count."""
    comparisons, seeds, of_baseline = size
    has_more = of_baseline > seeds
    every = comparisons + (not has_more)
    errors = blocks.standard_errors(values, baseline)

    def half(n: int) -> float:
        df = float(errors.df) * (n - 1) / (seeds - 1)
        critical = dunnett.critical(comparisons, df, LEVEL, float(errors.correlation))
        return critical * float(np.sqrt(np.nanmean(errors.error**2) * seeds / n))

    halves = {"now": half(seeds), "baseline_half": half(seeds), "every_half": half(seeds + 1)}
    options = {"baseline_runs": every, "every_runs": every, "baseline_has_more": has_more, "known": True, "differ": p}
    return NextRuns.model_validate({**options, **halves})
