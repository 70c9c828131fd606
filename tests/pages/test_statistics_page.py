"""docs/statistics.md: its worked example is what the functions answer."""

from pathlib import Path

from sklab.analysis.statistics.compare import compare

PAGE = (Path(__file__).parents[2] / "docs/statistics.md").read_text(encoding="utf-8").replace("−", "-")


def test_the_worked_example_is_reckoned_as_it_stands():
    found = compare([[20.0, 21.0, 22.5], [18.0, 19.5, 20.0], [20.5, 20.0, 22.0]], 0)
    a, b = found.rows[1:]
    assert f"equal variances p = {found.choice.variances.p:.2f}" in PAGE
    assert f"additivity p = {found.choice.additivity.p:.2f}" in PAGE
    assert f"A minus the baseline: {a.difference:.2f} ± {a.half:.2f}, adjusted p = {a.adjusted:.3f}" in PAGE
    assert f"B: {b.difference:.2f} ± {b.half:.2f}, adjusted p = {b.adjusted:.3f}" in PAGE
    assert f"of A: {a.effect:.2f}," in PAGE
    assert f"Of B: {b.effect:.2f}." in PAGE
    assert f"true difference of {a.detectable:.2f} would" in PAGE
    assert f"{a.needed} seeds would find A's with 80 % probability, and {b.needed} B's" in PAGE
    assert f"there are {a.df:g} degrees of freedom" in PAGE
