"""The sentences of a report against the numbers that they are written from."""

import random
import re

import pytest
from example_study import kernels
from studies import EXPERIMENT, key_of, make_record, make_records, make_sweep

from sklab.analysis.statistics.planning import MOST_SEEDS
from sklab.analysis.table.ablation import ablation_table
from sklab.report.tables.columns import columns
from sklab.report.tables.latex import table_tex
from sklab.report.tables.markdown import table_markdown
from sklab.report.tables.terminal import terminal_table
from sklab.report.words import literature, methods, phrases, sentences, verdict
from sklab.spec.study.sweep import Cell, Factor, Metric, Published, PublishedRow, Replicates

ERRORS = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0], "K7": [20.5, 20.0, 22.0]}


def table_of(errors, params=None, **changes):
    made = make_records(errors)
    prices = params or dict.fromkeys(errors, 1000)
    records = {
        key: record.model_copy(update={"params": prices[record.cell], "macs": 10 * prices[record.cell]})
        for key, record in made.items()
    }
    return ablation_table(make_sweep(list(errors), **changes), records)


def grid_table(design="grid"):
    """D matters, G does not."""
    rng = random.Random(0)
    cells = [{"D": d, "G": g} for d in "12" for g in "12"]
    made = tuple(
        Cell(name=str(at), factors=of, runs={s: key_of(str(at), s) for s in range(3)}) for at, of in enumerate(cells)
    )
    levels = {name: Factor(path="model.x", levels={"1": 1, "2": 2}) for name in "DG"}
    sweep = make_sweep(["0"], design=design, cells=made, factors=levels, columns=("D", "G"))
    runs = [(at, s, 20 + s + 5 * (of["D"] == "2") + rng.gauss(0, 0.3)) for at, of in enumerate(cells) for s in range(3)]
    return ablation_table(sweep, {key_of(str(at), s): make_record(str(at), s, error) for at, s, error in runs})


def test_the_verdict_is_three_sentences_written_from_the_numbers():
    table = table_of(ERRORS, {"K3": 1000, "K5": 1500, "K7": 1000})
    against, other = (row.baseline for row in table.rows[1:])
    assert (against.needed, table.rows[1].seeds_missing) == (4, 0)  # it is decided: no seed is missing
    assert verdict.against_baseline(table) == (
        f"Against the baseline K3, 21.17 ± 2.50 % (n = 3): better is K5 (−2.00 ± {against.half:.2f}, "
        f"p = {against.adjusted:.3f}); the lowest mean is that of K5, 19.17 ± 2.56 % (n = 3); 1 of "
        "the other 2 cells does not differ significantly from it. "
        "Undecided is 1 of 2 cells: these seeds have 80 % power only for differences of at least "
        f"{other.detectable:.2f} points; if the true differences are as observed, {other.needed - 3} more seeds would "
        "probably settle K7; to add seeds now is another look, which needs a smaller p unless it was planned "
        "(most_seeds). "
        "The lowest mean costs 1.50 times the baseline's parameters (1,500 against 1,000) and 1.50 times its "
        "multiply-accumulates."
    )


def test_a_baseline_that_is_best_has_no_price():
    said = verdict.result(table_of({"K3": [1.0, 2.0, 3.1], "K5": [9.0, 10.0, 11.0]}))
    assert "none is shown to be better; worse is K5" in said
    assert said.endswith("the baseline itself has the lowest mean.")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"K3": [], "K5": []}, "No run is complete yet"),
        ({"K3": [20.0, 21.0, 22.0], "K5": []}, "So far only the baseline K3"),
        ({"K3": [], "K5": [20.0, 21.0, 22.0]}, "The baseline K3 has no complete run, so nothing is compared with it"),
        ({"K3": [20.0, 21.0, 22.0], "K5": [19.0]}, "1 cell could not be tested"),
        ({"K3": [20.0, 21.0, 22.0], "K5": [20.0, 22.0, 21.0]}, "no cell differs significantly from it"),
    ],
)
def test_little_is_said_of_little(errors, said):
    assert said in verdict.result(table_of(errors))


