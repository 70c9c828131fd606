"""What every format shows of a cell that is the same network as another."""

from __future__ import annotations

import csv

import pytest
from pages import read
from studies import make_records, make_sweep, write_study

from sklab.analysis.table.ablation import ablation_table
from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.spec.study.sweep import Duplicate, Published, PublishedRow

ERRORS = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0], "K5 again": [18.0, 19.5, 20.0]}
NAMES = ["K3", "K5"]
TOLD = "same network as K5, trained and compared once: K5 r=64, K5 again"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    def duplicate(name: str, **changes) -> Duplicate:
        return Duplicate(name=name, factors={"kernel": name}, settings={"model.reduction": 64}, same_as="K5", **changes)

    trained = {seed: record.key for seed, record in enumerate(make_records({"K5 again": ERRORS["K5 again"]}).values())}
    published = Published(source="a table", data="ImageNet-1k", rows={"K5 r=64": PublishedRow(error=22.23)})
    duplicates = (duplicate("K5 r=64"), duplicate("K5 again", runs=trained))
    sweep = make_sweep(NAMES, duplicates=duplicates, published=published)
    folder = tmp_path_factory.mktemp("same") / "made"
    write_study(folder, sweep, make_records(ERRORS))
    build(folder)
    return folder


def flat(text: str) -> str:
    return " ".join(text.split())


def test_numbers_stand_in_the_row_of_the_cell_that_is_trained_only(study):
    table = study_table(study)
    assert [(row.name, row.n, row.same_as) for row in table.rows] == [
        ("K3", 3, ""), ("K5", 3, ""), ("K5 r=64", 0, "K5"), ("K5 again", 0, "K5"),
    ]  # fmt: skip
    assert len([row for row in table.rows if row.baseline]) == 1


def test_comparisons_are_those_of_a_study_without_them(study):
    alone = make_sweep(NAMES)
    expected = ablation_table(alone, make_records({name: ERRORS[name] for name in NAMES}))
    table = study_table(study)
    assert [row.baseline for row in table.rows[:2]] == [row.baseline for row in expected.rows]
    assert [row.pareto for row in table.rows[:2]] == [row.pareto for row in expected.rows]


def test_the_terminal_and_markdown_name_the_other_row(study):
    text = terminal_table(study_table(study))
    assert "K5 r=64" in text
    assert text.count("same network as K5") == 3
    assert TOLD in flat(text)
    page = (study / "report.md").read_text(encoding="utf-8")
    assert "K5 r=64 – same network as K5" in page
    assert "explicit list of cells: 4 cells, 2 different networks × 3 seeds (0, 1, 2)" in page
    assert r"\emph{same network as K5}" in (study / "table.tex").read_text(encoding="utf-8")


def test_the_page_lists_runs_of_its_own_where_there_are_any(study):
    page = read((study / "report.html").read_text(encoding="utf-8"))
    assert "The same network as K5, where the runs are that it is trained in: it is compared once." in flat(page.text)
    assert page.text.count("model.reduction = 64") == 1
    own = [link for link in page.links if link.endswith("record.json")]
    assert len(own) == 9


def test_the_table_of_numbers_says_which_row(study):
    with (study / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["same_as"] for row in rows] == ["", "", "K5", "K5"]
    assert [row["mean"] != "" for row in rows] == [True, True, False, False]
