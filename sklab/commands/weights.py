"""The commands that load the weights of finished runs: evaluate, analyze."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sklab.commands.options import (
    COMPLETE,
    SOME_FAILED,
    Commands,
    add_command,
    add_cpu,
    add_json,
    add_results,
    device_of,
    pairs_of,
    study_folder,
)
from sklab.errors import SklabError
from sklab.system.terminal import fitting, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklab.store.records import Evaluation, FinalScore, RunRecord
    from sklab.store.run_folder import RunFolder
    from sklab.store.study_folder import StudyFolder

_LARGEST_SCALE = 8.0


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of `sklab evaluate`."""

    run: str
    size: int | None
    test: bool
    cpu: bool
    results: Path
    json: bool


@dataclass(frozen=True)
class AnalyzeOptions:
    """The options of `sklab analyze`."""

    target: str
    data: list[str]
    scales: str
    cpu: bool
    results: Path
    json: bool


def add_evaluate(commands: Commands) -> None:
    """`sklab evaluate`."""
    text = "evaluate finished runs, at another image size if asked"
    evaluate = add_command(commands, "evaluate", _evaluate, EvaluateOptions, text)
    evaluate.add_argument("run", metavar="RUN", help="a study, or a run: its folder, STUDY/key, or its key")
    what = evaluate.add_mutually_exclusive_group()
    what.add_argument("--size", type=int, metavar="N", help="pixels a side (default: as trained)")
    text = "read the test split of a study whose runs have all ended (data.test)"
    what.add_argument("--test", action="store_true", help=text)
    add_cpu(evaluate)
    add_results(evaluate)
    add_json(evaluate)


def add_analyze(commands: Commands) -> None:
    """`sklab analyze`."""
    text = "say what the SK units of finished runs do, and what their stages see"
    analyze = add_command(commands, "analyze", _analyze, AnalyzeOptions, text)
    analyze.add_argument("target", metavar="STUDY|RUN", help="a study or its folder; or a run as for evaluate")
    text = "settings of the data set instead of the runs', for example val_size=4000; with a name, of another set"
    analyze.add_argument("--data", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=text)
    text = "how much objects are enlarged (default: %(default)s)"
    analyze.add_argument("--scales", default="1.0,1.25,1.5,1.75,2.0", metavar="A,B,...", help=text)
    add_cpu(analyze)
    add_results(analyze)
    add_json(analyze)


def _evaluate(options: EvaluateOptions) -> int:
    from sklab.commands.screen.text import evaluation_text
    from sklab.store.study_folder import find_run
    from sklab.training.evaluate import evaluate, evaluate_study

    device, study = device_of(cpu=options.cpu), study_folder(options.run, options.results)
    if study.sweep_file.exists():
        outcomes = _tested(study, device) if options.test else evaluate_study(study, options.size, device)
        return _show(outcomes, as_json=options.json)
    if options.test:
        raise SklabError(f"--test: found the run {options.run!r}; allowed: a study, since the test split is read once")
    evaluation = evaluate(find_run(options.run, options.results), options.size, device)
    print(evaluation.model_dump_json(indent=1) if options.json else fitting(evaluation_text(evaluation)))
    return COMPLETE


def _tested(study: StudyFolder, device: str) -> Iterator[tuple[RunRecord, FinalScore | SklabError]]:
    from sklab.sweep.run.reading import orders_for_test
    from sklab.training.evaluate import evaluate_test_of

    return evaluate_test_of(study, orders_for_test(study), device)


def _show(outcomes: Iterator[tuple[RunRecord, Evaluation | FinalScore | SklabError]], *, as_json: bool) -> int:
    """Report each run of a study as its evaluation ends; a run without weights does not stop the others."""
    import json

    from sklab.commands.screen.text import evaluation_text

    evaluations, failed = [], False
    for record, outcome in outcomes:
        run = f"{record.cell}, seed {record.spec.seed}"
        if isinstance(outcome, SklabError):
            failed = True
            tell(f"sklab: {run}: {outcome}")
            continue
        evaluations.append(outcome.model_dump(mode="json"))
        print(f"{run}: {evaluation_text(outcome)}", file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print(json.dumps(evaluations, indent=1))
    return SOME_FAILED if failed else COMPLETE


def _analyze(options: AnalyzeOptions) -> int:
    import json
    from dataclasses import asdict

    from sklab.analysis.attention.analyses import findings
    from sklab.commands.screen.text import behaviour_text
    from sklab.training.attention.analyze import analyze_all

    device = device_of(cpu=options.cpu)
    runs, baseline = _runs_of(options)
    analyses = analyze_all(runs, _data(options.data), _scales(options.scales), device, tell)
    cell_findings = findings(analyses, baseline)
    if cell_findings:
        tell(f"its figures: sklab report {_study_of(runs)}")
    print(
        json.dumps([asdict(cell) for cell in cell_findings], indent=1)
        if options.json
        else fitting(behaviour_text(cell_findings))
    )
    return COMPLETE if all(len(analyses[cell]) == len(runs[cell]) for cell in runs) else SOME_FAILED


def _runs_of(options: AnalyzeOptions) -> tuple[dict[str, list[RunFolder]], str]:
    """The runs of the study that is named, by cell, and its baseline; or the run that is named, by its cell."""
    from sklab.analysis.attention.analyses import runs_by_cell
    from sklab.analysis.evidence.nuisance import at_tuned_settings
    from sklab.store.study_folder import find_run

    study = study_folder(options.target, options.results)
    if study.sweep_file.exists():
        sweep = study.read_sweep()
        records, _ = study.readable(key for cell in sweep.cells for key in cell.runs.values())
        sweep = at_tuned_settings(sweep, records)
        return runs_by_cell(study, sweep), sweep.baseline
    run = find_run(options.target, options.results)
    return {run.read_order().cell: [run]}, ""


def _study_of(runs: dict[str, list[RunFolder]]) -> str:
    """The study that the runs belong to, for a command line."""
    from sklab.store.study_folder import StudyFolder

    return StudyFolder(next(run for of_cell in runs.values() for run in of_cell).path.parents[1]).argument


def _data(texts: list[str]) -> dict[str, object]:
    """The `--data key=value` options, values read as YAML."""
    from sklab.sweep.files.yamltree import parse

    pairs = pairs_of(texts, "--data", "val_size=4000")
    return {key: parse(value, "--data", (key,)).tree for key, value in pairs.items()}


def _scales(text: str) -> tuple[float, ...]:
    try:
        scales = tuple(map(float, text.split(",")))
    except ValueError:
        scales = ()
    rising = all(smaller < larger for smaller, larger in pairwise((*scales, _LARGEST_SCALE + 1)))  # a NaN is not
    if scales[:1] != (1.0,) or not rising or scales[-1] > _LARGEST_SCALE:
        allowed = f"rising numbers from 1.0 up to {_LARGEST_SCALE:g}, for example 1.0,1.5,2.0"
        raise SklabError(f"--scales: found {text!r}; allowed: {allowed}")
    return scales
