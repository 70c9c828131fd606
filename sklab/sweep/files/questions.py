"""The questions of a sweep file: names spelled as the cells have them, and the faults of those that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sklab.errors import Fault
from sklab.spec.names import find
from sklab.spec.study.questions import Question, factors_of, level_of, ordered, pairs_of
from sklab.spec.study.sweep import Cell
from sklab.sweep.files.consistency import unknown
from sklab.sweep.files.yamltree import Document, Place


def spelled(questions: Mapping[str, Question], cells: Sequence[Cell]) -> dict[str, Question]:
    """`questions` with cells, factors and levels called as in `cells`. A name that is unknown stays as it is."""
    factors, names = factors_of(cells), [cell.name for cell in cells]
    return {name: _spelled(question, factors, names, cells) for name, question in questions.items()}


def _spelled(question: Question, factors: Sequence[str], names: Sequence[str], cells: Sequence[Cell]) -> Question:
    def known(words: Iterable[str], options: Sequence[str]) -> tuple[str, ...]:
        return tuple(find(word, options) or word for word in words)

    if question.of is None:
        return question.model_copy(
            update={"cells": known(question.cells, names), "against": known(question.against, names)}
        )
    (factor,) = known([question.of], factors)
    first, second = known([question.from_ or "", question.to or ""], _levels(cells, factor))
    within = None if question.within is None else known(question.within, factors)
    return question.model_copy(update={"of": factor, "from_": first, "to": second, "within": within})


def faults_of(document: Document, questions: Mapping[str, Question], cells: Sequence[Cell]) -> Iterator[Fault]:
    """The faults of questions (spelled) about what no cell is or has."""
    for name, question in questions.items():
        place: Place = ("questions", name)
        wrong = list(_unknown(document, place, question, cells))
        yield from wrong
        if not wrong and not pairs_of(question, cells):
            message = f"no two cells differ in {question.of} alone, from {question.from_} to {question.to}"
            hint = "`within` names the factors that both sides share; without it they share all others"
            yield document.fault(place, message, found="", allowed=hint)


def _unknown(document: Document, place: Place, question: Question, cells: Sequence[Cell]) -> Iterator[Fault]:
    names, factors = [cell.name for cell in cells], factors_of(cells)
    for side in ("cells", "against"):
        for at, cell in enumerate(getattr(question, side)):
            if cell not in names:
                yield unknown(document, (*place, side, at), "cell", cell, names)
    for at, factor in enumerate(question.within or ()):
        if factor not in factors:
            yield unknown(document, (*place, "within", at), "factor", factor, factors)
    if question.of is not None and question.of not in factors:
        yield unknown(document, (*place, "of"), "factor", question.of, factors)
    elif question.of is not None:
        for key, level in (("from", question.from_), ("to", question.to)):
            if level not in _levels(cells, question.of):
                yield unknown(document, (*place, key), "level", str(level), _levels(cells, question.of))


def _levels(cells: Iterable[Cell], factor: str) -> list[str]:
    return ordered(level_of(cell, factor) for cell in cells)
