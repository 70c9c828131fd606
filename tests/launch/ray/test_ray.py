"""Ray on a real cluster of several nodes, all on this machine and its loopback device."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import test_launchers
from curves import ensure_logged
from launched import LONG, Made, collect
from slurm_commands import until
from workers import hang, worker_in

from sklab.errors import SklabError
from sklab.launch.base import Ended, Job
from sklab.launch.ray.launcher import RayLauncher
from sklab.spec.study.launchers import RaySpec
from sklab.store.records import Code, RunRecord, Tracking
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import runner
from sklab.sweep.run.orders import State
from sklab.sweep.run.runner import run_study
from sklab.system.nvidia import look_at_gpus

ENGINES = Path(sys.prefix) / "engines"  # where `make test-slow` puts Ray
NODE = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 100_000_000}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own processes and sockets
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that takes no runs, and one node that does; started as from the background of a shell, where Ctrl-C is
    ignored, and with it what Ray interrupts its tasks by."""
    with pytest.MonkeyPatch.context() as patch, ignored(signal.SIGINT):
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        if ENGINES.is_dir():
            patch.syspath_prepend(str(ENGINES))
            patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ENGINES), os.environ.get("PYTHONPATH", "")])))
        utils = pytest.importorskip("ray.cluster_utils", reason="`make test-slow` installs Ray")
        cluster = utils.Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
        try:
            cluster.add_node(**NODE, num_cpus=2)
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture
def launcher(cluster: Any) -> Iterator[RayLauncher]:
    launcher = RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=2))
    yield launcher
    launcher.stop()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node finds the runner's mark, as if it had another disk."""
    monkeypatch.setattr("sklab.launch.ray.launcher.leave_mark", lambda folder, mark: None)


class TestRay(test_launchers.TestEveryLauncher):
    """The contract of every launcher, over Ray."""


