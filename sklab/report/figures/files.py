"""The figures as files beside a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sklab.report.figures.style import Drawing
from sklab.store.files import write_whole


def write_figures(folder: Path, drawings: Sequence[Drawing], names: Iterable[str]) -> None:
    """Write `figures/<name>.svg` and `.pdf` in `folder`; those of `names` that are not drawn any more are deleted."""
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for drawing in drawings:
        write_whole(figures / f"{drawing.name}.svg", drawing.svg)
        write_whole(figures / f"{drawing.name}.pdf", drawing.pdf)
    for name in {*names} - {drawing.name for drawing in drawings}:
        for kind in ("svg", "pdf"):
            (figures / f"{name}.{kind}").unlink(missing_ok=True)