@pytest.mark.parametrize(
    "errors",
    [
        {"K3": [20.0, 21.0, 22.0], "K5": [21.0, 22.0, 23.0]},
        {"K3": [20.0, 21.0, 22.0], "K5": [21.0, 22.0, 23.0], "K7": [99.0, 1.0, 50.0], "K9": [99.0, 1.0, 51.0]},
    ],
)
def test_a_cell_without_spread_needs_no_more_seeds_but_a_test_also_where_seeds_are_added(errors):
    table = table_of(errors, replicates=Replicates(start=2, max=3))
    assert table.rows[1].verdict == "no test"
    assert "could not be tested" in verdict.result(table)
    assert f"would need more than {MOST_SEEDS}" not in verdict.result(table)
    assert "K5: no test against the baseline: no spread to test with: the same number with every seed" in (
        sentences.notes(table)
    )


def test_factors_that_matter_are_named_all_else_equal():
    said = verdict.result(grid_table())
    assert said.startswith(
        "No question was planned, so the factors are compared like with like. All else equal, D 2 against 1"
    )
    assert re.search(r" raises the validation error by [0-9.]+ points \([^()]*\)\.$", said)
    assert "actor" not in verdict.result(table_of(ERRORS))


def test_the_method_and_what_its_checks_found_stand_below_every_table():
    table = table_of(ERRORS)
    choice = table.choice
    said = methods.comparison(table)
    assert "Dunnett's test" in said
    assert f"Cochran's test) p = {choice.variances.p:.3f}" in said
    assert f"Tukey's test) p = {choice.additivity.p:.3f}: none fails" in said
    assert " ".join(said.split()) in " ".join(terminal_table(table).split())
    assert "Differences from K3 are tested by Dunnett's test" in table_markdown(table)
    assert "Dunnett 1955" in methods.methods(table)
    assert f"{table.rows[1].baseline.df:g} degrees of freedom" in methods.methods(table)


def test_a_switch_to_pairs_says_why():
    errors = {"K3": [20.0, 21.0, None, None], "K5": [None, None, 18.0, 19.0], "K7": [20.5, 20.0, 21.0, 20.2]}
    table = table_of(errors, seeds=range(4))
    for said in (methods.comparison(table), methods.methods(table)):
        assert "4 of 12 runs are missing, so that not all cells can be compared on common seeds" in said
        assert "Dunnett 1955" not in said
    assert "Holm's method (Holm 1979) over the 2 comparisons made" in methods.methods(table)


def test_gaps_are_told_with_the_fit_that_takes_them_in():
    table = table_of({**ERRORS, "K7": [20.5, 20.0]})
    assert "1 of 9 runs is missing; fitted by least squares" in methods.comparison(table)
    assert f"{table.rows[1].baseline.df:g} degrees of freedom" in methods.comparison(table)
    assert "Dunnett 1955" in methods.methods(table)
    assert "1 of 9 runs is missing: the model is fitted by least squares" in methods.methods(table)
    assert "Yates 1936)" in methods.methods(table)


def test_a_failed_check_is_told_as_failing():
    table = noisy_table(4, 5, 6)
    assert table.choice.method == "paired"
    assert ": fails (p below 0.01)" in methods.comparison(table)


def noisy_table(*noisy):
    """Seven cells and eight seeds; each further of `noisy` has thirty times the spread of the one before."""
    rng = random.Random(0)
    errors = {f"c{at}": [50 + seed + rng.gauss(0, 0.03) for seed in range(8)] for at in range(7)}
    for times, at in enumerate(noisy, 1):
        errors[f"c{at}"] = [50 + seed + 0.03 * 30**times * (-1) ** seed * rng.random() for seed in range(8)]
    return ablation_table(make_sweep(list(errors), range(8)), make_records(errors))


def test_a_noisy_cell_is_told_where_it_is_set_apart():
    table = noisy_table(4)
    said, legends = methods.comparison(table), {column.title: column.legend for column in columns(table)}
    assert "of freedom; c4 is plainly noisier than the others and set apart, with a paired t test of its own." in said
    assert "Checked on the other cells: equal variances" in said
    assert said.endswith(": none fails (p below 0.01).")
    assert "Set apart is c4, plainly noisier than the others" in methods.methods(table)
    assert (
        "it is compared with the baseline by a paired t test over the shared seeds, at 1/6 of the 5 %"
        in methods.methods(table)
    )
    assert "that of c4 from its own runs. All cells" in methods.methods(table)
    assert "a paired t test of its own for c4 (Bonferroni)" in legends["p (adjusted)"]
    assert "that of all cells (for c4, of its own runs)" in legends["±95%"]
    several = noisy_table(4, 5)
    assert "c4, c5 are plainly noisier than the others and set apart, each with" in methods.comparison(several)
    assert "Set apart are c4, c5, plainly noisier than the others" in methods.methods(several)


