"""A study whose cells tune a setting, with runs whose errors are planted."""

from __future__ import annotations

import random

from launchers import Invented

from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder

SWEEP = """\
experiment: toy.yaml
design: list
seeds: 4
baseline: plain
cells:
  - {name: plain, set: {model.attention: none}}
  - {name: lucky}
nuisance: {train.lr: [0.02, 0.05, 0.2]}
tuning_seeds: 1
"""
# The error of each cell at each rate: `lucky` is better than `plain` at the experiment's rate, 0.05, and nowhere else.
PLANTED = {"plain": {0.02: 20.0, 0.05: 30.0, 0.2: 25.0}, "lucky": {0.02: 24.0, 0.05: 20.0, 0.2: 28.0}}


def error_of(order: RunOrder) -> float:
    cell, seed, rate = order.cell.split(",")[0], order.spec.seed, order.spec.experiment.train.lr
    return PLANTED[cell][rate] + random.Random(seed).random() + random.Random(f"{order.key}").gauss(0, 0.3)


class Planted(Invented):
    """Runs with the planted error; `ends` gives another end for some (a status, or an exit code)."""

    def __init__(self, ends=lambda order: "complete", **given):
        super().__init__(**given)
        self.ends = ends

    def invented(self, order: RunOrder) -> tuple[str, float] | int:
        end = self.ends(order)
        return end if isinstance(end, int) else (end, error_of(order))

    def asked(self) -> list[tuple[str, int]]:
        return [
            (order.cell, order.spec.seed) for job in self.submitted for order in [RunFolder(job.folder).read_order()]
        ]
