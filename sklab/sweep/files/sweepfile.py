"""The keys of a sweep file, and how their short forms are brought into one form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from sklab.errors import Fault
from sklab.spec import limits
from sklab.spec.names import canonical, find
from sklab.spec.study.metrics import METRICS, MetricName
from sklab.spec.study.nuisance import MOST_SEEDS as MOST_TUNING_SEEDS
from sklab.spec.study.nuisance import Values
from sklab.spec.study.questions import ABSENT, MOST_QUESTIONS, Question
from sklab.spec.study.search import EqualBudget, Search
from sklab.spec.study.seeds import MOST_SEEDS, Seeds
from sklab.spec.study.sweep import MOST_REPLICATES, Design, Factor, Metric, Published, Replicates, StudyName
from sklab.spec.study.vary import SOURCES, Vary
from sklab.spec.values import Seq, Value
from sklab.sweep.files.yamltree import Document, Place, is_one_line

Plain = Callable[[Document, Place, Any], Any]

_QUESTIONS = f"at most {MOST_QUESTIONS} questions by name"
_NUISANCE = "a mapping of paths to values"
_METRICS = f"a list of metrics: {', '.join(METRICS)}"
_SIZES = "a list of image sizes, in pixels a side"
_SEEDS = "how many seeds, a list of them, or a mapping with others and baseline"
_BASELINE = "the name of a cell, or a mapping of factors to levels"
_VARY = f"a list of sources of chance ({', '.join(SOURCES)}), or a mapping of them to numbers"
Tree = dict[str, Any]


def _one_line(name: str) -> str:
    if not is_one_line(name):
        raise ValueError("a name is one line")
    return name


Name = Annotated[str, AfterValidator(_one_line)]


class ListedCell(Value):
    """A cell of a `list` design.

    name     its name in the table
    set      the values that it sets, by their dotted paths in the experiment
    factors  what the table shows in its columns
    """

    name: Annotated[Name, Field(min_length=1)]
    set: dict[str, Any] = {}
    factors: dict[str, Name] = {}


class SweepFile(Value):
    """The keys of a sweep file, with levels and seeds as mappings, and names as text.

    study         name of the study and of its folder under `results/`; by default the file's name
    question      one sentence, shown above the table
    experiment    the experiment file, relative to the sweep file
    design        which cells are trained. `list`: those of `cells`; `grid`: all combinations of levels; `fractional`: a
                  balanced part of these; `ofat`: the baseline with one factor changed at a time; `leave_one_out`: the
                  baseline with one component left out at a time; `search`: those that a sampler asks for
    seeds         the seeds of every cell; needed where `replicates` is not given
    replicates    in place of `seeds`: more seeds for the cells that need them
    metric        what the study is about
    also          further metrics that the table shows; nothing is tested by them
    sizes         further image sizes at which every run is evaluated after its training
    baseline      what the other cells are compared with: for `list` a cell's name, else the level of every factor
    cells         the cells of `list`
    factors       the factors of the other designs, by name
    columns       the factors that the table shows, in this order (`null`: all, in the order of their first appearance)
    search        the settings of `design: search`
    fraction      the part of all combinations that `design: fractional` trains
    published     figures from the literature, shown beside those measured here
    equal_budget  a claim that all cells cost the same, and the difference that is allowed; a cell beyond it is named
    questions     planned comparisons by name, the most important first; the report answers these first
    margin        a difference of at most this, in the unit of the metric, makes no difference to you
    most_seeds    verdicts may be looked at with any number of seeds up to this: they allow for it
    vary          the sources of chance that vary with the seed; the others stay the same in all runs
    choose_best   the table says how likely each cell is the best, and its mean without the luck of the lowest
    nuisance      settings of the recipe that are tuned for every cell, by dotted path, with the values to try
    tuning_seeds  seeds on which each setting of `nuisance` is tried
    """

    study: StudyName | None = None
    question: str = ""
    experiment: str
    design: Design
    seeds: Seeds = Field(description=_SEEDS)
    replicates: Replicates | None = Field(default=None, description="a mapping with start and max")
    metric: Metric = Metric()
    also: Seq[MetricName] = Field(default=(), max_length=len(METRICS), description=_METRICS)
    sizes: Seq[Annotated[int, Field(ge=1, le=limits.PIXELS)]] = Field(default=(), max_length=100, description=_SIZES)
    baseline: Any = Field(description=_BASELINE)
    cells: Seq[ListedCell] = Field(default=(), max_length=limits.CELLS)
    factors: dict[str, Factor] = {}
    columns: Seq[str] | None = None
    search: Search | None = None
    fraction: Literal["1/2", "1/4", "1/8", "1/16"] | None = None
    published: Published | None = None
    equal_budget: EqualBudget | None = Field(default=None, description="a mapping with params, macs or both")
    questions: dict[Name, Question] = Field(default={}, max_length=MOST_QUESTIONS, description=_QUESTIONS)
    margin: float | None = Field(default=None, gt=0, le=limits.FIGURE)
    most_seeds: int | None = Field(default=None, ge=2, le=MOST_SEEDS)
    vary: Vary | None = Field(default=None, description=_VARY)
    choose_best: bool = False
    nuisance: dict[str, Values] = Field(default={}, min_length=1, description=_NUISANCE)
    tuning_seeds: int = Field(default=2, ge=1, le=MOST_TUNING_SEEDS)

    @field_validator("sizes")
    @classmethod
    def _distinct_sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(sizes)) < len(sizes):
            raise ValueError("a size stands twice")
        return sizes

    @field_validator("also")
    @classmethod
    def _distinct_metrics(cls, names: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        metric = others.data.get("metric")  # none where it is at fault itself
        every = [*names, metric.name] if metric else names
        if len(set(every)) < len(every):
            whose = f"; the study's is {metric.name}" if metric else ""
            raise ValueError(f"a metric stands twice{whose}")
        return names

    @property
    def columns_at_hand(self) -> tuple[str, ...]:
        """Factor names in the order of their first appearance."""
        return tuple(dict.fromkeys(chain(self.factors, *(cell.factors for cell in self.cells))))


def plain_tree(document: Document) -> dict[str, Any]:
    """The well-formed keys of the file in the one form that `SweepFile` states."""
    changed = {
        key: change(document, (key,), document.tree[key]) for key, change in _PLAIN.items() if key in document.tree
    }
    return with_one_name_each({**_seeds_of_replicates(document.tree), **document.tree, **changed})


def _seeds_of_replicates(tree: Mapping[str, Any]) -> dict[str, Tree]:
    """All the seeds that `replicates` may ask for; they replace `seeds`."""
    if "replicates" not in tree:
        return {}
    most = tree["replicates"].get("max") if isinstance(tree["replicates"], dict) else None
    return {"seeds": {"others": list(range(most)) if type(most) is int and 1 <= most <= MOST_REPLICATES else [0]}}


def _listed_seeds(_: Document, __: Place, value: Any) -> Tree:
    """Seeds as a mapping; a number of them as a list."""
    seeds = value if isinstance(value, dict) else {"others": value}
    others = seeds.get("others")
    if type(others) is not int or not 1 <= others <= MOST_SEEDS:
        return seeds
    return {**seeds, "others": list(range(others))}


def _names(document: Document, place: Place, value: Any) -> Any:
    """Levels have the written text as their name: `16`, `1e-4` and `true` are names here."""
    if not isinstance(value, dict):
        return value
    return {key: document.text((*place, key)) or entry for key, entry in value.items()}


def _levels(document: Document, place: Place, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return {document.text((*place, at)): level for at, level in enumerate(value)}


def _level_text(document: Document, place: Place, value: Any) -> Any:
    """A level as it is written; a dash for a cell that lacks the factor."""
    text = document.text(place) if not isinstance(value, (dict, list)) else None
    return ABSENT if text == "-" else text or value


def _in_every(key: str, change: Plain) -> Plain:
    """`change` for what stands under `key` in every entry of a list or mapping."""

    def changed(document: Document, place: Place, entry: Any) -> Any:
        if not isinstance(entry, dict) or key not in entry:
            return entry
        return {**entry, key: change(document, (*place, key), entry[key])}

    def all_changed(document: Document, place: Place, value: Any) -> Any:
        if isinstance(value, list):
            return [changed(document, (*place, at), entry) for at, entry in enumerate(value)]
        if isinstance(value, dict):
            return {at: changed(document, (*place, at), entry) for at, entry in value.items()}
        return value

    return all_changed


# How the short forms of a key are brought into the one form of `SweepFile`. What is not well-formed stays as it is.
_PLAIN: dict[str, Plain] = {
    "seeds": _listed_seeds,
    "baseline": _names,
    "cells": _in_every("factors", _names),
    "factors": _in_every("levels", _levels),
    "nuisance": lambda document, place, value: (
        {path: _levels(document, (*place, path), values) for path, values in value.items()}
        if isinstance(value, dict)
        else value
    ),
    "questions": lambda document, place, value: _in_every("from", _level_text)(
        document, place, _in_every("to", _level_text)(document, place, value)
    ),
}


def nameless_levels(document: Document) -> Iterator[Fault]:
    """A fault for each level in a list whose text is no name of one line, or the name of another level."""
    for place, levels in _lists_of_levels(document.tree):
        seen = set[str]()
        for at, level in enumerate(levels) if isinstance(levels, list) else ():
            text = document.text((*place, at))
            if isinstance(level, (list, dict)):
                yield document.fault(
                    (*place, at), "has no name", allowed="a plain value; else name levels by a mapping"
                )
            elif not is_one_line(text):
                yield document.fault(
                    (*place, at), "no name for a level", allowed="one line; else name levels by a mapping"
                )
            elif canonical(text) in seen:
                yield document.fault((*place, at), "this level stands twice")
            seen.add(canonical(text))


def _lists_of_levels(tree: Tree) -> Iterator[tuple[Place, Any]]:
    """What should be the levels of a factor, or the values of a nuisance setting, with its place."""
    factors, nuisance = tree.get("factors"), tree.get("nuisance")
    for name, factor in factors.items() if isinstance(factors, dict) else ():
        if isinstance(factor, dict):
            yield ("factors", name, "levels"), factor.get("levels")
    for path, values in nuisance.items() if isinstance(nuisance, dict) else ():
        yield ("nuisance", path), values


def with_one_name_each(tree: Mapping[str, Any]) -> Tree:
    """`tree` with one spelling of each name: the baseline's names as cells or levels spell them, and levels of listed
    cells as the first cell spells them. What is not well-formed stays as it is."""
    cells = tree.get("cells")
    listed = _with_first_spelling(cells) if isinstance(cells, list) else cells
    spelled = {**tree, "cells": listed} if "cells" in tree else dict(tree)
    return {**spelled, "baseline": _baseline(spelled)} if "baseline" in tree else spelled


def renamed(published: Published | None, cells: Iterable[str]) -> Published | None:
    """`published` with the cells' spelling of the names of its rows."""
    if published is None:
        return None
    names = list(cells)
    rows = {find(name, names) or name: row for name, row in published.rows.items()}
    return published.model_copy(update={"rows": rows})


def _baseline(tree: Tree) -> Any:
    baseline, factors = tree["baseline"], tree.get("factors")
    if isinstance(baseline, str):
        return find(baseline, _texts(cell.get("name") for cell in _mappings(tree.get("cells")))) or baseline
    if isinstance(baseline, dict) and isinstance(factors, dict):
        return {name: _level(factors.get(name), level) for name, level in baseline.items()}
    return baseline


def _level(factor: Any, level: Any) -> Any:
    levels = factor.get("levels") if isinstance(factor, dict) else None
    if not isinstance(level, str) or not isinstance(levels, dict):
        return level
    return find(level, levels) or level


def _with_first_spelling(cells: list[Any]) -> list[Any]:
    first: dict[tuple[str, str], str] = {}
    return [_with_levels(cell, first) if isinstance(cell, dict) else cell for cell in cells]


def _with_levels(cell: Tree, first: dict[tuple[str, str], str]) -> Tree:
    factors = cell.get("factors")
    if not isinstance(factors, dict):
        return cell
    return {
        **cell,
        "factors": {
            name: first.setdefault((name, canonical(level)), level) if isinstance(level, str) else level
            for name, level in factors.items()
        },
    }


def _mappings(entries: Any) -> list[Tree]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _texts(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
