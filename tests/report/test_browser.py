"""What only a browser can tell: widths, colours and what the script does. Skipped where there is no Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars", "--window-size=1400,1000",
]  # fmt: skip

# Measured in a frame, because a window can't be as narrow as a phone.
FRAME = """<!doctype html><body><iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe>
<script>onload = function () {{
  var view = document.querySelector("iframe").contentWindow, page = view.document, found = {{}};
  {measure}
  var out = document.createElement("output");
  out.textContent = JSON.stringify(found);
  document.body.append(out);
}};</script>"""

WIDTH = """
  found.overflow = page.documentElement.scrollWidth - view.innerWidth;
  found.escaped = Array.from(page.querySelectorAll("h1, h2, p, dd, figure, figcaption, details, svg")).filter(
    function (part) {
      return part.getBoundingClientRect().right > view.innerWidth + 1 && !part.closest(".scroll, .plot, pre");
    }).map(function (part) { return part.tagName + " " + part.textContent.slice(0, 40); });
"""
COLOURS = """
  var style = view.getComputedStyle(page.documentElement);
  ["paper", "ink", "muted", "tint", "accent", "base", "grid"].forEach(function (name) {
    found[name] = style.getPropertyValue("--" + name).trim();
  });
"""
FIRST = """
  var first = page.querySelector("table.summary");
  found.overflow = first.getBoundingClientRect().right > view.innerWidth + 0.5 || first.scrollWidth > first.clientWidth;
  var verdicts = Array.from(first.querySelectorAll("td.verdict"));
  found.seen = verdicts.length;
  found.hidden = verdicts.filter(function (cell) {
    var box = cell.getBoundingClientRect();
    return !box.width || box.left < 0 || box.right > view.innerWidth;
  }).length;
"""
LETTERS = """
  var walker = page.createTreeWalker(page.body, 4), small = {};
  while (walker.nextNode()) {
    var part = walker.currentNode.parentElement, svg = part.closest("svg");
    if (!walker.currentNode.data.trim() || part.closest("script, style")) continue;
    if (!part.getBoundingClientRect().width) continue;
    var zoom = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    var size = parseFloat(view.getComputedStyle(part).fontSize) * zoom;
    if (size < 11) small[(svg ? "figure " : "") + walker.currentNode.data.trim().slice(0, 30)] = size;
  }
  found.small = small;
"""
VERDICTS = """
  found.colours = Array.from(page.querySelectorAll("td.verdict")).map(function (cell) {
    return view.getComputedStyle(cell).color.match(/\\d+/g).slice(0, 3).map(function (part) {
      return Number(part).toString(16).padStart(2, "0");
    }).join("");
  });
  found.paper = view.getComputedStyle(page.documentElement).getPropertyValue("--paper").trim();
"""
COUNTED = """
  var shown = Array.from(page.querySelectorAll("table.main thead tr:last-child th")).filter(function (head) {
    return head.getBoundingClientRect().width > 0;
  });
  found.said = page.querySelector(".choice summary").textContent;
  found.shown = shown.length;
"""
PRINTED = """
  function style(of, pseudo) { return view.getComputedStyle(page.querySelector(of), pseudo); }
  found.paper = style("html").getPropertyValue("--paper").trim();
  found.scheme = style("html").colorScheme;
  found.left_out = [".choice", ".wide", ".bibtex", "nav"].map(function (of) { return style(of).display; });
  found.marker = style("summary").listStyleType;
  found.reading = page.querySelector(".reading").checkVisibility({contentVisibilityAuto: true});
  found.wide = Array.from(page.querySelectorAll("table")).filter(function (table) {
    return table.getBoundingClientRect().right > view.innerWidth;
  }).length;
  found.tall = Array.from(page.querySelectorAll(".plot svg")).filter(function (svg) {
    return svg.getBoundingClientRect().height > 530;  // 140 mm
  }).length;
"""
SORTED = """
  var heads = Array.from(page.querySelectorAll("table.main thead tr:last-child th"));
  var mean = heads.findIndex(function (head) { return head.dataset.title === "validation error (%)"; });
  function names() {
    return Array.from(page.querySelectorAll("table.main > tbody > tr:not(.runs) > th summary")).map(
      function (one) { return one.firstChild.textContent.trim(); });
  }
  found.before = names();
  heads[mean].querySelector("button").click();
  found.rising = names();
  found.sorted = heads[mean].getAttribute("aria-sort");
  heads[mean].querySelector("button").click();
  found.falling = names();
  heads[mean].querySelector("button").click();
  found.after = names();
  var rows = Array.from(page.querySelector("table.main > tbody").children);
  found.paired = rows.every(function (row, at) { return (row.className === "runs") === (at % 2 === 1); });
  var box = page.querySelectorAll(".choice input")[mean - 1];
  if (!box.checked) box.click();
  found.shown = heads[mean].getBoundingClientRect().width > 0;
  box.click();
  found.hidden = heads[mean].getBoundingClientRect().width;
  page.querySelector("table.main > tbody > tr > td").click();
  found.opened = view.getComputedStyle(page.querySelector("tr.runs")).display;
