"""One name for each thing in a sweep file: whoever writes 0.01 for the level `1e-2` means that level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sklab.spec.names import canonical, find
from sklab.spec.study.sweep import Published

Tree = dict[str, Any]


def with_one_name_each(tree: Mapping[str, Any]) -> Tree:
    """`tree` with the names in its baseline as levels or cells have them, and levels of listed cells as they stand
    first. What is not well-formed stays as it is."""
    cells = tree.get("cells")
    listed = _as_first_written(cells) if isinstance(cells, list) else cells
    known = {**tree, "cells": listed} if "cells" in tree else dict(tree)
    return {**known, "baseline": _baseline(known)} if "baseline" in tree else known


def renamed(published: Published | None, cells: Iterable[str]) -> Published | None:
    """`published` with its rows called as the cells are."""
    if published is None:
        return None
    names = list(cells)
    rows = {find(name, names) or name: row for name, row in published.rows.items()}
    return published.model_copy(update={"rows": rows})


def _baseline(tree: Tree) -> Any:
    baseline, factors = tree["baseline"], tree.get("factors")
    if isinstance(baseline, str):
        return find(baseline, _texts(cell.get("name") for cell in _mappings(tree.get("cells")))) or baseline
    if isinstance(baseline, dict) and isinstance(factors, dict):
        return {name: _level(factors.get(name), level) for name, level in baseline.items()}
    return baseline


def _level(factor: Any, level: Any) -> Any:
    levels = factor.get("levels") if isinstance(factor, dict) else None
    if not isinstance(level, str) or not isinstance(levels, dict):
        return level
    return find(level, levels) or level


def _as_first_written(cells: list[Any]) -> list[Any]:
    first: dict[tuple[str, str], str] = {}
    return [_with_levels(cell, first) if isinstance(cell, dict) else cell for cell in cells]


def _with_levels(cell: Tree, first: dict[tuple[str, str], str]) -> Tree:
    factors = cell.get("factors")
    if not isinstance(factors, dict):
        return cell
    return {
        **cell,
        "factors": {
            name: first.setdefault((name, canonical(level)), level) if isinstance(level, str) else level
            for name, level in factors.items()
        },
    }


def _mappings(entries: Any) -> list[Tree]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _texts(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
