"""What runs have written reaches loggers by name, read back by each library; a broken one costs only itself."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sklab.errors import SklabError
from sklab.store.records import RunOrder
from sklab.store.study_folder import StudyFolder
from sklab.tracking import mirror, named
from sklab.tracking.mirror import Mirror, mirrored

Curve = dict[int, float]
METRICS = "epoch,train_loss,val_loss,val_error,lr,seconds\n1,2.0,2.0,60.0,0.1,1.0\n2,1.0,1.0,40.0,0.0,2.0\n"
STEPS = "step,epoch,train_loss_step,lr\n4,1,2.0,0.1\n8,2,1.0,0.0\n"
ERRORS, EPOCHS, STEP_LOSSES = {4: 60.0, 8: 40.0}, {4: 1.0, 8: 2.0}, {4: 2.0, 8: 1.0}
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries


def from_tensorboard(study: StudyFolder, name: str) -> Curve:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(study.path / "tensorboard" / "K3-5" / "3")).Reload()
    points = [(point.step, point.value) for point in read.Scalars(name)]
    assert len(points) == len({step for step, _ in points})
    return dict(points)


def from_mlflow(study: StudyFolder, name: str) -> Curve:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{study.path / 'mlflow' / 'mlflow.db'}")
    found = client.get_experiment_by_name("kernels")
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    assert (run.info.run_name, run.data.tags["cell"]) == ("K3-5 seed 3", "K3-5")
    points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
    assert len(points) == len({step for step, _ in points})
    return dict(points)


def from_csv(study: StudyFolder, name: str) -> Curve:
    with (study.path / "csv" / "K3-5" / "3" / "metrics.csv").open(newline="") as stream:
        rows = [(int(row["step"]), float(row[name])) for row in csv.DictReader(stream) if row[name]]
    assert len(rows) == len(dict(rows))
    return dict(rows)


@pytest.fixture
def study(order: RunOrder, tmp_path: Path) -> StudyFolder:
    """One run that has ended its first epoch."""
    study = StudyFolder(tmp_path / "kernels")
    run = study.run(order.key)
    run.write_order(order)
    run.metrics_file.write_text("".join(METRICS.splitlines(keepends=True)[:2]))
    run.steps_file.write_text("".join(STEPS.splitlines(keepends=True)[:2]))
    return study


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("csv", from_csv),
        ("tensorboard", from_tensorboard),
        pytest.param("mlflow", from_mlflow, marks=pytest.mark.slow),
    ],
)
def test_a_run_and_its_next_attempt_are_there_once(
    study: StudyFolder, order: RunOrder, name: str, read: Callable[[StudyFolder, str], Curve]
) -> None:
    run, following = study.run(order.key), Mirror(name, study)
    following.look()
    run.metrics_file.write_text(METRICS)
    run.steps_file.write_text(STEPS)
    following.look()
    run.begin_attempt()
    run.metrics_file.write_text(METRICS)
    run.steps_file.write_text(STEPS)
    following.look()
    following.look(ended=True)
    assert read(study, "val_error") == pytest.approx(ERRORS)
    assert read(study, "epoch") == pytest.approx(EPOCHS)
    assert read(study, "train_loss_step") == pytest.approx(STEP_LOSSES)


class _Broken:
    def log(self, *_: object) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_an_error_of_the_logger_and_the_next_one_has_everything(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "opened", lambda *_: _Broken())
        with pytest.raises(OSError, match="No space left"):
            Mirror("csv", study).look()
    Mirror("csv", study).look(ended=True)
    assert from_csv(study, "val_error") == {4: 60.0}


@pytest.mark.slow
def test_a_server_that_says_nothing_costs_the_deadline(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with mirrored(study, ["mlflow"], deadline=0.2):
            pass
    assert time.monotonic() - began < 60.0
    assert "mlflow: not all was logged within 0.2 s" in capfd.readouterr().err


def test_a_missing_library_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_is_installed", lambda _: False)
    with pytest.raises(SklabError, match=r"is not installed; install it: pip install 'sklab\[tensorboard\]'"):
        named.logger_names("wandb,tensorboard")
    with pytest.raises(SklabError, match="did you mean 'mlflow'"):
        named.logger_names("mlflo")


def test_cells_with_other_names_have_other_folders() -> None:
    names = ["K3+K5 SK", "a/b", "a_b", "..", ".", "a\\b"]
    assert len({named.folder_name(name) for name in names}) == len(names)
    assert named.folder_name("K3+K5 SK") == "K3+K5 SK"
    assert all("/" not in named.folder_name(name) and named.folder_name(name) not in (".", "..") for name in names)