"""


@pytest.fixture(scope="module")
def page(kernels_folder):
    return (kernels_folder / "report.html").read_text(encoding="utf-8")


def measured(page, measure, folder, width=1280):
    file = folder / "frame.html"
    file.write_text(FRAME.format(width=width, page=html.escape(page), measure=measure), encoding="utf-8")
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(html.unescape(re.search(r"<output>(.*?)</output>", ran.stdout, re.DOTALL)[1]))


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_leaves_the_page_at_its_side(page, tmp_path, width):
    found = measured(page, WIDTH, tmp_path, width)
    assert found == {"overflow": 0, "escaped": []}


def test_the_check_of_width_can_fail(page, tmp_path):
    wide = page.replace("</header>", '<p style="width: 900px">wide</p></header>')
    assert measured(wide, WIDTH, tmp_path, 390)["overflow"] > 0


def test_the_verdict_is_on_a_telephone_without_scrolling(page, tmp_path):
    assert measured(page, FIRST, tmp_path, 390) == {"overflow": False, "seen": 6, "hidden": 0}


def test_the_check_of_the_first_table_can_fail(page, tmp_path):
    wide = page.replace('<td class="verdict better">', '<td class="verdict better" style="min-width: 900px">', 1)
    assert measured(wide, FIRST, tmp_path, 390)["overflow"]


@pytest.mark.parametrize("width", [390, 1280])
def test_no_letter_is_smaller_than_eleven_pixels(page, tmp_path, width):
    opened = page.replace("<details", "<details open")
    assert measured(opened, LETTERS, tmp_path, width)["small"] == {}


def test_the_check_of_letters_can_fail(page, tmp_path):
    small = page.replace("</header>", '<p style="font-size: 10px">small</p></header>')
    assert measured(small, LETTERS, tmp_path)["small"] == {"small": 10}


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_number_of_columns_shown_is_true(page, tmp_path, width):
    found = measured(page, COUNTED, tmp_path, width)
    assert found["said"].startswith(f"Columns: {found['shown']} of ")


@pytest.mark.parametrize("dark", [False, True])
def test_verdicts_stand_out_from_the_paper(page, tmp_path, dark):
    page = page.replace("(prefers-color-scheme: dark)", "all" if dark else "not all")
    found = measured(page, VERDICTS, tmp_path)
    assert len({*found["colours"]}) >= 3
    assert min(contrast(f"#{colour}", found["paper"]) for colour in found["colours"]) >= 4.5


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_the_paper(page, tmp_path, dark):
    # The frame follows the system; the page's own rules for a dark one are switched on or off.
    page = page.replace("(prefers-color-scheme: dark)", "all" if dark else "not all")
    found = measured(page, COLOURS, tmp_path)
    assert (luminance(found["paper"]) < 0.05) is dark
    for name in ("ink", "muted", "accent", "base"):
        assert contrast(found[name], found["paper"]) >= 4.5, name
        assert contrast(found[name], found["tint"]) >= 4.5, name


def test_columns_sort_and_hide_and_rows_open(page, tmp_path):
    found = measured(page, SORTED, tmp_path)
    assert found["rising"][:3] == ["K3+K5 SK", "K3+K7 SK", "K3+K5 sum"]
    assert found["sorted"] == "ascending"
    assert found["falling"][:3] == ["K5", "K5+K7 SK", "K3"]
    assert found["before"] == found["after"]
    assert {found["rising"][-1], found["falling"][-1]} <= {"K7", "K9 G7"}
    assert found["paired"]
    assert found["shown"]
    assert found["hidden"] == 0
    assert found["opened"] == "table-row"


def test_paper_is_light_without_controls_and_holds_every_figure(page, tmp_path):
    # The frame is a screen of a dark system; the page's own rules for paper are switched on.
    page = page.replace("(prefers-color-scheme: dark)", "all").replace("@media print", "@media all")
    found = measured(page, PRINTED, tmp_path, 703)  # A4 without its margins
    assert found == {
        "paper": "#fff", "scheme": "light", "left_out": ["none"] * 4, "marker": "none", "reading": True, "wide": 0,
        "tall": 0,
    }  # fmt: skip
