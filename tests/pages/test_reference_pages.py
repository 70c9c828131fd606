"""docs/reference/: the generated pages are those of today's program, and leave nothing out that a user may write."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import sklab
from sklab.analysis.frames.runs import runs_frame
from sklab.analysis.frames.table import answers_frame, data_frame
from sklab.spec.data import data_sets, data_spec
from sklab.spec.model import families, family_spec
from sklab.spec.run import Experiment
from sklab.spec.study.launchers import RaySpec, SlurmSpec
from sklab.spec.values import Value, value_class
from sklab.sweep.files.sweepfile import SweepFile

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "generator"))

from all_pages import pages  # noqa: E402
from keys import UndocumentedError, attribute_lines, is_fixed, keys_of  # noqa: E402

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name):
    kept = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert kept == PAGES[name], "write it again by: python docs/generator"


def below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A class of values and all those of the mappings in it."""
    yield kind
    for field in kind.model_fields.values():
        inner = value_class(field.annotation)
        if inner not in (None, kind):
            yield from below(inner)


FILES = {
    "experiment.md": [Experiment, *map(data_spec, data_sets()), *map(family_spec, families())],
    "sweep.md": [SweepFile],
    "launchers.md": [SlurmSpec, RaySpec],
}


@pytest.mark.parametrize("page", FILES)
def test_every_key_that_a_file_may_hold_has_a_row_with_its_meaning(page):
    rows = [line for line in PAGES[page].splitlines() if line.startswith("| `")]
    missing = [
        f"{kind.__qualname__}.{key.name}"
        for outer in FILES[page]
        for kind in below(outer)
        for key in keys_of(kind)
        if kind is not Experiment and not any(row.startswith(f"| `{key.name}`") and key.meaning in row for row in rows)
    ]
    assert missing == []


def test_a_key_without_a_meaning_is_refused():
    class Fresh(Value):
        """A value whose second key nobody has explained.

        told  what it is
        """

        told: int = 1
        untold: int = 2

    with pytest.raises(UndocumentedError, match=r"Fresh: no line for untold"):
        keys_of(Fresh)
    assert [(key.name, key.allowed, key.default, key.meaning) for key in keys_of(Fresh, ["told"])] == [
        ("told", "a whole number", "`1`", "what it is")
    ]


def test_only_keys_with_one_possible_value_are_left_out():
    kinds = {kind for outer in (*FILES["experiment.md"], SweepFile) for kind in below(outer)}
    left_out = {name for kind in kinds for name, field in kind.model_fields.items() if is_fixed(field)}
    assert left_out == {"name", "family", "version", "num_classes", "channels", "image_size"}


FRAMES = {"table.csv": data_frame, "questions.csv": answers_frame, "runs.csv": runs_frame}
STUDIES = ("tests/report/golden", "results/example", "results/example-scale")
CSV = [file for study in STUDIES for name in FRAMES if (file := DOCS.parent / study / name).exists()]


@pytest.mark.parametrize("file", CSV, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_column_of_a_csv_file_is_explained(file):
    lines = attribute_lines(FRAMES[file.name].__doc__)
    known = "|".join(name.replace("SIZE", r"\d+").replace("NAME", r"\w+") for name, _ in lines)
    with file.open(encoding="utf-8") as stream:
        columns = next(csv.reader(stream))
    end = {"table.csv": "is_baseline", "runs.csv": "seed"}.get(file.name)
    factors = columns[1 : columns.index(end)] if end else ()
    assert [name for name in columns if name not in factors and not re.fullmatch(known, name)] == []


def test_there_is_a_file_of_each_kind():
    assert {file.name for file in CSV} == FRAMES.keys()


def test_every_public_name_stands_in_the_reference_of_python():
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert {f"::: sklab.{name}" for name in sklab.__all__ if name != "__version__"} <= set(page.splitlines())
