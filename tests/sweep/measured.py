"""A sweep of four cells whose runs are faked: what they measure is their cell's level and chance."""

from __future__ import annotations

import random
from collections import Counter

from launchers import Invented

from sklab.store.records import RunOrder
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


class Measured(Invented):
    """Runs whose error is their cell's, plus their seed's, plus chance of its own; `dies` says which fail."""

    def __init__(self, dies=lambda cell, seed: False, **given):
        super().__init__(**given)
        self.dies = dies

    def invented(self, order: RunOrder) -> tuple[str, float] | int:
        cell, seed = order.cell, order.spec.seed
        if self.dies(cell, seed):
            return 1
        return "complete", LEVEL[cell] + 3 * random.Random(seed).random() + random.Random(f"{cell} {seed}").gauss(0, 1)

    def asked(self) -> Counter[str]:
        return Counter(RunFolder(job.folder).read_order().cell for job in self.submitted)