def test_nothing_that_lies_where_the_runner_was_started_is_executed(
    cluster: Any,
    made: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray itself puts the runner's current directory first on the nodes' path, if it can."""
    here = tmp_path / "here"
    (here / "sklab").mkdir(parents=True)
    for name in ("sklab/__init__.py", "torch.py", "yaml.py"):
        (here / name).write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(here)
    launcher = RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=1))
    try:
        run = made()
        launcher.submit(Job("train", run.path))
        assert collect(launcher, 1)[0].exitcode == 0
    finally:
        launcher.stop()
    assert run.read_record() is not None
    assert not (tmp_path / "executed").exists()


@pytest.mark.usefixtures("apart")
def test_without_a_shared_disk_the_results_are_brought_back(launcher: RayLauncher, made: Made) -> None:
    run = made()
    launcher.submit(Job("train", run.path))
    assert collect(launcher, 1)[0].exitcode == 0
    record = run.read_record()
    assert record is not None
    assert record.status == "complete"
    assert all(file.exists() for file in (run.weights_file, run.metrics_file, run.log_file))


@pytest.mark.usefixtures("apart")
def test_without_a_shared_disk_kept_weights_travel_to_be_evaluated(launcher: RayLauncher, made: Made) -> None:
    TestRay().test_evaluates_a_finished_run_without_training_it_again(launcher, made)


@pytest.mark.usefixtures("apart")
def test_without_a_shared_disk_a_failed_attempt_is_kept(launcher: RayLauncher, made: Made) -> None:
    run = made(train={"batch_size": 5000})
    for _ in range(2):
        launcher.submit(Job("train", run.path))
        collect(launcher, 1)
    record = run.read_record()
    assert record is not None
    assert record.attempt == 2
    assert (run.attempts / "001/record.json").exists()


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("disk", ["shared", "apart"])
def test_loggers_follow_a_study_in_ray(cluster: Any, toy_files: Path, disk: str, request: Any) -> None:
    if disk == "apart":
        request.getfixturevalue(disk)
    ensure_logged(toy_files, f"launcher: ray\naddress: {cluster.address}\nparallel: 1\n")


def test_a_killed_run_is_told_with_its_signal(launcher: RayLauncher, made: Made) -> None:
    run = made(train=LONG)
    launcher.submit(Job("train", run.path))
    until(run.metrics_file.exists)
    os.kill(worker_in(run.path), signal.SIGKILL)
    assert collect(launcher, 1) == [Ended(Job("train", run.path), -signal.SIGKILL)]
    assert run.read_record() is None


def test_a_drained_run_ends_soon_and_one_that_waits_is_dropped(launcher: RayLauncher, made: Made) -> None:
    run, waits = made(train=LONG), made(seed=1)
    launcher.submit(Job("train", run.path))
    until(run.metrics_file.exists)
    launcher._task = launcher._task.options(num_cpus=1000)
    launcher.submit(Job("train", waits.path))
    launcher.drain()
    ended = {each.job.folder: each.exitcode for each in collect(launcher, 2)}
    record = run.read_record()
    assert ended[waits.path] == -signal.SIGTERM
    assert run.path in ended
    assert record is None or record.failure == "preempted"


def test_stop_ends_what_runs(cluster: Any, made: Made) -> None:
    launcher = RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=1))
    run = made(train=LONG)
    launcher.submit(Job("train", run.path))
    until(run.metrics_file.exists)
    worker = worker_in(run.path)
    launcher.stop()
    until(lambda: not Path(f"/proc/{worker}").exists())
    assert run.read_record() is None


@pytest.mark.skipif(bool(look_at_gpus()), reason="this machine has GPUs, and so would the node")
def test_a_node_without_what_it_was_to_have_is_told_in_the_log(cluster: Any, made: Made) -> None:
    node = cluster.add_node(**NODE, num_cpus=1, num_gpus=1)  # says so, but nvidia-smi knows of none
    launcher = RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=2, gpus=0.5))
    run = made()
    launcher.submit(Job("train", run.path))
    assert collect(launcher, 1)[0].exitcode == 1
    launcher.stop()
    cluster.remove_node(node, allow_graceful=True)
    assert "this run was to have 0.5; none can be used: " in run.log_file.read_text()


def test_a_run_that_no_node_can_hold_is_refused(cluster: Any) -> None:
    with pytest.raises(SklabError, match=r"cpus 64, gpus 0: no node of the cluster has as many; found: .*2 cpus"):
        RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=1, cpus=64))


def test_a_run_whose_node_is_killed_is_done_on_another(cluster: Any, launcher: RayLauncher, made: Made) -> None:
    run = made(train={"epochs": 600})  # it must not end before its node does
    launcher.submit(Job("train", run.path))
    until(run.metrics_file.exists)
    worker, [_, lost] = worker_in(run.path), cluster.list_all_nodes()
    cluster.add_node(**NODE, num_cpus=2)
    cluster.remove_node(lost, allow_graceful=False)
    assert launcher.wait(240.0) == [Ended(Job("train", run.path), 0)]  # Ray takes its time to miss a node
    record = run.read_record()
    assert record is not None
    assert (record.status, record.epochs, record.attempt) == ("complete", 600, 2)
    assert not Path(f"/proc/{worker}").exists()


SEARCH = """\
experiment: toy.yaml
design: search
seeds: 1
baseline: {lr: 0.05}
search: {sampler: random, trials: 1, pruning: {rule: median, peers: 1}}
factors: {lr: {path: train.lr, levels: [0.05, 0.000001]}}
"""


def test_a_run_on_a_node_is_pruned_where_the_runner_sees_its_epochs(
    cluster: Any, toy_files: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: HeldData())
    (toy_files / "search.yaml").write_text(SEARCH)
    sweep = load_sweep(toy_files / "search.yaml", overrides={"train.epochs": "60"})
    study = StudyFolder(toy_files / "results" / "search")
    launcher = RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=1))
    launcher.ensure_shared(study.path)
    assert run_study(Start(sweep, study, Code(version="1")), launcher, Tracking(), Seen())
    launcher.stop()
    assert {record.cell: record.status for record in study.records().values()} == {
        "lr=0.05": "complete",
        "lr=0.000001": "pruned",
    }


@pytest.mark.usefixtures("apart")
def test_a_node_that_does_not_see_the_study_is_told_before_anything_starts(cluster: Any, tmp_path: Path) -> None:
    launcher = RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=1))
    with pytest.raises(SklabError, match=r"search\.pruning: .*\(127\.0\.0\.1\) do not see .*put --results on a disk"):
        launcher.ensure_shared(tmp_path / "study")


class Seen:
    """What a study tells on its way."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str, state: State) -> None:
        self.notes.append(text)

    def ended(self, record: RunRecord, state: State) -> None: ...

    def look(self, state: State) -> None: ...


def test_a_hung_run_is_ended_on_its_node_and_tried_again(cluster: Any, toy_files: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: HeldData())
    sweep = load_sweep(toy_files / "sweep.yaml", seeds=1, overrides={"train.epochs": "50"})
    study = StudyFolder(toy_files / "results" / "sweep")
    first = study.run(sweep.cells[0].runs[0])
    hanging = Thread(target=hang, args=(first,))
    launcher = RayLauncher(RaySpec(launcher="ray", address=cluster.address, parallel=2), stale_after=6.0)
    hanging.start()
    told = Seen()
    assert run_study(Start(sweep, study, Code(version="1")), launcher, Tracking(), told)
    hanging.join()
    launcher.stop()
    assert told.notes == [
        "K3, seed 0: failed (stale): the run made no step any more and was ended; tried again: attempt 2 of 3"
    ]
    assert {record.cell: record.attempt for record in study.records().values()} == {"K3": 2, "K3+K5 SK": 1}
