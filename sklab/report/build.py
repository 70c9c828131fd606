"""From a study's folder to its report, and to its table as plain text for a terminal."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sklab.analysis.evidence.compute import read_compute
from sklab.analysis.evidence.held_out import read_held_out
from sklab.analysis.evidence.images import image_evidence
from sklab.analysis.table.ablation import Others, ablation_table
from sklab.analysis.table.rows import AblationTable
from sklab.errors import DamagedRecordError
from sklab.store.dated import read_plans
from sklab.store.files import collector_paused, write_whole
from sklab.store.looks import NO_LOOKS, Looks, read_looks
from sklab.store.records import RunState
from sklab.store.states import ENDED_WITH_RUNNER, unended_states
from sklab.store.study_folder import StudyFolder


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
    from sklab.report.figures.study import NAMES, draw
    from sklab.report.figures.style import write_figures
    from sklab.report.render import render
    from sklab.report.run_files import read_curves, read_log_tails

    with collector_paused():
        attention = read(folder, table)
        drawings = [*draw(table, read_curves(folder, table)), *attention_figures(attention)]
        compute = read_compute(StudyFolder(folder), table.sweep, table.confirmed.sweep if table.confirmed else None)
        texts = render(table, drawings, read_log_tails(folder, table), attention, compute)
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
