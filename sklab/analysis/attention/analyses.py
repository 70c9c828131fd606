"""What the analyses of a study's runs say, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sklab.analysis.attention.fields import FieldSize, field_sizes
from sklab.analysis.attention.trends import Trend, trends
from sklab.errors import SklabError
from sklab.spec.analysis import Analysis
from sklab.spec.study.sweep import Sweep
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder


@dataclass(frozen=True)
class CellFindings:
    """Trends of attention against the objects' true scale (none where the data set does not tell it) and against the
    enlargement, and the receptive fields."""

    cell: str
    by_object: tuple[Trend, ...]
    by_enlargement: tuple[Trend, ...]
    fields: tuple[FieldSize, ...]


def findings(analyses: Mapping[str, Sequence[Analysis]], baseline: str = "") -> tuple[CellFindings, ...]:
    """Per cell that has any, of the analyses of its runs; receptive fields are compared with those of `baseline`.

    Raises SklabError where the analyses were not made with equal settings.
    """
    _ensure_alike([analysis for of_cell in analyses.values() for analysis in of_cell])
    return tuple(
        CellFindings(
            cell,
            by_object=trends(runs, "object"),
            by_enlargement=trends(runs, "enlargement"),
            fields=field_sizes(runs, analyses.get(baseline, ()) if cell != baseline else ()),
        )
        for cell, runs in analyses.items()
        if runs
    )


def _ensure_alike(analyses: Sequence[Analysis]) -> None:
    settings = {
        (each.enlargements, each.data.model_dump_json(exclude=set(each.data.places))): each.key for each in analyses
    }
    if len(settings) > 1:
        runs = " and ".join(settings.values())
        raise SklabError(f"analyses with different data or scales: runs {runs}; `sklab analyze STUDY` makes them alike")


def runs_by_cell(study: StudyFolder, sweep: Sweep) -> dict[str, list[RunFolder]]:
    """The runs that are planned, in the order of the sweep and of its seeds."""
    keys = {cell.name: [cell.runs[seed] for seed in sweep.seeds if seed in cell.runs] for cell in sweep.cells}
    return {cell: [study.run(key) for key in of_cell] for cell, of_cell in keys.items()}


def read_analyses(runs: Mapping[str, Sequence[RunFolder]]) -> dict[str, list[Analysis]]:
    """The analyses at hand by cell."""
    return {
        cell: [analysis for run in of_cell if (analysis := run.read_analysis()) is not None]
        for cell, of_cell in runs.items()
    }
