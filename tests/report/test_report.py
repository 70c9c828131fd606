import json
import math
import re
import subprocess
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest
from example_study import NASTY, hostile
from pages import read
from studies import key_of, make_record, make_records, make_sweep, write_study

from sklab.analysis.frames.table import data_frame, rounded
from sklab.analysis.table.ablation import ablation_table
from sklab.cli import main
from sklab.errors import DamagedRecordError
from sklab.report.build import build, study_table
from sklab.report.escape import clean
from sklab.report.figures.study import draw
from sklab.report.numbers import NOTHING
from sklab.report.render import render
from sklab.report.run_files import last_lines
from sklab.report.tables.columns import columns
from sklab.spec.study.sweep import Published, PublishedRow, Search

TAGS = {
    *(
        "html",
        "head",
        "main",
        "nav",
        "caption",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "section",
        "p",
        "h1",
        "h2",
        "dl",
        "div",
        "dt",
        "dd",
    ),
    *("table", "thead", "tbody", "tr", "th", "td", "span", "details", "summary", "a", "code", "pre", "ul", "li", "b"),
    *("script", "figure", "figcaption", "svg", "defs", "g", "path", "text", "use", "clippath", "rect"),
}


@pytest.fixture
def study(kernels_folder):
    return kernels_folder


@pytest.fixture(scope="module")
def page(kernels_folder):
    return read((kernels_folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def nasty():
    table = ablation_table(*hostile())
    drawings = draw(table, {name: [{1: 2.0, 2: 1.0}] for name in NASTY[:12]})
    tails = {run.key: last_lines("\n".join(NASTY[:6])) for row in table.rows for run in row.runs}
    return drawings, render(table, drawings, tails)


def test_every_mean_on_the_page_follows_from_the_runs_under_it(page, study):
    shown = {cells[0].removesuffix("baseline"): (cells, runs) for cells, runs in zip(page.rows, page.runs, strict=True)}
    for row in study_table(study).rows:
        cells, runs = shown[row.name]
        values = [float(run[1]) for run in runs[1:] if run[1] != "–"]
        assert f"{len(values)}/{row.planned}" in cells
        if values:
            assert f"{math.fsum(values) / len(values):.2f}" in cells


def test_every_mean_in_markdown_follows_from_the_runs_listed(study):
    text = (study / "report.md").read_text(encoding="utf-8")
    table, runs = (
        [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
        for part in (text.split("## All columns")[1].split("## ")[0], text.split("## Runs")[1])
    )
    for cells in table[2:]:
        plain = [cell.strip("*") for cell in cells]
        name = re.split(r" \(baseline\)| – ", plain[0])[0]
        values = [float(run[2]) for run in runs[2:] if run[0] == name and run[2] != "–"]
        assert plain[4] == (f"{math.fsum(values) / len(values):.2f}" if values else "–")


def test_every_link_of_a_run_leads_to_its_files(page, study):
    links = {link for link in page.links if link.startswith("runs/")}
    assert len(links) == 2 * len(list(study.glob("runs/*/record.json")))
    assert all((study / link).is_file() for link in links)
    anchors = {link for link in page.links if link.startswith("#origin")}
    assert len(anchors) == 2


def test_every_link_is_within_the_study(page):
    assert all(link.startswith(("runs/", "#")) or link == "references.bib" for link in page.links)


def test_the_page_needs_no_network(study):
    text = (study / "report.html").read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_runs_without_a_number_stand_in_words(page):
    for said in (
        "K5+K7 SK: seed 1 failed (oom: RuntimeError: out of memory); seed 2 waiting (no record yet)",
        "K7: seeds 0, 1, 2 diverged (the loss is nan)",
        "K9 G7: invalid: branch 1: G = 7 does not divide C = 16",
        "with uncommitted changes",
        "published on ImageNet-1k; not comparable in level with scaled_digits",
        "transcribed, not verified: check before citing",
    ):
        assert said in page.text


def test_the_csv_is_read_back_to_the_last_digit_it_has(study):
    frame = pd.read_csv(study / "table.csv")
    expected = rounded(data_frame(study_table(study)))
    assert frame["cell"].tolist() == expected["cell"].tolist()
    pd.testing.assert_series_equal(frame["mean"], expected["mean"], check_exact=True)


def test_each_run_of_the_table_is_a_line_with_its_seed_its_value_and_its_key(study):
    frame = pd.read_csv(study / "runs.csv")
    runs = [(row, run) for row in study_table(study).rows for run in row.runs]
    assert frame["key"].tolist() == [run.key for _, run in runs]
    assert frame["seed"].tolist() == [run.seed for _, run in runs]
    values = {run.key: run.value for _, run in runs if run.value is not None}
    assert frame.dropna(subset="val_error").set_index("key")["val_error"].to_dict() == pytest.approx(values, rel=1e-8)
    assert "values" not in pd.read_csv(study / "table.csv")


def test_the_table_for_programs_has_the_numbers_of_the_csv_and_null_for_those_that_are_not(study, capsys):
    assert main(["table", study.name, "--results", str(study.parent), "--json"]) == 0
    rows, frame = json.loads(capsys.readouterr().out), pd.read_csv(study / "table.csv")
    assert [list(row) for row in rows] == [list(frame.columns)] * len(frame)
    assert [row["mean"] for row in rows] == [None if math.isnan(mean) else mean for mean in frame["mean"]]
    assert None in [row["mean"] for row in rows]
    assert [row["n"] for row in rows] == frame["n"].tolist()


def test_no_name_in_the_csv_is_a_formula(tmp_path):
    sweep = make_sweep(["=1+1", "-3"])
    cells = [cell.model_copy(update={"factors": {"@SUM(A1)": cell.name}}) for cell in sweep.cells]
    sweep = sweep.model_copy(update={"cells": tuple(cells), "columns": ("@SUM(A1)",)})
    folder = write_study(tmp_path / "made", sweep, make_records({"=1+1": [1.0, 2.0, 3.0], "-3": [-1.0, -2.0, -3.0]}))
    build(folder)
    frame = pd.read_csv(folder / "table.csv")
    assert list(frame.columns[:2]) == ["cell", "'@SUM(A1)"]
    assert frame["cell"].tolist() == frame["'@SUM(A1)"].tolist() == ["'=1+1", "-3"]
    assert frame["mean"].tolist() == [2.0, -2.0]
    runs = pd.read_csv(folder / "runs.csv")
    assert runs["cell"].tolist() == runs["'@SUM(A1)"].tolist() == ["'=1+1"] * 3 + ["-3"] * 3
    assert runs["val_error"].tolist() == [1.0, 2.0, 3.0, -1.0, -2.0, -3.0]


def test_a_study_that_has_hardly_begun_says_so(tmp_path):
    folder = write_study(tmp_path / "made", make_sweep(), {})
    text = build(folder).read_text(encoding="utf-8")
    assert "No run is complete yet" in text
    assert "no run has ended yet: K3, K5" in read(text).text
    assert list((folder / "figures").iterdir()) == []


def test_a_search_that_has_not_asked_for_a_cell_has_a_report(tmp_path):
    sweep = make_sweep(["K3"], design="search", search=Search(trials=8), cells=())
    folder = write_study(tmp_path / "made", sweep, {})
    page = read(build(folder).read_text(encoding="utf-8"))
    assert "tpe search for 8 cells" in page.text
    assert page.rows == []


def test_figures_of_runs_that_are_gone_go_too(tmp_path):
    folder = write_study(tmp_path / "made", make_sweep(), make_records({"K3": [20.0, 21.0]}))
    build(folder)
    assert (folder / "figures" / "curves.svg").exists()
    for file in folder.glob("runs/*/record.json"):
        file.unlink()
    build(folder)
    assert list((folder / "figures").iterdir()) == []


def test_records_of_runs_that_the_sweep_does_not_know_stay_unread(tmp_path):
    folder = write_study(tmp_path / "made", make_sweep(["K3"]), make_records({"K3": [20.0], "K5": [3.0]}))
    read = [run.key for row in study_table(folder).rows for run in row.runs if run.record]
    assert read == [key_of("K3", 0)]


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(DamagedRecordError, match="no study"):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_figures_are_whole_drawings(study):
    files = sorted((study / "figures").iterdir())
    assert [file.stem for file in files[::2]] == [file.stem for file in files[1::2]]
    assert all(file.read_bytes().startswith(b"%PDF") for file in files[::2])
    for file in files[1::2]:
        root = ElementTree.parse(file).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [part.get("id") for part in root.iter() if re.search(r"_\d+$", part.get("id") or "")]


def test_hostile_names_make_no_markup(nasty):
    page = read(nasty[1]["report.html"])
    assert page.tags <= TAGS
    assert page.handlers == []
    assert nasty[1]["report.html"].count("<script") == 1
    assert all(
        re.fullmatch(r"#\S*|references\.bib|runs/[\w%.~-]+/(record\.json|log\.txt)", link) for link in page.links
    )
    assert [cells[0].removesuffix("baseline") for cells in page.rows[: len(NASTY)]] == [clean(name) for name in NASTY]


def test_hostile_names_stay_text_in_figures(nasty):
    for drawing in nasty[0]:
        root = ElementTree.fromstring(drawing.svg)
        assert {part.tag.split("}")[1].lower() for part in root.iter()} <= TAGS


def test_hostile_names_break_no_markdown_table(nasty):
    lines = [line for line in nasty[1]["table.md"].splitlines() if line.startswith("|")]
    signs = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines]
    assert len(lines) == 2 * (2 + 2 * len(NASTY))
    assert [len({*half}) for half in (signs[: len(signs) // 2], signs[len(signs) // 2 :])] == [1, 1]
    assert not re.search(r"<(?!/?(details|summary)>)[a-z/!]", nasty[1]["report.md"])
    assert nasty[1]["report.md"].count("<details>") == nasty[1]["report.md"].count("</details>")


def test_hostile_settings_and_logs_stand_as_text(nasty):
    page = read(nasty[1]["report.html"])
    assert "End of the log, seed 0" in page.text
    assert page.text.count("[z](http://example.org) `q` ~w~ !") > 2 * len(NASTY)


@pytest.mark.slow
def test_ten_thousand_runs_fit_a_page():
    names = [f"cell {at}" for at in range(1000)]
    of_seed = {seed: make_record("", seed, 20.0 + seed) for seed in range(10)}
    runs = [(name, seed, key_of(name, seed)) for name in names for seed in of_seed]
    records = {key: of_seed[seed].model_copy(update={"cell": name, "key": key}) for name, seed, key in runs}
    table = ablation_table(make_sweep(names, range(10)), records)
    text = render(table, draw(table, {}))["report.html"]
    assert len(text.encode()) < 5_000_000
    assert text.count("/record.json") == len(records)


LOADED = """
import json, sys
from sklab.cli import main
main(["table", sys.argv[1]])
by_table = sorted(sys.modules)
main(["report", sys.argv[1]])
print(json.dumps([by_table, sorted(sys.modules)]))
"""


def test_reading_loads_nothing_of_the_other_planes(study):
    ran = subprocess.run([sys.executable, "-c", LOADED, str(study)], capture_output=True, text=True, check=True)
    by_table, by_report = (set(names) for names in json.loads(ran.stdout.splitlines()[-1]))
    assert not by_report & {"torch", "lightning", "optuna", "wandb", "sklearn", "sklab.training", "sklab.sweep"}
    assert not by_table & {"pandas", "matplotlib", "jinja2", "scipy.stats"}


def test_published_figures_of_networks_not_trained_here_stand_below_every_table():
    others = {"DPN-92 | x": PublishedRow(error=20.7, params=37.7, gmacs=6.5, verified=True)}
    figures = Published(source="a paper", data="ImageNet-1k", rows={}, others=others)
    texts = render(ablation_table(make_sweep(published=figures), {}), [])
    for name in ("report.html",):
        assert "Published only, not trained here: DPN-92" in texts[name]
    for name in ("table.md", "report.md"):
        assert "Published only, not trained here: DPN-92 \\| x 20.70 % (37.7 M, 6.5 GMACs)." in texts[name]


def test_the_latency_of_a_replay_is_shown_where_all_runs_of_a_cell_have_measured_it():
    replays = {("K3", 0): 0.25, ("K3", 1): 0.75, ("K5", 0): 0.5, ("K5", 1): 0.0}
    made = [make_record(*run, 20.0, latency_ms=4.0, replay_latency_ms=replay) for run, replay in replays.items()]
    table = ablation_table(make_sweep(("K3", "K5"), (0, 1)), {record.key: record for record in made})
    (column,) = [column for column in columns(table) if column.title == "replay (ms)"]
    assert [column.text(row) for row in table.rows] == ["0.50", NOTHING]
    frame = data_frame(table).set_index("cell")
    assert (frame.loc["K3", "replay_latency_ms"], math.isnan(frame.loc["K5", "replay_latency_ms"])) == (0.5, True)


def test_a_study_without_a_gpu_says_nothing_of_replays():
    table = ablation_table(make_sweep(("K3",), (0,)), make_records({"K3": [20.0]}, latency_ms=4.0))
    assert not any("replay" in column.title for column in columns(table))
    assert "replay_latency_ms" not in data_frame(table)
