"""Checks that the keys of a sweep file agree with each other."""

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
from sklab.sweep.files.valid_part import ValidPart
from sklab.sweep.files.yamltree import Document, Place, dotted

_USES = {
    "list": ("cells",),
    "grid": ("factors",),
    "fractional": ("factors", "fraction"),
    "ofat": ("factors",),
    "leave_one_out": ("factors",),
    "search": ("factors", "search"),
}


def disagreements(document: Document, valid: ValidPart, overrides: Mapping[str, str]) -> Iterator[Fault]:
    """Every fault between two keys of the file, or between a key and the command line. Faults that depend on a
    faulty key are not reported."""
    yield from _keys_of_design(document, valid)
    yield from _baseline(document, valid)
    yield from _columns(document, valid)
    yield from _lost_settings(document, valid, overrides)
    yield from _two_levels(document, valid)
    yield from _replicates(document, valid)
    yield from _most_seeds(document, valid)
    yield from _baseline_seeds(document, valid)
    yield from _search(document, valid)
    if valid.sweep.design == "grid" and is_too_large(valid.sweep):
        yield document.fault(("factors",), "too many combinations of levels", found="", allowed=f"at most {CELLS}")


def is_too_large(sweep: SweepFile) -> bool:
    """Whether the grid of all factors has more cells than a study can hold."""
    return prod(len(factor.levels) for factor in sweep.factors.values()) > CELLS


def is_too_small(sweep: SweepFile) -> bool:
    """Whether a fractional design is impossible: no fraction has its share, or a factor has not two levels."""
    two = all(len(factor.levels) == 2 for factor in sweep.factors.values())
    return not two or len(sweep.factors) > MOST_FACTORS or sweep.fraction not in shares_of(len(sweep.factors))


def unknown(document: Document, place: Place, what: str, found: str, known: Iterable[str]) -> Fault:
    """The fault of a name at `place` that is not among `known`."""
    names = list(known)
    return document.fault(
        place, f"unknown {what}", found=found, allowed=options(names), hint=did_you_mean(found, names)
    )


def _keys_of_design(document: Document, valid: ValidPart) -> Iterator[Fault]:
    design = valid.sweep.design
    for key in ("cells", "factors", "search", "fraction") if valid.knows("design") else ():
        if key in _USES[design] and not document.tree.get(key):
            yield document.fault((key,), f"missing, and design: {design} needs it")
        elif key not in _USES[design] and key in document.tree:
            yield document.fault((key,), f"not used by design: {design}", allowed=options(_USES[design]))


def _replicates(document: Document, valid: ValidPart) -> Iterator[Fault]:
    if "replicates" not in document.tree:
        return
    if "seeds" in document.tree:
        yield document.fault(("replicates",), "takes the place of seeds; leave out one of the two", found="")
    if document.tree.get("design") == "search":
        yield document.fault(("replicates",), "not used by design: search", allowed="seeds", found="")
    rule = document.tree["replicates"]
    if valid.sweep.vary and valid.sweep.vary.block > 1:
        message = "adds single seeds, but a block of vary is several runs"
        yield document.fault(("replicates",), message, found="", allowed="seeds, or a list of sources in vary")
    if isinstance(rule, dict) and rule.get("stop") == "questions" and not document.tree.get("questions"):
        yield document.fault(("replicates", "stop"), "needs the key questions")


def _most_seeds(document: Document, valid: ValidPart) -> Iterator[Fault]:
    if "most_seeds" not in document.tree:
        return
    if "replicates" in document.tree:
        yield document.fault(("most_seeds",), "not used with replicates, which has max", found="")
    elif document.tree.get("design") == "search":
        yield document.fault(("most_seeds",), "not used by design: search, whose cells follow its results", found="")
    elif valid.knows("most_seeds") and valid.knows("seeds"):
        seeds = len(valid.sweep.seeds.others)
        if (valid.sweep.most_seeds or 0) < seeds:
            yield document.fault(("most_seeds",), "fewer than the seeds", allowed=f"{seeds} or more")


def _baseline_seeds(document: Document, valid: ValidPart) -> Iterator[Fault]:
    if not valid.knows("seeds") or not valid.sweep.seeds.baseline:
        return
    if document.tree.get("design") == "search":
        message = "not used by design: search, whose cells all have the same seeds"
        yield document.fault(("seeds", "baseline"), message, found="")
    if valid.sweep.vary and valid.sweep.vary.block > 1:
        message = "adds single seeds, but a block of vary is several runs"
        yield document.fault(("seeds", "baseline"), message, found="", allowed="a list of sources in vary")


def _search(document: Document, valid: ValidPart) -> Iterator[Fault]:
    """Disagreements of a search's objectives, constraints and pruning with the rest of the file."""
    sweep, search = valid.sweep, valid.sweep.search
    if search is None:
        return
    if valid.knows("design") and sweep.design != "search":
        if search.pruning:
            message = "only for design: search; a pruned cell can't be compared with others"
            yield document.fault(("search", "pruning"), message, found="")
        return
    if valid.knows("metric"):
        yield from _objectives(document, sweep.metric.name, search)
    if search.needs_costs and is_too_large(sweep):
        message = "too many combinations of levels to count what each costs"
        yield document.fault(("factors",), message, found="", allowed=f"at most {CELLS}")
    for name, factor in sweep.factors.items() if search.pruning else ():
        if valid.knows("factors", name, "path") and covers(steps(factor.path), steps("train.epochs")):
            message = "can't be varied where search.pruning compares runs at the same epoch"
            yield document.fault(("factors", name, "path"), message)


