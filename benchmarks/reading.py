"""How long 10,000 finished runs take to read: `sklab table` and `sklab report`, beside a plain loop.

    python benchmarks/reading.py [--cells 1000] [--seeds 10] [--repeats 5]

Makes a study in a temporary folder and times whole processes, from the start of the interpreter to the last printed
line, taking turns: wall time, and processor time, which a busy machine spoils less. The plain loop reads the same files
with `json`, takes the mean per cell with pandas and prints it: no checks, no intervals, no tests.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from sklab.spec.networks import SETTINGS
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.study.sweep import Cell, Sweep
from sklab.store.files import sealed
from sklab.store.hardware import Hardware
from sklab.store.records import Code, RunRecord
from sklab.store.study_folder import StudyFolder

TABLE = "import sys; from sklab.cli import main; sys.exit(main(['table', sys.argv[1]]))"
REPORT = "import sys; from sklab.cli import main; sys.exit(main(['report', sys.argv[1]]))"
PLAIN = """
import json, sys
from pathlib import Path
import pandas as pd
records = [json.loads(file.read_bytes()) for file in Path(sys.argv[1]).glob("runs/*/record.json")]
rows = [{"cell": record["cell"], "error": record["last"]["val_error"]} for record in records]
print(pd.DataFrame(rows).groupby("cell")["error"].mean().to_string())
"""


class Times(NamedTuple):
    """Seconds of one process: on the clock, and of processor."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the reading of a large study.")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "reading"
        write_study(folder, options.cells, options.seeds)
        print(f"{options.cells} cells x {options.seeds} seeds, {options.repeats} times each")
        table, plain = measure(folder, options.repeats)
        report = timed(REPORT, folder)
        size = (folder / "report.html").stat().st_size / 1e6
    print(f"table    {show(table)}")
    print(f"plain    {show(plain)}")
    print(f"report   {show([report])}, report.html {size:.1f} MB")
    print(f"ratio    {min(table).wall / min(plain).wall:.2f}  (table / plain loop, wall time, of the best)")


def measure(folder: Path, repeats: int) -> tuple[list[Times], list[Times]]:
    pairs = [(timed(TABLE, folder), timed(PLAIN, folder)) for _ in range(repeats)]
    return [table for table, _ in pairs], [plain for _, plain in pairs]


def timed(code: str, folder: Path) -> Times:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, str(folder)], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Times(time.perf_counter() - start, cpu)


def show(times: list[Times]) -> str:
    walls, cpus = zip(*times, strict=True)
    return (
        f"best {min(walls):.2f} s, median {statistics.median(walls):.2f} s; "
        f"processor: best {min(cpus):.2f} s, median {statistics.median(cpus):.2f} s"
    )


def write_study(path: Path, cells: int, seeds: int) -> None:
    """A finished study with errors drawn at random, every file as the training plane writes it."""
    draw = random.Random(0)
    tree = {
        "data": {"name": "scaled_digits"},
        "model": SETTINGS["sknet_small"],
        "train": {"epochs": 20, "batch_size": 64, "lr": 0.1},
    }
    experiment = Experiment.model_validate(tree)
    folder = StudyFolder(path)
    sweep = make_sweep(tree, cells, seeds)
    folder.write_sweep(sweep)
    templates = {seed: template(RunSpec(experiment=experiment, seed=seed)) for seed in sweep.seeds}
    for cell in sweep.cells:
        for seed, key in cell.runs.items():
            error = draw.gauss(15.0, 2.0)
            changes = {"key": key, "cell": cell.name, "factors": cell.factors, "last": {"val_error": error}}
            run = folder.run(key)
            run.path.mkdir(parents=True)
            run.record_file.write_text(sealed(templates[seed].model_copy(update=changes)))
            run.metrics_file.write_text(curve(error))


def make_sweep(tree: dict[str, object], cells: int, seeds: int) -> Sweep:
    made = tuple(
        Cell(
            name=f"cell {at}",
            factors={"r": str(at)},
            settings={"model.reduction": at + 1},
            runs={seed: f"{at * seeds + seed:016x}" for seed in range(seeds)},
        )
        for at in range(cells)
    )
    return Sweep(
        study="reading", experiment_name="benchmark", experiment=tree, design="grid", seeds=tuple(range(seeds)),
        baseline="cell 0", columns=("r",), cells=made,
    )  # fmt: skip


def template(spec: RunSpec) -> RunRecord:
    return RunRecord(
        key="", study="reading", cell="", spec=spec, code=Code(version="0.1.0", commit="0" * 40), status="complete",
        best={"train_loss": 0.5, "val_loss": 0.6, "val_error": 14.0}, best_epoch=18, epochs=20, params=60_000,
        macs=9_000_000, wall_seconds=21.0, train_seconds=20.0, samples_per_second=6000.0, peak_memory_mb=400.0,
        hardware=Hardware(host="machine", device="cpu", device_name="processor", threads=1),
        versions={"python": "3.11", "torch": "2.13", "lightning": "2.6", "numpy": "2.4"},
        started="2026-01-01T00:00:00+00:00", ended="2026-01-01T00:00:21+00:00",
    )  # fmt: skip


def curve(error: float) -> str:
    lines = [f"{epoch},{1 / epoch},{1 / epoch},{error + 40 / epoch - 2},0.1,1.0" for epoch in range(1, 21)]
    return "\n".join(["epoch,train_loss,val_loss,val_error,lr,seconds", *lines, ""])


if __name__ == "__main__":
    main()
