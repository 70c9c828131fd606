"""Docstrings for mkdocstrings: attribute lines (`name  meaning`), the form of this project, as a Markdown list."""

from __future__ import annotations

import re
from typing import Any

import griffe

_LINE = re.compile(r"^(\w+(?:, \w+)*)  +(?=\S)", re.MULTILINE)
_CONTINUED = re.compile(r"\n  +")


class AttributeLines(griffe.Extension):
    """Rewrites the docstring of each object."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring and _LINE.search(obj.docstring.value):
            obj.docstring.value = as_list(obj.docstring.value)


def as_list(docstring: str) -> str:
    """The docstring with an item of a list for each attribute line."""
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(_listed(part) if _LINE.match(part) else part for part in paragraphs)


def _listed(lines: str) -> str:
    whole = _CONTINUED.sub(" ", lines)
    return _LINE.sub(lambda match: f"- {', '.join(f'`{name}`' for name in match[1].split(', '))}: ", whole)
