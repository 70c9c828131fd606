"""The results of gpu.py as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_FACTS = ("driver", "torch", "cuDNN", "Python", "cores", "sklab")
_TEXT = ("case", "note", "error")


def page(results: dict[str, Any], *, head: bool = True) -> str:
    lines = [*_head(results["facts"])] if head else []
    for section in results["sections"].values():
        lines += [f"#### {section['title']}", "", *_table(section["rows"]), f"{section['seconds']:.0f} s in all.", ""]
    return "\n".join(lines)


def _head(facts: dict[str, Any]) -> Iterator[str]:
    yield f"### {facts['card']}, {facts['date']}"
    yield ""
    yield f"    {facts['command']}"
    yield ""
    if facts["tiny"]:
        yield "**Tiny sizes, whatever the titles say: these numbers say nothing.**"
        yield ""
    yield ", ".join(f"{name} {facts[name]}" for name in _FACTS if facts[name]) + "."
    yield ""


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The numbers as a table, then what could not be measured, as a list."""
    measured = [row for row in rows if "note" not in row and "error" not in row]
    if measured:
        columns = list(dict.fromkeys(name for row in measured for name in row))
        yield f"| {' | '.join(columns)} |"
        yield f"| {' | '.join(':--' if name in _TEXT else '--:' for name in columns)} |"
        yield from (f"| {' | '.join(_cell(row.get(name)) for name in columns)} |" for row in measured)
        yield ""
    others = [row for row in rows if row not in measured]
    for row in others:
        what = f"failed: {row['error']}" if "error" in row else row["note"]
        yield f"- {row['case']}: {what}" if "case" in row else f"- {what}"
    if others:
        yield ""


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)
