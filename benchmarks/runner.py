"""Overhead of the runner: 300 runs that do nothing on two slots, beside Ray Tune; and its processor while runs train.

    python benchmarks/runner.py [--runs 300] [--slots 2] [--tune tune/bin/python] [--tune-runs 300]
    python benchmarks/runner.py --real [--slots 2]

Ours go the whole way: runner, index, a process of its own for each run, lock, log, record, all flushed to disk; only
the training is replaced. `--tune` names a Python that has `ray[tune]`; start-up of either (server process, cluster) is
left out. With `--real` the shipped sweep trains instead, shortened, and the processor time of the runner's process is
compared with the clock and with the seconds that the runs spent in training steps.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from unittest import mock

from sklab.launch.fork import spare
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import find_slots
from sklab.store.records import Code, RunRecord, Tracking
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import runner
from sklab.sweep.run.orders import State
from sklab.sweep.run.runner import run_study

HERE = Path(__file__).parent
SWEEP = HERE.parent / "sweeps" / "kernels.yaml"
EPOCHS = {"train.epochs": "3", "train.warmup_epochs": "0"}


class Clock:
    """Notes when the first and the last run ended, on the clock and in processor seconds of this process, and how long
    each trained."""

    def __init__(self) -> None:
        self._moments: list[tuple[float, float]] = []
        self.trained: list[float] = []

    def ended(self, record: RunRecord, state: State) -> None:
        if not self.trained or not (state.running or state.remaining):
            self._moments.append((time.perf_counter(), time.process_time()))
        self.trained.append(record.train_seconds)

    def note(self, text: str, state: State) -> None: ...

    def look(self, state: State) -> None: ...

    @property
    def span(self) -> tuple[float, float]:
        """Seconds from the first end to the last: on the clock, and of processor."""
        (began, cpu), (ended, cpu_then) = self._moments
        return ended - began, cpu_then - cpu


def ours(slots: int, seeds: int, overrides: dict[str, str]) -> Clock:
    """The shipped sweep at so many seeds, 11 cells each, in a folder of its own."""
    clock, launcher = Clock(), LocalLauncher(find_slots(slots))
    # Start-up is not the question: the check of the convolutions before the first run is left out.
    with tempfile.TemporaryDirectory() as root, mock.patch.object(runner, "ensure_sound", return_value=HeldData()):
        sweep = load_sweep(SWEEP, seeds=seeds, overrides=overrides)
        complete = run_study(
            Start(sweep, StudyFolder(Path(root) / "kernels"), Code(version="0")), launcher, Tracking(), clock
        )
        launcher.stop()
    assert complete
    return clock


def tuned(python: Path, runs: int, slots: int, how: str) -> float:
    """Trials per second."""
    command = [str(python), str(HERE / "tune.py"), str(runs), str(slots), how]
    printed = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)
    return float(re.search(r"runs per second: ([\d.]+)", printed)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time runs that do nothing.")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--tune", type=Path, metavar="PYTHON")
    parser.add_argument("--tune-runs", type=int, default=300)
    parser.add_argument("--real", action="store_true", help="train instead, and show the runner's share of a core")
    options = parser.parse_args()
    if options.real:
        busy(options.slots)
        return
    clock = empty(options.slots, options.runs)
    seconds, cpu = clock.span
    mine = (len(clock.trained) - 1) / seconds
    each = 1e3 * cpu / len(clock.trained)
    print(f"sklab: {mine:.1f} runs per second, {each:.2f} ms of the runner's processor each", flush=True)
    for how in ("reuse", "new") if options.tune else ():
        theirs = tuned(options.tune, options.tune_runs, options.slots, how)
        print(f"Ray Tune, {how} actors: {theirs:.2f} runs per second; ratio {mine / theirs:.1f}", flush=True)


def empty(slots: int, runs: int) -> Clock:
    """Runs whose training is replaced, by what their server process loads."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    with mock.patch.object(spare, "_PRELOAD", [*spare._PRELOAD, "nothing"]):
        return ours(slots, -(-runs // 11), {})


def busy(slots: int) -> None:
    """Print the runner's share of a core while real runs train, from the end of the first run on."""
    clock = ours(slots, 1, EPOCHS)
    seconds, cpu = clock.span
    share, trained = cpu / seconds, sum(clock.trained[1:])
    print(f"real runs: {len(clock.trained) - 1} in {seconds:.1f} s, {trained:.1f} s of them in training steps")
    print(
        f"processor of the runner: {cpu:.2f} s, {share:.2%} of the clock, {1e3 * cpu / len(clock.trained):.1f} ms a run"
    )


if __name__ == "__main__":
    main()
