"""docs/report.md: its worked example is what the table says."""

from pathlib import Path

from studies import make_records, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.numbers import fixed, signed

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
