"""`seeds: {baseline: 9, others: 3}` in a sweep file."""

import pytest
from sweepfiles import GRID, LIST, SEARCH, changed, faults_of, load

from sklab.spec.study.seeds import Seeds


def runs(sweep):
    return {cell.name: tuple(cell.runs) for cell in sweep.cells}


def test_the_baseline_gets_more_seeds_of_which_the_others_have_the_first(tmp_path):
    sweep = load(tmp_path, changed(LIST, seeds={"baseline": 5, "others": 2}))
    assert runs(sweep) == {"one": (0, 1, 2, 3, 4), "two": (0, 1)}
    assert (sweep.seeds, sweep.baseline_seeds, sweep.shared_seeds) == ((0, 1, 2, 3, 4), (2, 3, 4), (0, 1))
    plain = load(tmp_path, changed(LIST, seeds=5))
    assert sweep.cells[0] == plain.cells[0]
    assert sweep.cells[1].runs.items() <= plain.cells[1].runs.items()


def test_further_seeds_are_the_smallest_that_the_others_do_not_have(tmp_path):
    sweep = load(tmp_path, changed(LIST, seeds={"baseline": 4, "others": [1, 7]}))
    assert runs(sweep) == {"one": (1, 7, 0, 2), "two": (1, 7)}


@pytest.mark.parametrize(("comparisons", "number"), [(1, 3), (2, 4), (4, 6), (5, 7), (10, 9)])
def test_auto_is_the_square_root_of_the_number_of_comparisons(comparisons, number):
    seeds = Seeds(baseline="auto", others=(0, 1, 2))
    assert seeds.of_baseline_alone(comparisons) == tuple(range(3, number))


def test_auto_counts_the_cells_that_are_compared(tmp_path):
    sweep = load(tmp_path, changed(GRID, seeds={"baseline": "auto", "others": 2}))
    assert len(sweep.cells) + len(sweep.invalid) == 6
    comparisons = len(sweep.cells) - 1
    assert len(runs(sweep)[sweep.baseline]) == round(2 * comparisons**0.5)


def test_as_many_for_all_is_the_plain_number(tmp_path):
    assert load(tmp_path, changed(LIST, seeds={"baseline": 2, "others": 2})) == load(tmp_path, LIST)
    assert load(tmp_path, changed(LIST, seeds={"others": 2})) == load(tmp_path, LIST)


def test_seeds_from_the_command_line_are_those_of_every_cell(tmp_path):
    sweep = load(tmp_path, changed(LIST, seeds={"baseline": 9, "others": 2}), seeds=3)
    assert runs(sweep) == {"one": (0, 1, 2), "two": (0, 1, 2)}
    assert sweep.baseline_seeds == ()


@pytest.mark.parametrize(
    ("seeds", "place", "told"),
    [
        ({"baseline": 2, "others": 3}, "seeds", "fewer seeds than the others, which have 3; found"),
        ({"baseline": "many", "others": 3}, "seeds.baseline", "neither a number of seeds (1 to 1000) nor auto; found"),
        ({"baseline": 0, "others": 3}, "seeds.baseline", "(1 to 1000) nor auto"),
        ({"baseline": 9}, "seeds.others", "missing; allowed: a list of seeds, or how many of them"),
        ({"baseline": 9, "others": 0}, "seeds.others", "found 0; allowed: a list of seeds, or how many of them"),
        ({"baseline": 9, "others": [1, 1]}, "seeds.others", "a seed stands twice"),
        ({"baseline": 9, "others": 3, "cell": 2}, "seeds.cell", "unknown key"),
        ({"base": 9, "others": 3}, "seeds.base", "unknown key; found base; allowed: others, baseline"),
    ],
)
def test_faults_name_their_place(tmp_path, seeds, place, told):
    faults = faults_of(tmp_path, changed(LIST, seeds=seeds))
    assert list(faults) == [place]
    assert told in str(faults[place])


def test_a_search_gives_every_cell_the_same_seeds(tmp_path):
    fault = faults_of(tmp_path, changed(SEARCH, seeds={"baseline": 9, "others": 3}))["seeds.baseline"]
    assert "not used by design: search" in str(fault)


def test_replicates_take_the_place_of_both(tmp_path):
    text = changed(LIST, seeds={"baseline": 9, "others": 3}, replicates={"start": 2, "max": 4})
    assert "leave out one of the two" in str(faults_of(tmp_path, text)["replicates"])


def test_crossed_sources_of_chance_are_blocks_of_runs(tmp_path):
    text = changed(LIST, seeds={"baseline": 8, "others": 4}, vary={"init": 2, "order": 2})
    assert "a block of vary is several runs" in str(faults_of(tmp_path, text)["seeds.baseline"])
