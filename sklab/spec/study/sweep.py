"""A study as a value: its cells, their seeds, and the layout of its table.

`sweep.files.load` makes a `Sweep` from a YAML file; resolved, it is in `results/<study>/sweep.yaml`. Nothing else is
needed to know which runs belong to which row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from sklab.spec import limits
from sklab.spec.run import Seed
from sklab.spec.study.metrics import METRICS, TOP1_ERROR, Measure, MetricName, OwnMetric, declare_in
from sklab.spec.study.nuisance import Nuisance
from sklab.spec.study.questions import Question
from sklab.spec.study.search import EqualBudget, Search
from sklab.spec.study.vary import Vary
from sklab.spec.values import Seq, Value

Design = Literal["list", "grid", "fractional", "ofat", "leave_one_out", "search"]
_ROMAN = {3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII", 8: "VIII", 9: "IX"}
_STUDY_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{limits.NAME - 1}}}")
_LEVELS = "a list of values, or a mapping of names to values"
MOST_REPLICATES = 1000


def _stays_inside(study: str) -> str:
    if not _STUDY_NAME.fullmatch(study):
        raise ValueError("a study is named by letters, digits, '.', '_' and '-', starting with a letter or digit")
    return study


StudyName = Annotated[str, AfterValidator(_stays_inside)]  # it names a folder, which must not be outside results


Epoch = Literal["last", "best"]


class Metric(Value):
    """The study's metric and the epoch at which it is read: the same rule for every row.

    name   what every difference, verdict, question and search of the study is about
    epoch  `last`, or `best`: the epoch of lowest `val_error`
    """

    name: MetricName = TOP1_ERROR
    epoch: Epoch = "last"

    @property
    def measure(self) -> Measure:
        """What is known of the metric, such as the direction of better values."""
        return METRICS[self.name]


class PublishedRow(Value):
    """Figures of one network from the literature.

    error     top-1 error in %
    params    parameters in millions
    gmacs     multiply-accumulates of one image, in 10^9
    errors    the error in % at further evaluation sizes, by pixels a side
    verified  somebody has compared the figures with their source; otherwise the table marks them
    """

    error: float = Field(gt=0, le=limits.FIGURE)
    params: float | None = Field(default=None, gt=0, le=limits.FIGURE)
    gmacs: float | None = Field(default=None, gt=0, le=limits.FIGURE)
    # the keys of a YAML or JSON mapping are text
    errors: dict[Annotated[int, Strict(False)], Annotated[float, Field(gt=0, le=limits.FIGURE)]] = {}
    verified: bool = False


class Published(Value):
    """Published figures with their source and the data of their measurement.

    source     where they were published
    data       the name or title of the data set that they were measured on; on other data they are shown, not compared
    rows       the figures of cells, by the cell's name
    others     the figures of networks that are not trained here, by any name
    tolerance  an error that differs from the published one by at most so many percentage points counts as reproduced
               (`null`: no verdict)
    """

    source: str
    data: str
    rows: dict[str, PublishedRow]
    others: dict[str, PublishedRow] = {}
    tolerance: float | None = Field(default=None, gt=0, description="a number of percentage points above 0")


class Factor(Value):
    """A factor of any design but a list.

    path    the dotted place in the experiment that a level replaces, such as `model.branches.1.dilation`; positions in
            a list count from 0
    levels  the values that stand there in turn; the table shows their names
    """

    path: str
    levels: dict[str, Any] = Field(min_length=1, max_length=limits.LEVELS, description=_LEVELS)


class Fraction(Value):
    """The fraction of a full factorial that a fractional design is, and the effects that it confounds.

    share       of all combinations of levels, such as `1/2`
    resolution  fewest factors in a product that is constant over the cells: 3, main effects are confused with two-way
                interactions; 4, two-way interactions with each other; 5 and more, neither
    generators  how the last factors' levels follow from those of the others ("D = A × B × C")
    aliases     groups of main effects and two-way interactions that can't be told apart here ("A × B = C × D")
    """

    share: str
    resolution: int
    generators: Seq[str]
    aliases: Seq[str]

    def __str__(self) -> str:
        resolution = _ROMAN.get(self.resolution, str(self.resolution))
        confused = f"; one and the same here: {'; '.join(self.aliases)}" if self.aliases else ""
        return f"{self.share} of all combinations, resolution {resolution} ({', '.join(self.generators)}){confused}"


class Cell(Value):
    """One configuration. `settings` maps dotted paths to values that replace those of the sweep's experiment;
    `factors` names its levels for the table; `runs` maps each seed to the key of its run."""

    name: str = Field(min_length=1)
    factors: dict[str, str] = {}
    settings: dict[str, Any] = {}
    # keys in JSON are always text
    runs: dict[Annotated[int, Strict(False)], str] = {}

    @property
    def trained_as(self) -> str:
        """The name of the cell whose runs stand for this one."""
        return self.name


class Duplicate(Cell):
    """A configuration with the same training as the cell `same_as`: its settings differ but build the same network, on
    the same data with the same recipe. It is not trained again and is part of no comparison.

    Its `runs` are those that an earlier version of sklab trained nevertheless, by seed; usually none.
    """

    same_as: str

    @property
    def trained_as(self) -> str:
        """The name of the cell whose runs stand for this one."""
        return self.same_as


def vary_of(experiment: Mapping[str, Any]) -> Vary | None:
    """What varies with the seed in an experiment that is a plain tree."""
    given = experiment.get("train", {}).get("vary")
    return None if given is None else Vary.model_validate(given)


def by_network(duplicates: Iterable[Duplicate]) -> dict[str, list[str]]:
    """The names of the duplicates, by that of the cell whose network they are."""
    names: dict[str, list[str]] = {}
    for cell in duplicates:
        names.setdefault(cell.same_as, []).append(cell.name)
    return names


class InvalidCell(Value):
    """A configuration that can't exist, with the rule that it breaks. The table lists it with its reason."""

    name: str
    factors: dict[str, str] = {}
    reason: str


