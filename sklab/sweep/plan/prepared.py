"""The preparation of a study, once for plan, budget and runner: what its folder and its data hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sklab.analysis.table.replicates import with_requested_runs
from sklab.spec.study.sweep import Sweep
from sklab.store.records import Code, RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.space import Costs
from sklab.sweep.plan.continued import continued
from sklab.sweep.plan.trained_data import HeldData, read_data
from sklab.system.phases import phase

Reuse = Literal["any code", "same code", "never"]

UNKNOWN = Code(version="")


@dataclass(frozen=True)
class Start:
    """The arguments with which a command starts a study.

    code   the version of the code that trains
    reuse  which finished runs of other studies are taken over: those made by any code, by the same, or none
    costs  costs of the cells, for a search that has to know them (`space.space_costs`)
    """

    sweep: Sweep
    folder: StudyFolder
    code: Code = UNKNOWN
    reuse: Reuse = "any code"
    costs: Costs = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A start, and what the study's folder and the data hold.

    sweep    with the cells that earlier starts of a search have found
    records  of the sweep's runs that are in the folder, by key
    held     the data as they are now
    """

    start: Start
    sweep: Sweep
    records: dict[str, RunRecord]
    held: HeldData

    @property
    def folder(self) -> StudyFolder:
        """The study's folder."""
        return self.start.folder

    @property
    def costs(self) -> Costs:
        """The costs of the cells, for a search that has to know them."""
        return self.start.costs

    @property
    def requested(self) -> Sweep:
        """The sweep with the runs that are requested, given the runs that have ended."""
        return with_requested_runs(self.sweep, {key: record for key, record in self.records.items() if record.final})


def prepare(start: Start, notify: Callable[[str], object] | None = None) -> Prepared:
    """Read what the study's folder and the data hold; notices about the data go to `notify`.

    Raises SklabError where finished runs would leave the table.
    """
    with phase(f"reading the finished runs of {start.sweep.study}"):
        sweep = continued(start.sweep, start.folder, start.costs)
        records = start.folder.records(key for cell in sweep.cells for key in cell.runs.values())
    with phase("looking at the files of the data"):
        return Prepared(start, sweep, records, read_data(sweep, notify))
