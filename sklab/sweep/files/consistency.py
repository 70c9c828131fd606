"""What has to agree between the keys of a sweep file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, product
from math import prod
from typing import Any

from sklab.errors import Fault
from sklab.spec.limits import CELLS
from sklab.spec.names import did_you_mean
from sklab.spec.study.search import Search
from sklab.sweep.design.cells import KEPT, NETWORK
from sklab.sweep.design.fraction import MOST_FACTORS, shares_of
from sklab.sweep.files.experimentfile import COMMAND_LINE
from sklab.sweep.files.faults import options, steps
from sklab.sweep.files.sweepfile import SweepFile
from sklab.sweep.files.without_faults import Sound
from sklab.sweep.files.yamltree import Document, Place, dotted

_USES = {
    "list": ("cells",),
    "grid": ("factors",),
    "fractional": ("factors", "fraction"),
    "ofat": ("factors",),
    "leave_one_out": ("factors",),
    "search": ("factors", "search"),
}


def disagreements(document: Document, read: Sound, overrides: Mapping[str, str]) -> Iterator[Fault]:
    """Every fault between two keys of the file, or between a key and the command line. Faults that depend on a
    faulty key are not reported."""
    yield from _keys_of_design(document, read)
    yield from _baseline(document, read)
    yield from _columns(document, read)
    yield from _lost_settings(document, read, overrides)
    yield from _two_levels(document, read)
    yield from _replicates(document)
    yield from _search(document, read)
    if read.sweep.design == "grid" and is_too_large(read.sweep):
        yield document.fault(("factors",), "too many combinations of levels", found="", allowed=f"at most {CELLS}")


def is_too_large(sweep: SweepFile) -> bool:
    """Whether the grid of all factors is more than a study can hold."""
    return prod(len(factor.levels) for factor in sweep.factors.values()) > CELLS


def is_too_small(sweep: SweepFile) -> bool:
    """Whether a fractional design has no fraction of the share that it asks for, or factors without two levels."""
    two = all(len(factor.levels) == 2 for factor in sweep.factors.values())
    return not two or len(sweep.factors) > MOST_FACTORS or sweep.fraction not in shares_of(len(sweep.factors))


def unknown(document: Document, place: Place, what: str, found: str, known: Iterable[str]) -> Fault:
    """A name at `place` that is none of `known`."""
    names = list(known)
    return document.fault(
        place, f"unknown {what}", found=found, allowed=options(names), hint=did_you_mean(found, names)
    )


def _keys_of_design(document: Document, read: Sound) -> Iterator[Fault]:
    design = read.sweep.design
    for key in ("cells", "factors", "search", "fraction") if read.knows("design") else ():
        if key in _USES[design] and not document.tree.get(key):
            yield document.fault((key,), f"missing, and design: {design} needs it")
        elif key not in _USES[design] and key in document.tree:
            yield document.fault((key,), f"not used by design: {design}", allowed=options(_USES[design]))


def _replicates(document: Document) -> Iterator[Fault]:
    if "replicates" not in document.tree:
        return
    if "seeds" in document.tree:
        yield document.fault(("replicates",), "takes the place of seeds; leave out one of the two", found="")
    if document.tree.get("design") == "search":
        yield document.fault(("replicates",), "not used by design: search", allowed="seeds", found="")
    rule = document.tree["replicates"]
    if isinstance(rule, dict) and rule.get("stop") == "questions" and not document.tree.get("questions"):
        yield document.fault(("replicates", "stop"), "needs the key questions")


def _search(document: Document, read: Sound) -> Iterator[Fault]:
    """The faults of a search's objectives, constraints and pruning with the rest of the file."""
    sweep, search = read.sweep, read.sweep.search
    if search is None:
        return
    if read.knows("design") and sweep.design != "search":
        if search.pruning:
            message = "only for design: search; a pruned cell can't be compared with others"
            yield document.fault(("search", "pruning"), message, found="")
        return
    if read.knows("metric"):
        yield from _objectives(document, sweep.metric.name, search)
    if search.needs_costs and is_too_large(sweep):
        message = "too many combinations of levels to count what each costs"
        yield document.fault(("factors",), message, found="", allowed=f"at most {CELLS}")
    for name, factor in sweep.factors.items() if search.pruning else ():
        if read.knows("factors", name, "path") and _covers(steps(factor.path), steps("train.epochs")):
            message = "can't be varied where search.pruning compares runs at the same epoch"
            yield document.fault(("factors", name, "path"), message)


