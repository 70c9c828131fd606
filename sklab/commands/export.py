"""`sklab export`: the network of a finished run as a file for other programs; `sklab archive`: a study as one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sklab.commands.options import (
    COMPLETE,
    Commands,
    StudyOptions,
    add_code,
    add_command,
    add_json,
    add_results,
    add_run,
    add_study,
    study_folder,
)

_KINDS = ("safetensors", "onnx", "timm")


@dataclass(frozen=True)
class ExportOptions:
    """The options of `sklab export`."""

    run: list[str]
    to: str
    out: Path | None
    results: Path
    json: bool


@dataclass(frozen=True)
class ArchiveOptions(StudyOptions):
    """The options of `sklab archive`."""

    out: Path | None
    weights: bool
    license: str


def add_export(commands: Commands) -> None:
    """`sklab export`."""
    text = "write the network of a finished run to a file for other programs"
    export = add_command(commands, "export", _export, ExportOptions, text)
    add_run(export)
    text = "safetensors: weights that say themselves what they are; onnx: the same with the network's operators; "
    text += "timm: weights as timm names them"
    export.add_argument("--to", required=True, choices=_KINDS, help=text)
    text = "default: STUDY-CELL-seedN in the current folder; a file that is there is never replaced"
    export.add_argument("--out", type=Path, metavar="FILE", help=text)
    add_results(export)
    add_code(export)
    add_json(export)


def _export(options: ExportOptions) -> int:
    from sklab.sweep.state.named import run_of_words
    from sklab.training.export import export

    exported = export(run_of_words(options.run, options.results), options.to, options.out)
    size = f"{exported.bytes / 1e6:,.1f} MB"
    print(exported.model_dump_json(indent=1) if options.json else f"{exported.file} ({size})")
    return COMPLETE


def add_archive(commands: Commands) -> None:
    """`sklab archive`."""
    text = "bundle a study for a submission or a repository (RO-Crate), without names of hosts, users and folders"
    command = add_command(commands, "archive", _archive, ArchiveOptions, text)
    add_study(command)
    text = "default: STUDY.crate.zip in the current folder; a file that is there is never replaced"
    command.add_argument("--out", type=Path, metavar="FILE", help=text)
    command.add_argument("--weights", action="store_true", help="with the weights of the runs")
    text = "the licence of the bundle: an SPDX name (CC-BY-4.0) or an address; default: none is stated"
    command.add_argument("--license", metavar="NAME", default="", help=text)


def _archive(options: ArchiveOptions) -> int:
    from sklab.report.archive.bundle import archive

    folder = study_folder(options.study, options.results)
    out = options.out or Path(f"{folder.path.resolve().name}.crate.zip")
    bundle = archive(folder, out, weights=options.weights, license_=options.license)
    print(f"{bundle} ({bundle.stat().st_size / 1e6:,.1f} MB)")
    return COMPLETE
