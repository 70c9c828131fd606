import pytest
from scipy.stats import ttest_rel
from studies import make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.side_by_side import side_by_side
from sklab.errors import SklabError
from sklab.spec.study.sweep import Metric

FIRST = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0], "old": [1.0, 2.0, 3.0]}
SECOND = {"K3": [30.0, 30.5, 33.5], "K5": [25.0, None, 26.0], "new": [1.0, 2.0, 3.0]}


def table(errors, **changes):
    return ablation_table(make_sweep(list(errors), **changes), make_records(errors))


@pytest.fixture(scope="module")
def found():
    return side_by_side({"a": table(FIRST), "b": table(SECOND)})


def test_a_cell_stands_beside_itself_with_a_paired_test(found):
    first, second = found.cells["K3"]
    expected = ttest_rel(SECOND["K3"], FIRST["K3"])
    assert (first.n, first.mean, first.shift) == (3, pytest.approx(63.5 / 3), None)
    assert second.shift.mean == pytest.approx(10.1667, abs=1e-4)
    assert second.shift.p == pytest.approx(expected.pvalue)
    assert second.shift.half == pytest.approx(expected.confidence_interval()[1] - second.shift.mean)


def test_only_seeds_that_both_have_are_paired(found):
    shift = found.cells["K5"][1].shift
    assert (shift.n, shift.mean) == (2, pytest.approx(6.5))


def test_p_is_adjusted_over_all_tests(found):
    tests = [found.cells[name][1].shift for name in ("K3", "K5")]
    assert min(one.adjusted for one in tests) == pytest.approx(2 * min(one.p for one in tests))


@pytest.mark.parametrize("by", [0.0, 1.0])
def test_without_a_spread_there_is_no_test_and_none_is_adjusted_for(by):
    other = {**SECOND, "K5": [value + by for value in FIRST["K5"]]}
    same, tested = (side_by_side({"a": table(FIRST), "b": table(other)}).cells[name][1].shift for name in ("K5", "K3"))
    assert (same.mean, same.half, same.p, same.adjusted) == (by, None, None, None)
    assert tested.adjusted == tested.p


def test_each_study_has_its_own_baseline(found):
    assert [entry.from_baseline for entry in found.cells["K3"]] == [None, None]
    assert found.cells["K5"][0].from_baseline == pytest.approx(-2.0)
    assert found.cells["K5"][1].from_baseline == pytest.approx(-6.25)


def test_cells_of_one_study_only_are_named(found):
    assert list(found.cells) == ["K3", "K5"]
    assert found.alone == (("old",), ("new",))
    assert (found.ranks[0].tau, found.ranks[0].n) == (1.0, 2)


def test_of_three_studies_a_cell_may_be_missing_in_one():
    found = side_by_side({"a": table(FIRST), "b": table(SECOND), "c": table({"old": [2.0, 2.5, 4.0]})})
    assert [entry is not None for entry in found.cells["old"]] == [True, False, True]
    assert [entry is not None for entry in found.cells["K5"]] == [True, True, False]


def test_seeds_that_do_not_meet_are_not_tested():
    other = ablation_table(make_sweep(["K3"], (3, 4)), {})
    shift = side_by_side({"a": table(FIRST), "b": other}).cells["K3"][1].shift
    assert (shift.n, shift.mean, shift.p) == (0, None, None)


@pytest.mark.parametrize(("others", "told"), [
    ({}, "two different ones"),
    ({"b": table({"x": [1.0, 2.0]})}, "a: K3, K5, old\n  b: x"),
    ({"b": table(FIRST, metric=Metric(epoch="best"))}, "b: val_error at the best epoch"),
])  # fmt: skip
def test_studies_that_cannot_be_compared_are_refused(others, told):
    with pytest.raises(SklabError, match=told):
        side_by_side({"a": table(FIRST), **others})


def test_cells_are_the_same_however_their_numbers_are_written():
    first, second = {"lr=0.1": FIRST["K3"], "lr=0.01": FIRST["K5"]}, {"lr=1e-2": SECOND["K5"], "lr=0.10": SECOND["K3"]}
    found = side_by_side({"a": table(first, baseline="lr=0.1"), "b": table(second, baseline="lr=0.10")})
    assert list(found.cells) == ["lr=0.1", "lr=0.01"]
    assert [entry.from_baseline for entry in found.cells["lr=0.1"]] == [None, None]
    assert found.cells["lr=0.01"][1].from_baseline == pytest.approx(-6.25)
    assert found.alone == ((), ())
