"""What failures cost under several policies, simulated: thousands of runs of an hour on a fake clock.

    python benchmarks/policies.py [--runs 2000] [--nodes 16] [--mtbf 4] [--preempted 8]

The runner's loop, its policy, the records and the index are sklab's own; the machines and the training are simulated.
Each node dies after exponential times with mean `--mtbf` hours, with what it ran, and is back after five minutes. Runs
are preempted after exponential times with mean `--preempted` hours. The batch of one run in fifty does not fit into
memory until it is cut in two.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from sklab.launch.base import Ended, Job
from sklab.launch.worker import begin
from sklab.store.records import Code, RunOrder, RunRecord, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import failures, runner
from sklab.sweep.run.failures import Retries
from sklab.sweep.run.orders import State
from sklab.sweep.run.runner import run_study

HOUR = 3600.0
RUN = HOUR  # seconds of training in a run
START = 30.0  # seconds from a free node to the first step: interpreter, torch, data, GPU
REPAIR = 300.0  # seconds until a node that died takes runs again
WRITE = 0.6  # seconds of a checkpoint: 1 % of a minute, the most that sklab spends
OOM = 50  # one run in so many
METRICS = {"val_error": 10.0, "val_loss": 1.0}

EXPERIMENT = """\
data: {name: scaled_digits, train_size: 64, val_size: 32}
model: {base: sknet_small}
train: {epochs: 2, batch_size: 16, lr: 0.05}
"""
SWEEP = """\
question: What does a failure cost?
experiment: toy.yaml
design: grid
seeds: SEEDS
baseline: {stem: 2}
factors:
  stem: {path: model.stem_width, levels: LEVELS}
