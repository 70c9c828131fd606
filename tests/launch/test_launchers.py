"""One contract for every launcher."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from launched import CPU, Made, collect
from own_lab import own_order

from sklab.launch.base import Ended, Job, Launcher
from sklab.launch.inline import InlineLauncher
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slurm.launcher import SlurmLauncher
from sklab.spec.study.launchers import SlurmSpec
from sklab.store.run_folder import RunFolder
from sklab.system.machine import cache_folder


def _inline(request: pytest.FixtureRequest) -> Launcher:
    return InlineLauncher(CPU)


def _local(request: pytest.FixtureRequest) -> Launcher:
    return LocalLauncher((CPU, CPU))


def _abreast(request: pytest.FixtureRequest) -> Launcher:
    return LocalLauncher((CPU, CPU), abreast=True)


def _slurm(request: pytest.FixtureRequest) -> Launcher:
    request.getfixturevalue("slurm")
    spec = SlurmSpec(launcher="slurm", time=5, parallel=2)
    return SlurmLauncher(spec, request.getfixturevalue("tmp_path"), "toy")


@pytest.fixture(
    params=[
        _inline,
        _local,
        _abreast,
        pytest.param(_slurm, marks=[pytest.mark.slow, pytest.mark.xdist_group("slurm")]),
    ],
    ids=["inline", "local", "abreast", "slurm"],
)
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    launcher = request.param(request)
    yield launcher
    launcher.stop()


class TestEveryLauncher:
    def test_runs_a_job_to_its_record(self, launcher: Launcher, made: Made) -> None:
        run = made()
        launcher.submit(Job("train", run.path))
        assert collect(launcher, 1) == [Ended(Job("train", run.path), 0)]
        record = run.read_record()
        assert record is not None
        assert (record.status, record.hardware.threads) == ("complete", 1)
        assert not run.heartbeat_file.exists()

    def test_brings_own_code_along(self, launcher: Launcher, tmp_path: Path) -> None:
        order = own_order(tmp_path)
        (tmp_path / "my_lab.py").write_text("raise AssertionError('not what was hashed')")
        run = RunFolder(tmp_path / order.key)
        run.write_order(order)
        shutil.rmtree(cache_folder() / "code")  # nodes may have another one
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
        record = run.read_record()
        assert record is not None
        assert record.status == "complete", record.traceback

    def test_tells_of_each_job_once(self, launcher: Launcher, made: Made) -> None:
        runs = [made(seed=seed) for seed in range(3)]
        ended = []
        for run in runs:
            launcher.submit(Job("train", run.path))
            ended += collect(launcher, 1)
        assert [each.job.folder for each in ended] == [run.path for run in runs]
        assert launcher.wait(0.0) == []

    def test_a_run_that_fails_is_a_job_that_ended(self, launcher: Launcher, made: Made) -> None:
        run = made(train={"batch_size": 5000})
        launcher.submit(Job("train", run.path))
        assert collect(launcher, 1)[0].exitcode == 0
        record = run.read_record()
        assert record is not None
        assert (record.status, record.failure) == ("failed", "data")

    def test_never_repeats_a_finished_run(self, launcher: Launcher, made: Made) -> None:
        run = made()
        for _ in range(2):
            launcher.submit(Job("train", run.path))
            collect(launcher, 1)
        assert run.attempt == 1

    def test_evaluates_a_run_at_the_sizes_of_its_order_once_it_is_trained(self, launcher: Launcher, made: Made) -> None:
        run = made()
        run.write_order(run.read_order().model_copy(update={"sizes": (32,)}))
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
        record, evaluation = run.read_record(), run.read_evaluation(32)
        assert record is not None
        assert evaluation is not None
        assert (evaluation.val_error, evaluation.val_loss) == (record.last["val_error"], record.last["val_loss"])

    def test_evaluates_a_finished_run_without_training_it_again(self, launcher: Launcher, made: Made) -> None:
        run = made()
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
        kept = {file: file.read_bytes() for file in (run.record_file, run.weights_file, run.metrics_file)}
        run.write_order(run.read_order().model_copy(update={"sizes": (32,)}))
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
        assert run.read_evaluation(32) is not None
        assert {file: file.read_bytes() for file in kept} == kept
        assert run.attempt == 1

    def test_a_failing_evaluation_leaves_the_run_complete(self, launcher: Launcher, made: Made, capfd) -> None:
        run = made()
        run.write_order(run.read_order().model_copy(update={"sizes": (48, 32)}))
        launcher.submit(Job("train", run.path))
        assert collect(launcher, 1)[0].exitcode == 0
        record = run.read_record()
        assert record is not None
        assert record.status == "complete"
        assert run.missing_sizes(record, (48, 32)) == (48,), "the other size is evaluated all the same"
        log = run.log_file.read_text() if run.log_file.exists() else capfd.readouterr().err
        assert "image size 48 is not possible; allowed: 32" in log

    def test_a_new_attempt_keeps_what_the_failed_one_left(self, launcher: Launcher, made: Made) -> None:
        run = made(train={"batch_size": 5000})
        for _ in range(2):
            launcher.submit(Job("train", run.path))
            collect(launcher, 1)
        assert (run.attempts / "001/record.json").exists()
        record = run.read_record()
        assert record is not None
        assert record.attempt == 2