def _objectives(document: Document, metric: str, search: Search) -> Iterator[Fault]:
    place, known = ("search", "objectives"), [metric, "params", "macs"]
    strange = [(at, name) for at, name in enumerate(search.objectives) if name not in known]
    yield from (unknown(document, (*place, at), "objective", name, known) for at, name in strange)
    allowed = [metric], [metric, "params"], [metric, "macs"]
    if search.objectives and not strange and list(search.objectives) not in allowed:
        told, found = " or ".join(f"[{', '.join(names)}]" for names in allowed), f"[{', '.join(search.objectives)}]"
        yield document.fault(place, "can't be searched for together", found=found, allowed=told)


def _two_levels(document: Document, read: Sound) -> Iterator[Fault]:
    """The faults of designs that need factors with two levels."""
    sweep = read.sweep
    if not read.knows("design") or sweep.design not in ("fractional", "leave_one_out"):
        return
    for name, factor in sweep.factors.items():
        if len(factor.levels) != 2:
            found, place = str(len(factor.levels)), ("factors", name, "levels")
            yield document.fault(place, f"design: {sweep.design} needs two levels", found=found, allowed="2")
    if sweep.design == "fractional" and sweep.fraction and len(read.factors) > 1:
        yield from _no_fraction(document, sweep.fraction, len(read.factors))


def _no_fraction(document: Document, fraction: str, number: int) -> Iterator[Fault]:
    if number > MOST_FACTORS:
        yield document.fault(("factors",), "too many factors", found=str(number), allowed=f"at most {MOST_FACTORS}")
    elif fraction not in (possible := shares_of(number)):
        message = f"so small a fraction of {number} factors confuses main effects with each other"
        allowed = options(possible) if possible else "design: grid"
        yield document.fault(("fraction",), message, found=fraction, allowed=allowed)


def _baseline(document: Document, read: Sound) -> Iterator[Fault]:
    place, baseline = ("baseline",), read.sweep.baseline
    if not read.knows("baseline") or read.is_list is None:
        return
    if read.is_list:
        names = [cell.name for cell in read.sweep.cells]
        if baseline not in names and (read.knows_cells or not isinstance(baseline, str)):
            yield unknown(document, place, "cell", str(baseline), names)
    elif isinstance(baseline, dict):
        yield from _baseline_levels(document, read, baseline)
    else:
        yield document.fault(place, "wrong type", allowed="a mapping with the level of every factor")


def _baseline_levels(document: Document, read: Sound, baseline: Mapping[str, Any]) -> Iterator[Fault]:
    factors = read.sweep.factors
    for name in (name for name in factors if name not in baseline):
        yield document.fault(("baseline", name), "missing", allowed=options(factors[name].levels))
    for name, level in baseline.items():
        if name not in read.factors:
            if read.knows_factors:
                yield unknown(document, ("baseline", name), "factor", name, read.factors)
        elif name in factors and (not isinstance(level, str) or level not in factors[name].levels):
            yield unknown(document, ("baseline", name), "level", str(level), factors[name].levels)


def _columns(document: Document, read: Sound) -> Iterator[Fault]:
    columns = read.sweep.columns or ()
    for at, column in enumerate(columns):
        if column in columns[:at]:
            yield document.fault(("columns", at), "this column stands twice")
        elif column not in read.factors and read.knows_factors:
            yield unknown(document, ("columns", at), "factor", column, read.factors)


def _lost_settings(document: Document, read: Sound, overrides: Mapping[str, str]) -> Iterator[Fault]:
    """Settings that a later one would replace without a word."""
    for settings in _settings(read):
        for (path, _), (later, place) in combinations(settings, 2):
            if _covers(later, path):
                message = f"replaces what {dotted(path)} sets before it; put the wider path first"
                yield document.fault(place, message, found=dotted(later))
        for given, (path, place) in product(overrides, settings):
            if _covers(path, steps(given)):
                yield Fault(COMMAND_LINE, given, f"{document.file} sets this too, at {dotted(place)}")


def _settings(read: Sound) -> Iterator[list[tuple[Place, Place]]]:
    """The paths that are set by the factors and by every listed cell, in order, with the place that names them."""
    places = {name: ("factors", name, "path") for name in read.sweep.factors}
    yield [(steps(read.sweep.factors[name].path), place) for name, place in places.items() if read.knows(*place)]
    for at, cell in enumerate(read.sweep.cells):
        yield [(steps(path), ("cells", at, "set", path)) for path in cell.set]


def _covers(wide: Place, path: Place) -> bool:
    if dotted(wide) == NETWORK:  # takes the place of the whole network but for what the data decide
        return path[:1] == wide[:1] and path[1:2] not in {(key,) for key in KEPT}
    return path[: len(wide)] == wide
