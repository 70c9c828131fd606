"""The report of one study, word for word.

After a wanted change: `SKLAB_WRITE_GOLDEN=1 python -m pytest tests/report/test_golden.py`, then read the diff.
"""

import os
import re
from pathlib import Path

import pytest

from sklab.report.build import build
from sklab.report.figures.study import NAMES

GOLDEN = Path(__file__).parent / "golden"
FILES = (
    "table.csv",
    "questions.csv",
    "runs.csv",
    "table.md",
    "table.tex",
    "report.md",
    "report.tex",
    "report.html",
    "references.bib",
)


@pytest.mark.parametrize("name", FILES)
def test_the_report_is_word_for_word_what_it_was(kernels_folder, name):
    # What is inside a figure differs between versions of matplotlib.
    text = re.sub(r"<svg .*?</svg>", "<svg/>", (kernels_folder / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    if os.environ.get("SKLAB_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_same_records_make_the_same_bytes(kernels_folder):
    files = [kernels_folder / name for name in FILES] + sorted((kernels_folder / "figures").iterdir())
    assert {file.stem for file in files[len(FILES) :]} <= set(NAMES)
    before = [file.read_bytes() for file in files]
    build(kernels_folder)
    assert [file.read_bytes() for file in files] == before
    assert not list(kernels_folder.glob(".*"))
