"""The documentation as a site: it is built without a warning, and opens without a server or a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROME = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
SMALL = """
INHERIT: {root}/mkdocs.yml
docs_dir: docs
hooks: [{root}/docs/generator/hooks.py]
nav: [Home: index.md]
extra_css: []
plugins: [search]
"""


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--config-file",
        str(config),
        "--site-dir",
        str(out),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    answer = build(ROOT / "mkdocs.yml", out)
    assert answer.returncode == 0, answer.stderr
    return out


class Resources(HTMLParser):
    """What a browser would load for a page, links aside."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name == LOADED.get(tag) and value]


@pytest.mark.slow
@pytest.mark.xdist_group("site")
def test_every_page_is_built_and_loads_nothing_from_the_network(site):
    pages = {file.relative_to(site).as_posix(): file.read_text(encoding="utf-8") for file in site.rglob("*.html")}
    written = {file.relative_to(ROOT / "docs").with_suffix(".html") for file in (ROOT / "docs").rglob("*.md")}
    assert {file.as_posix() for file in written} <= pages.keys()
    loaded = {}
    for name, text in pages.items():
        reader = Resources()
        reader.feed(text)
        loaded[name] = [each for each in reader.loaded if re.match(r"(https?:)?//", each)]
    assert {name: found for name, found in loaded.items() if found} == {}
    styles = [file.read_text(encoding="utf-8") for file in site.rglob("*.css")]
    assert not any(re.search(r"""(url\(|@import )["']?(https?:)?//""", style) for style in styles)


@pytest.mark.slow
@pytest.mark.xdist_group("site")
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_search_answers_in_a_page_that_is_opened_as_a_file(site, tmp_path):
    page = f"file://{site}/index.html?q=label_smoothing"
    options = [*CHROME, f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom"]
    command = [str(CHROMIUM), *options, page]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert re.search(
        r'href="[^"]*reference/experiment\.html\?h=label_smoothing[^"]*" class="md-search-result__link', answer
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[a page](gone.md)", "gone.md"),
        ("[a heading](#gone)", "#gone"),
        ("[a file](../sweeps/gone.yaml)", "../sweeps/gone.yaml"),
        ("", ""),
    ],
    ids=["page", "anchor", "file", "sound"],
)
def test_a_broken_link_is_a_failure(tmp_path, text, complaint):
    (tmp_path / "docs").mkdir()
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "one.yaml").write_text("design: list\n")
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n[a sweep](../sweeps/one.yaml)\n{text}\n")
    (tmp_path / "mkdocs.yml").write_text(SMALL.format(root=ROOT))
    answer = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert (answer.returncode != 0) == bool(complaint), answer.stderr
    assert complaint in answer.stderr
    if not complaint:
        assert "design" in (tmp_path / "site" / "repository" / "sweeps" / "one.yaml.html").read_text()
