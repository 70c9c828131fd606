import numpy as np
import pytest

from sklab.analysis.statistics.intervals import rank_agreement, verdict


@pytest.mark.parametrize(
    ("difference", "half", "expected"),
    [
        (0.1, 0.3, "reproduced"),
        (-0.2, 0.3, "reproduced"),
        (0.3, 0.3, "cannot tell"),  # the interval reaches beyond the tolerance
        (0.0, 9.0, "cannot tell"),  # no difference seen, but nothing excluded either
        (1.0, 0.4, "not reproduced"),
        (-1.0, 0.4, "not reproduced"),
        (1.0, 0.6, "cannot tell"),
        (0.1, np.nan, "cannot tell"),
    ],
)
def test_a_verdict_is_of_the_whole_interval(difference, half, expected):
    assert verdict(difference, half, tolerance=0.5) == expected


def test_rank_agreement_counts_only_cells_with_both_figures():
    found = rank_agreement([1.0, 2.0, 3.0, 4.0, np.nan], [20.0, 21.0, 23.0, 22.0, 1.0])
    assert (found.n, found.tau) == (4, pytest.approx(4 / 6))


@pytest.mark.parametrize("published", [[np.nan, 1.0], [2.0, 2.0]])
def test_without_an_order_there_is_no_agreement(published):
    assert np.isnan(rank_agreement([1.0, 2.0], published).tau)