class Sweep(Value):
    """A sweep file, resolved. `experiment` is the base as a plain tree, before a cell's settings replace values in it.

    baseline_seeds
                those of `seeds` that are planned for the baseline alone, as further runs that may count unpaired
    duplicates  cells that would be the same training as one of `cells`
    also        further metrics that the table shows beside the study's, at the same epoch; nothing is tested by them
    sizes       pixels a side at which the kept weights of every run are evaluated in addition; no part of a run's key
    replicates  the rule by which cells get more seeds; `seeds` and the cells' runs are then the most there can be
    questions   the planned comparisons by name, the most important first
    margin      a difference of at most this, in the unit of the metric, makes no difference to the user
    choose_best the table says with what probability each cell is the best, and its mean without the luck of the lowest
    most_seeds  verdicts may be shown at any number of seeds up to this; None: no seeds are added after a look
    confirms    the study whose best cell this one confirms, else ""
    own_metrics
                those of `metric` and `also` that are of the user's own code
    nuisance    what is tuned in every cell: `cells` are then those of the design at every setting, and `seeds` those on
                which settings are chosen, followed by those on which cells are judged
    """

    study: StudyName
    question: str = ""
    experiment_name: str
    experiment: dict[str, Any]
    design: Design
    seeds: Seq[Seed] = Field(min_length=1)
    baseline_seeds: Seq[Seed] = ()
    metric: Metric = Metric()
    also: Seq[MetricName] = ()
    sizes: Seq[int] = ()
    baseline: str
    columns: Seq[str]
    cells: Seq[Cell]
    invalid: Seq[InvalidCell] = ()
    duplicates: Seq[Duplicate] = ()
    factors: dict[str, Factor] = {}
    search: Search | None = None
    fraction: Fraction | None = None
    published: Published | None = None
    equal_budget: EqualBudget | None = None
    replicates: Replicates | None = None
    questions: dict[str, Question] = {}
    margin: float | None = None
    most_seeds: int | None = None
    nuisance: Nuisance | None = None
    choose_best: bool = False
    confirms: str = ""
    own_metrics: dict[str, OwnMetric] = {}

    @model_validator(mode="before")
    @classmethod
    def _declared(cls, raw: Any) -> Any:
        return declare_in(raw)

    @property
    def further_metrics(self) -> tuple[str, ...]:
        """The metrics that runs compute for this study alone: no part of a run's key."""
        return tuple(name for name in dict.fromkeys((self.metric.name, *self.also)) if METRICS[name].further)

    @property
    def chooses_best(self) -> bool:
        """Whether the table says which cell is the best."""
        return self.choose_best or self.by_best

    @property
    def by_best(self) -> bool:
        """Whether seeds are added where they help to find the best cell."""
        return self.replicates is not None and self.replicates.stop == "best"

    @property
    def vary(self) -> Vary | None:
        """Which sources of chance vary with the seed; it is part of the recipe, and the same for every cell."""
        return vary_of(self.experiment)

    @property
    def splits(self) -> tuple[int, ...]:
        """The numbers of the splits of the data that the seeds draw; none where all runs have the split as stated."""
        vary = self.vary
        if vary is None or vary.split is None:
            return ()
        return tuple(dict.fromkeys(vary.sources(seed).split for seed in self.seeds))

    @property
    def shared_seeds(self) -> tuple[int, ...]:
        """The seeds that are not planned for the baseline alone."""
        return tuple(seed for seed in self.seeds if seed not in self.baseline_seeds)

    @property
    def by_question(self) -> bool:
        """Whether seeds are added question by question, and not cell by cell."""
        return self.replicates is not None and self.replicates.stop == "questions"

    def name_of_row(self, cell: Cell) -> str:
        """The name of the table's row for `cell`; it is another one where the cell tries a nuisance setting."""
        return self.nuisance.name_of_cell(cell.name, cell.factors) if self.nuisance else cell.name

    def is_of_baseline(self, cell: Cell) -> bool:
        """Whether `cell` is the baseline, at whatever setting."""
        common = self.nuisance.name("", self.nuisance.common) if self.nuisance else ""
        return self.name_of_row(cell) == self.baseline.removesuffix(common)


