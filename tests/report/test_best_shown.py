"""A study that asks which cell is the best."""

import csv
import json
import re

import pytest
from studies import make_records, make_sweep, write_study

from sklab.cli import main
from sklab.report.build import build, study_table

# K5 is clearly better than the baseline; K7 has the lowest mean by luck of one seed.
ERRORS = {
    "K3": [20.0, 21.0, 20.6, 20.4],
    "K5": [15.1, 15.8, 15.5, 15.4],
    "K7": [15.3, 15.9, 15.6, 13.9],
    "K9": [20.2, 21.3, 20.4, 20.5],
    "K11": [20.1, 20.7, 20.9, 20.6],
}


def study_of(folder, **changes):
    return write_study(folder, make_sweep(list(ERRORS), range(4), **changes), make_records(ERRORS))


@pytest.fixture
def asked(tmp_path):
    folder = study_of(tmp_path / "made", choose_best=True)
    build(folder)
    return folder


def show(folder, *options):
    return main(["table", folder.name, "--results", str(folder.parent), *options])


def test_chances_and_shrunken_means_stand_in_every_format(asked, capsys):
    assert show(asked) == 0
    shown = capsys.readouterr().out
    assert "P(best)" in shown
    for name in ("table.md", "report.md", "report.html"):
        text = (asked / name).read_text(encoding="utf-8")
        assert "P(best)" in text, name
        assert "shrunken" in text, name
    with (asked / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(float(row["p_best"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert show(asked, "--json") == 0
    as_json = json.loads(capsys.readouterr().out)
    assert [row["p_best"] for row in as_json] == [float(row["p_best"]) for row in rows]
    assert all(15 < row["shrunken_mean"] < 21 for row in as_json)


def test_the_result_names_chance_and_shrunken_mean_and_not_the_lowest_mean(asked):
    result = " ".join((asked / "report.md").read_text(encoding="utf-8").split())
    table = study_table(asked)
    assert re.search(r"The likeliest best cell is K[57], P\(best\) = 0\.\d\d, shrunken mean 15\.\d\d %", result)
    assert "the lowest mean is that of" not in result
    assert "1 other cell has a P(best) of 0.05 or more" in result
    lowest = min(table.rows, key=lambda row: row.mean)
    assert lowest.shrunken > lowest.mean


def bold(folder):
    return set(re.findall(r"^\| \*\*(K\d+)", (folder / "table.md").read_text(encoding="utf-8"), re.MULTILINE))


def test_nothing_is_bold_while_the_best_is_undecided(asked):
    table = study_table(asked)
    assert [row.name for row in table.rows if row.standing == "not distinguishable"]
    assert table.winner is None
    assert bold(asked) == set()
    page = (asked / "report.html").read_text(encoding="utf-8")
    assert 'class="winner"' not in page
    assert "Best cell: undecided between 2 cells (K5, K7);" in page


def test_the_best_is_bold_where_every_other_cell_is_told_apart(tmp_path):
    errors = {"K3": [20.0, 21.0, 22.5], "K5": [10.0, 11.2, 12.4], "K7": [30.0, 31.1, 32.4]}
    build(folder := write_study(tmp_path / "made", make_sweep(list(errors)), make_records(errors)))
    assert study_table(folder).winner.name == "K5"
    assert bold(folder) == {"K5"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('class="winner"') == 2
    assert "Best cell: K5; every other cell is significantly worse." in page


def test_studies_that_do_not_ask_are_shown_as_before(tmp_path, capsys):
    folder = study_of(tmp_path / "made")
    build(folder)
    assert show(folder) == 0
    assert "P(best)" not in capsys.readouterr().out
    for name in ("table.csv", "table.md", "report.md", "report.html", "table.tex"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "P(best)" not in text
        assert "p_best" not in text
        assert "shrunken" not in text


def test_without_any_spread_the_report_says_what_it_can(tmp_path):
    errors = {"K3": [20.0], "K5": [15.0]}
    folder = write_study(tmp_path / "made", make_sweep(list(errors), range(1), choose_best=True), make_records(errors))
    build(folder)
    assert study_table(folder).likeliest is None
    assert "the lowest mean is that of K5" in (folder / "report.md").read_text(encoding="utf-8")
