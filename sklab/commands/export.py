"""`sklab export`: the network of a finished run as a file for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sklab.commands.options import COMPLETE, Commands, add_code, add_command, add_json, add_results, add_run

_KINDS = ("safetensors", "onnx", "timm")


@dataclass(frozen=True)
class ExportOptions:
    """The options of `sklab export`."""

    run: list[str]
    to: str
    out: Path | None
    results: Path
    json: bool


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
