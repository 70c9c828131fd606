"""Effects of a sweep's factors: which designs have them, what they leave out, and which cells are matched."""

from itertools import product

import numpy as np
import pytest
from studies import key_of, make_records, make_sweep

from sklab.analysis.statistics.anova import analyse
from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.effects import MOST_RUNS, effects_of
from sklab.spec.study.sweep import Cell, Factor, Fraction

LEVELS = {"D": ("1", "2"), "G": ("1", "2", "4")}
GRID = [dict(zip(LEVELS, levels, strict=True)) for levels in product(*LEVELS.values())]
HALF = Fraction(share="1/2", resolution=3, generators=("C = A × B",), aliases=("A = B × C",))
KERNELS = [
    dict.fromkeys(names.split("+"), "x")
    for names in (
        "K3",
        "K5",
        "K7",
        "K3+K5",
        "K3+K5+SK",
        "K3+K7",
        "K3+K7+SK",
        "K5+K7",
        "K5+K7+SK",
        "K3+K5+K7",
        "K3+K5+K7+SK",
    )
]
QUARTER = [{"A": a, "B": b, "C": "+" if a == b else "-"} for a, b in product("-+", repeat=2)]


def sweep_over(cells, design="grid", seeds=3, **changes):
    names = dict.fromkeys(name for cell in cells for name in cell)
    levels = {name: {cell[name]: 0 for cell in cells if name in cell} for name in names}
    made = tuple(Cell(name=str(at), factors=cell) for at, cell in enumerate(cells))
    factors = {} if design == "list" else {name: Factor(path="model.x", levels=levels[name]) for name in names}
    return make_sweep(["0"], range(seeds), design=design, cells=made, factors=factors, columns=tuple(names), **changes)