def _objectives(document: Document, metric: str, search: Search) -> Iterator[Fault]:
    place, names = ("search", "objectives"), [metric, "params", "macs"]
    strange = [(at, name) for at, name in enumerate(search.objectives) if name not in names]
    yield from (unknown(document, (*place, at), "objective", name, names) for at, name in strange)
    allowed = [metric], [metric, "params"], [metric, "macs"]
    if search.objectives and not strange and list(search.objectives) not in allowed:
        written, possible = (
            f"[{', '.join(search.objectives)}]",
            " or ".join(f"[{', '.join(names)}]" for names in allowed),
        )
        yield document.fault(place, "can't be searched for together", found=written, allowed=possible)


def _two_levels(document: Document, valid: ValidPart) -> Iterator[Fault]:
    """The faults of designs that need factors with two levels."""
    sweep = valid.sweep
    if not valid.knows("design") or sweep.design not in ("fractional", "leave_one_out"):
        return
    for name, factor in sweep.factors.items():
        if len(factor.levels) != 2:
            number, place = str(len(factor.levels)), ("factors", name, "levels")
            yield document.fault(place, f"design: {sweep.design} needs two levels", found=number, allowed="2")
    if sweep.design == "fractional" and sweep.fraction and len(valid.factors) > 1:
        yield from _no_fraction(document, sweep.fraction, len(valid.factors))


def _no_fraction(document: Document, fraction: str, number: int) -> Iterator[Fault]:
    if number > MOST_FACTORS:
        yield document.fault(("factors",), "too many factors", found=str(number), allowed=f"at most {MOST_FACTORS}")
    elif fraction not in (possible := shares_of(number)):
        message = f"so small a fraction of {number} factors confuses main effects with each other"
        allowed = options(possible) if possible else "design: grid"
        yield document.fault(("fraction",), message, found=fraction, allowed=allowed)


def _baseline(document: Document, valid: ValidPart) -> Iterator[Fault]:
    place, baseline = ("baseline",), valid.sweep.baseline
    if not valid.knows("baseline") or valid.is_list is None:
        return
    if valid.is_list:
        names = [cell.name for cell in valid.sweep.cells]
        if baseline not in names and (valid.knows_cells or not isinstance(baseline, str)):
            yield unknown(document, place, "cell", str(baseline), names)
    elif isinstance(baseline, dict):
        yield from _baseline_levels(document, valid, baseline)
    else:
        yield document.fault(place, "wrong type", allowed="a mapping with the level of every factor")


def _baseline_levels(document: Document, valid: ValidPart, baseline: Mapping[str, Any]) -> Iterator[Fault]:
    factors = valid.sweep.factors
    for name in (name for name in factors if name not in baseline):
        yield document.fault(("baseline", name), "missing", allowed=options(factors[name].levels))
    for name, level in baseline.items():
        if name not in valid.factors:
            if valid.knows_factors:
                yield unknown(document, ("baseline", name), "factor", name, valid.factors)
        elif name in factors and (not isinstance(level, str) or level not in factors[name].levels):
            yield unknown(document, ("baseline", name), "level", str(level), factors[name].levels)


def _columns(document: Document, valid: ValidPart) -> Iterator[Fault]:
    columns = valid.sweep.columns or ()
    for at, column in enumerate(columns):
        if column in columns[:at]:
            yield document.fault(("columns", at), "this column stands twice")
        elif column not in valid.factors and valid.knows_factors:
            yield unknown(document, ("columns", at), "factor", column, valid.factors)


def _lost_settings(document: Document, valid: ValidPart, overrides: Mapping[str, str]) -> Iterator[Fault]:
    """A fault for each setting that a later one would replace silently."""
    for settings in settings_of(valid):
        for (path, _), (later, place) in combinations(settings, 2):
            if covers(later, path):
                message = f"replaces what {dotted(path)} sets before it; put the wider path first"
                yield document.fault(place, message, found=dotted(later))
        for given, (path, place) in product(overrides, settings):
            if covers(path, steps(given)):
                yield Fault(COMMAND_LINE, given, f"{document.file} sets this too, at {dotted(place)}")


def settings_of(valid: ValidPart) -> Iterator[list[tuple[Place, Place]]]:
    """The paths that the factors set, then those of each listed cell, in order; each with the place that names it."""
    places = {name: ("factors", name, "path") for name in valid.sweep.factors}
    yield [(steps(valid.sweep.factors[name].path), place) for name, place in places.items() if valid.knows(*place)]
    for at, cell in enumerate(valid.sweep.cells):
        yield [(steps(path), ("cells", at, "set", path)) for path in cell.set]


def covers(wide: Place, path: Place) -> bool:
    """Whether what is set at `wide` replaces what is set at `path`."""
    if dotted(wide) == NETWORK:  # replaces the whole network, except the keys in KEPT
        return path[:1] == wide[:1] and path[1:2] not in {(key,) for key in KEPT}
    return path[: len(wide)] == wide
