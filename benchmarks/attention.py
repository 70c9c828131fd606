"""What recording the attention of the final evaluation costs a run: its share of the run's time, within that run.

    python benchmarks/attention.py

Trains the quickstart's network once per seed, each in a process of its own as a sweep does, and adds up what passes in
the recorder: its hooks during the final evaluation, the summary, the writing of `attention.json`. A busy machine
disturbs processor time least.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sklab.spec.run import RunSpec
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.store.versions import this_code
from sklab.sweep.design.cells import resolve
from sklab.sweep.files.experimentfile import read_experiment
from sklab.training.attention.recorder import AttentionMeter, Recorder
from sklab.training.run import train

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "quickstart.yaml"
spent = {"processor": 0.0, "clock": 0.0}


def timed(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, whose time is added to `spent`."""

    def wrapped(*arguments: Any) -> Any:
        before = time.process_time(), time.perf_counter()
        try:
            return call(*arguments)
        finally:
            spent["processor"] += time.process_time() - before[0]
            spent["clock"] += time.perf_counter() - before[1]

    return wrapped


def prepare() -> None:
    """In the process of a run: one thread, and clocks around the recorder."""
    torch.set_num_threads(1)
    for name in ("on_validation_start", "on_validation_end"):
        setattr(AttentionMeter, name, timed(getattr(AttentionMeter, name)))
    Recorder._take = timed(Recorder._take)  # type: ignore[method-assign]


def measure(seed: int) -> str:
    """A row: the share of one run's time that goes into the attention, by the processor's time and by the clock."""
    spec = RunSpec(experiment=resolve(read_experiment(EXPERIMENT, {}).tree), seed=seed)
    order = RunOrder(key=spec.key, study="benchmark", cell="cell", spec=spec, code=this_code())
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(Path(path))
        before = time.process_time(), time.perf_counter()
        record = train(order, folder, torch.device("cpu"))
        processor, clock = time.process_time() - before[0], time.perf_counter() - before[1]
        assert record.status == "complete"
        size = folder.attention_file.stat().st_size
    shares = f"{100 * spent['processor'] / processor:.2f} | {100 * spent['clock'] / clock:.2f}"
    return f"| {seed} | {processor:.1f} | {1000 * spent['processor']:.0f} | {shares} | {size:,} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    print("| seed | run, processor s | attention, processor ms | share, % | share by the clock, % | bytes |")
    print("| --: | --: | --: | --: | --: | --: |")
    with multiprocessing.get_context("spawn").Pool(1, prepare, maxtasksperchild=1) as pool:
        for row in pool.imap(measure, range(parser.parse_args().seeds)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
