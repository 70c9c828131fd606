"""`sklab analyze`: what the SK units of finished runs, or of a file of weights, do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sklab.commands.options import (
    COMPLETE,
    SOME_FAILED,
    Commands,
    add_code,
    add_command,
    add_cpu,
    add_json,
    add_results,
    add_run,
    device_of,
    pairs_of,
    study_alone,
)
from sklab.errors import SklabError
from sklab.system.terminal import fitting, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklab.analysis.attention.analyses import CellFindings
    from sklab.store.run_folder import RunFolder

_LARGEST_SCALE = 8.0


@dataclass(frozen=True)
class AnalyzeOptions:
    """The options of `sklab analyze`."""

    run: list[str]
    weights: Path | None
    model: list[str]
    out: Path | None
    data: list[str]
    scales: str
    cpu: bool
    results: Path
    json: bool


def add_analyze(commands: Commands) -> None:
    """`sklab analyze`."""
    text = "say what the SK units of finished runs, or of a file of weights, do, and what their stages see"
    analyze = add_command(commands, "analyze", _analyze, AnalyzeOptions, text)
    add_run(analyze, "a study, or one run: ", needed=False)
    text = "analyse the network in this file (.safetensors, .pt) on the data set of --data name=..."
    analyze.add_argument("--weights", type=Path, metavar="FILE", help=text)
    text = "the network of FILE where it does not say that itself: a name, or settings as under `model:`"
    analyze.add_argument("--model", nargs="+", action="extend", default=[], metavar="NAME|KEY=VALUE", help=text)
    text = "where the analysis of FILE goes (default: analysis-FILE in the current folder)"
    analyze.add_argument("--out", type=Path, metavar="DIR", help=text)
    text = "settings of the data set instead of the runs', for example val_size=4000; with a name, of another set"
    analyze.add_argument("--data", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=text)
    text = "how much objects are enlarged (default: %(default)s)"
    analyze.add_argument("--scales", default="1.0,1.25,1.5,1.75,2.0", metavar="A,B,...", help=text)
    add_cpu(analyze)
    add_results(analyze)
    add_code(analyze)
    add_json(analyze)


def _analyze(options: AnalyzeOptions) -> int:
    if bool(options.run) == bool(options.weights):
        raise SklabError("analyze: allowed: either a study or a run, or --weights FILE")
    if options.weights is None:
        return _analyze_runs(options)
    return _analyze_file(options, options.weights)


def _analyze_file(options: AnalyzeOptions, file: Path) -> int:
    from sklab.analysis.attention.analyses import findings
    from sklab.models.weights.network import trained_network
    from sklab.report.behaviour import write_behaviour
    from sklab.training.attention.file import analyze_file, other_pixels

    data, scales, device = _pairs(options.data, "--data"), _scales(options.scales), device_of(cpu=options.cpu)
    folder = options.out or Path(f"analysis-{file.stem}")
    trained = trained_network(file, _model(options.model))
    analysis = analyze_file(trained, data, scales, device, folder)
    if notice := other_pixels(trained, analysis.data):
        tell(notice)
    page = write_behaviour(folder, file.stem, trained.model, analysis)
    tell(f"its figures: {page}")
    _show(findings({file.stem: [analysis]}), as_json=options.json)
    return COMPLETE


def _model(texts: list[str]) -> dict[str, object]:
    """The settings of `--model`; a name alone is its `base`."""
    return _pairs([text if "=" in text else f"base={text}" for text in texts], "--model")


def _analyze_runs(options: AnalyzeOptions) -> int:
    from sklab.analysis.attention.analyses import findings
    from sklab.training.attention.analyze import analyze_all

    if options.model or options.out:
        raise SklabError("analyze: --model and --out go with --weights")
    device = device_of(cpu=options.cpu)
    runs, baseline = _runs_of(options.run, options.results)
    analyses = analyze_all(runs, _pairs(options.data, "--data"), _scales(options.scales), device, tell)
    cell_findings = findings(analyses, baseline)
    if cell_findings:
        tell(f"its figures: sklab report {_study_of(runs)}")
    _show(cell_findings, as_json=options.json)
    return COMPLETE if all(len(analyses[cell]) == len(runs[cell]) for cell in runs) else SOME_FAILED


def _show(found: Sequence[CellFindings], *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from sklab.commands.screen.text import behaviour_text

    print(json.dumps([asdict(cell) for cell in found], indent=1) if as_json else fitting(behaviour_text(found)))


def _runs_of(words: list[str], results: Path) -> tuple[dict[str, list[RunFolder]], str]:
    """The runs of the study that is named, by cell, and its baseline; or the run that is named, by its cell."""
    from sklab.analysis.attention.analyses import runs_by_cell
    from sklab.analysis.evidence.nuisance import at_tuned_settings
    from sklab.sweep.state.named import run_of_words

    study = study_alone(words, results)
    if study:
        sweep = study.read_sweep()
        records, _ = study.readable(key for cell in sweep.cells for key in cell.runs.values())
        sweep = at_tuned_settings(sweep, records)
        return runs_by_cell(study, sweep), sweep.baseline
    run = run_of_words(words, results)
    return {run.read_order().cell: [run]}, ""


def _study_of(runs: dict[str, list[RunFolder]]) -> str:
    """The study that the runs belong to, for a command line."""
    from sklab.store.study_folder import StudyFolder

    return StudyFolder(next(run for of_cell in runs.values() for run in of_cell).path.parents[1]).argument


def _pairs(texts: list[str], option: str) -> dict[str, object]:
    """The `key=value` texts of an option, values read as YAML."""
    from sklab.sweep.files.yamltree import parse

    pairs = pairs_of(texts, option, {"--data": "val_size=4000", "--model": "num_classes=10"}[option])
    return {key: parse(value, option, (key,)).tree for key, value in pairs.items()}


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
