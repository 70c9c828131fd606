"""What 10,000 runs in one study cost the runner: start-up, reconciling, resuming, memory, and time per run.

    python benchmarks/many.py [--seeds 1 5 10]

A study of 1,000 cells x so many seeds in a temporary folder. A launcher that computes nothing ends every run at once
with a record; the rest is sklab's own. Each step is a process of its own, timed from the reading of the sweep file:

start      a new study, until the first run is submitted
run        all of them; the time of each run at the beginning and at the end
reconcile  all records but one on disk and no index, until that one is submitted
resume     the same, with the index
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from sklab.launch.base import Ended, Job
from sklab.spec.jobs import CheckResult
from sklab.store.records import Code, RunRecord, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start
from sklab.sweep.run.orders import State
from sklab.sweep.run.runner import run_study

METRICS = {"val_error": 10.0, "val_loss": 1.0}
EXPERIMENT = """\
data: {name: scaled_digits, train_size: 64, val_size: 32}
model: {base: sknet_small}
train: {epochs: 2, batch_size: 16, lr: 0.05}
"""
SWEEP = """\
question: What do many runs cost?
experiment: toy.yaml
design: grid
seeds: SEEDS
baseline: {stem: 2, lr: 0.001}
factors:
  stem: {path: model.stem_width, levels: [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]}
  lr: {path: train.lr, levels: LEVELS}
"""


class Enough(Exception):  # noqa: N818 - no error
    """The first run has been submitted."""


class Nothing:
    """A launcher that ends every run at once; with `first`, one that stops the runner at its first run."""

    kind, capacity = "nothing", 2

    def __init__(self, *, first: bool) -> None:
        self._first, self._running = first, list[Job]()
        self.moments: list[tuple[float, float]] = []

    def submit(self, job: Job) -> None:
        if job.task == "train" and self._first:
            raise Enough
        self._running.append(job)

    def wait(self, timeout: float) -> list[Ended]:  # noqa: ARG002
        job = self._running.pop(0)
        if job.task == "check":
            (job.folder / "result.json").write_text(
                CheckResult(device="none", torch="none", findings=()).model_dump_json()
            )
            return [Ended(job, 0)]
        run = RunFolder(job.folder)
        record = RunRecord.of(run.read_order(), status="complete", last=METRICS, best=METRICS)
        run.record_file.write_text(record.model_dump_json())
        self.moments.append((time.perf_counter(), time.process_time()))
        return [Ended(job, 0)]

    def adopt(self, jobs: Iterable[Job]) -> list[Job]:  # noqa: ARG002
        return []

    def judge(self, job: Job, *, sick: bool) -> str:  # noqa: ARG002
        return ""

    def fewer(self) -> bool:
        return False

    def drain(self) -> None: ...

    def stop(self) -> None: ...


class Quiet:
    """Shows nothing."""

    def ended(self, record: RunRecord, state: State) -> None: ...

    def note(self, text: str, state: State) -> None: ...

    def look(self, state: State) -> None: ...


def step(root: Path, *, first: bool) -> None:
    """One call of the runner; prints what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    launcher, folder = Nothing(first=first), StudyFolder(root / "results" / "sweep")
    sweep = load_sweep(root / "sweep.yaml")
    loaded = time.perf_counter() - wall
    with contextlib.suppress(Enough):
        run_study(Start(sweep, folder, Code(version="0")), launcher, Tracking(), Quiet())
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "load": loaded}
    each = {at: per_run(launcher.moments, at) for at in (1000, 3000, 10_000) if at <= len(launcher.moments)}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({**spent, "each": each, "memory": memory}))


def per_run(moments: list[tuple[float, float]], at: int) -> tuple[float, float]:
    """Milliseconds of each of the 900 runs before number `at`: on the clock, and of processor."""
    (wall, cpu), (wall_then, cpu_then) = moments[at - 900], moments[at - 1]
    return 1e3 * (wall_then - wall) / 899, 1e3 * (cpu_then - cpu) / 899


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the runner of a large study.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 5, 10])
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step(options.step, first=options.first)
        return
    for seeds in options.seeds:
        with tempfile.TemporaryDirectory() as root:
            measure(Path(root), seeds)


def measure(root: Path, seeds: int) -> None:
    levels = [round(0.001 * at, 3) for at in range(1, 101)]
    (root / "toy.yaml").write_text(EXPERIMENT)
    (root / "sweep.yaml").write_text(SWEEP.replace("SEEDS", str(seeds)).replace("LEVELS", str(levels)))
    study = StudyFolder(root / "results" / "sweep")
    print(f"{1000 * seeds} runs", flush=True)
    told("start", root, first=True)
    told("run", root, first=False)
    last = sorted((study.path / "runs").iterdir())[-1]
    (last / "record.json").unlink()
    study.index_file.unlink()
    told("reconcile", root, first=True)
    told("resume", root, first=True)


def told(name: str, root: Path, *, first: bool) -> None:
    given = ["--step", str(root), *(["--first"] if first else [])]
    found = json.loads(subprocess.check_output([sys.executable, __file__, *given]))
    times = f"{found['wall']:.2f} s ({found['load']:.2f} s the sweep file), processor {found['cpu']:.2f} s"
    per = ", ".join(f"at {at}: {wall:.2f} ms ({cpu:.2f})" for at, (wall, cpu) in found["each"].items())
    print(f"  {name:10} {times}, {found['memory']:.0f} MB; {per}", flush=True)


if __name__ == "__main__":
    main()
