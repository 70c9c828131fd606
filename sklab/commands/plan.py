"""The cost of a sweep before it starts: the command plan, and the budget of sweep."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklab.commands.options import (
    COMPLETE,
    USER_ERROR,
    Commands,
    SlotOptions,
    SweepFileOptions,
    add_budget,
    add_command,
    add_gpus,
    add_json,
    add_reuse,
    add_sweep_file,
    folder_of,
    load,
    slots_of,
)
from sklab.errors import Fault, FaultyInputError
from sklab.system.phases import phase
from sklab.system.terminal import fitting, quantity, tell

if TYPE_CHECKING:
    from sklab.launch.slots import Slot
    from sklab.spec.jobs import Probe
    from sklab.spec.run import Experiment
    from sklab.spec.study.sweep import Sweep
    from sklab.store.study_folder import StudyFolder
    from sklab.sweep.plan.costs import Count, Network
    from sklab.sweep.plan.prepared import Prepared, Reuse, Start


@dataclass(frozen=True)
class PlanOptions(SweepFileOptions, SlotOptions):
    """The options of `sklab plan`, and of `sklab sweep --plan`."""

    reuse: Reuse
    budget: str | None
    probe: bool = False
    differences: bool = False
    spread: float | None = None
    json: bool = False


def add_plan(commands: Commands) -> None:
    """`sklab plan`."""
    text = "say what a sweep would do, what is done and how long the rest may take"
    parser = add_command(commands, "plan", show_plan, PlanOptions, text)
    add_sweep_file(parser)
    parser.add_argument("--slots", type=int, metavar="N", help="runs at a time, for the time estimate")
    add_gpus(parser)
    parser.add_argument("--probe", action="store_true", help="train a few steps of cells that no finished run prices")
    text = "list in which resolved settings each cell differs from the baseline"
    parser.add_argument("--differences", action="store_true", help=text)
    text = "standard deviation of a run, in the unit of the metric, to say what each question could show"
    parser.add_argument("--spread", type=float, metavar="SD", help=text)
    add_reuse(parser)
    add_budget(parser, "say whether it takes more device-hours than this (90m, 40h, 2d)")
    add_json(parser)


def show_plan(options: PlanOptions) -> int:
    """Print what a sweep would do; with `--budget`, the exit code is USER_ERROR if it costs more."""
    from sklab.commands.screen.plan import differences_text, plan_text
    from sklab.sweep.plan.costs import CostCounter
    from sklab.sweep.plan.plan import cell_experiments, make_plan
    from sklab.sweep.plan.prepared import prepare
    from sklab.sweep.plan.prices import hours, resources_of

    if options.budget:
        hours(options.budget)  # a faulty budget is reported before anything is counted
    if options.spread is not None and not 0 < options.spread < math.inf:
        fault = Fault("command line", "--spread", "out of range", found=str(options.spread), allowed="more than 0")
        raise FaultyInputError([fault])
    sweep = load(options)
    folder, slots = folder_of(sweep, options.results), slots_of(sweep, options)
    count = CostCounter(costs_here).of
    notices: dict[str, None] = {}  # a dictionary, as cells with the same files have the same notices
    study = prepare(start_of(sweep, folder, options.reuse, count), notices.setdefault)
    count(list(cell_experiments(study.sweep).values()))  # all at once, to be kept at once
    probes = probed(study, slots) if options.probe else {}
    plan = make_plan(study, resources_of(slots), lambda experiment: count([experiment])[0], probes, options.spread)
    plan = plan.model_copy(update={"data_notices": tuple(notices)})
    print(plan.model_dump_json(indent=1) if options.json else fitting(plan_text(plan)))
    if options.differences:
        print(fitting(differences_text(plan)))
    return _kept_to(options.budget, plan.device_hours, gpu=plan.gpu) if options.budget else COMPLETE


def within(start: Start, budget: str, slots: tuple[Slot, ...]) -> bool:
    """Whether the sweep may start: it costs no more than the budget, or the user at the terminal agrees."""
    from sklab.sweep.plan.plan import price_left
    from sklab.sweep.plan.prepared import prepare
    from sklab.sweep.plan.prices import resources_of

    study = prepare(start)
    resources = resources_of(slots)
    bill = price_left(study, resources, probed(study, slots))
    if _kept_to(budget, bill.device_hours if bill else None, gpu=resources.gpu) == COMPLETE:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("start it all the same? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    tell("sklab: nothing was started; fewer seeds or epochs, or a larger --budget")
    return False


def start_of(
    sweep: Sweep, folder: StudyFolder, reuse: Reuse, count: Callable[[list[Experiment]], list[Count]]
) -> Start:
    """The arguments with which this sklab would start the study; `count` counts networks where a search needs their
    costs."""
    from sklab.store.versions import this_code
    from sklab.sweep.design.space import space_costs
    from sklab.sweep.plan.prepared import Start

    return Start(sweep, folder, this_code(), reuse, space_costs(sweep, count))


def warn(sweep: Sweep) -> None:
    """Print doubtful settings of the sweep, and the cells that break its claim of equal budget, on standard error."""
    from sklab.spec.fit import oddities
    from sklab.spec.study.search import Cost, off_budget
    from sklab.sweep.plan.costs import CostCounter
    from sklab.sweep.plan.plan import cell_experiments

    experiments = cell_experiments(sweep)
    for oddity in oddities(sweep, experiments):
        tell(f"warning: {oddity}")
    if sweep.equal_budget is None:
        return
    pairs = zip(experiments, CostCounter(costs_elsewhere).of(list(experiments.values())), strict=True)
    costs = {name: Cost(params=params, macs=macs) for name, (params, macs) in pairs}
    for off in off_budget(sweep.equal_budget, costs, sweep.baseline):
        tell(f"warning: {off}")


def cost_of(network: Network) -> Count:
    """Parameters of a network, and multiply-accumulates of one image."""
    from sklab.models.zoo import cost

    network_cost = cost(network.model, network.image_size)
    return network_cost.params, network_cost.macs


def costs_here(networks: list[Network]) -> list[Count]:
    """The costs of networks, counted in this process, which imports torch for it."""
    return _counted(map(cost_of, networks), len(networks))


def costs_elsewhere(networks: list[Network]) -> list[Count]:
    """The costs of networks, counted in another process, so that the runner stays without torch."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from sklab.system.processes import no_main_module

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with no_main_module():
            counts = pool.map(cost_of, networks)  # submits them, which starts the process
        return _counted(counts, len(networks))