class Replicates(Value):
    """Every cell has the seeds 0 to `start` - 1; cells in doubt get more, `max` at most.

    start        seeds that every cell gets
    max          most seeds that a cell may get
    stop         `resolved`: a cell gets seeds until its comparison with the baseline is decided, and the baseline as
                 many as any; `questions`: cells get seeds while a planned question about them is open; `best`: the two
                 cells that are the likeliest to be the best get more
    width        a comparison is also decided, as equal, once the interval of its difference is no wider than this, in
                 the unit of the metric
    runs         no further seed is started that would make more runs than this in total
    probability  with `best`: no further seed is started once a cell is the best with this probability
    """

    start: int = Field(ge=2, le=MOST_REPLICATES)
    max: int = Field(le=MOST_REPLICATES)
    stop: Literal["resolved", "questions", "best"] = "resolved"
    width: float | None = Field(default=None, gt=0)
    runs: int | None = Field(default=None, ge=1, le=limits.RUNS)
    probability: float = Field(default=0.95, ge=0.5, lt=1)

    @model_validator(mode="after")
    def _grows(self) -> Replicates:
        if self.max <= self.start:
            raise ValueError("max must be larger than start; the same number for every cell is `seeds:`")
        foreign = "width" if self.stop == "best" else "probability"
        if getattr(self, foreign) != type(self).model_fields[foreign].default:
            raise ValueError(f"{foreign} is not used by stop: {self.stop}")
        return self

    def __str__(self) -> str:
        return f"{self.start} to {self.max} seeds as needed"
