"""What mkdocs does beyond its own: links out of docs/, and tables that fit a phone.

A page of docs/ links to other files of the repository by relative paths (`../sweeps/scale.yaml`), as it must to be read
there. In the site such a file is a page under `repository/`: Markdown as it is, other text as a block of code; a
picture is copied.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

_LINK = re.compile(r"(\]\()([^)#\s:]+)(?=[)#])")
_KEYS = re.compile(r"<table>\s*<thead>\s*<tr>\s*<th>(key|option|column)</th>.*?</table>", re.DOTALL)
_PICTURES = (".png", ".svg", ".jpg")
_INSIDE, _OUTSIDE = "docs/", "repository/"
_LANGUAGES = {".yaml": "yaml", ".py": "python", ".json": "json", ".sh": "sh"}


def on_files(files: Files, config: Any) -> Files:
    """Take in the files of the repository that pages link to, and those that these link to."""
    root = Path(config.docs_dir).parent
    waiting = [_INSIDE + file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for target in _targets(page, root):
            uri = _uri(target)
            if not target.startswith(_INSIDE) and files.get_file_from_path(uri) is None:
                files.append(_file(target, uri, root, config))
                waiting += [target] if target.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Point links at where the site has what they lead to."""
    root, here = Path(config.docs_dir).parent, page.file.src_uri
    source = here.removeprefix(_OUTSIDE) if here.startswith(_OUTSIDE) else _INSIDE + here

    def pointed(match: re.Match[str]) -> str:
        target = _target(source, match[2])
        if not (root / target).is_file():
            return match[0]
        return match[1] + posixpath.relpath(_uri(target), posixpath.dirname(here))

    return _LINK.sub(pointed, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Mark the tables of keys and options, whose rows a phone shows as paragraphs."""
    return _KEYS.sub(r'<div class="keys of-\1">\g<0></div>', html)


def _targets(page: str, root: Path) -> set[str]:
    """The files of the repository that a page links to, by their paths in it."""
    text = (root / page).read_text(encoding="utf-8")
    found = {_target(page, match[2]) for match in _LINK.finditer(text)}
    return {target for target in found if (root / target).is_file()}


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _uri(target: str) -> str:
    """Where the site has a file of the repository, as the source of a page."""
    if target.startswith(_INSIDE):
        return target.removeprefix(_INSIDE)
    return _OUTSIDE + target + ("" if target.endswith((".md", *_PICTURES)) else ".md")


def _file(target: str, uri: str, root: Path, config: Any) -> File:
    unlisted = InclusionLevel.NOT_IN_NAV
    if target.endswith((".md", *_PICTURES)):
        return File.generated(config, uri, abs_src_path=str(root / target), inclusion=unlisted)
    text = (root / target).read_text(encoding="utf-8")
    language = _LANGUAGES.get(os.path.splitext(target)[1], "text")  # noqa: PTH122
    return File.generated(config, uri, content=f"# {target}\n\n````{language}\n{text}````\n", inclusion=unlisted)
