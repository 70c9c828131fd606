"""Reading a report back as a browser would: the rows of its table with their runs, its links, its tags."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "link", "input"}


@dataclass
class Page(HTMLParser):
    """`rows`: cells of each row of the main table; `runs`: of the rows of runs under it; `tags`, `links`, `text`."""

    tags: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    handlers: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    runs: list[list[list[str]]] = field(default_factory=list)
    text: str = ""
    stack: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        kind = f"{tag}.{given.get('class', '')}".rstrip(".")
        self.tags.add(tag)
        self.handlers += [name for name in given if name.startswith("on")]
        self.links += [given[name] for name in ("href", "src", "xlink:href", "action", "data") if name in given]
        if tag not in _VOID:
            self.stack.append(kind)
        if tag == "tr" and self._in_body():
            self._row(kind)
        if tag in ("td", "th") and self._in_body():
            self._cells().append("")

    def _in_body(self) -> bool:
        return "table.main" in self.stack and "tbody" in self.stack

    def _row(self, kind: str) -> None:
        if kind == "tr.runs":
            self.runs.append([])
        elif "tr.runs" in self.stack:
            self.runs[-1].append([])
        else:
            self.rows.append([])

    def _cells(self) -> list[str]:
        inner = "tr.runs" in self.stack
        return (self.runs[-1][-1] if self.runs[-1] else []) if inner else self.rows[-1]

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack.pop().split(".")[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_body() and any(kind.split(".")[0] in ("td", "th") for kind in self.stack):
            cells = self._cells()
            if cells:
                cells[-1] += data.strip()


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    return page
