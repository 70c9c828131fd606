"""A question as a value: the cells of a study, their seeds, and how the table is laid out.

A `Sweep` is what `sweep.load` makes of a YAML file and what stands, resolved, in `results/<study>/sweep.yaml`;
the reading plane needs nothing else to know which runs belong to which row.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict

from sklab.spec.budget import EqualBudget
from sklab.spec.run import Seed
from sklab.spec.values import Seq, Value

Design = Literal["list", "grid", "ofat", "search"]
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def _stays_inside(study: str) -> str:
    if not _STUDY_NAME.fullmatch(study):
        raise ValueError("a study is named by letters, digits, '.', '_' and '-', starting with a letter or digit")
    return study


StudyName = Annotated[str, AfterValidator(_stays_inside)]  # it is a folder's name, and must not lead out of results


class Metric(Value):
    """The number a study is about, lower is better, and the epoch it is read at: the same rule for every row."""

    name: Literal["val_error", "val_loss"] = "val_error"
    epoch: Literal["last", "best"] = "last"


class PublishedRow(Value):
    """A figure from the literature. `error` in %, `params` in millions, `gmacs` in 10^9 multiply-accumulates."""

    error: float = Field(gt=0)
    params: float | None = Field(default=None, gt=0)
    gmacs: float | None = Field(default=None, gt=0)
    verified: bool = False


class Published(Value):
    """Published figures with where they stand and the data they were measured on.

    `rows` are those of cells, by name; `others` those of networks that are not trained here.
    """

    source: str
    data: str
    rows: dict[str, PublishedRow]
    others: dict[str, PublishedRow] = {}


class Factor(Value):
    """A factor of a grid, one-factor-at-a-time or search design.

    `path` is the dotted place in the experiment that a level replaces (`model.branches.1.dilation`);
    `levels` maps each level's name to its value.
    """

    path: str
    levels: dict[str, Any] = Field(min_length=1)


class Search(Value):
    """How a search design asks for cells. `trials` counts distinct cells."""

    sampler: Literal["tpe", "random"] = "tpe"
    trials: int = Field(ge=1)
    seed: Seed = 0


class Cell(Value):
    """One configuration. `settings` maps dotted paths to values laid over the sweep's experiment;
    `factors` names its levels for the table; `runs` maps each seed to the key of its run."""

    name: str = Field(min_length=1)
    factors: dict[str, str] = {}
    settings: dict[str, Any] = {}
    # JSON and its like have text keys only
    runs: dict[Annotated[int, Strict(False)], str] = {}


class InvalidCell(Value):
    """A configuration that can't exist, with the rule it breaks. It stands in the table with its reason."""

    name: str
    factors: dict[str, str] = {}
    reason: str


class Sweep(Value):
    """A sweep file, resolved. `experiment` is the base as a plain tree, before a cell's settings are laid over it."""

    study: StudyName
    question: str = ""
    experiment_name: str
    experiment: dict[str, Any]
    design: Design
    seeds: Seq[Seed] = Field(min_length=1)
    metric: Metric = Metric()
    baseline: str
    columns: Seq[str]
    cells: Seq[Cell]
    invalid: Seq[InvalidCell] = ()
    factors: dict[str, Factor] = {}
    search: Search | None = None
    published: Published | None = None
    equal_budget: EqualBudget | None = None
