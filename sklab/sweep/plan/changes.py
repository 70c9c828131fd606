"""What of a sweep has changed since its study was last started: against the resolved `sweep.yaml` in the folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sklab.spec.names import canonical
from sklab.spec.study.sweep import Sweep
from sklab.spec.values import Seq, Value
from sklab.store.study_folder import StudyFolder

_HOW = ("baseline", "design", "metric", "sizes", "search", "factors")


class Change(Value):
    """What a start of the sweep would do that the last one did not; all empty when nothing has changed.

    cells_changed  cells of the same name that are other runs now
    settings       of the base experiment and of the design: "train.epochs: 10 -> 20"
    """

    cells_added: Seq[str] = ()
    cells_removed: Seq[str] = ()
    cells_changed: Seq[str] = ()
    seeds_added: Seq[int] = ()
    seeds_removed: Seq[int] = ()
    settings: Seq[str] = ()


def change(sweep: Sweep, folder: StudyFolder) -> Change | None:
    """Against the last start; None when there was none. Cells that a search has found are not asked for by its file."""
    if not folder.sweep_file.exists():
        return None
    before = folder.read_sweep()
    ours, theirs = _names(sweep), _names(before)
    return Change(
        cells_added=tuple(ours[name] for name in ours if name not in theirs),
        cells_removed=tuple(theirs[name] for name in theirs if name not in ours) if sweep.search is None else (),
        cells_changed=tuple(_changed(sweep, before)),
        seeds_added=tuple(seed for seed in sweep.seeds if seed not in before.seeds),
        seeds_removed=tuple(seed for seed in before.seeds if seed not in sweep.seeds),
        settings=tuple(_settings(sweep, before)),
    )


def _names(sweep: Sweep) -> dict[str, str]:
    """The cells' names, by what they are however numbers are written."""
    names = [*(cell.name for cell in sweep.cells), *(cell.name for cell in sweep.invalid)]
    return {canonical(name): name for name in names}


def _changed(sweep: Sweep, before: Sweep) -> Iterator[str]:
    """Cells whose run of a shared seed is another one."""
    runs = {canonical(cell.name): cell.runs for cell in before.cells}
    for cell in sweep.cells:
        theirs = runs.get(canonical(cell.name), {})
        if any(cell.runs[seed] != theirs[seed] for seed in cell.runs.keys() & theirs.keys()):
            yield cell.name


def _settings(sweep: Sweep, before: Sweep) -> Iterator[str]:
    ours, theirs = _leaves(_how(sweep)), _leaves(_how(before))
    for path in sorted({*ours, *theirs}):
        if ours.get(path) != theirs.get(path):
            yield f"{path}: {_shown(theirs, path)} -> {_shown(ours, path)}"


def _how(sweep: Sweep) -> dict[str, Any]:
    dumped = sweep.model_dump(mode="json")
    return {**dumped["experiment"], **{key: dumped[key] for key in _HOW}}


def _leaves(node: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(node, Mapping):
        return {path: node}
    inner = (_leaves(entry, f"{path}.{key}" if path else str(key)) for key, entry in node.items())
    return {place: value for found in inner for place, value in found.items()}


def _shown(leaves: Mapping[str, Any], path: str) -> str:
    return str(leaves[path]) if path in leaves else "not set"
