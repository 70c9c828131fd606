"""docs/report.md: its worked example is what the table says, and it names every column."""

from pathlib import Path

from studies import EXPERIMENT, make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.numbers import fixed, signed
from sklab.report.tables.columns import columns
from sklab.spec.study.sweep import Published, PublishedRow

PAGE = (Path(__file__).parents[2] / "docs/report.md").read_text(encoding="utf-8")
ERRORS = {"base": [20.0, 21.0, 22.5], "A": [18.0, 19.5, 20.0], "B": [20.5, 20.0, 22.0]}


def test_the_worked_example_is_what_the_table_says():
    page = " ".join(PAGE.split())
    base, a, b = ablation_table(make_sweep(list(ERRORS)), make_records(ERRORS)).rows
    means = [f"{fixed(row.mean, 2)} ± {fixed(row.half, 2)}" for row in (base, a, b)]
    assert f"The means are {means[0]}, {means[1]} and {means[2]}." in page
    assert f"Their mean is {signed(a.baseline.difference, 2)}" in page
    assert f"± {a.baseline.half:.2f} and p = {a.baseline.adjusted:.3f}: `{a.verdict}`" in page
    told = f"Mean {signed(b.baseline.difference, 2)} ± {b.baseline.half:.2f}; p = {b.baseline.adjusted:.3f}"
    assert f"{told}: `{b.verdict}`, and {b.seeds_missing} more seeds" in page


def test_every_column_is_explained():
    published = Published(source="a", data="digits", rows={"A": PublishedRow(error=1.0)}, tolerance=0.3)
    experiment = {**EXPERIMENT, "data": {"name": "scaled_digits", "title": "digits"}}
    sweep = make_sweep(list(ERRORS), published=published, experiment=experiment)
    named = "\n".join(line for line in PAGE.splitlines() if line.startswith("- **"))
    for column in columns(ablation_table(sweep, make_records(ERRORS))):
        head = column.head.split(" (")[0]
        if head not in ("cell", "mean", "±95%", "error", "GMACs"):
            assert head in named, column.head