def test_a_noisy_baseline_is_told_and_stays():
    table = noisy_table(0)
    assert "; the baseline is plainly noisier than the others, which its own variance allows for. Checked on" in (
        methods.comparison(table)
    )
    assert "Set apart" not in methods.methods(table)
    assert "The baseline is plainly noisier than the other cells (p of Cochran's test below 0.01), which" in (
        methods.methods(table)
    )


def test_a_check_that_could_not_be_made_is_not_one_that_does_not_fail():
    two = methods.comparison(table_of({name: ERRORS[name] for name in ("K3", "K5")}))
    assert "does not fail (p below 0.01); too few cells or seeds to check equal variances (Cochran's test)." in two
    gaps = {"K3": [None, 21.0, 22.5], "K5": [18.0, None, 20.0], "K7": [20.5, 20.0, None]}
    none = table_of({**gaps, "K9": [17.0, 18.2, 19.0], "K11": [19.0, None, None]})
    for said in (two, methods.comparison(none), methods.methods(none)):
        assert "none fails" not in said
    assert "Too few cells or seeds to check equal variances (Cochran's test) and additivity" in methods.comparison(none)


def test_one_degree_of_freedom_is_one():
    table = table_of({"K3": [20.0, 21.0], "K5": [18.0, 19.5]}, seeds=range(2))
    assert " 1 degree of freedom" in methods.comparison(table)
    assert "together with 1 degree of freedom" in methods.methods(table)


def test_a_row_without_a_test_has_its_reason_below():
    table = table_of({"K3": [20.0, 21.0, 22.0], "K5": [19.0]})
    assert "K5: no test against the baseline: fewer than two seeds to compare" in sentences.notes(table)
    assert methods.comparison(table) == ""
    assert "No difference from the baseline could be tested." in methods.methods(table)


def test_effects_are_rows_of_text_under_their_heads():
    table = grid_table()
    matched, pairs, variance = verdict.effect_grids(table)
    assert [row[0] for row in variance.rows] == ["D", "G", "D × G"]
    assert [row[0] for row in matched.rows] == ["D 2 against 1", "G 2 against 1"]
    assert [row[1] for row in pairs.rows] == ["2 against 0", "3 against 1", "1 against 0", "3 against 2"]
    assert all({len(row) for row in grid.rows} == {len(grid.head)} for grid in (matched, pairs, variance))
    text = table_markdown(table)
    assert "| effect | df | F | p |" in text
    assert "| question | difference |" in text


def test_a_design_without_effects_says_why():
    table = ablation_table(*kernels())
    assert verdict.effect_grids(grid_table(design="search")) == ()
    assert verdict.effect_sentences(grid_table(design="search")) == (
        "No analysis of variance: a search chooses its cells by their results, which would flatter the factors it "
        "followed.",
    )
    assert any("can't separate from other effects" in said for said in verdict.effect_sentences(table))


def test_rows_off_the_pareto_set_are_named_with_the_costs():
    errors = {"K3": [20.0, 21.0, 22.0], "K5": [30.0, 31.1, 32.0]}
    table = table_of(errors, {"K3": 1000, "K5": 500})
    assert sentences.pareto(table) == (
        "Latency was not measured in these runs, as in records of earlier versions, and is left out there."
    )
    measured = {
        key: record.model_copy(update={"latency_ms": 2.0 if record.cell == "K3" else 3.0, "params": 1, "macs": 1})
        for key, record in make_records(errors).items()
    }
    table = ablation_table(make_sweep(list(errors)), measured)
    assert sentences.pareto(table).endswith(": K5 (params, MACs, latency).")
    assert (table.rows[0].latency_ms, table.rows[0].pareto) == (2.0, ("params", "macs", "latency_ms"))
    lacking = {key: record.model_copy(update={"latency_ms": 0.0}) for key, record in list(measured.items())[:1]}
    assert "all runs of K3," in sentences.pareto(ablation_table(make_sweep(list(errors)), {**measured, **lacking}))
    alike = {key: record.model_copy(update={"latency_ms": 1.0}) for key, record in make_records(ERRORS).items()}
    assert sentences.pareto(ablation_table(make_sweep(list(ERRORS)), alike)) == ""


def timed_table(latencies, **changes):
    """K3 and K5, of which K5 is told apart as higher in error, with these latencies by seed."""
    errors = {"K3": [20.0, 21.0, 22.0], "K5": [30.0, 31.1, 32.0]}
    records = {
        key: record.model_copy(update={"latency_ms": latencies[record.cell][record.spec.seed], **changes})
        for key, record in make_records(errors).items()
    }
    return ablation_table(make_sweep(list(errors)), records)


