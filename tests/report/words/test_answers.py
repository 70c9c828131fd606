"""The answers to questions as sentences and tables, against the numbers that they are written from."""

import random
from dataclasses import replace

import pytest
from studies import key_of, make_record, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.tables.terminal import terminal_table
from sklab.report.words import answers, methods, references, verdict
from sklab.spec.study.questions import Question
from sklab.spec.study.sweep import Cell

KERNELS = ("K3", "K5", "K3+K5", "K3+K5 SK", "K3+K7", "K3+K7 SK")
ATTENTION = Question.model_validate({"of": "SK", "from": "–", "to": "x"})
SECOND = Question(cells=("K3+K5", "K3+K7"), against=("K3",))


def study(attention=0.0, second=0.0, spread=0.3, seeds=4, left_out=(), only=0, **changes):
    """A table of six cells in which attention and a second path change the error by so much."""
    rng, cells = random.Random(1), []
    for name in KERNELS:
        levels = dict.fromkeys(name.replace(" ", "+").split("+"), "x")
        cells.append(Cell(name=name, factors=levels, runs={seed: key_of(name, seed) for seed in range(seeds)}))
    settings = {"questions": {"attention": ATTENTION, "second path": SECOND}, "columns": ("K3", "K5", "K7", "SK")}
    sweep = make_sweep(["K3"], range(seeds), cells=tuple(cells), **{**settings, **changes})
    records = {}
    for cell in cells:
        change = attention * ("SK" in cell.factors) + second * ("+" in cell.name) + 9 * (cell.name == "K5")
        for seed in range(only or seeds):
            if cell.name not in left_out:
                error = 20 + change + seed + rng.gauss(0, spread)
                records[key_of(cell.name, seed)] = make_record(cell.name, seed, error)
    return ablation_table(sweep, records)


def numbers(answer):
    against = answer.versus
    return f"{against.difference - against.half:+.2f} to {against.difference + against.half:+.2f}".replace("-", "−")


def test_the_first_sentence_answers_the_first_question():
    table = study(attention=-3.0)
    first, second = table.questions
    assert verdict.result(table).startswith(
        f"Attention lowers the validation error by {-first.versus.difference:.2f} points ({numbers(first)}, p < 0.001; "
        "2 pairs of cells, 4 seeds). Second path makes no detectable difference: "
    )
    assert f"({numbers(second)}, p = {second.versus.adjusted:.3f}; 4 seeds)." in verdict.result(table)
    assert verdict.result(table) in " ".join(terminal_table(table).split())


def test_more_error_is_said_as_more():
    assert verdict.result(study(attention=3.0)).startswith("Attention raises the validation error by ")


def test_with_a_margin_a_small_difference_is_equivalent_and_no_loss_is_not_higher():
    table = study(margin=2.0)
    assert table.questions[0].verdict == "equivalent"
    assert verdict.result(table).startswith("Attention makes no difference of 2 points or more: ")
    close = study(spread=0.9, attention=-0.3, margin=1.5)
    assert close.questions[0].verdict == "not higher"
    assert verdict.result(close).startswith("Attention does not raise the validation error by 1.5 points or more: −")


def test_what_is_open_has_its_power_and_its_price():
    table = study()
    [said] = [line for line in verdict.further(table) if line.startswith("Open: ")]
    first = table.questions[0].versus
    assert said.startswith("Open: attention, second path. This study has 80 % power only for differences of at least ")
    assert f"{first.detectable:.2f} points (attention)" in said
    more = first.needed - first.n
    assert f"{more} more seeds in 4 cells ({4 * more} runs, " in said
    assert "would probably settle attention" in said


def test_more_seeds_are_no_advice_where_nothing_was_learned():
    table = study()
    rows = tuple(replace(row, guessing=90.0) if row.name == "K3" else row for row in table.rows)
    [said] = [line for line in verdict.further(replace(table, rows=rows)) if line.startswith("Open: ")]
    assert "more seeds do not help second path, as nothing was learned in a cell of it" in said
    assert "would probably settle attention" in said


def test_factors_of_no_question_are_told_as_not_planned():
    table = study()
    assert any(
        line.startswith("All else equal (not planned), K3 lowers the validation error by ")
        for line in verdict.further(table)
    )
    alone = study(questions={})
    assert verdict.result(alone).startswith("No question was planned, so the factors are compared like with like.")


def test_a_planned_question_about_a_factor_is_not_told_again_as_unplanned():
    table = study()
    assert [answer.name for answer in table.effects.matched] == ["K3", "K5", "SK", "K7"]
    assert [answer.name for answer in table.unplanned] == ["K3", "K5", "K7"]
    assert [row[0] for row in answers.matched_grids(table)[0].rows] == ["K3", "K5", "K7"]


def test_a_pair_without_runs_is_left_out_by_name():
    table = study(attention=-3.0, left_out=("K3+K7 SK",))
    assert "Without runs enough, and left out: K3+K7 SK against K3+K7." in verdict.result(table)
    assert len(table.questions[0].pairs) == 1


def test_pairs_that_disagree_are_told():
    assert "differs between its pairs" not in verdict.result(study(attention=-3.0))
    table = study(attention=-3.0)
    assert table.questions[0].agreement > 0.05


def test_a_question_whose_cells_have_no_runs_says_so():
    table = study(left_out=("K3",))
    assert "Second path: no answer yet, since no pair of cells has runs on both sides." in verdict.result(table)


def test_one_seed_gives_an_answer_without_a_test():
    said = verdict.result(study(attention=-3.0, only=1))
    assert said.startswith("Attention: −")
    assert "without a test: fewer than two seeds to compare" in said
    assert said.endswith("The study is not finished.")


def test_tables_of_answers_have_a_line_for_each_question_and_pair():
    table = study(attention=-3.0)
    every, pairs = answers.question_grids(table)
    assert [row[0] for row in every.rows] == ["attention", "second path"]
    assert [row[4] for row in every.rows] == ["lower", "undecided"]
    assert every.rows[0][6] == "–"  # decided: no more seeds
    assert [row[1] for row in pairs.rows] == ["K3+K5 SK against K3+K5", "K3+K7 SK against K3+K7"]


@pytest.mark.parametrize("source", ["Hasler 2008", "Welch 1947", "Brunner 1997"])
def test_the_methods_name_their_sources(source):
    assert source in methods.methods(study())
    assert source.split()[0] in references.bibtex(study())
