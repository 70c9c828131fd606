"""What warns of numbers that do not mean what they seem to."""

from studies import make_record, make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.tables.comparison import comparison
from sklab.report.tables.terminal import terminal_table
from sklab.report.words import cautions, verdict


def table_of(errors):
    return ablation_table(make_sweep(list(errors)), make_records(errors))


def more_seeds(table):
    [column] = [column for column in comparison(table) if column.title == "more seeds"]
    return column, [column.text(row) for row in table.rows]


def test_a_cell_that_learned_nothing_is_told_in_the_first_paragraph_and_gets_no_seeds():
    table = table_of({"K3": [20.0, 21.0, 22.5], "K5": [21.0, 20.0, 22.8], "K7": [90.0, 90.3, 89.9]})
    assert verdict.result(table).endswith(
        " Caution: nothing was learned in K7: the error is not detectably lower than that of guessing, "
        "90.0 %, and more seeds do not change that."
    )
    column, texts = more_seeds(table)
    assert texts[2] == "–" != texts[1]
    assert column.legend.endswith("; –: at chance level.")
    assert "nothing was learned in K7" in " ".join(terminal_table(table).split())


def test_where_nothing_was_learned_anywhere_no_seeds_are_advised():
    table = table_of({name: [90.0, 90.3 - at / 10, 89.9] for at, name in enumerate(("K3", "K5", "K7", "K9"))})
    said = verdict.result(table)
    assert "nothing was learned in 4 cells (K3, K5, K7 and 1 more): the error is" in said
    assert said.endswith(" A comparison with such a baseline says little.")
    assert "more seed" not in said.replace("more seeds do not change that", "")
    assert set(more_seeds(table)[1]) == {"–"}


def test_cells_that_learned_are_not_spoken_of():
    table = table_of({"K3": [20.0, 21.0, 22.5], "K5": [60.0, 60.3, 59.9]})
    assert cautions.learning(table) == ""
    assert "chance level" not in more_seeds(table)[0].legend


def ending(falls):
    """A study of two seeds by how far the error of each cell fell in the last epoch."""
    runs = [(name, seed, 20.0 + seed / 2) for name in falls for seed in (0, 1)]
    records = [make_record(name, s, error, previous={"val_error": error + falls[name]}) for name, s, error in runs]
    return ablation_table(make_sweep(list(falls), (0, 1)), {record.key: record for record in records})


def test_cells_that_are_undertrained_are_told_the_worst_first():
    assert verdict.result(ending({"K3": 17.0, "K5": 0.3})).endswith(
        " Caution: K3 is undertrained: its error fell by 17.0 points in the last epoch. So a cell may be "
        "better only because it learns faster; train for more epochs to see the difference at the end."
    )
    said = cautions.learning(ending({"K3": 9.0, "K5": 17.0, "K7": 8.0, "K9": 10.0}))
    assert "4 cells (K5, K9, K3 and 1 more) are undertrained: their errors fell by 8.0 to 17.0 points" in said
    assert cautions.learning(ending({"K3": 1.0, "K5": 0.3})) == ""