"""


@dataclass(frozen=True)
class Policy:
    """`every`: seconds of training between two checkpoints; `tries`: attempts in a row that get no further."""

    name: str
    every: float = math.inf
    tries: int = failures.ATTEMPTS
    retries: type[Retries] = Retries


class Never(Retries):
    """What failed has failed."""

    def again(self, order: RunOrder, record: RunRecord, reached: int) -> str:  # noqa: ARG002
        return ""


SKLAB = Policy("resume, checkpoint every minute: sklab", RunOrder.model_fields["checkpoint_seconds"].default)
POLICIES = (
    Policy("no retry: a loop over scripts", retries=Never),
    Policy("from scratch, 3 attempts"),
    Policy("from scratch until done", tries=10**9),
    Policy("resume, checkpoint every 30 min", 1800.0),
    Policy("resume, checkpoint every 10 min", 600.0),
    Policy("resume, checkpoint every 5 min", 300.0),
    SKLAB,
    Policy("resume, checkpoint every 10 s", 10.0),
)


@dataclass(frozen=True)
class Attempt:
    """Seconds: what it lasts, what it trains, what of that is kept; the checkpoints it writes; how it ends."""

    seconds: float
    trained: float
    kept: float
    written: int
    how: str


def attempt(left: float, every: float, dies: float, asked: float) -> Attempt:
    """A run that has `left` seconds of training before it, on a node that dies after `dies` seconds and is wanted back
    after `asked`."""
    cycle = every + WRITE
    most = math.ceil(left / every) - 1 if every < left else 0
    seconds, how = min((START + left + most * WRITE, "complete"), (dies, "died"), (asked, "asked"))
    if how == "complete":
        return Attempt(seconds, left, left, most, how)
    stepping = max(0.0, seconds - START)
    written = int(stepping / cycle)
    past, since = (written * every, stepping - written * cycle) if written else (0.0, stepping)
    trained = past + min(since, every)
    if how == "asked" and math.isfinite(every):
        return Attempt(seconds + WRITE, trained, trained, written + 1, how)
    return Attempt(seconds, trained, past, written, how)


@dataclass
class Spent:
    """Seconds of the nodes on runs and, of these, on what a study without failures would not have needed."""

    busy: float = 0.0
    again: float = 0.0
    restarts: float = 0.0
    checkpoints: float = 0.0
    useful: float = 0.0
    most_attempts: int = 0

    @property
    def wasted(self) -> float:
        """Share of the computing."""
        return (self.again + self.restarts + self.checkpoints) / self.busy


class Cluster:
    """A launcher over `nodes` simulated nodes, one run on each. `wait` goes on to the next end at once."""

    kind = "simulated"

    def __init__(self, nodes: int, mtbf: float, preempted: float, every: float, seed: int = 0) -> None:
        self.capacity, self.now, self.spent = nodes, 0.0, Spent()
        self._mtbf, self._preempted, self._every, self._draw = mtbf, preempted, every, random.Random(seed)
        self._back = [0.0] * nodes  # when each node takes a run again
        self._ends: list[tuple[float, int, Job, Attempt]] = []
        self._kept, self._trained, self._attempts = Counter[str](), Counter[str](), Counter[str]()

    def submit(self, job: Job) -> None:
        begin(job)
        order = RunFolder(job.folder).read_order()
        dies, asked = self._draw.expovariate(1 / self._mtbf), self._draw.expovariate(1 / self._preempted)
        made = attempt(RUN - self._kept[order.key], self._every, dies, asked)
        if order.accumulate_factor == 1 and int(order.key, 16) % OOM == 0 and made.seconds > START:
            made = Attempt(START, 0.0, 0.0, 0, "oom")
        node = min(set(range(self.capacity)) - {node for _, node, _, _ in self._ends}, key=self._back.__getitem__)
        heapq.heappush(self._ends, (max(self.now, self._back[node]) + made.seconds, node, job, made))

    def wait(self, timeout: float) -> list[Ended]:  # noqa: ARG002
        self.now, node, job, made = heapq.heappop(self._ends)
        self._back[node] = self.now + (REPAIR if made.how == "died" else 0.0)
        run = RunFolder(job.folder)
        self._count(run, made)
        if made.how == "died":
            return [Ended(job, -9)]
        order = run.read_order()
        if made.how == "complete":
            run.write_record(RunRecord.of(order, status="complete", last=METRICS, best=METRICS))
        else:
            failure = "oom" if made.how == "oom" else "preempted"
            run.write_record(RunRecord.of(order, status="failed", failure=failure, reason=made.how))
        return [Ended(job, 0)]

    def _count(self, run: RunFolder, made: Attempt) -> None:
        spent, key = self.spent, run.path.name
        self._attempts[key] += 1
        self._trained[key] += made.trained
        spent.busy += made.seconds
        spent.again += made.trained
        spent.checkpoints += made.written * WRITE
        spent.restarts += min(START, made.seconds) if self._attempts[key] > 1 else 0.0
        spent.most_attempts = max(spent.most_attempts, self._attempts[key])
        if made.how == "complete":
            spent.useful += RUN
            spent.again -= RUN
        elif made.kept:
            self._kept[key] += made.kept
            run.checkpoints.mkdir(exist_ok=True)
            (run.checkpoints / f"{round(1000 * self._kept[key]):09d}-0.ckpt").touch()

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


@dataclass(frozen=True)
class Outcome:
    """`hours`: of the fake clock until nothing more ran; `lost`: runs without a result by then."""

    spent: Spent
    hours: float
    lost: int


def simulate(chosen: Policy, runs: int, nodes: int, mtbf: float, preempted: float) -> Outcome:
    """A study of `runs` runs under `chosen`; mean hours between the failures of a node, and between two preemptions."""
    cluster = Cluster(nodes, mtbf * HOUR, preempted * HOUR, chosen.every)
    with tempfile.TemporaryDirectory() as root, mock.patch.multiple(
        runner,
        Retries=chosen.retries,
        ensure_sound=lambda *_: HeldData(),
        time=SimpleNamespace(monotonic=lambda: cluster.now),
    ), mock.patch.multiple(failures, ATTEMPTS=chosen.tries, oom_kills=lambda: 0), mock.patch("os.fsync"):  # fmt: skip
        study = StudyFolder(Path(root) / "results" / "sweep")
        run_study(
            Start(load_sweep(write_sweep(Path(root), runs)), study, Code(version="0")), cluster, Tracking(), Quiet()
        )
        lost = sum(record.status == "failed" for record in study.records().values())
    return Outcome(cluster.spent, cluster.now / HOUR, lost)


def write_sweep(root: Path, runs: int) -> Path:
    """A sweep of `runs` runs, in ten cells."""
    (root / "toy.yaml").write_text(EXPERIMENT)
    levels = [2 * at for at in range(1, 11)]
    (root / "sweep.yaml").write_text(SWEEP.replace("SEEDS", str(runs // 10)).replace("LEVELS", str(levels)))
    return root / "sweep.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate what failures cost.")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--mtbf", type=float, default=4.0, metavar="HOURS")
    parser.add_argument("--preempted", type=float, default=8.0, metavar="HOURS")
    options = parser.parse_args()
    print("| policy | throughput | wasted | done again | restarts | checkpoints | most attempts | runs lost |")
    print("| :-- | --: | --: | --: | --: | --: | --: | --: |")
    for chosen in POLICIES:
        print(row(chosen.name, simulate(chosen, **vars(options)), options.nodes))


def row(name: str, outcome: Outcome, nodes: int) -> str:
    spent = outcome.spent
    throughput = spent.useful / HOUR / (nodes * outcome.hours)
    shares = (part / spent.busy for part in (spent.again, spent.restarts, spent.checkpoints))
    parts = " | ".join(f"{share:.2%}" for share in (spent.wasted, *shares))
    return f"| {name} | {throughput:.3f} | {parts} | {spent.most_attempts} | {outcome.lost} |"


if __name__ == "__main__":
    main()
