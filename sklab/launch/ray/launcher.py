"""Runs on the nodes of a Ray cluster, for machines without Slurm; this process is the cluster's driver.

A run whose node is lost is done again on another. Runs die with their runner: Ray ends what a driver that is gone left.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import sklab
from sklab.errors import SklabError
from sklab.launch.base import Ended, Job
from sklab.launch.ray.task import leave_mark, read_files, run_on_node, sees, write_files
from sklab.launch.slots import ensure_enough
from sklab.launch.watchdog import STALE_AFTER
from sklab.launch.worker import begin
from sklab.spec.study.launchers import RaySpec
from sklab.store.run_folder import RunFolder
from sklab.system.safe_path import protect

_MOST_LOST_NODES = 20  # times a run may lose its node before it counts as failed
_ASK_AGAIN = 20.0  # seconds after which runs are asked to end once more: Ray promises no more than to try
_PATIENCE = 10.0  # seconds that the nodes have to end the runs when the launcher stops


class RayLauncher:
    """At most `parallel` jobs at a time, each a Ray task; the nodes get this very sklab from here.

    Where a node does not see the job's folder, the folder's files travel with the task and back when it has ended.
    A run that makes no step for `stale_after` seconds (see Watchdog) is ended on its node; 0: none is.
    """

    def __init__(self, spec: RaySpec, devices: int = 1, stale_after: float = STALE_AFTER) -> None:
        name, given = ("gpus", max(spec.gpus, 1)) if spec.gpus else ("cpus", spec.cpus)
        ensure_enough(devices, name, given)
        self.capacity = spec.parallel
        self.kind = f"ray {spec.address} gpus={spec.gpus:g}"
        self._spec, self._stale_after = spec, stale_after
        self._ray = _ray(spec)
        _connect(self._ray, spec)
        options = {"num_cpus": spec.cpus, "num_gpus": spec.gpus, "max_retries": _MOST_LOST_NODES}
        self._task = self._ray.remote(**options)(run_on_node)
        self._running: dict[Any, tuple[Job, frozenset[str]]] = {}
        self._asked = float("inf")

    def ensure_shared(self, folder: Path) -> None:
        """Raise SklabError unless every node that may get a run sees `folder`, for what has to be read while runs go
        on."""
        folder.mkdir(parents=True, exist_ok=True)
        mark = uuid.uuid4().hex
        leave_mark(folder, mark)
        nodes = _large_enough(self._ray, self._spec)
        asked = [(node["NodeManagerAddress"], self._ask(node, folder, mark)) for node in nodes]
        blind = {address for address, answer in asked if not self._ray.get(answer)}
        if blind:
            self.stop()
            told = f"search.pruning: found on a cluster whose nodes ({', '.join(sorted(blind))}) do not see {folder}"
            remedy = "put --results on a disk that all nodes share, or take search.pruning out of the sweep"
            raise SklabError(f"{told}, so that the runner does not see how their runs go; {remedy}")

    def _ask(self, node: Mapping[str, Any], folder: Path, mark: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        return self._ray.remote(num_cpus=0, scheduling_strategy=there)(sees).remote(folder.absolute(), mark)

    def submit(self, job: Job) -> None:
        mark, there = uuid.uuid4().hex, Job(job.task, job.folder.absolute())
        leave_mark(job.folder, mark)
        files = read_files(job.folder)
        sent = self._task.remote(there, mark, self._ray.put(files), self._spec.gpus, self._spec.cpus, self._stale_after)
        self._running[sent] = job, frozenset(files)

    def wait(self, timeout: float) -> list[Ended]:
        if not self._running:
            return []
        if time.monotonic() > self._asked + _ASK_AGAIN:
            self.drain()
        ready, _ = self._ray.wait(list(self._running), timeout=timeout)
        return [self._end(task) for task in ready]

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:  # noqa: ARG002 - they died with their driver
        return []

    def judge(self, job: Job, *, sick: bool) -> str:  # noqa: ARG002 - the cluster chooses where jobs go
        return ""

    def fewer(self) -> bool:
        return False

    def drain(self) -> None:
        """Ask every running job to end soon; one that has not begun is dropped."""
        self._asked = time.monotonic()
        for task in self._running:
            self._ray.cancel(task)

    def stop(self) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=_PATIENCE)
        self._running = {}
        self._ray.shutdown()

    def _end(self, task: Any) -> Ended:
        job, sent = self._running.pop(task)
        try:
            exitcode, hung, files = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return self._lost(job, error)
        if files is not None:
            write_files(job.folder, files, sent - files.keys())
        return Ended(job, exitcode, hung)

    def _lost(self, job: Job, error: Exception) -> Ended:
        """The end of a job that did not report one; its folder holds the state of an earlier attempt."""
        if begin(job):
            with RunFolder(job.folder).log_file.open("a", encoding="utf-8") as log:
                log.write(f"{error}\n")
        known = self._ray.exceptions
        if isinstance(error, known.TaskCancelledError):
            return Ended(job, -signal.SIGTERM)
        return Ended(job, 1 if isinstance(error, (known.RayTaskError, known.RuntimeEnvSetupError)) else -signal.SIGKILL)


def _ray(spec: RaySpec) -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if spec.address == "local":  # what is for this machine listens on this machine only
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise SklabError("--launcher with Ray needs ray; install it: pip install 'sklab[ray]'") from error
    module: ModuleType = ray
    return module


def _connect(ray: ModuleType, spec: RaySpec) -> None:
    """Join the cluster. Raises SklabError when there is none, or when no node is large enough for a run."""
    shipped = {"py_modules": [str(Path(sklab.__file__).parent)]}
    config = ray.job_config.JobConfig()
    config._py_driver_sys_path = _NoMore()
    protect()
    try:
        ray.init(
            address=spec.address, runtime_env=shipped, job_config=config, log_to_driver=False, logging_level="ERROR"
        )
    except (ConnectionError, ValueError) as error:
        remedy = "start one: ray start --head, and on every other machine ray start --address=..."
        raise SklabError(f"address: found {spec.address}; no Ray cluster is there ({error}); {remedy}") from error
    if not _large_enough(ray, spec):
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        found = ", ".join(f"{node.get('CPU', 0):g} cpus and {node.get('GPU', 0):g} gpus" for node in nodes)
        ray.shutdown()
        raise SklabError(f"cpus {spec.cpus}, gpus {spec.gpus:g}: no node of the cluster has as many; found: {found}")


class _NoMore(list[str]):
    """Where the nodes look for modules first: not in the current directory of this process, which Ray adds."""

    def extend(self, _: Iterable[str]) -> None:
        """Stay as it is."""


def _large_enough(ray: ModuleType, spec: RaySpec) -> list[Mapping[str, Any]]:
    """The nodes that can hold a run."""
    asked = {"CPU": spec.cpus, "GPU": spec.gpus}
    alive = (node for node in ray.nodes() if node["Alive"])
    return [node for node in alive if all(node["Resources"].get(kind, 0) >= count for kind, count in asked.items())]