def _counted(counts: Iterator[Count], total: int) -> list[Count]:
    with phase("counting parameters and multiply-accumulates", total) as counting:
        counted = []
        for count in counts:
            counted.append(count)
            counting.advance()
    return counted


def probed(study: Prepared, slots: tuple[Slot, ...], most: int | None = None) -> dict[str, Probe]:
    """A probe of each cell that has no price from finished runs; of only the last `most`, if that is given."""
    from sklab.launch.local.launcher import LocalLauncher
    from sklab.sweep.plan.costs import probe
    from sklab.sweep.plan.plan import unpriced

    unknown = dict(list(unpriced(study).items())[-most if most else 0 :])
    launcher = LocalLauncher(slots)
    try:
        with phase(f"probing {quantity(len(unknown), 'cell')}, a few steps of each") if unknown else nullcontext():
            return probe(unknown, launcher, study.folder.path.parent)
    finally:
        launcher.stop()


def _kept_to(budget: str, device_hours: float | None, *, gpu: bool) -> int:
    """Print whether a plan keeps to the budget; the exit code is USER_ERROR if it does not."""
    from sklab.commands.screen.plan import budget_text
    from sklab.sweep.plan.prices import hours

    over = device_hours is None or device_hours > hours(budget)
    tell(budget_text(device_hours, budget, over=over, gpu=gpu))
    return USER_ERROR if over else COMPLETE
