"""docs/analysis.md against the program: numbers are the program's, names exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from sklab.analysis.attention.trends import MARGIN
from sklab.spec.analysis import FIELD_IMAGES, THRESHOLD

PAGE = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")


def test_its_numbers_are_the_programs() -> None:
    assert (MARGIN, FIELD_IMAGES) == (0.01, 64)
    assert f"{100 * THRESHOLD:.2f} %" in PAGE


def test_the_functions_that_it_names_exist() -> None:
    tail = PAGE.split("## For your own figures")[1]
    modules = [importlib.import_module(name) for name in re.findall(r"`(sklab\.[\w.]+)`", tail)]
    assert len(modules) == 2
    for name in ("levels", "by_class", "pooled", "trends", "read_analyses", "runs_by_cell", "field_sizes"):
        assert f"`{name}" in tail or f"({name}" in tail
        assert any(hasattr(module, name) for module in modules)
