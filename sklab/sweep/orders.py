"""What is asked of each run of a study."""

from __future__ import annotations

from sklab.records import Code, RunOrder, Tracking
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.sweep import Sweep
from sklab.sweep.design import run_spec
from sklab.sweep.index import Todo


class Orders:
    """Makes the orders of one runner: all of them with the same code and the same tracking."""

    def __init__(self, code: Code, tracking: Tracking) -> None:
        self._code, self._tracking = code, tracking
        self._experiments: dict[str, Experiment] = {}

    def of(self, sweep: Sweep, todo: Todo) -> RunOrder:
        """The order for a run of `sweep`."""
        return RunOrder(
            key=todo.key,
            study=sweep.study,
            cell=todo.cell.name,
            factors=todo.cell.factors,
            spec=self._spec(sweep, todo),
            code=self._code,
            tracking=self._tracking,
            sizes=sweep.sizes,
        )

    def _spec(self, sweep: Sweep, todo: Todo) -> RunSpec:
        """The seeds of a cell share one experiment, which takes long to make and much room."""
        if todo.cell.name not in self._experiments:
            self._experiments[todo.cell.name] = run_spec(sweep, todo.cell, todo.seed).experiment
        return RunSpec(experiment=self._experiments[todo.cell.name], seed=todo.seed)
