"""What a sweep would cost, said before it starts: plan, and the budgets of sweep."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from sklab.commands.options import (
    COMPLETE,
    USER_ERROR,
    Commands,
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
from sklab.system.terminal import counted, fitting, tell

if TYPE_CHECKING:
    from sklab.launch.slots import Slot
    from sklab.spec.jobs import Probe
    from sklab.spec.study.sweep import Sweep
    from sklab.store.study_folder import StudyFolder
    from sklab.sweep.plan.costs import Count, Network


def add_plan(commands: Commands) -> None:
    """`sklab plan`."""
    text = "say what a sweep would do, what is done and how long the rest may take"
    parser = add_command(commands, "plan", show_plan, text)
    add_sweep_file(parser)
    parser.add_argument("--slots", type=int, metavar="N", help="runs at a time, for the time estimate")
    add_gpus(parser)
    parser.add_argument("--probe", action="store_true", help="train a few steps of cells that no finished run prices")
    text = "list in which resolved settings each cell differs from the baseline"
    parser.add_argument("--differences", action="store_true", help=text)
    add_reuse(parser)
    add_budget(parser, "say whether it takes more device-hours than this (90m, 40h, 2d)")
    add_json(parser)


def show_plan(options: argparse.Namespace) -> int:
    """Say what a sweep would do; with `--budget`, its exit code is that of a refusal if it is too dear."""
    from sklab.commands.screen.plan import differences_text, plan_text
    from sklab.store.versions import this_code
    from sklab.sweep.design.space import space_costs
    from sklab.sweep.plan.continued import continued
    from sklab.sweep.plan.costs import Counted
    from sklab.sweep.plan.plan import cell_experiments, make_plan
    from sklab.sweep.plan.prices import hours, share_of
    from sklab.sweep.plan.trained_data import read_data

    if options.budget:
        hours(options.budget)  # a fault in it is told before anything is counted
    sweep = load(options)
    folder, slots = folder_of(sweep, options), slots_of(sweep, options)
    count = Counted(costs_here).of
    costs = space_costs(sweep, count)
    sweep = continued(sweep, folder, costs)
    count(list(cell_experiments(sweep).values()))  # all at once, to be kept at once
    probes = _probes(sweep, folder, slots) if options.probe else {}
    gpu, share = slots[0].gpu is not None, share_of(slots)
    notices: dict[str, None] = {}  # cells may share a set's files
    held = read_data(sweep, notices.setdefault)
    plan = make_plan(
        sweep, folder, len(slots), lambda one: count([one])[0], probes,
        gpu=gpu, costs=costs, share=share, code=this_code(), reuse=options.reuse, held=held,
    ).model_copy(update={"data_notices": tuple(notices)})  # fmt: skip
    print(plan.model_dump_json(indent=1) if options.json else fitting(plan_text(plan)))
    if options.differences:
        print(fitting(differences_text(plan)))
    return _kept_to(options.budget, plan.device_hours, gpu=plan.gpu) if options.budget else COMPLETE


def within(budget: str, sweep: Sweep, options: argparse.Namespace, slots: tuple[Slot, ...]) -> bool:
    """Whether the sweep may start: it costs no more than the budget, or the user at the terminal says so."""
    from sklab.store.versions import this_code
    from sklab.sweep.design.space import space_costs
    from sklab.sweep.plan.continued import continued
    from sklab.sweep.plan.costs import Counted
    from sklab.sweep.plan.plan import price_left
    from sklab.sweep.plan.prices import hours, share_of
    from sklab.sweep.plan.trained_data import read_data

    hours(budget)  # a fault in it is told before anything is probed
    folder = folder_of(sweep, options)
    costs = space_costs(sweep, Counted(costs_elsewhere).of)
    sweep = continued(sweep, folder, costs)
    probes = _probes(sweep, folder, slots)
    held = read_data(sweep)
    left = price_left(sweep, folder, len(slots), probes, share_of(slots), costs, this_code(), options.reuse, held)
    if _kept_to(budget, left.device_hours if left else None, gpu=slots[0].gpu is not None) == COMPLETE:
        return True
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("start it all the same? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    tell("sklab: nothing was started; fewer seeds or epochs, or a larger --budget")
    return False


def warn(sweep: Sweep) -> None:
    """Say on standard error what of the sweep is hardly meant, and which cells its claim of equal budget does not hold
    for."""
    from sklab.spec.fit import oddities
    from sklab.spec.study.search import Cost, off_budget
    from sklab.sweep.plan.costs import Counted
    from sklab.sweep.plan.plan import cell_experiments

    experiments = cell_experiments(sweep)
    for told in oddities(sweep, experiments):
        tell(f"warning: {told}")
    if sweep.equal_budget is None:
        return
    counted = zip(experiments, Counted(costs_elsewhere).of(list(experiments.values())), strict=True)
    costs = {name: Cost(params=params, macs=macs) for name, (params, macs) in counted}
    for off in off_budget(sweep.equal_budget, costs, sweep.baseline):
        tell(f"warning: {off}")


def cost_of(network: Network) -> Count:
    """Parameters of a network, and multiply-accumulates of one image."""
    from sklab.models.zoo import cost

    counted = cost(network.model, network.image_size)
    return counted.params, counted.macs


def costs_here(networks: list[Network]) -> list[Count]:
    """The costs, counted in this process, which imports torch for it."""
    return [cost_of(network) for network in networks]


def costs_elsewhere(networks: list[Network]) -> list[Count]:
    """The costs, counted in a process of its own: the runner stays without torch."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return list(pool.map(cost_of, networks))


def _probes(sweep: Sweep, folder: StudyFolder, slots: tuple[Slot, ...]) -> dict[str, Probe]:
    """A probe of each cell that no finished run tells the price of."""
    from sklab.launch.local.launcher import LocalLauncher
    from sklab.sweep.plan.costs import probe
    from sklab.sweep.plan.plan import unpriced

    unknown = unpriced(sweep, folder)
    if unknown:
        tell(f"probing {counted(len(unknown), 'cell')}, a few steps of each")
    launcher = LocalLauncher(slots)
    try:
        return probe(unknown, launcher, folder.path.parent)
    finally:
        launcher.stop()


def _kept_to(budget: str, device_hours: float | None, *, gpu: bool) -> int:
    """Say how a plan stands to the budget; the exit code of one that is too dear is that of a refusal."""
    from sklab.commands.screen.plan import budget_text
    from sklab.sweep.plan.prices import hours

    over = device_hours is None or device_hours > hours(budget)
    tell(budget_text(device_hours, budget, over=over, gpu=gpu))
    return USER_ERROR if over else COMPLETE
