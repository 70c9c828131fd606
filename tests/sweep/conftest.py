"""What several tests of studies stand on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from reusing import CODE, OVERLAP, Silent, Trained, sweep_of
from reusing import study as study_of

from sklab.store.records import Code, Tracking
from sklab.store.study_folder import StudyFolder
from sklab.sweep.plan.prepared import Reuse, Start
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import failures, runner
from sklab.sweep.run.runner import run_study

sys.path.append(str(Path(__file__).parents[1] / "analysis"))


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices whose arithmetic and data nobody checks."""
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: HeldData())


@pytest.fixture
def study(toy_files: Path) -> StudyFolder:
    """The folder of the toy sweep's study, which is not there yet."""
    return StudyFolder(toy_files / "results" / "sweep")


@pytest.fixture
def quiet_machine(sound: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, and the kernel has killed nothing for memory."""
    monkeypatch.setattr(failures, "oom_kills", lambda: 0)


@pytest.fixture
def start(toy_files: Path, sound: None) -> Callable[..., Trained]:
    """Runs `sweep.yaml` or, as study `second`, a sweep that has its baseline (under another name) and a cell more."""
    (toy_files / "second.yaml").write_text(OVERLAP)
    shutil.copy(toy_files / "second.yaml", toy_files / "third.yaml")

    def run(name: str, code: Code = CODE, reuse: Reuse = "any code", status: str = "complete") -> Trained:
        launcher = Trained(status)
        run_study(
            Start(sweep_of(toy_files, name), study_of(toy_files, name), code, reuse), launcher, Tracking(), Silent()
        )
        return launcher

    return run
