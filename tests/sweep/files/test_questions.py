"""Questions of a sweep file: what they compare, how names in them are read, and what is wrong with them."""

import pytest
from sweepfiles import GRID as WITH_IMPOSSIBLE_CELLS
from sweepfiles import LIST, SEARCH, load

from sklab.errors import FaultyInputError
from sklab.spec.study.questions import ABSENT, Pair, ordered, pairs_of, questions_of_factors
from sklab.spec.study.sweep import Cell, Sweep

GRID = WITH_IMPOSSIBLE_CELLS.replace("three: 3", "2x: 2x")
KERNELS = [
    Cell(name=name, factors=dict.fromkeys(name.replace(" ", "+").split("+"), "x"))
    for name in ("K3", "K5", "K3+K5", "K3+K5 SK", "K3+K7", "K3+K7 SK")
]


def asked(sweep, name="q"):
    return [str(pair) for pair in pairs_of(sweep.questions[name], sweep.cells)]


def test_a_factor_is_asked_about_by_pairs_that_agree_in_all_else(tmp_path):
    sweep = load(tmp_path, GRID + "questions:\n  q: {of: r, from: 8, to: 16.0}\n")
    assert asked(sweep) == ["r=16, G=1x against r=8, G=1x", "r=16, G=2x against r=8, G=2x"]


def test_within_leaves_other_factors_free_and_averages_over_them(tmp_path):
    sweep = load(tmp_path, GRID + "questions:\n  q: {of: r, from: 8, to: 16, within: []}\n")
    assert asked(sweep) == ["r=16, G=1x and r=16, G=2x against r=8, G=1x and r=8, G=2x"]


def test_a_dash_is_the_level_of_cells_without_the_factor(tmp_path):
    sweep = load(tmp_path, LIST + 'questions:\n  q: {of: D, from: "-", to: 3, within: []}\n')
    assert sweep.questions["q"].from_ == ABSENT
    assert asked(sweep) == ["two against one"]


def test_sets_of_cells_are_compared_by_name(tmp_path):
    sweep = load(tmp_path, LIST + "questions:\n  q: {cells: [two], against: [one]}\nmargin: 0.5\n")
    assert asked(sweep) == ["two against one"]
    assert sweep.margin == 0.5


def test_what_is_resolved_can_be_read_again(tmp_path):
    sweep = load(tmp_path, GRID + "questions:\n  q: {of: r, from: 8, to: 16}\n")
    assert Sweep.model_validate(sweep.model_dump(mode="json")) == sweep


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("{of: R, from: 8, to: 16}", "questions.q.of: unknown factor; found R; allowed: r, G - did you mean 'r'?"),
        (
            "{of: r, from: 8, to: 17}",
            "questions.q.to: unknown level; found 17; allowed: 8, 16, 32 - did you mean '16'?",
        ),
        ("{of: r, from: 8, to: 16, within: [D]}", "questions.q.within.0: unknown factor; found D; allowed: r, G"),
        ('{cells: ["r=8, G=1x"], against: [r=9]}', "questions.q.against.0: unknown cell; found r=9"),
        ("{of: r, from: 8}", "a question has of (a factor) with from and to, or cells with against"),
        ("{of: r, from: 8, to: 8}", "both sides are the same"),
        ("{of: r, form: 8, to: 16}", "unknown key; found form; allowed: of, from, to, within, cells, against"),
        ("3", "questions.q: wrong type"),
    ],
)
def test_a_question_that_leads_nowhere_is_a_fault(tmp_path, question, fault):
    with pytest.raises(FaultyInputError) as caught:
        load(tmp_path, GRID + f"questions:\n  q: {question}\n")
    assert fault in str(caught.value)


def test_a_question_without_a_pair_says_what_to_do(tmp_path):
    with pytest.raises(FaultyInputError) as caught:
        load(tmp_path, LIST + 'questions:\n  q: {of: D, from: "-", to: 3}\n')
    assert "no two cells differ in D alone, from – to 3" in str(caught.value)
    assert "`within` names the factors that both sides share" in str(caught.value)


def test_a_search_and_a_crowd_of_questions_are_refused(tmp_path):
    with pytest.raises(FaultyInputError, match=r"questions: not used by design: search"):
        load(tmp_path, SEARCH + "questions:\n  q: {of: r, from: 8, to: 16}\n")
    with pytest.raises(FaultyInputError, match="at most 5"):
        load(tmp_path, GRID + "questions:\n" + "".join(f"  q{at}: {{of: r, from: 8, to: 16}}\n" for at in range(6)))


def test_factors_give_questions_absent_first_and_else_against_the_baseline():
    asked = questions_of_factors(KERNELS, ["K3", "K5", "SK"], "K3")
    assert list(asked) == ["K3", "K5", "SK"]
    assert pairs_of(asked["SK"], KERNELS) == (
        Pair(("K3+K5 SK",), ("K3+K5",), {"K3": "x", "K5": "x", "K7": ABSENT}),
        Pair(("K3+K7 SK",), ("K3+K7",), {"K3": "x", "K5": ABSENT, "K7": "x"}),
    )
    cells = [Cell(name=r, factors={"r": r}) for r in ("16", "4", "64")]
    assert list(questions_of_factors(cells, ["r"], "16")) == ["r 4 against 16", "r 64 against 16"]


def test_levels_stand_absent_first_then_numbers_by_value_then_words_as_they_come():
    assert ordered(["wide", "16", "1e1", ABSENT, "2x", "deep", "16"]) == [ABSENT, "2x", "1e1", "16", "wide", "deep"]


def test_a_question_about_a_cell_that_cannot_exist_is_told_and_has_no_pair(tmp_path):
    """The grid of G = three has cells that break a rule: with another experiment they may."""
    text = WITH_IMPOSSIBLE_CELLS + 'questions:\n  q: {cells: ["r=8, G=three"], against: ["r=8, G=1x"]}\n'
    sweep = load(tmp_path, text)
    assert "r=8, G=three" in [cell.name for cell in sweep.invalid]
    assert asked(sweep) == []
