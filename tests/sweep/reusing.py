"""Studies of which one takes over the runs of another, on a launcher that ends every run at once."""

from __future__ import annotations

from pathlib import Path

from launchers import StandInLauncher

from sklab.launch.base import Ended
from sklab.spec.study.sweep import Sweep
from sklab.store import versions
from sklab.store.records import Code, RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep

CODE, OTHER = Code(version="1", commit="abc"), Code(version="1", commit="def")
FILES = ("weights.pt", "metrics.csv", "log.txt", "attention.json", "images.json", "analysis.json", "evaluation-16.json")
OVERLAP = """\
experiment: toy.yaml
design: list
seeds: 2
baseline: plain
columns: [kernels]
cells:
  - {name: plain, factors: {kernels: "3"}, set: {model.branches: [{kernel: 3}], model.attention: none}}
  - {name: wide, factors: {kernels: "5"}, set: {model.branches: [{kernel: 5}], model.attention: none}}
"""


class Trained(StandInLauncher):
    """A launcher that ends every run at once, with all the files that a real one leaves."""

    def __init__(self, status: str = "complete") -> None:
        super().__init__(capacity=4)
        self.trained: list[RunOrder] = []
        self._status = status

    def wait(self, timeout):
        jobs, self._running = self._running, []
        for job in jobs:
            run = RunFolder(job.folder)
            run.begin_attempt()
            order = run.read_order()
            self.trained.append(order)
            for name in FILES:
                (run.path / name).write_text(f"{name} of {order.study}")
            metrics = {"val_error": 10.0 + order.spec.seed, "val_loss": 1.0}
            made = {"fingerprint": order.fingerprint, "versions": versions.dependencies(order.spec.experiment)}
            times = {"wall_seconds": 7.0, "ended": "2026-01-02T03:04:05"}
            record = RunRecord.of(order, status=self._status, last=metrics, best=metrics, **made, **times)
            run.write_record(record)
        return [Ended(job, 0) for job in jobs]


class Silent:
    def ended(self, record, state): ...
    def note(self, text, state): ...
    def look(self, state): ...


def sweep_of(files: Path, name: str) -> Sweep:
    return load_sweep(files / f"{name}.yaml")


def study(files: Path, name: str) -> StudyFolder:
    return StudyFolder(files / "results" / name)


def baseline(files: Path, name: str = "second", seed: int = 0) -> RunFolder:
    return study(files, name).run(sweep_of(files, name).cells[0].runs[seed])


def cells(launcher: Trained) -> set[str]:
    return {order.cell for order in launcher.trained}
