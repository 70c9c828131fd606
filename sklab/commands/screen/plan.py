"""The plan of a sweep and its cost, as plain text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sklab.commands.screen.text import aligned
from sklab.report.words.phrases import next_runs_text
from sklab.spec.study.changes import Change
from sklab.spec.study.sweep import by_network
from sklab.store.records import RunState
from sklab.store.states import STATES
from sklab.sweep.plan.plan import Further, Plan, PlannedCell
from sklab.sweep.plan.power import Power
from sklab.system.terminal import duration, one_line, quantity

_ORDER = ("a run", "Mparams", "MMACs", "MB", "known from")  # columns by importance, after those of the states
_MOST_NAMED = 8  # cells in one line


def plan_text(plan: Plan) -> str:
    """The plan as text: a row per cell, notes and the sum."""
    states = [state for state in STATES if any(cell.counts[state] for cell in plan.cells)]
    header = ("cell", "Mparams", "MMACs", "MB", "a run", "known from", *states)
    table = aligned(header, [_plan_row(cell, states) for cell in plan.cells], (*states, *_ORDER))
    warnings = (f"warning: {off}" for off in plan.off_budget)
    further = [_further_text(plan.further)] if plan.further else []
    power = _power_lines(plan.power) if plan.power else ()
    advice = [next_runs_text(plan.next_runs)] if plan.next_runs else []
    lines = (*_plan_lines(plan), *warnings, *power, *advice, _plan_sum(plan), *further)
    return "\n".join([table, *map(one_line, lines)])


def differences_text(plan: Plan) -> str:
    """The resolved settings in which each cell differs from the baseline; (!) marks those that it does not declare."""
    differing = (
        f"{cell.name}: {setting.path}: {_value(setting.baseline)} -> {_value(setting.here)}"
        + ("" if setting.declared else " (!)")
        for cell in plan.cells
        for setting in cell.differences
    )
    return "\n".join((*differing, *(f"{cell.name}: same network as {cell.same_as}" for cell in plan.duplicates)))


def _plan_row(cell: PlannedCell, states: Sequence[RunState]) -> tuple[str, ...]:
    price = cell.price
    numbers = (f"{price.peak_memory_mb:.0f}", duration(price.seconds), price.source) if price else ("", "", "")
    counts = (str(cell.counts[state]) for state in states)
    return (cell.name, f"{cell.params / 1e6:.3f}", f"{cell.macs / 1e6:.1f}", *numbers, *counts)


def _plan_lines(plan: Plan) -> Iterator[str]:
    yield from (f"invalid: {cell.name}: {cell.reason}" for cell in plan.invalid)
    for name, others in by_network(plan.duplicates).items():
        yield f"same network as {name}, trained once: {'; '.join(others)}"
    if plan.asked:
        more_cells = quantity(plan.asked, "more cell")
        yield f"and {more_cells} to be asked for by the search, {len(plan.cells) - 1} found so far"
    if plan.refused:
        yield f"proposals that do not keep the constraints, never trained: {plan.refused}"
    if plan.space:
        yield (
            f"search space: {plan.space.combinations} combinations of levels, {plan.space.valid} can exist, "
            f"{plan.space.feasible} keep the constraints"
        )
    if plan.tuning:
        yield str(plan.tuning)
    if plan.fraction:
        yield f"fraction: {plan.fraction}"
    yield from (f"data: {data}" for data in plan.data)
    for source, names in plan.starts.items():
        which = "all cells" if len(plan.starts) == 1 else ", ".join(names)
        yield f"{f'start from {source}' if source else 'start from fresh weights'}: {which}"
    if plan.unevaluated:
        yield f"complete runs that are only to be evaluated at a further size: {plan.unevaluated}"
    if plan.untested is not None:
        left = f"; complete runs that are not read yet: {plan.untested}" if plan.untested else ""
        yield f"the test split is read once, when every run has ended{left}"
    if plan.reused:
        yield f"runs to run that another study has finished: {plan.reused}, taken over"
    elsewhere = [cell.name for cell in plan.cells if cell.price and not cell.price.comparable and cell.missing]
    yield from _named("prices of runs on another device, or with more or fewer at a time", elsewhere)
    yield from (f"no price: {cell.name}: {cell.fault}" for cell in plan.cells if cell.fault and cell.price is None)
    yield from _change_lines(plan.change)
    yield from (f"the sweep will be refused, its data have changed: {line}" for line in plan.data_changed)
    yield from (f"the sweep will be refused: {line}" for line in plan.data_misfits)
    yield from plan.data_notices
    yield from (f"warning: {warning}" for warning in (*plan.odd, *plan.confounds))
    if not plan.confounds and len(plan.cells) > 1:
        which = "every cell that is trained" if plan.duplicates else "every cell"
        yield f"{which} differs from {plan.baseline} in what it declares and in nothing else"


def _power_lines(power: Power) -> Iterator[str]:
    """The power of each question, and the spread behind it."""
    for question in power.questions:
        size = f"{question.detectable:.3g}{'' if power.spread else ' times the spread of a run'}"
        yield f"question {question.question}: 80 % power for differences of at least {size}"
    if power.spread is None:
        yield "the spread of a run is not known yet: state one with --spread"
    else:
        source = f"{quantity(power.runs, 'run')} of this study" if power.runs else "--spread"
        yield f"that is with a spread (standard deviation) of a run of {power.spread:.3g}, from {source}"


def _change_lines(change: Change | None) -> Iterator[str]:
    if change is None:
        return
    changes = [
        *_named("cells added", change.cells_added),
        *_named("cells removed", change.cells_removed),
        *_named("cells that are other runs now", change.cells_changed),
        *_named("seeds added", change.seeds_added),
        *_named("seeds removed", change.seeds_removed),
        *change.settings,
    ]
    yield from (f"since the last start: {line}" for line in changes or ["nothing has changed"])


def _named(what: str, names: Sequence[object]) -> Iterator[str]:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    if names:
        yield f"{what}: {', '.join(map(str, names[:_MOST_NAMED]))}{more}"


def _plan_sum(plan: Plan) -> str:
    shared = ", ".join(str(seed) for seed in plan.seeds if seed not in plan.baseline_seeds)
    own = f", of the baseline {', '.join(map(str, plan.baseline_seeds))} too" if plan.baseline_seeds else ""
    seeds = plan.further.rule if plan.further else f"seeds {shared}{own}"
    counts = f"{plan.study}: {seeds}; {plan.complete} complete, {plan.missing} to run, {plan.slots} at a time"
    if plan.seconds is None or plan.device_hours is None:
        return f"{counts}: no estimate before the first finished run or --probe"
    return f"{counts}: about {duration(plan.seconds)}, {device_hours_text(plan.device_hours, gpu=plan.gpu)}"


def device_hours_text(hours: float, *, gpu: bool) -> str:
    """The hours of all devices together; without GPUs a device is a share of the CPU."""
    return f"{hours:.{1 if hours >= 10 else 2}f} {'GPU-hours' if gpu else 'CPU-slot-hours'}"


def budget_text(hours: float | None, budget: str, *, over: bool, gpu: bool) -> str:
    """The sentence that compares the cost of what is left with the budget."""
    if hours is None:
        return (
            f"what is left has no price, so it can't be held to the budget of {budget}; `sklab plan --probe` says why"
        )
    cost = device_hours_text(hours, gpu=gpu)
    return f"what is left takes about {cost}, {'more than' if over else 'within'} the budget of {budget}"


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _further_text(further: Further) -> str:
    basis = "differences are as seen so far" if further.seen else "no cell differs"
    verb = "is" if further.expected == 1 else "are"
    times = (further.expected_seconds, further.worst_seconds)
    expected, worst = ("" if seconds is None else f", about {duration(seconds)}" for seconds in times)
    return (
        f"{further.rule}: {quantity(further.expected, 'run')} to go {verb} expected if {basis}{expected}; "
        f"{further.worst} at worst{worst}"
    )
