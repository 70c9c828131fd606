"""`sklab analyze`: what the SK units of finished runs do."""

from __future__ import annotations

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
    from sklab.store.run_folder import RunFolder

_LARGEST_SCALE = 8.0


@dataclass(frozen=True)
class AnalyzeOptions:
    """The options of `sklab analyze`."""

    target: str
    data: list[str]
    scales: str
    cpu: bool
    results: Path
    json: bool


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
