"""Small sweep files to load, and how to load them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sklab.errors import Fault, FaultyInputError
from sklab.spec.study.sweep import Sweep
from sklab.sweep.files.load import load_sweep

EXPERIMENT = """\
data:
  name: scaled_digits
model:
  base: sknet_small
  min_dim: 1
train:
  epochs: 6
  batch_size: 64
  lr: 0.1
"""
LIST = """\
experiment: base.yaml
design: list
seeds: 2
baseline: one
cells:
  - name: one
    factors: {M: 1}
    set: {model.branches: [{kernel: 3}], model.attention: none}
  - name: two
    factors: {M: 2, D: 3}
    set: {model.branches.1.dilation: 3}
"""
GRID = """\
experiment: base.yaml
design: grid
seeds: [4, 7]
baseline: {r: 16, G: 1x}
factors:
  r: {path: model.reduction, levels: [8, 16, 32]}
  G: {path: model.branches.1.groups, levels: {1x: 1x, three: 3}}
"""
SEARCH = GRID.replace("design: grid", "design: search\nsearch: {sampler: tpe, trials: 4}")
FRACTIONAL = """\
experiment: base.yaml
design: fractional
fraction: 1/2
seeds: 2
baseline: {D: 2, r: 16, lr: 0.1}
factors:
  D: {path: model.branches.1.dilation, levels: [1, 2]}
  r: {path: model.reduction, levels: [8, 16]}
  lr: {path: train.lr, levels: [0.1, 0.2]}
"""
LEAVE_ONE_OUT = FRACTIONAL.replace("fractional\nfraction: 1/2", "leave_one_out")
SWEEPS = {
    "list": LIST,
    "grid": GRID,
    "fractional": FRACTIONAL,
    "ofat": GRID.replace("design: grid", "design: ofat"),
    "leave_one_out": LEAVE_ONE_OUT,
    "search": SEARCH,
}


def write(folder: Path, sweep: str, experiment: str = EXPERIMENT) -> Path:
    (folder / "base.yaml").write_text(experiment, encoding="utf-8")
    file = folder / "question.yaml"
    file.write_text(sweep, encoding="utf-8")
    return file


def load(folder: Path, sweep: str, experiment: str = EXPERIMENT, **options: Any) -> Sweep:
    return load_sweep(write(folder, sweep, experiment), **options)


def faults_of(folder: Path, sweep: str, experiment: str = EXPERIMENT, **options: Any) -> dict[str, Fault]:
    """The faults by place."""
    return faults_in(lambda: load(folder, sweep, experiment, **options))


def faults_in(loading: Callable[[], object]) -> dict[str, Fault]:
    with pytest.raises(FaultyInputError) as caught:
        loading()
    assert caught.value.exit_code == 2
    return {fault.place: fault for fault in caught.value.faults}


def changed(text: str, **keys: Any) -> str:
    """A sweep file with top-level keys replaced; a key that is None is left out."""
    tree = {**yaml.safe_load(text), **keys}
    return yaml.safe_dump({key: value for key, value in tree.items() if value is not None}, sort_keys=False)
