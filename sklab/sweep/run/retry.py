"""Sets the records of runs that went wrong aside, so that the next start of their sweep trains them anew."""

from __future__ import annotations

from collections.abc import Sequence

from sklab.errors import SklabError
from sklab.spec.names import did_you_mean, find
from sklab.spec.study.sweep import Sweep
from sklab.store.locks import alone
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder


def retry(folder: StudyFolder, cells: Sequence[str] | None, *, failed: bool) -> list[RunRecord]:
    """Move what their last attempt left of the failed runs into `attempts/`; the records moved, in the table's order.

    With `cells`, only theirs, and the diverged and pruned ones as well unless `failed`. Complete runs stay as they are,
    whatever is asked, and so do stopped ones, which the next start goes on with. Raises StudyLockedError while a runner
    has the study, SklabError for a cell that it does not have.
    """
    sweep = folder.read_sweep()
    known = {cell.name: cell for cell in sweep.cells}
    names = None if cells is None else [_known(name, sweep) for name in cells]
    chosen = [cell for cell in sweep.cells if names is None or cell.name in names]
    wanted = {"failed"} if failed or cells is None else {"failed", "diverged", "pruned"}
    with alone(folder):
        records = folder.records(key for cell in chosen for key in known[cell.name].runs.values())
        found = [record for record in records.values() if record.state in wanted]
        for record in found:
            folder.run(record.key).begin_attempt()
    return found


def _known(name: str, sweep: Sweep) -> str:
    """The name of the cell as the sweep has it."""
    names = [cell.name for cell in sweep.cells]
    if known := find(name, names):
        return known
    near = did_you_mean(name, names)
    hint = f" - did you mean {near!r}?" if near else ""
    raise SklabError(f"--cell: {sweep.study} has no cell {name!r}; its cells: {', '.join(names)}{hint}")
