"""What every format shows of the errors at further image sizes."""

from __future__ import annotations

import re

import pytest
from pages import read
from studies import key_of, make_evaluations, make_records, make_sweep, write_study

from sklab.report.build import build, study_table
from sklab.report.tables.latex import table_tex
from sklab.report.tables.terminal import terminal_table
from sklab.spec.study.sweep import Published, PublishedRow

ERRORS = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0], "K7": [30.0, 31.0, 32.0]}
AT_320 = {"K3": [19.0, 19.5, 21.5], "K5": [17.0, None, 18.5]}
PUBLISHED = Published(
    source="a table",
    data="ImageNet-1k",
    rows={
        "K3": PublishedRow(error=22.23, errors={320: 21.05}, verified=True),
        "K5": PublishedRow(error=20.79, errors={320: 19.32}),
        "K7": PublishedRow(error=25.0),
    },
)
REMEDY = "the same sweep again does only that, and so does `sklab evaluate made --size 320`"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    sweep = make_sweep(list(ERRORS), sizes=(320,), published=PUBLISHED)
    folder = tmp_path_factory.mktemp("sizes") / "made"
    write_study(folder, sweep, make_records(ERRORS), make_evaluations(320, AT_320))
    build(folder)
    return folder


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_terminal_shows_mean_interval_and_count_with_the_published_error_beside_its_own(study):
    text = terminal_table(study_table(study))
    head, _, *rows = text.splitlines()
    assert re.search(r"vs best +320 px % +±95% +n +params", head)
    assert head.endswith("publ. %  publ. 320 %")
    assert re.search(r"20\.00 +3\.29 +3/3 .* 22\.23 +21\.05$", rows[0])
    assert re.search(r"17\.75 +9\.53 +2/3 .* 20\.79† +19\.32†$", rows[1])
    assert re.search(r" – +– +0/3 .* 25\.00† +–$", rows[2])
    assert f"not evaluated at 320 px: K5 (seed 1); K7 (seeds 0, 1, 2); {REMEDY}" in flat(text)


def test_the_page_shows_them_with_the_evaluations_they_were_made_of(study):
    page = read((study / "report.html").read_text(encoding="utf-8"))
    assert {"20.00", "3.29", "21.05"} <= set(page.rows[0])
    links = [link for link in page.links if "evaluation" in link]
    assert len(links) == 5
    assert all((study / link).is_file() for link in links)
    assert [run[2] for run in page.runs[1]] == ["at 320 px, %", "17.0000", "–", "18.5000"]
    assert REMEDY in flat(page.text)


def test_markdown_shows_them_with_the_evaluations_they_were_made_of(study):
    text = (study / "report.md").read_text(encoding="utf-8")
    for file in (text, (study / "table.md").read_text(encoding="utf-8")):
        _, head, *_ = (line for line in file.splitlines() if line.startswith("| cell |"))
        assert "| error at 320 px (%) | ±95% | n at 320 px | params" in head
        assert "| published error at 320 px (%) |" in head
    table, runs = text.split("## All columns")[1].split("## ")[0], text.split("## Runs")[1]
    assert f"[17.0000](runs/{key_of('K5', 0)}/evaluation-320.json) |" in runs
    for part in (table, runs):
        lines = [line for line in part.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1


def test_latex_shows_them_in_columns_of_their_own(study):
    text = table_tex(study_table(study), ["cell", "error_320", "half_320", "n_320", "published_320"])
    assert r"cell & error at 320 px (\%) & $\pm$95\% & n at 320 px & published error at 320 px (\%)" in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    columns = len(re.search(r"tabular}{(\w+)}", text)[1])  # type: ignore[index]
    assert all(line.count("&") == columns - 1 for line in body)
    assert "& 21.05" in body[0]


def test_the_csv_has_them(study):
    head, *rows = (study / "table.csv").read_text(encoding="utf-8").splitlines()
    row = dict(zip(head.split(","), rows[1].split(","), strict=True))
    assert (row["error_320_n"], row["error_320_mean"], row["published_error_320"]) == ("2", "17.75", "19.32")


def test_published_errors_show_without_any_of_ours(tmp_path):
    folder = write_study(tmp_path / "made", make_sweep(published=PUBLISHED), make_records(ERRORS))
    text = terminal_table(study_table(folder))
    assert "publ. 320 %" in text
    assert "320 px" not in text
