"""The command line: parse, one call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sklab.errors import SklabError

if TYPE_CHECKING:
    from sklab.launch.base import Launcher
    from sklab.records import StudyFolder
    from sklab.spec.run import Experiment
    from sklab.spec.sweep import Sweep

_COMPLETE, _SOME_FAILED, _USER_ERROR, _INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0: all runs complete, 1: some runs failed, 2: user error, 130: interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except SklabError as error:
        print(f"sklab: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"sklab: {error}; finished runs are safe, the same command goes on from them", file=sys.stderr)
        return _USER_ERROR
    except KeyboardInterrupt:
        print("sklab: interrupted; finished runs are safe, the same command goes on from them", file=sys.stderr)
        return _INTERRUPTED


def _sweep(options: argparse.Namespace) -> int:
    if options.plan:
        return _plan(options)
    sweep = _load(options)
    _warn_of_budget(sweep)
    return _run(sweep, options)


def _train(options: argparse.Namespace) -> int:
    from sklab.sweep.load import load_single

    return _run(load_single(options.file, seed=options.seed, overrides=_overrides(options)), options)


def _run(sweep: Sweep, options: argparse.Namespace) -> int:
    """Run a study to its end, then write and show its table and report."""
    from sklab.machine import this_code
    from sklab.progress import show_progress
    from sklab.sweep.runner import run_study
    from sklab.tracking.mode import choose
    from sklab.tracking.summary import log_table

    folder = _study(sweep.study, options)
    launcher = _launcher(sweep, folder, options)
    choice = choose(options.no_wandb, folder=folder.path)
    try:
        with show_progress(sweep, choice.notice) as progress:
            complete = run_study(sweep, folder, launcher, this_code(), choice.tracking, progress)
    finally:
        launcher.stop()
    report = _show_table(folder, write=True)
    log_table(folder.path / "table.csv", sweep.study, choice.tracking, folder.path)
    print(f"\nreport: {report}")
    return _COMPLETE if complete else _SOME_FAILED


def _launcher(sweep: Sweep, folder: StudyFolder, options: argparse.Namespace) -> Launcher:
    """This machine, or the engine that `--launcher` names."""
    from sklab.sweep.check import most_devices

    if options.launcher is None:
        from sklab.launch.local import LocalLauncher
        from sklab.launch.slots import find_slots

        return LocalLauncher(find_slots(options.slots, most_devices(sweep)))
    from sklab.launch.ray import RayLauncher
    from sklab.launch.slurm import SlurmLauncher
    from sklab.spec.ray import RaySpec
    from sklab.sweep.launcherfile import read_launcher

    spec = read_launcher(options.launcher)
    if isinstance(spec, RaySpec):
        return RayLauncher(spec, most_devices(sweep))
    launcher = SlurmLauncher(spec, folder.path, sweep.study, most_devices(sweep))
    told = f"runs go on in Slurm when this command is stopped; end them: scancel --me --name={launcher.job_name}"
    print(told, file=sys.stderr)
    return launcher


def _warn_of_budget(sweep: Sweep) -> None:
    """Say on standard error which cells the sweep's claim of equal budget does not hold for."""
    if sweep.equal_budget is None:
        return
    from sklab.spec.budget import Cost, off_budget
    from sklab.sweep.design import run_spec

    experiments = [run_spec(sweep, cell, sweep.seeds[0]).experiment for cell in sweep.cells]
    counted = zip(sweep.cells, _costs_elsewhere(experiments), strict=True)
    costs = {cell.name: Cost(params=params, macs=macs) for cell, (params, macs) in counted}
    for off in off_budget(sweep.equal_budget, costs, sweep.baseline):
        print(f"warning: {off}", file=sys.stderr)


def _plan(options: argparse.Namespace) -> int:
    from sklab.launch.slots import find_slots
    from sklab.sweep.check import most_devices
    from sklab.sweep.plan import make_plan
    from sklab.text import plan_text

    sweep = _load(options)
    slots = len(find_slots(options.slots, most_devices(sweep)))
    plan = make_plan(sweep, _study(sweep.study, options), slots, _cost)
    print(plan.model_dump_json(indent=1) if options.json else plan_text(plan))
    return _COMPLETE


