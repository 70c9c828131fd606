from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklab.analysis.choice import pareto


def dominated_by(values, costs):
    return pareto.dominated_by(pareto.significantly_higher(values), pareto.no_cheaper(costs))


def errors(*means, noise=0.05):
    return np.array(means)[:, None] + noise * np.random.default_rng(0).normal(size=(len(means), 4))


def test_a_dearer_and_worse_cell_is_dominated_and_a_cheaper_one_is_not():
    assert dominated_by(errors(10, 8, 9), [1, 2, 3]) == ((), (), (1,))
    assert dominated_by(errors(10, 8, 9), [3, 3, 3]) == ((1, 2), (), (1,))


def test_a_difference_that_chance_explains_dominates_nobody():
    assert dominated_by(errors(9, 9.01, 9.02), [1, 2, 3]) == ((), (), ())
    assert dominated_by(errors(9, 10, 11, noise=3.0), [1, 2, 3]) == ((), (), ())


def test_a_cell_without_runs_or_cost_takes_no_part():
    values = errors(10, 8, 9)
    values[1] = np.nan
    assert dominated_by(values, [1, 2, 3]) == ((), (), ())
    assert dominated_by(errors(10, 8, 9), [1, np.nan, 3]) == ((), (), ())


def test_the_order_of_cells_does_not_matter():
    values, costs = errors(10, 8, 9, 12), np.array([2, 2, 3, 1])
    order = np.array([2, 0, 3, 1])
    found = dominated_by(values[order], costs[order])
    back = {int(order[row]): {int(order[by]) for by in of} for row, of in enumerate(found)}
    assert back == {row: set(of) for row, of in enumerate(dominated_by(values, costs))}


@given(st.lists(st.tuples(st.floats(0, 9) | st.just(np.nan), st.integers(0, 4)), max_size=9))
def test_the_front_is_what_nothing_is_better_than_and_everything_else_is_worse(cells):
    errors_, costs = [cell[0] for cell in cells], [float(cell[1]) for cell in cells]
    front = pareto.pareto_front(errors_, costs)
    assert [costs[at] for at in front] == sorted(costs[at] for at in front)
    for at, (error, cost) in enumerate(cells):
        beats = [other for other in front if errors_[other] <= error and costs[other] <= cost]
        assert (at in beats) if at in front else (np.isnan(error) or beats)
        assert len(beats) == 1 if at in front else True


def slower(*cells):
    """Whether the first of `cells`, each the latencies of its runs, is told apart as slower than the second."""
    lowest, highest, runs = zip(*((min(cell), max(cell), len(cell)) for cell in cells), strict=True)
    return bool(pareto.ranges_above(lowest, highest, runs)[0, 1])


def test_a_measured_cost_is_higher_where_every_run_is():
    assert slower((1.41, 1.42, 1.43), (1.38, 1.39, 1.40))
    assert not slower((1.38, 1.39, 1.40), (1.41, 1.42, 1.43))
    assert not slower((1.40, 1.42, 1.43), (1.38, 1.39, 1.41))
    assert not slower((1.41, 1.42), (1.38, 1.39)), "of two runs each, chance parts two equal cells so once in six"
    assert not slower((1.4,), (1.3,) * 9), "and of one against nine once in ten"
    assert not slower((np.nan,) * 3, (1.38, 1.39, 1.40))


@given(st.integers(1, 4), st.integers(1, 4))
def test_equal_cells_are_told_apart_at_most_once_in_twenty_orders_of_their_runs(ours, theirs):
    ranks = range(ours + theirs)
    told = [slower(cell, [rank for rank in ranks if rank not in cell]) for cell in combinations(ranks, ours)]
    assert np.mean(told) <= 0.05


def test_a_cell_that_is_worse_and_no_faster_beyond_its_spread_stays():
    higher = pareto.significantly_higher(errors(10, 8))
    no_cheaper = pareto.ranges_above([1.39, 1.38], [1.43, 1.45], [3, 3])
    assert pareto.dominated_by(higher, no_cheaper) == ((), ())
    assert pareto.dominated_by(higher, pareto.ranges_above([1.39, 1.30], [1.43, 1.35], [3, 3])) == ((1,), ())


def test_runs_differ_severalfold_from_twice_on():
    assert pareto.differ_severalfold(0.6, 1.3)
    assert not pareto.differ_severalfold(0.6, 1.1)
    assert not pareto.differ_severalfold(0.6, 0.6)
