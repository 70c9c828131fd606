"""A sweep of four cells whose runs are faked: what they measure is their cell's level and chance."""

from __future__ import annotations

import random
from collections import Counter

from launchers import FakeLauncher

from sklab.launch.base import Ended
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder

SWEEP = """\
experiment: toy.yaml
design: list
replicates: {start: 3, max: 10, stop: resolved}
baseline: usual
cells:
  - {name: usual}
  - {name: same, set: {model.reduction: 8}}
  - {name: far, set: {model.reduction: 4}}
  - {name: near, set: {model.reduction: 2}}
"""
LEVEL = {
    "r=2, lr=0.1": 20.0,
    "r=2, lr=0.3": 30.0,
    "r=8, lr=0.1": 20.0,
    "r=8, lr=0.3": 30.0,
    "usual": 20.0,
    "same": 20.0,
    "far": 30.0,
    "near": 22.0,
}


class Measured(FakeLauncher):
    """Runs whose error is their cell's, plus their seed's, plus chance of its own; `dies` says which fail."""

    def __init__(self, dies=lambda cell, seed: False, capacity: int = 2, stop_after: int | None = None):
        super().__init__(capacity=capacity)
        self.dies, self.left = dies, stop_after

    def wait(self, timeout: float) -> list[Ended]:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        job = self._running.pop(0)
        order = RunFolder(job.folder).read_order()
        seed = order.spec.seed
        if self.dies(order.cell, seed):
            return [Ended(job, 1)]
        error = LEVEL[order.cell] + 3 * random.Random(seed).random() + random.Random(f"{order.cell} {seed}").gauss(0, 1)
        numbers = {"val_error": error, "val_loss": 1.0}
        RunFolder(job.folder).write_record(
            RunRecord.of(order, status="complete", last=numbers, best=numbers, wall_seconds=7.0)
        )
        return [Ended(job, 0)]

    def asked(self) -> Counter[str]:
        return Counter(RunFolder(job.folder).read_order().cell for job in self.submitted)