def _status(options: argparse.Namespace) -> int:
    from sklab.sweep.plan import study_status
    from sklab.text import status_text

    folder = _study(options.study, options)
    status = study_status(folder.read_sweep(), folder)
    print(status.model_dump_json(indent=1) if options.json else status_text(status))
    return _COMPLETE


def _table(options: argparse.Namespace) -> int:
    _show_table(_study(options.study, options), write=False)
    return _COMPLETE


def _report(options: argparse.Namespace) -> int:
    print(f"\nreport: {_show_table(_study(options.study, options), write=True)}")
    return _COMPLETE


def _show_table(folder: StudyFolder, *, write: bool) -> Path | None:
    """Print the study's table, from the records; with `write`, rebuild its files and return the report's path."""
    from sklab.report import build

    table = build.study_table(folder.path)
    report = build.write(folder.path, table) if write else None
    print(build.terminal_table(table))
    return report


def _models(options: argparse.Namespace) -> int:
    import json

    from sklab.models.cost import cost
    from sklab.spec.networks import SETTINGS, image_size, network
    from sklab.text import models_text

    rows = []
    for name in SETTINGS:
        counted = cost(network(name), image_size(name))
        rows.append({"name": name, "params": counted.params, "macs": counted.macs, "image_size": image_size(name)})
    print(json.dumps(rows, indent=1) if options.json else models_text(rows))
    return _COMPLETE


def _doctor(options: argparse.Namespace) -> int:
    from sklab.launch.local import LocalLauncher
    from sklab.launch.slots import find_slots
    from sklab.sweep.check import check, data_faults, data_refusal, refusal
    from sklab.text import findings_text, machine_text

    slots = find_slots()
    print(machine_text(slots))
    if options.file is None:
        return _COMPLETE
    launcher = LocalLauncher(slots[:1])
    try:
        sweep = _load(options)
        result = check(sweep, launcher, options.results)
        faults = data_faults(sweep, launcher, options.results)
    finally:
        launcher.stop()
    print(findings_text(result))
    bad = [finding for finding in result.findings if not finding.ok]
    told = [*([refusal(bad)] if bad else []), *([data_refusal(faults)] if faults else [])]
    if told:
        raise SklabError("\n".join(told))
    return _COMPLETE


def _evaluate(options: argparse.Namespace) -> int:
    from sklab.machine import find_gpus
    from sklab.records import find_run
    from sklab.text import evaluation_text
    from sklab.training.evaluate import evaluate

    device, study = "cuda" if find_gpus() else "cpu", _study(options.run, options)
    if study.sweep_file.exists():
        return _evaluate_study(study, options, device)
    evaluation = evaluate(find_run(options.run, options.results), options.size, device)
    print(evaluation.model_dump_json(indent=1) if options.json else evaluation_text(evaluation))
    return _COMPLETE


def _evaluate_study(study: StudyFolder, options: argparse.Namespace, device: str) -> int:
    """Evaluate every complete run of a study, each told as it ends; one without weights does not stop the others."""
    import json

    from sklab.text import evaluation_text
    from sklab.training.evaluate import evaluate_study

    evaluations, failed = [], False
    for record, outcome in evaluate_study(study, options.size, device):
        run = f"{record.cell}, seed {record.spec.seed}"
        if isinstance(outcome, SklabError):
            failed = True
            print(f"sklab: {run}: {outcome}", file=sys.stderr, flush=True)
            continue
        evaluations.append(outcome.model_dump(mode="json"))
        print(f"{run}: {evaluation_text(outcome)}", file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps(evaluations, indent=1))
    return _SOME_FAILED if failed else _COMPLETE


def _load(options: argparse.Namespace) -> Sweep:
    from sklab.sweep.load import load_sweep
    from sklab.sweep.toy import toy

    overrides = _overrides(options)
    sweep = load_sweep(options.file, experiment=options.experiment, seeds=options.seeds, overrides=overrides)
    return toy(sweep) if options.toy else sweep


