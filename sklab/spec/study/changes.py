"""The differences between a sweep and the same sweep before: since its last start, or since it was planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sklab.spec.names import canonical
from sklab.spec.study.sweep import Sweep
from sklab.spec.values import Seq, Value, leaves

_NOT_SET = "not set"
_MOST_NAMED = 5
# Compared in another way, or nothing that decides a result.
_OTHERWISE = (
    "study",
    "question",
    "experiment_name",
    "experiment",
    "seeds",
    "baseline_seeds",
    "cells",
    "invalid",
    "duplicates",
)
_SHOWN_ONLY = ("columns", "also", "published", "fraction")

# What sweeps that were resolved before left to defaults; where it is another value, cells have changed.
_INFERRED = frozenset(
    {
        *("data.num_classes", "data.image_size", "data.resize", "model.num_classes", "model.in_channels"),
    }
)


class Change(Value):
    """The differences between a sweep and the one before; all empty when nothing has changed.

    cells_changed  cells with the same name as before but other runs
    settings       of the base experiment and of the study: "train.epochs: 10 -> 20"
    """

    cells_added: Seq[str] = ()
    cells_removed: Seq[str] = ()
    cells_changed: Seq[str] = ()
    seeds_added: Seq[int] = ()
    seeds_removed: Seq[int] = ()
    settings: Seq[str] = ()


def change(sweep: Sweep, before: Sweep) -> Change:
    """The changes since `before`. Cells that a search has found are not compared."""
    names, names_before = _names(sweep), _names(before)
    of_experiments, of_studies = _trees(sweep, before)
    return Change(
        cells_added=tuple(names[name] for name in names if name not in names_before),
        cells_removed=tuple(names_before[name] for name in names_before if name not in names)
        if sweep.search is None
        else (),
        cells_changed=tuple(_changed(sweep, before)),
        seeds_added=tuple(seed for seed in sweep.seeds if seed not in before.seeds),
        seeds_removed=tuple(seed for seed in before.seeds if seed not in sweep.seeds),
        settings=(*_settings(*of_experiments), *_settings(*of_studies)),
    )


def changes_of_plan(sweep: Sweep, before: Sweep) -> tuple[str, ...]:
    """What `sweep` plans that `before` did not, a line each: cells, seeds, metric, questions, margin and the like.

    Where the experiment differs but no run of a cell does (the data have moved), nothing was planned otherwise.
    """
    found = change(sweep, before)
    of_experiments, of_studies = _trees(sweep, before)
    searched = sweep.search is not None
    return (
        *([] if sweep.replicates and before.replicates else _seeds(sweep, before)),
        *(() if searched else _named("cells added", found.cells_added)),
        *(() if searched else _named("cells removed", found.cells_removed)),
        *_named("cells with other settings", found.cells_changed),
        *(line for line in _settings(*of_experiments) if found.cells_changed or line.startswith("data.test:")),
        *_questions(sweep, before),
        *(line for line in _settings(*of_studies) if not line.startswith("questions.")),
    )


def _names(sweep: Sweep) -> dict[str, str]:
    """The cells' names by their canonical form, in which numbers are written in one way."""
    names = [cell.name for cells in (sweep.cells, sweep.duplicates, sweep.invalid) for cell in cells]
    return {canonical(name): name for name in names}


def _changed(sweep: Sweep, before: Sweep) -> Iterator[str]:
    """The cells that have another run than before at a seed that both sweeps have."""
    runs = {canonical(cell.name): cell.runs for cell in (*before.cells, *before.duplicates)}
    for cell in sweep.cells:
        runs_before = runs.get(canonical(cell.name), {})
        if any(cell.runs[seed] != runs_before[seed] for seed in cell.runs.keys() & runs_before.keys()):
            yield cell.name


def _trees(sweep: Sweep, before: Sweep) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """The plain values of both experiments, and of how both studies are laid out."""
    experiments = tuple(_leaves(study.experiment) for study in (sweep, before))
    left_out = {*_OTHERWISE, *_SHOWN_ONLY}
    return experiments, tuple(_leaves(study.model_dump(mode="json", exclude=left_out)) for study in (sweep, before))


def _leaves(tree: Mapping[str, Any]) -> dict[str, Any]:
    return dict(leaves(tree, lists=False))


def _settings(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    for path in sorted({*now, *before} - (_INFERRED - before.keys())):
        if now.get(path) != before.get(path):
            yield f"{path}: {_setting(before, path)} -> {_setting(now, path)}"


def _setting(settings: Mapping[str, Any], path: str) -> str:
    value = settings.get(path)
    return _NOT_SET if value is None else str(value)


def _seeds(sweep: Sweep, before: Sweep) -> Iterator[str]:
    now, then = _counts(sweep), _counts(before)
    if now != then:
        yield f"seeds {then} -> {now}"
    elif sweep.seeds != before.seeds:
        yield f"seeds {', '.join(map(str, before.seeds))} -> {', '.join(map(str, sweep.seeds))}"


def _counts(sweep: Sweep) -> str:
    """The number of seeds that a cell has, or the fewest and the most."""
    counts = sorted({len(cell.runs) for cell in sweep.cells}) if sweep.search is None else [len(sweep.seeds)]
    return f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))


def _questions(sweep: Sweep, before: Sweep) -> Iterator[str]:
    for name in dict.fromkeys((*before.questions, *sweep.questions)):
        now, then = sweep.questions.get(name), before.questions.get(name)
        if now != then:
            yield f"question {'added' if then is None else 'removed' if now is None else 'changed'}: {name}"


def _named(what: str, names: Iterable[str]) -> Iterator[str]:
    every = tuple(names)
    more = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
    if every:
        yield f"{what}: {', '.join(every[:_MOST_NAMED])}{more}"
