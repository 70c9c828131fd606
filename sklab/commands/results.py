"""The commands that read the records of studies: table, report, costs, compare; and those that send them to W&B: sync,
publish."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sklab.commands.options import (
    COMPLETE,
    SOME_FAILED,
    Commands,
    StudyJsonOptions,
    StudyOptions,
    add_command,
    add_json,
    add_results,
    add_study,
    study_folder,
)
from sklab.errors import DamagedRecordError, SklabError
from sklab.system.phases import phase
from sklab.system.terminal import tell

if TYPE_CHECKING:
    from sklab.analysis.table.rows import AblationTable
    from sklab.store.study_folder import StudyFolder


@dataclass(frozen=True)
class TableOptions(StudyOptions):
    """The options of `sklab table`."""

    form: str
    columns: str


@dataclass(frozen=True)
class CompareOptions:
    """The options of `sklab compare`."""

    studies: list[str]
    results: Path
    form: str


@dataclass(frozen=True)
class PublishOptions(StudyOptions):
    """The options of `sklab wandb publish`."""

    dry_run: bool


def add_table(commands: Commands) -> None:
    """`sklab table`."""
    table = add_command(commands, "table", _table, TableOptions, "print a study's table")
    add_study(table)
    forms = table.add_mutually_exclusive_group()
    for form, text in (
        ("latex", "LaTeX for a paper (needs booktabs)"),
        ("markdown", "Markdown"),
        ("json", "JSON, for machines"),
    ):
        forms.add_argument(f"--{form}", action="store_const", dest="form", const=form, help=f"print {text}")
    text = "only these columns, in this order, in LaTeX or Markdown (default: cell,n,error,diff,verdict,params,macs)"
    table.add_argument("--columns", metavar="KEY,KEY,...", default="", help=text)
    table.set_defaults(form="text")


def add_report(commands: Commands) -> None:
    """`sklab report`."""
    text = "rebuild a study's table files, figures and report from its records"
    add_study(add_command(commands, "report", _report, StudyOptions, text))


def add_costs(commands: Commands) -> None:
    """`sklab costs`."""
    text = (
        "state the device time of a study, in all and by cell, with what was lost, as checklists of papers ask for it"
    )
    costs = add_command(commands, "costs", _costs, StudyJsonOptions, text)
    add_study(costs)
    add_json(costs)


def add_compare(commands: Commands) -> None:
    """`sklab compare`."""
    text = "put studies side by side, cell by cell, with the first as the reference"
    compare = add_command(commands, "compare", _compare, CompareOptions, text)
    compare.add_argument("studies", nargs="+", metavar="STUDY", help="name of a study under DIR, or a path to one")
    add_results(compare)
    forms = compare.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_const", dest="form", const="markdown", help="print Markdown")
    forms.add_argument("--json", action="store_const", dest="form", const="json", help="print JSON, for machines")
    compare.set_defaults(form="text")


def _table(options: TableOptions) -> int:
    from sklab.report import build

    keys = [key.strip() for key in options.columns.split(",") if key.strip()]
    if keys and options.form not in ("latex", "markdown"):
        raise SklabError("--columns: found without --latex or --markdown; allowed: with one of the two")
    folder = study_folder(options.study, options.results)
    table = build.study_table(folder.path)
    keep_look(folder, table)
    print(_printed(table, options.form, keys))
    return _whole([table])


def _printed(table: AblationTable, form: str, keys: list[str]) -> str:
    from sklab.report.tables import latex, markdown, sheets, terminal
    from sklab.report.tables.summary import chosen_columns

    if form == "markdown":
        return markdown.rows_markdown(table, chosen_columns(table, keys), table.rows)
    if form == "latex":
        return latex.table_tex(table, keys)
    return sheets.table_json(table) if form == "json" else terminal.terminal_table(table)


def _report(options: StudyOptions) -> int:
    return show_report(study_folder(options.study, options.results))


def show_report(folder: StudyFolder) -> int:
    """Rebuild the study's tables and report from its records; print the table and the path of the report."""
    from sklab.report.tables.terminal import terminal_table

    table = write_report(folder)
    print(terminal_table(table))
    print(f"\nreport: {folder.path / 'report.html'}")
    return _whole([table])