def _overrides(options: argparse.Namespace) -> dict[str, str]:
    """The `--set path=value` options as a mapping. Raises SklabError for one without a value."""
    pairs = {text: text.partition("=") for text in options.set}
    for text, (path, equals, _) in pairs.items():
        if not (path and equals):
            raise SklabError(f"--set: found {text!r}; allowed: path=value, for example train.epochs=2")
    return {path: value for path, _, value in pairs.values()}


def _study(name: str, options: argparse.Namespace) -> StudyFolder:
    """The folder of a study given by its name under `--results`, or by a path to the folder itself."""
    from sklab.records import StudyFolder

    given = Path(name)
    return StudyFolder(given if (given / "sweep.yaml").exists() else options.results / name)


def _cost(experiment: Experiment) -> tuple[int, int]:
    from sklab.models.cost import cost

    counted = cost(experiment.model, experiment.data.image_size)
    return counted.params, counted.macs


def _costs_elsewhere(experiments: list[Experiment]) -> list[tuple[int, int]]:
    """The costs, counted in a process of its own: the runner stays without torch."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_cost, experiments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sklab", description="The ablation-study lab for Selective Kernel networks.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, call: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(command=call)
        return added

    sweep = command("sweep", _sweep, "train what is missing of a sweep, then write its table and report")
    _add_sweep_file(sweep)
    _add_running(sweep)
    sweep.add_argument("--plan", action="store_true", help="only say what would be done")
    sweep.set_defaults(json=False)
    plan = command("plan", _plan, "say what a sweep would do, what is done and how long the rest may take")
    _add_sweep_file(plan)
    plan.add_argument("--slots", type=int, metavar="N", help="runs at a time, for the time estimate")
    _add_json(plan)
    status = command("status", _status, "say how a study stands")
    _add_study(status)
    _add_json(status)
    _add_study(command("table", _table, "print a study's table"))
    _add_study(command("report", _report, "rebuild a study's table files, figures and report from its records"))
    train = command("train", _train, "train one experiment once")
    train.add_argument("file", type=Path, metavar="EXPERIMENT", help="an experiment file")
    train.add_argument("--seed", type=int, default=0, help="of initialisation, order and augmentation (default: 0)")
    _add_set(train)
    _add_results(train)
    _add_running(train)
    evaluate = command("evaluate", _evaluate, "evaluate finished runs, at another image size if asked")
    evaluate.add_argument("run", metavar="RUN", help="a study, or a run: its folder, STUDY/key, or its key")
    evaluate.add_argument("--size", type=int, metavar="N", help="pixels a side (default: as trained)")
    _add_results(evaluate)
    _add_json(evaluate)
    _add_json(command("models", _models, "list the networks with their parameters and multiply-accumulates"))
    doctor = command("doctor", _doctor, "print versions and devices; with a sweep, check its arithmetic and data")
    _add_sweep_file(doctor, needed=False)
    return parser


def _add_sweep_file(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    parser.add_argument("file", type=Path, metavar="SWEEP", nargs=None if needed else "?", help="a sweep file")
    parser.add_argument("--experiment", type=Path, metavar="FILE", help="run the sweep on this experiment instead")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 instead of the sweep's")
    text = "at toy size, on noise, as study STUDY-toy: shows that the sweep works; its numbers mean nothing"
    parser.add_argument("--toy", action="store_true", help=text)
    _add_set(parser)
    _add_results(parser)


def _add_set(parser: argparse.ArgumentParser) -> None:
    text = "replace a value of the experiment, for example train.epochs=2 (may be repeated)"
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help=text)


def _add_running(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--slots", type=int, metavar="N", help="runs at a time (default: one per GPU, else per core)")
    where.add_argument("--launcher", type=Path, metavar="FILE", help="run on a cluster, as this file says")
    parser.add_argument("--no-wandb", action="store_true", help="do not log to Weights & Biases")


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help="name of a study, or its folder")
    _add_results(parser)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, metavar="DIR", default=Path("results"), help="default: results")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


if __name__ == "__main__":
    sys.exit(main())
