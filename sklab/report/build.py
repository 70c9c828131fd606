"""From a study's folder to its report, and its table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sklab.analysis.table.ablation import Others, ablation_table
from sklab.analysis.table.rows import AblationTable
from sklab.errors import DamagedRecordError
from sklab.report.terminal import terminal_table
from sklab.store.files import collector_paused, write_whole
from sklab.store.records import RunState
from sklab.store.states import ENDED_WITH_RUNNER, unended_states
from sklab.store.study_folder import StudyFolder

__all__ = ["build", "study_table", "terminal_table", "write"]


def build(folder: Path) -> Path:
    """Write the report of the study in `folder` from its records; the path of `report.html`.

    Raises DamagedRecordError when `folder` is no study.
    """
    return write(folder, study_table(folder))


def write(folder: Path, table: AblationTable) -> Path:
    """Write the tables, figures and reports of `table` into the study's `folder`; the path of `report.html`.

    Each file appears whole or stays as it was, and the same records make the same bytes. A study without a
    complete run gets a report that says so.
    """
    # Drawing and templates take half a second to import, which printing the table does without.
    from sklab.report.figures import evidence
    from sklab.report.figures.attention import attention_figures, read
    from sklab.report.figures.study import NAMES, draw
    from sklab.report.render import render
    from sklab.report.run_files import read_curves, read_tails

    with collector_paused():
        seen = read(folder, table)
        drawings = [*draw(table, read_curves(folder, table)), *attention_figures(seen)]
        texts = render(table, drawings, read_tails(folder, table), seen)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for drawing in drawings:
        write_whole(figures / f"{drawing.name}.svg", drawing.svg)
        write_whole(figures / f"{drawing.name}.pdf", drawing.pdf)
    for name in {*NAMES, evidence.NAME} - {drawing.name for drawing in drawings}:
        for kind in ("svg", "pdf"):
            (figures / f"{name}.{kind}").unlink(missing_ok=True)
    for name, text in texts.items():
        write_whole(folder / name, text)
    return folder / "report.html"


def study_table(folder: Path) -> AblationTable:
    """The table of the study in `folder`. Raises DamagedRecordError when it is no study."""
    with collector_paused():
        study = StudyFolder(folder)
        sweep = study.read_sweep()
        keys = dict.fromkeys(cell.runs[seed] for cell in sweep.cells for seed in sweep.seeds if seed in cell.runs)
        records, unreadable = study.readable(keys)
        others = _others(study, [key for key in keys if key not in records], unreadable)
        table = ablation_table(sweep, records, study.evaluations(keys, sweep.sizes), others)
        return replace(table, reused=study.reused(records))


def _others(study: StudyFolder, keys: list[str], unreadable: Mapping[str, DamagedRecordError]) -> Others:
    """What is known of runs whose records are not at hand."""
    why = {"stopped": ENDED_WITH_RUNNER}
    states = unended_states(study, (key for key in keys if key not in unreadable))
    told: dict[str, tuple[RunState, str]] = {key: ("unreadable", str(error)) for key, error in unreadable.items()}
    return told | {key: (state, why.get(state, "no record yet")) for key, state in states.items()}
