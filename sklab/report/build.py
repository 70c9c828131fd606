"""From a study's folder to its report, and to its table as plain text for a terminal."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sklab.analysis.evidence.held_out import read_held_out
from sklab.analysis.evidence.images import image_evidence
from sklab.analysis.table.ablation import Others, ablation_table
from sklab.analysis.table.rows import AblationTable, Row
from sklab.errors import DamagedRecordError
from sklab.report.column import Column
from sklab.report.columns import columns
from sklab.report.escape import shortened
from sklab.report.evidence.best import confirmation
from sklab.report.evidence.held_out import claims, reading_sentences
from sklab.report.evidence.images import image_sentences
from sklab.report.evidence.nuisance import tuning_result, tuning_sentences
from sklab.report.words import literature, methods, sentences, verdict
from sklab.store.dated import read_plans
from sklab.store.files import collector_paused, write_whole
from sklab.store.looks import NO_LOOKS, Looks, read_looks
from sklab.store.records import RunState
from sklab.store.states import ENDED_WITH_RUNNER, unended_states
from sklab.store.study_folder import StudyFolder
from sklab.system import terminal

_WIDEST = 32  # of a name; a longer one loses its middle
_REASON = 80  # letters of a reason in place of numbers; the notes have all of it
_NOTES = 30
_WIDTH = 120  # of the text below the table
# How the headings of columns begin, the most important ones first, and those that belong to the column on their left.
_ORDER = (
    "cell",
    "n",
    "error",
    "loss",
    "verdict",
    "diff",
    "P(best)",
    "p adj.",
    "test",
    "shrunken",
    "params",
    "publ.",
    "vs best",
    "MACs",
    "seeds+",
)
_BELONG = ("±95%", "n", "gap")


def build(folder: Path) -> Path:
    """Write the report of the study in `folder` from its records; returns the path of `report.html`.

    Raises DamagedRecordError when `folder` is no study.
    """
    return write(folder, study_table(folder))


def write(folder: Path, table: AblationTable) -> Path:
    """Write the tables, figures and reports of `table` into the study's `folder`; returns the path of `report.html`.

    Each file appears whole or stays as it was, and the same records make the same bytes. A study without a
    complete run gets a report that says so.
    """
    # Drawing and templates take half a second to import, which printing the table does without.
    from sklab.report.figures import evidence
    from sklab.report.figures.attention import attention_figures, read
    from sklab.report.figures.files import write_figures
    from sklab.report.figures.study import NAMES, draw
    from sklab.report.render import render
    from sklab.report.run_files import read_curves, read_log_tails

    with collector_paused():
        attention = read(folder, table)
        drawings = [*draw(table, read_curves(folder, table)), *attention_figures(attention)]
        texts = render(table, drawings, read_log_tails(folder, table), attention)
    write_figures(folder, drawings, (*NAMES, evidence.NAME))
    for name, text in texts.items():
        write_whole(folder / name, text)
    return folder / "report.html"


def study_table(folder: Path) -> AblationTable:
    """The table of the study in `folder`. Raises DamagedRecordError when it is no study."""
    with collector_paused():
        study = StudyFolder(folder)
        sweep = study.read_sweep()
        keys = dict.fromkeys(cell.runs[seed] for cell in sweep.cells for seed in sweep.seeds if seed in cell.runs)
        keys |= dict.fromkeys(key for cell in sweep.duplicates for key in cell.runs.values())
        records, unreadable = study.readable(keys)
        others = _others(study, [key for key in keys if key not in records], unreadable)
        table = ablation_table(sweep, records, study.evaluations(keys, sweep.sizes), others, _looks(folder))
        table = replace(table, reused=study.reused(records), plans=read_plans(study), confirmed=_confirmed(study))
        return replace(table, images=image_evidence(study, table), held_out=read_held_out(study, table))


def _confirmed(study: StudyFolder) -> AblationTable | None:
    """The table of the study that confirms the best cell of this one; a warning where it can't be read."""
    if not StudyFolder(study.confirmation).sweep_file.exists():
        return None
    try:
        table = study_table(study.confirmation)
    except DamagedRecordError as error:
        warnings.warn(str(error), stacklevel=3)
        return None
    return table if table.sweep.confirms else None


