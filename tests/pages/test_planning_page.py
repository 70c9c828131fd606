"""docs/planning.md against the program: its numbers are the program's."""

from __future__ import annotations

from pathlib import Path

from sklab.training import jobs

PAGE = (Path(__file__).parents[2] / "docs" / "planning.md").read_text(encoding="utf-8")


def test_its_numbers_are_the_programs() -> None:
    assert f"trains {jobs._WARM + jobs._TIMED} steps" in PAGE
    assert f"({jobs._WARM} to warm up, {jobs._TIMED} timed) and\nevaluates {jobs._VAL} batches" in PAGE
