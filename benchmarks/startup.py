"""From submitting a run to its first training step, against a cold process that imports torch and lightning.

Run it on an idle machine:

    .venv/bin/python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

from sklab.launch.base import Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import find_slots
from sklab.store.records import RunOrder, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.versions import this_code
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep

REPEATS = 7
SWEEP = Path(__file__).parents[1] / "sweeps" / "kernels.yaml"
SHORT = {"train.epochs": "1", "train.warmup_epochs": "0", "data.train_size": "128", "data.val_size": "64"}


def wall(*command: str) -> float:
    """Median seconds of a command from start to end."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return median(times)


def starts(tracking: Tracking, folder: Path) -> float:
    """Median seconds from `submit` to the first training step; the first run, which starts the server, left out."""
    sweep = load_sweep(SWEEP, overrides=SHORT)
    launcher = LocalLauncher(find_slots())
    times = []
    for seed in range(REPEATS + 1):
        spec = run_spec(sweep, sweep.cells[4], seed)
        run = RunFolder(folder / spec.key)
        names = {"key": spec.key, "study": "startup", "cell": "SK"}
        run.write_order(RunOrder(**names, spec=spec, code=this_code(), tracking=tracking))
        submitted = time.time()
        launcher.submit(Job("train", run.path))
        while not launcher.wait(60.0):
            pass
        record = run.read_record()
        times.append(datetime.fromisoformat(record.first_step).timestamp() - submitted)
    launcher.stop()
    return median(times[1:])


def main() -> None:
    cold = wall(sys.executable, "-c", "import torch, lightning.pytorch")
    bare = wall(sys.executable, "-c", "pass")
    told = wall(str(Path(sys.executable).with_name("sklab")), "--help")
    for mode in ("disabled", "offline"):
        with tempfile.TemporaryDirectory() as folder:
            warm = starts(Tracking(mode=mode), Path(folder))
        print(
            f"submit to first step, W&B {mode}: {warm:.3f} s; cold imports alone: {cold:.2f} s; ratio {cold / warm:.1f}"
        )
    print(f"sklab --help: {told:.3f} s; an interpreter that does nothing: {bare:.3f} s; ratio {told / bare:.1f}")


if __name__ == "__main__":
    main()
