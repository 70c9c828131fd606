"""The questions of a study, as values: planned comparisons of its cells, stated before the runs.

A question about a factor compares like with like: pairs of cells that differ in that factor and agree in others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field, model_validator

from sklab.spec.values import Seq, Value

if TYPE_CHECKING:
    from sklab.spec.study.sweep import Cell

MOST_QUESTIONS = 5  # with more questions in a family, the answer to each is less precise
ABSENT = "–"  # the level of a cell that has none
_NAMES = "a list of cells by their names"
_FORMS = "of (a factor) with from and to, or cells with against"


class Question(Value):
    """A comparison of the cells at two levels of a factor, or of two sets of cells.

    of       the factor that the question is about
    from_    the level that the difference starts at
    to       the level that it leads to: the metric at `to` minus the metric at `from`
    within   the factors in which both sides of a pair agree (`null`: all others)
    cells    in place of `of`: cells whose mean is compared
    against  the cells that they are compared with: the mean of `cells` minus that of `against`
    """

    model_config = ConfigDict(serialize_by_alias=True)

    of: str | None = None
    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    within: Seq[str] | None = Field(default=None, description="a list of factors")
    cells: Seq[str] = Field(default=(), description=_NAMES)
    against: Seq[str] = Field(default=(), description=_NAMES)

    @model_validator(mode="after")
    def _has_one_form(self) -> Question:
        levels = self.from_ is not None and self.to is not None
        about_factor = self.of is not None and levels and not (self.cells or self.against)
        about_cells = bool(self.cells and self.against) and self.of is None and self.within is None
        if not about_factor and not (about_cells and self.from_ is None and self.to is None):
            raise ValueError(f"a question has {_FORMS}")
        if set(self.cells) & set(self.against) or (levels and self.from_ == self.to):
            raise ValueError("both sides are the same")
        return self


@dataclass(frozen=True)
class Pair:
    """Two sides that are compared, by name: each is one cell or the mean of several. `levels` are the levels that both
    sides share, by factor."""

    cells: tuple[str, ...]
    against: tuple[str, ...]
    levels: Mapping[str, str]

    def __str__(self) -> str:
        return f"{' and '.join(self.cells)} against {' and '.join(self.against)}"


def factors_of(cells: Iterable[Cell]) -> list[str]:
    """The factors of the cells in the order of their first appearance."""
    return list(dict.fromkeys(name for cell in cells for name in cell.factors))


def level_of(cell: Cell, factor: str) -> str:
    """The cell's level of a factor; ABSENT where it has none."""
    return cell.factors.get(factor) or ABSENT


def pairs_of(question: Question, cells: Sequence[Cell]) -> tuple[Pair, ...]:
    """The pairs behind a question, in the order of the cells; none where no two cells agree in all other factors.

    A duplicate has the name of the cell that is trained in its place. A pair of the same network does not count, nor
    does a pair with an invalid cell, which is not among `cells`.
    """
    trained = {cell.name: cell.trained_as for cell in cells}
    possible = (pair for pair in _sides(question, cells) if {*pair.cells, *pair.against} <= trained.keys())
    named = (
        Pair(_trained_names(trained, pair.cells), _trained_names(trained, pair.against), pair.levels)
        for pair in possible
    )
    return tuple(pair for pair in named if set(pair.cells) != set(pair.against))


def _trained_names(trained: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(trained[name] for name in names))


def _sides(question: Question, cells: Sequence[Cell]) -> Iterator[Pair]:
    if question.of is None:
        yield Pair(question.cells, question.against, {})
        return
    others = [name for name in factors_of(cells) if name != question.of]
    shared = [name for name in others if question.within is None or name in question.within]
    groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for cell in cells:
        group = groups.setdefault(tuple(level_of(cell, name) for name in shared), {})
        group.setdefault(level_of(cell, question.of), []).append(cell.name)
    for levels, group in groups.items():
        high, low = group.get(question.to or ""), group.get(question.from_ or "")
        if high and low:
            yield Pair(tuple(high), tuple(low), dict(zip(shared, levels, strict=True)))


def questions_of_factors(
    cells: Sequence[Cell], factors: Iterable[str], baseline: str, *, balanced: bool = False
) -> dict[str, Question]:
    """A question for every level of every factor, in the order of the factors. It is compared with ABSENT where cells
    lack the factor, else with the level of the baseline.

    In a `balanced` fraction of a design no two cells differ in one factor alone, but all levels meet the same others.
    """
    baseline_cell = next((cell for cell in cells if cell.name == baseline), None)
    questions: dict[str, Question] = {}
    for factor in factors:
        levels = ordered(level_of(cell, factor) for cell in cells)
        reference = ABSENT if ABSENT in levels else level_of(baseline_cell, factor) if baseline_cell else levels[0]
        for level in levels:
            if level != reference:
                name = factor if reference == ABSENT and len(levels) == 2 else f"{factor} {level} against {reference}"
                questions[name] = Question.model_validate(
                    {"of": factor, "from": reference, "to": level, "within": () if balanced else None}
                )
    return questions


def ordered(levels: Iterable[str]) -> list[str]:
    """Each level once: absent first, then those that begin with a number by its value, then words as they come."""
    return sorted(dict.fromkeys(levels), key=lambda level: (level != ABSENT, _number(level)))


def _number(level: str) -> float:
    """The number that a level begins with, as in `3x3`; infinity for a word."""
    match = re.match(r"[-+]?\d+(\.\d+)?([eE][-+]?\d{1,2})?", level)
    return float(match[0]) if match else math.inf
