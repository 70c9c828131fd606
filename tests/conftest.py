"""What every test stands on: a cache of its own, no tracking, and toy runs that take a fraction of a second."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from nvidia_smi import NvidiaSmi
from skips import pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401 - pytest calls them

from sklab.spec.networks import SETTINGS
from sklab.spec.run import RunSpec
from sklab.store.records import Code, RunOrder

# What another process takes of the machine decides how long an example takes, and to find one.
settings.register_profile("sklab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sklab")

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under `nohup` it is ignored, as it would be by what the tests start

TOY_MODEL = {"base": "sknet_small", "stem_width": 4, "width": 8, "out_width": 8, "cardinality": 2, "depths": [1, 1]}
TOY_DATA = {"name": "scaled_digits", "train_size": 64, "val_size": 32}
TOY_TRAIN = {"epochs": 2, "batch_size": 16, "lr": 0.05}

TOY_EXPERIMENT = """\
data: {name: scaled_digits, train_size: 64, val_size: 32}
model: {base: sknet_small, stem_width: 4, width: 8, out_width: 8, cardinality: 2, min_dim: 1, depths: [1, 1]}
train: {epochs: 2, batch_size: 16, lr: 0.05}
"""

TOY_SWEEP = """\
question: Does attention help?
experiment: toy.yaml
design: list
seeds: 2
baseline: K3
columns: [kernels, SK]
cells:
  - {name: K3, factors: {kernels: "3"}, set: {model.branches: [{kernel: 3}], model.attention: none}}
  - {name: K3+K5 SK, factors: {kernels: "3, 5", SK: x}}
"""


@pytest.fixture(scope="session", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep the tests away from the user's cache, the network and the width of whatever terminal there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        # What torch compiled as for another processor (`make test-rounding`) crashes on this one.
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        patch.setenv("WANDB_MODE", "disabled")
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture
def nvidia_smi(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> NvidiaSmi:
    """This machine without GPUs, until the test says which there are."""
    return NvidiaSmi(tmp_path_factory.mktemp("nvidia"), monkeypatch)


@pytest.fixture
def toy_order() -> Callable[..., RunOrder]:
    """Makes the order of a toy run; `train` and `model` replace parts of its experiment."""

    def make(*, seed: int = 0, train: dict[str, Any] | None = None, model: dict[str, Any] | None = None) -> RunOrder:
        settings = {**SETTINGS["sknet_small"], **{k: v for k, v in TOY_MODEL.items() if k != "base"}, **(model or {})}
        experiment = {"data": TOY_DATA, "model": settings, "train": {**TOY_TRAIN, **(train or {})}}
        spec = RunSpec.model_validate({"experiment": experiment, "seed": seed})
        return RunOrder(key=spec.key, study="toy", cell="cell", spec=spec, code=Code(version="0"))

    return make


@pytest.fixture
def toy_files(tmp_path: Path) -> Path:
    """A folder with `toy.yaml`, an experiment, and `sweep.yaml`, a sweep of two cells x two seeds over it."""
    (tmp_path / "toy.yaml").write_text(TOY_EXPERIMENT)
    (tmp_path / "sweep.yaml").write_text(TOY_SWEEP)
    return tmp_path