def _looks(folder: Path) -> Looks:
    """The looks at the study; a warning where they can't be read."""
    try:
        return read_looks(folder)
    except DamagedRecordError as error:
        warnings.warn(str(error), stacklevel=3)
        return NO_LOOKS


def _others(study: StudyFolder, keys: list[str], unreadable: Mapping[str, DamagedRecordError]) -> Others:
    """The states of the runs whose records are not there or can't be read, each with its reason."""
    reasons = {"stopped": ENDED_WITH_RUNNER}
    states = unended_states(study, (key for key in keys if key not in unreadable))
    damaged: dict[str, tuple[RunState, str]] = {key: ("unreadable", str(error)) for key, error in unreadable.items()}
    return damaged | {key: (state, reasons.get(state, "no record yet")) for key, state in states.items()}


def terminal_table(table: AblationTable) -> str:
    """The table in aligned columns, as many as the terminal has room for; below it the results and the notes on single
    rows."""
    every = [column for column in columns(table) if column.short]
    texts = [[shortened(column.text(row), _WIDEST) for column in every] for row in table.rows]
    lines = [[column.short for column in every], *texts]
    widths = terminal.column_widths(lines)
    kept = terminal.columns_that_fit(widths, _by_importance(every), terminal.width())
    shown, widths = [every[at] for at in kept], [widths[at] for at in kept]
    left = {at for at, column in enumerate(shown) if not column.numeric}
    head, *body = (terminal.aligned([line[at] for at in kept], widths, left) for line in lines)
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    rows = [_row(row, line, widths) for row, line in zip(table.rows, body, strict=True)]
    left_out = terminal.no_room_for(column.short for column in every if column not in shown)
    return "\n".join([head, rule, *rows, *left_out, *_below(table)])


def _by_importance(shown: Sequence[Column]) -> list[int]:
    """The positions of the columns, the most important ones first. An interval and a number of runs belong to the
    column on their left."""
    ranks: list[float] = []
    for column in shown:
        own = next((rank for rank, start in enumerate(_ORDER) if column.short.startswith(start)), len(_ORDER))
        ranks.append(ranks[-1] + 0.1 if column.short in _BELONG and len(ranks) > 1 else own)
    return sorted(range(len(shown)), key=lambda at: ranks[at])


def _row(row: Row, line: str, widths: Sequence[int]) -> str:
    """`line`; for a row without numbers, its name and the reason."""
    reason = sentences.no_number(row)
    if not reason:
        return line
    begin = line[: widths[0] + widths[1] + 2]
    room = (terminal.width() or sys.maxsize) - len(begin) - 2
    return f"{begin}  {_begin(reason, max(20, min(_REASON, room)))}"


def _begin(reason: str, longest: int) -> str:
    return reason if len(reason) <= longest else f"{reason[: longest - 1]}…"


def _below(table: AblationTable) -> list[str]:
    notes = sentences.notes(table)
    more = [f"and {len(notes) - _NOTES} more notes: see the report"] if len(notes) > _NOTES else []
    results = [*claims(table), verdict.result(table), *verdict.further(table)]
    results += [*tuning_result(table), *tuning_sentences(table), confirmation(table)]
    tests = [methods.comparison(table), sentences.pareto(table), *image_sentences(table), *reading_sentences(table)]
    published = [literature.published(table.sweep), literature.reproduced(table)]
    texts = [sentences.progress(table), *results, *tests, *published, *notes[:_NOTES], *more]
    columns = min(_WIDTH, terminal.width() or _WIDTH)
    return ["", *(terminal.filled(line, columns) for line in texts if line)]