def test_latencies_that_differ_severalfold_are_marked_and_said_to_decide_nothing():
    table = timed_table({"K3": [0.6, 1.0, 1.3], "K5": [2.01, 2.02, 2.03]})
    assert sentences.pareto(table) == (
        "Not on the Pareto set (another row costs no more and has a significantly lower error): K5 (params, MACs)."
    )
    assert sentences.latency(table).endswith(
        "It decides nothing in cells where the runs differ by a factor of 2 or more (‡): K3."
    )
    markdown = table_markdown(table)
    assert "| **0.60–1.30‡** |" in markdown
    assert "| 2.01–2.03 |" in markdown
    assert r"(\textdaggerdbl{}): K3." in table_tex(table, ["cell", "latency_range"])


def test_latency_is_said_to_be_measured_alone_or_not():
    steady = {"K3": [1.0, 1.0, 1.0], "K5": [1.0, 1.0, 1.0]}
    beside = sentences.latency(timed_table(steady))
    assert beside.startswith("Latency was not measured alone: in 6 of 6 runs other runs of this study ran on the same")
    assert beside in sentences.below(timed_table(steady))
    unknown = sentences.latency(timed_table(steady, started=""))
    assert unknown.endswith("For 6 of 6 runs the records do not tell whether it was.")
    alone = make_records({"K3": [20.0]}, latency_ms=1.0)
    assert sentences.latency(ablation_table(make_sweep(["K3"]), alone)).startswith("Latency was measured alone")
    assert sentences.latency(table_of(ERRORS)) == ""


def published_table(title="", tolerance=0.5, **changes):
    rows = {name: PublishedRow(error=error) for name, error in (("K3", 21.0), ("K5", 18.0), ("K7", 25.0))}
    published = Published(source="a paper", data="ImageNet-1k", rows=rows, tolerance=tolerance)
    experiment = {**EXPERIMENT, "data": {"name": "scaled_digits", "title": title}}
    return table_of(ERRORS, published=published, experiment=experiment, **changes)


def test_the_verdicts_on_published_figures_are_told_with_their_tolerance():
    said = literature.reproduced(published_table("ImageNet-1k"))
    assert said == "Published errors within 0.5 percentage points: not reproduced: K7; cannot tell: K3, K5."
    assert literature.agreement(published_table("ImageNet-1k")) == ""
    assert "| reproduced |" in table_markdown(published_table("ImageNet-1k"))


def test_on_other_data_the_order_is_compared_and_no_verdict_given():
    table = published_table()
    assert literature.reproduced(table) == "No verdict on the published figures: these are other data."
    assert "Kendall's tau = 0.33 over 3 cells" in literature.agreement(table)
    assert literature.agreement(table) in sentences.below(table)
    assert "| reproduced |" not in table_markdown(table)


def test_no_verdict_is_given_on_a_loss_or_without_a_tolerance():
    loss = published_table("ImageNet-1k", metric=Metric(name="val_loss"))
    assert literature.reproduced(loss) == "No verdict on the published figures: the metric is validation loss."
    assert literature.reproduced(published_table("ImageNet-1k", tolerance=None)) == ""


def test_names_with_commas_are_listed_by_semicolons():
    assert phrases.listed(["D=1, G=1", "D=2, G=1"]) == "D=1, G=1; D=2, G=1"


def test_the_top_counts_the_cells_where_their_names_would_fill_it():
    errors = {f"K{at}": [20.0 + at, 21.0 + at, 22.5 + at / 2] for at in range(9)}
    few, many = (verdict.top(table_of(dict([*errors.items()][:count]))) for count in (3, 9))
    assert few.sentence.startswith("Against the baseline K0, ")
    assert many.sentence.startswith("Compared with the baseline K0, ")
    assert ": of 8 cells 4 worse, 4 undecided." in many.sentence
    assert len(many.sentence) < 120


def test_cells_that_could_not_be_tested_are_not_said_to_be_alike():
    same = table_of({"K3": [1.0, 1.0, 1.0], "K5": [1.0, 1.0, 1.0], "K7": [1.0, 1.0, 1.0]})
    said = verdict.against_baseline(same)
    assert said.startswith("Against the baseline K3, 1.00 % (n = 3): the baseline itself has the lowest mean.")
    assert "significantly" not in said
    assert "2 cells could not be tested" in said
