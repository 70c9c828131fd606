"""The rule by which running runs of a search are ended: they are much worse than others at the same epoch.

A run is compared only with runs of other cells at its own seed and, if the search has two objectives, only with those
whose networks cost no more. So a run is ended only if a network that costs no more is better; a cell that may
be on the Pareto set of error and cost stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sklab.analysis.table.replicates import is_pruned
from sklab.spec.study.metrics import TOP1_ERROR
from sklab.spec.study.search import Pruning
from sklab.spec.study.sweep import Metric, Sweep
from sklab.store.measured.metrics import read_epochs
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.space import Costs


@dataclass(frozen=True)
class Curve:
    """The metric of a run by epoch, each the result if the run ended there.

    sign  what a value is multiplied by so that lower is better
    cost  the cost of its network, 0 where the search has one objective
    """

    cell: str
    seed: int
    values: tuple[float, ...]
    cost: float = 0.0
    complete: bool = False
    sign: int = 1

    def at(self, epoch: int) -> float:
        """The value after `epoch`, counted from 1, turned so that lower is better; NaN counts as infinite, the worst.

        Rounded to six digits: older versions wrote single precision, and equal counts of wrong images must tie.
        """
        value = self.values[epoch - 1]
        return math.inf if math.isnan(value) else self.sign * float(f"{value:.6g}")

    def text(self, turned: float) -> str:
        """A value that was turned, as it was measured."""
        return f"{self.sign * turned:.4g}"


def verdict(rule: Pruning, run: Curve, others: Iterable[Curve]) -> str:
    """The reason why `run` should end now; "" if it goes on. `others` may contain runs that do not count here."""
    peers = [other for other in others if other.cell != run.cell and other.seed == run.seed and other.cost <= run.cost]
    return _median(rule, run, peers) if rule.rule == "median" else _halving(rule, run, peers)


def _median(rule: Pruning, run: Curve, peers: Sequence[Curve]) -> str:
    """Golovin et al., Google Vizier, KDD 2017, section 3.2.2, with the value at the epoch instead of a mean so far."""
    epoch = len(run.values)
    if epoch < rule.start:
        return ""
    values = [peer.at(epoch) for peer in peers if peer.complete and len(peer.values) >= epoch]
    if len(values) < rule.peers or run.at(epoch) <= median(values):
        return ""
    own, usual = run.text(run.at(epoch)), run.text(median(values))
    return f"at epoch {epoch}: {own}, worse than {usual}, the median of {len(values)} runs"


def _halving(rule: Pruning, run: Curve, peers: Sequence[Curve]) -> str:
    """Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, algorithm 2. Runs can't
    wait here: they go on while too few runs have reached the rung."""
    epoch = _rung(rule, len(run.values))
    values = sorted(peer.at(epoch) for peer in peers if epoch and len(peer.values) >= epoch)
    kept = (len(values) + 1) // rule.factor
    if not kept or run.at(epoch) <= values[kept - 1]:
        return ""
    best = f"the best {kept} of the {len(values) + 1} runs that came so far"
    return f"at epoch {epoch}: {run.text(run.at(epoch))}, not among {best}"


def _rung(rule: Pruning, epochs: int) -> int:
    """The newest epoch up to `epochs` at which runs are compared; 0 before the first."""
    rung = 0
    following = rule.start
    while following <= epochs:
        rung, following = following, following * rule.factor
    return rung


class Pruner:
    """Looks at the running runs of a search. `costs` are by cell; `records` are of the runs that have ended."""

    def __init__(self, sweep: Sweep, folder: StudyFolder, costs: Costs, records: Mapping[str, RunRecord]) -> None:
        assert sweep.search is not None
        assert sweep.search.pruning is not None
        self._rule, self._second = sweep.search.pruning, sweep.search.second_objective
        self._metric, self._baseline = sweep.metric, sweep.baseline
        self._folder, self._costs = folder, costs
        self._ended: dict[str, Curve] = {}
        self._pruned = {cell.name for cell in sweep.cells if is_pruned(cell, records)}
        for record in records.values():
            self.ended(record)

    def ended(self, record: RunRecord) -> None:
        """Take note of a run that has ended for good."""
        if record.status in ("complete", "pruned"):
            run = self._folder.run(record.key)
            self._ended[record.key] = self._curve(record, run, complete=record.status == "complete")
        if record.status == "pruned":
            self._pruned.add(record.cell)

    def look(self, running: Sequence[tuple[RunOrder, RunFolder]]) -> Iterator[tuple[RunOrder, RunFolder, str]]:
        """The runs that should end and have not been asked to, each with the reason."""
        curves = {order.key: self._curve(order, run, complete=False) for order, run in running}
        everyone = [*self._ended.values(), *curves.values()]
        for order, run in running:
            if order.cell != self._baseline and _may_be_asked(run):
                why = self._why(order, curves[order.key], everyone)
                if why:
                    self._pruned.add(order.cell)
                    yield order, run, why

    def _why(self, order: RunOrder, curve: Curve, everyone: Sequence[Curve]) -> str:
        if len(curve.values) >= order.spec.experiment.train.epochs:
            return ""  # it has no epochs left
        if order.cell in self._pruned:
            return "another seed of its cell was pruned"
        return verdict(self._rule, curve, everyone)

    def _curve(self, run: RunOrder | RunRecord, folder: RunFolder, *, complete: bool) -> Curve:
        cost = float(getattr(self._costs[run.cell], self._second)) if self._second else 0.0
        values, sign = read_values(folder, self._metric), self._metric.measure.sign
        return Curve(run.cell, run.spec.seed, values, cost, complete, sign)


def _may_be_asked(run: RunFolder) -> bool:
    """Whether the run is training and has not been asked to end."""
    return run.metrics_file.exists() and not run.prune_file.exists() and not run.record_file.exists()


def read_values(run: RunFolder, metric: Metric) -> tuple[float, ...]:
    """The metric by epoch, as the run would count if it ended there: its last value, or that of the best epoch."""
    epochs = read_epochs(run.metrics_file)
    if not {TOP1_ERROR, metric.name} <= {*(epochs[0] if epochs else ())}:
        return ()
    read = [(epoch[TOP1_ERROR], epoch[metric.name]) for epoch in epochs]
    if metric.epoch == "last":
        return tuple(value for _, value in read)
    return tuple(min(read[: epoch + 1], key=lambda pair: pair[0])[1] for epoch in range(len(read)))
