"""What runs measured within a network and on single images, as data: one line a share of attention, one an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from sklab.analysis.frames.runs import Line, lines
from sklab.analysis.table.rows import AblationTable
from sklab.errors import SklabError
from sklab.spec.analysis import Analysis, UnitAnalysis
from sklab.store.measured.images import read_images
from sklab.store.study_folder import StudyFolder

_SHARES = ("cell", "seed", "unit", "branch", "kernel", "enlargement", "class", "share", "spread", "key")


def attention_frame(study: StudyFolder, table: AblationTable) -> pd.DataFrame:
    """The attention that `sklab analyze` found, a line for each share that a branch has in a unit.

    unit         of the network, in forward order
    branch       counted from 0, and `kernel`, the side of its window in pixels of the unit's input
    enlargement  by which the images were enlarged around their centres (1: not enlarged)
    class        of which the images are; missing where they are those of all classes
    share        of the branch, mean over images and channels; the shares of a unit's branches sum to 1 where a softmax
                 makes them
    spread       standard deviation over images; missing for single classes

    Raises SklabError where no run was analysed, and DamagedRecordError.
    """
    read = [(line, study.run(line.run.key).read_analysis()) for line in lines(table)]
    analyses = [(line, analysis) for line, analysis in read if analysis is not None]
    if not analyses:
        raise SklabError(f"{study.path}: no run was analysed; `sklab analyze {study.argument}` does it")
    return pd.DataFrame((share for line, analysis in analyses for share in _shares(line, analysis)), columns=_SHARES)


def _shares(line: Line, analysis: Analysis) -> Iterator[tuple[Any, ...]]:
    for unit in analysis.units:
        for branch, kernel in enumerate(unit.kernels):
            for at, enlargement in enumerate(analysis.enlargements):
                before = (line.cell, line.run.seed, unit.name, branch, kernel, enlargement)
                for name, share, spread in _by_class(analysis, unit, at, branch):
                    yield (*before, name, share, spread, line.run.key)


def _by_class(
    analysis: Analysis, unit: UnitAnalysis, at: int, branch: int
) -> Iterator[tuple[str | None, float | None, float | None]]:
    yield None, unit.mean[at][branch], unit.spread[at][branch]
    if unit.by_class:
        for name, share in zip(analysis.classes, unit.by_class[at][branch], strict=True):
            yield name, share, None


def images_frame(study: StudyFolder, table: AblationTable, cell: str | None, seed: int | None) -> pd.DataFrame:
    """What complete runs made of their validation images at the epoch of the study's rule, a line an image of a run.

    image   its place in the validation set, from 0
    source  a number that images of a common source (a digit, a patient) share; the image's own where each is its own
    wrong   whether it was named wrongly, and `loss`, its cross-entropy (kept in steps of 9 %)

    `cell` and `seed` choose runs; None: all. Raises SklabError for a seed that they do not have, and where none of them
    keeps its images.
    """
    every = [line for line in lines(table) if cell in (None, line.cell)]
    chosen = [line for line in every if seed in (None, line.run.seed)]
    if every and not chosen:
        allowed = ", ".join(map(str, dict.fromkeys(line.run.seed for line in every)))
        raise SklabError(f"seed: found {seed}; allowed: {allowed}")
    frames = [frame for line in chosen if (frame := _images(study, table, line)) is not None]
    if not frames:
        why = "none of these runs is complete and keeps what it made of each image, which older versions did not"
        raise SklabError(f"{study.path}: {why}")
    return pd.concat(frames, ignore_index=True)


def _images(study: StudyFolder, table: AblationTable, line: Line) -> pd.DataFrame | None:
    run = line.run
    if run.value is None or run.record is None:
        return None
    read = read_images(study.run(run.key), run.record, table.sweep.metric)
    if read is None:
        return None
    outcomes, sources = read
    places = range(len(outcomes.wrong))
    return pd.DataFrame(
        {
            "cell": line.cell,
            "seed": run.seed,
            "image": places,
            "source": places if sources is None else sources,
            "wrong": outcomes.wrong,
            "loss": outcomes.loss,
            "key": run.key,
        }
    )