def errors(cells, seeds=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(20, 1, (len(cells), seeds)) + rng.normal(0, 3, seeds)


def names_of(effects):
    return [effect.name for effect in effects.analysis.effects]


def test_a_grid_has_main_effects_and_interactions_by_the_analysis_of_variance():
    values = errors(GRID)
    effects = effects_of(sweep_over(GRID), values)
    runs = {name: [cell[name] for cell in GRID for _ in range(3)] for name in LEVELS}
    assert effects.analysis == analyse(values.ravel(), runs, [0, 1, 2] * 6)
    assert names_of(effects) == ["D", "G", "D × G"]
    assert (effects.inseparable, effects.notes, effects.reason) == ((), (), "")


def test_every_level_is_compared_like_with_like_against_the_baselines():
    values = errors(GRID)
    effects = effects_of(sweep_over(GRID), values)
    means = values.mean(1)
    assert [answer.name for answer in effects.matched] == ["D 2 against 1", "G 2 against 1", "G 4 against 1"]
    expected = [
        (means[3:] - means[:3]).mean(),
        (means[[1, 4]] - means[[0, 3]]).mean(),
        (means[[2, 5]] - means[[0, 3]]).mean(),
    ]
    assert [answer.versus.difference for answer in effects.matched] == pytest.approx(expected)
    assert [len(answer.pairs) for answer in effects.matched] == [3, 2, 2]
    assert effects.unmatched == ()


def test_matched_pairs_make_the_sum_of_squares_of_type_two():
    """A factor whose matched pairs are all that tells of it: F is the square of the pooled t."""
    values = errors(KERNELS)
    effects = effects_of(sweep_over(KERNELS, "list"), values)
    variance = effects.analysis.squares / effects.analysis.df
    for answer in effects.matched:
        (f,) = [effect.f for effect in effects.analysis.effects if effect.factors == (answer.question.of,)]
        pairs = len(answer.pairs)
        assert answer.versus.difference**2 / (2 * variance / (3 * pairs)) == pytest.approx(f)


def test_a_pair_without_runs_on_one_side_is_left_out_by_name():
    values = errors(GRID)
    values[4] = np.nan
    answer = effects_of(sweep_over(GRID), values).matched[0]
    assert [str(pair) for pair in answer.left_out] == ["4 against 1"]
    assert len(answer.pairs) == 2


def test_levels_of_a_fraction_are_compared_over_all_cells_which_meet_the_same_others():
    effects = effects_of(sweep_over(QUARTER, "fractional", fraction=HALF), errors(QUARTER))
    assert [(answer.question.of, len(answer.pairs)) for answer in effects.matched] == [("A", 1), ("B", 1), ("C", 1)]


def test_a_missing_run_is_announced():
    values = errors(GRID)
    values[1, 1] = np.nan
    assert effects_of(sweep_over(GRID), values).notes[0].startswith("unbalanced: 17 of 18")


def test_a_missing_run_of_a_fraction_is_one_of_the_fraction():
    values = errors(QUARTER)
    values[1, 1] = np.nan
    (note, *_) = effects_of(sweep_over(QUARTER, "fractional", fraction=HALF), values).notes
    assert note.startswith("unbalanced: 11 of the fraction's 12 combinations of levels and seeds (of 24) have a run")


def test_a_whole_fraction_of_one_seed_is_balanced_and_no_test():
    cells = [{**cell, "D": level} for cell in QUARTER for level in "-+"]
    half = HALF.model_copy(update={"resolution": 4, "aliases": ()})
    (note,) = effects_of(sweep_over(cells, "fractional", seeds=1, fraction=half), errors(cells, 1)).notes
    assert note.startswith("no test: one run per combination")


@pytest.mark.parametrize("design", ["ofat", "leave_one_out"])
def test_factors_moved_one_at_a_time_have_no_interactions(design):
    cells = [{"D": "1", "G": "1"}, {"D": "2", "G": "1"}, {"D": "1", "G": "2"}]
    effects = effects_of(sweep_over(cells, design), errors(cells))
    assert names_of(effects) == ["D", "G"]
    assert any("nothing is known of their interactions" in note for note in effects.notes)


def test_resolution_three_has_main_effects_only_and_says_what_they_are_confused_with():
    effects = effects_of(sweep_over(QUARTER, "fractional", fraction=HALF), errors(QUARTER))
    assert names_of(effects) == ["A", "B", "C"]
    assert any("resolution III" in note for note in effects.notes)
    assert any("A = B × C" in note for note in effects.notes)
    assert not any("unbalanced" in note for note in effects.notes)


def test_a_list_with_holes_names_the_terms_it_cannot_tell_from_others():
    cells = [{"K3": "x"}, {"K5": "x"}, {"K3": "x", "K5": "x"}, {"K3": "x", "SK": "x"}]
    effects = effects_of(sweep_over(cells, "list"), errors(cells))
    assert ("K5", "SK") in effects.inseparable
    assert [answer.name for answer in effects.matched] == ["K3", "K5", "SK"]


@pytest.mark.parametrize(
    ("cells", "design", "reason"),
    [
        ([{"D": "1"}, {"D": "2"}], "search", "chooses its cells by their results"),
        ([{"D": "1"}, {"D": "1"}], "grid", "no factor has two levels"),
        ([{"D": "1"}, {"D": "2"}], "list", "no two cells share a level"),
        ([{}, {}], "list", "no factor has two levels"),
        ([{"D": str(at % 2)} for at in range(MOST_RUNS // 3 + 1)], "list", "runs are more than"),
    ],
)
def test_where_there_is_no_analysis_the_reason_stands(cells, design, reason):
    effects = effects_of(sweep_over(cells, design), errors(cells))
    assert effects.analysis is None
    assert reason in effects.reason


def test_cells_without_runs_have_no_analysis():
    values = np.full((6, 3), np.nan)
    values[0] = 1.0
    assert effects_of(sweep_over(GRID), values).reason == "fewer than two cells have a complete run"


def test_one_seed_leaves_effects_without_a_test():
    effects = effects_of(sweep_over(GRID, seeds=1), errors(GRID, 1))
    assert np.isnan([effect.p for effect in effects.analysis.effects]).all()
    assert any("no test" in note for note in effects.notes)


def test_the_table_carries_them():
    cells = tuple(Cell(name=f"c{at}", factors=cell, runs={0: key_of(f"c{at}", 0)}) for at, cell in enumerate(GRID))
    sweep = make_sweep(["c0"], [0], cells=cells)
    table = ablation_table(sweep, make_records({f"c{at}": [10.0 + at] for at in range(6)}))
    assert [effect.name for effect in table.effects.analysis.effects] == ["D", "G", "D × G"]