def write_report(folder: StudyFolder) -> AblationTable:
    """Rebuild the study's tables and report from its records. This is a look at the study."""
    from sklab.report import build

    with phase("writing the report"):
        table = build.study_table(folder.path)
        keep_look(folder, table)
        build.write(folder.path, table)
    return table


def keep_look(folder: StudyFolder, table: AblationTable) -> None:
    """Keep that verdicts with these seeds were shown. A look that can't be kept is told, and shown all the same."""
    from sklab.store.looks import keep_look, looks_file

    try:
        if table.looks and table.is_look:
            keep_look(folder.path, table.looks.looks[-1], table.sweep.most_seeds)
    except DamagedRecordError:
        pass  # reading the table has told of it
    except OSError as error:
        tell(f"sklab: {looks_file(folder.path)} can't be written, so a later look will not count this one: {error}")


def _whole(tables: Iterable[AblationTable]) -> int:
    """The exit code. Tables leave out records that can't be read; each of them is reported."""
    unreadable = [run.reason for table in tables for run in table.unreadable]
    for reason in unreadable:
        tell(f"sklab: unreadable: {reason}")
    return SOME_FAILED if unreadable else COMPLETE


def _costs(options: StudyJsonOptions) -> int:
    from sklab.analysis.evidence.compute import read_compute
    from sklab.report import build
    from sklab.report.evidence.compute import as_json, cell_lines, statement

    folder = study_folder(options.study, options.results)
    table = build.study_table(folder.path)
    compute = read_compute(folder, table.sweep, table.confirmed.sweep if table.confirmed else None)
    print(
        as_json(table, compute) if options.json else "\n".join([*statement(table, compute), "", *cell_lines(compute)])
    )
    return _whole([table])


def _compare(options: CompareOptions) -> int:
    from sklab.report import side_by_side

    comparison = side_by_side.compare({name: study_folder(name, options.results).path for name in options.studies})
    render = {"text": side_by_side.terminal_text, "markdown": side_by_side.as_markdown, "json": side_by_side.as_json}
    print(render[options.form](*comparison))
    return _whole(comparison[1].values())


def add_wandb(commands: Commands) -> None:
    """`sklab wandb sync` and `sklab wandb publish`."""
    wandb = commands.add_parser("wandb", help="bring a study to Weights & Biases")
    actions = wandb.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_study(
        add_command(actions, "sync", _sync, StudyOptions, "upload the offline runs that were not uploaded before")
    )
    publish = add_command(
        actions, "publish", _publish, PublishOptions, "make or update a study's workspace and W&B report"
    )
    add_study(publish)
    publish.add_argument("--dry-run", action="store_true", help="only write the two as JSON, without any network")


def _publish(options: PublishOptions) -> int:
    from sklab.tracking.mode import sync_command
    from sklab.tracking.publish import publish, write_specs
    from sklab.tracking.sync import pending

    study = study_folder(options.study, options.results)
    if options.dry_run:
        print("\n".join(str(file) for file in write_specs(study)))
        return COMPLETE
    for view in publish(study):
        print(f"{view.kind} {'created' if view.created else 'updated'}: {view.url}")
    if number := len(pending(study)):
        print(f"{number} offline runs are not on the server yet: {sync_command(study.path)}")
    return COMPLETE


def _sync(options: StudyOptions) -> int:
    from sklab.tracking.sync import pending, sync

    study = study_folder(options.study, options.results)
    study.read_sweep()
    files = pending(study)
    for number, file in enumerate(sync(study, files), start=1):
        print(f"{number} of {len(files)} uploaded: {file.parent.name}", flush=True)
    if not files:
        print("every offline run that has ended was uploaded before")
    return COMPLETE
