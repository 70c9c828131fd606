"""The seven columns in each format, the choice of columns, and the frame of the page around them."""

import re
from collections import Counter

import pytest
from example_study import hostile, kernels
from pages import read
from studies import make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.cli import main
from sklab.report.pages import summary_html
from sklab.report.render import render
from sklab.report.tables.columns import columns
from sklab.report.tables.summary import MARKS, MOST, chosen_columns, summary_columns, summary_rows

KEYS = ["cell", "n", "error", "diff", "verdict", "params", "macs"]


def table_of(cells=3, **changes):
    errors = {f"K{at}": [20.0 + at, 21.0 + at, 22.5 - at / 50] for at in range(cells)}
    return ablation_table(make_sweep(list(errors), **changes), make_records(errors))


STUDIES = {
    "kernels": lambda: ablation_table(*kernels()),
    "hostile": lambda: ablation_table(*hostile()),
    "one cell": lambda: table_of(1),
    "forty cells": lambda: table_of(40),
    "nothing yet": lambda: ablation_table(make_sweep(["K3", "K5"]), {}),
}


@pytest.fixture(scope="module", params=STUDIES)
def texts(request):
    table = STUDIES[request.param]()
    return table, render(table, [])


def test_the_page_begins_with_one_sentence_and_a_table_of_seven_columns(texts):
    table, made = texts
    page = made["report.html"]
    first = page.split("<main>")[1].split("<nav")[0]
    assert first.count('class="result"') == 1
    assert first.count('<th scope="col"') == 7
    assert first.count('<th scope="row"') == len(summary_rows(table)) <= MOST
    assert [column.key for column in summary_columns(table)] == KEYS
    heads = [line for line in made["report.md"].splitlines() if line.startswith("| cell |")]
    assert heads[0].count("|") == 8


def test_every_anchor_of_the_contents_is_there_and_no_id_is_twice(texts):
    page = texts[1]["report.html"]
    ids = Counter(re.findall(r'<[^>]* id="([^"]+)"', page))
    assert set(ids.values()) == {1}
    linked = re.findall(r'href="#([^"]+)"', page)
    assert linked
    assert set(linked) <= set(ids)
    contents = re.findall(r'<li><a href="#([^"]+)">', page.split("<nav")[1].split("</nav>")[0])
    assert contents == re.findall(r'<h2 id="([^"]+)">', page)


def test_every_table_has_a_caption_and_every_head_a_scope(texts):
    page = texts[1]["report.html"]
    assert not re.findall(r"<th(?![^>]*scope)[ >]", page)
    of_runs = page.count('<table class="changes">') + page.count("<table>\n<thead><tr>")
    assert page.count("<table") == page.count("<caption>") + of_runs > 1


def test_a_verdict_has_a_mark_and_a_word():
    page = read(render(STUDIES["kernels"](), [])["report.html"])
    assert {"✓better", "✗worse"} <= {cell.replace(" ", "") for row in page.rows for cell in row}
    assert len({*MARKS.values()}) == len(MARKS)


def test_of_many_cells_the_summary_says_how_many_it_shows():
    table = table_of(40)
    page = render(table, [])["report.html"]
    assert f"{MOST} of 40 cells shown: the baseline and the lowest means." in page
    assert [row.name for row in summary_rows(table)] == [f"K{at}" for at in range(MOST)]


def test_a_notebook_shows_the_same_table():
    piece = summary_html(STUDIES["kernels"]())
    assert piece.count('<th scope="col"') == 7
    assert "<script" not in piece
    assert "10.38 ± 0.47" not in piece
    assert '10.38 <span class="half">± ' in piece


@pytest.mark.parametrize("form", ["--latex", "--markdown"])
def test_columns_are_chosen_by_their_keys(kernels_folder, capsys, form):
    given = [kernels_folder.name, "--results", str(kernels_folder.parent), form]
    assert main(["table", *given]) == 0
    every = capsys.readouterr().out
    assert "minus baseline" in every
    assert main(["table", *given, "--columns", "cell, p,verdict"]) == 0
    some = capsys.readouterr().out
    assert "p (adjusted)" in some
    assert "minus baseline" not in some.split("bottomrule")[0]


def test_a_mistyped_column_is_one_error_with_the_allowed_keys(kernels_folder, capsys):
    given = [
        "table",
        kernels_folder.name,
        "--results",
        str(kernels_folder.parent),
        "--latex",
        "--columns",
        "cell,verdit",
    ]
    assert main(given) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert "--columns: found 'verdit'; allowed: cell, n, error, diff, verdict, params, macs" in told
    assert told.endswith(" - did you mean 'verdict'?")


def test_columns_without_a_form_that_has_them_are_an_error(kernels_folder, capsys):
    assert main(["table", kernels_folder.name, "--results", str(kernels_folder.parent), "--columns", "cell"]) != 0
    assert "allowed: with one of the two" in " ".join(capsys.readouterr().err.split())


def test_every_column_has_a_key_of_its_own_and_a_sentence():
    table = STUDIES["kernels"]()
    shown = [*columns(table), *summary_columns(table)]
    assert len({column.key for column in columns(table)}) == len(columns(table))
    assert [column for column in shown if not re.fullmatch(r"[A-Z–].*\.", column.legend)] == []
    assert chosen_columns(table, [])[0].key == "cell"


def test_a_factor_named_like_a_column_does_not_take_its_place():
    cells = tuple(cell.model_copy(update={"factors": {"n": cell.name[1:]}}) for cell in make_sweep(["K3", "K5"]).cells)
    sweep = make_sweep(["K3", "K5"], cells=cells, columns=("n",))
    table = ablation_table(sweep, make_records({"K3": [20.0], "K5": [21.0]}))
    assert summary_columns(table)[1].text(table.rows[0]) == "1/3"
