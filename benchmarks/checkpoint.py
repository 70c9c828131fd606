"""What checkpoints cost a run: seconds that writing takes, as a share of the run's own time, in one run.

    .venv/bin/python benchmarks/checkpoint.py [--network sknet26] [--steps 40] [--every 10]

Trains on small images with one thread, writes a checkpoint whenever one is due, and compares the time spent in that
with the time of the whole run: wall and processor.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from sklab.spec.networks import network
from sklab.spec.run import RunSpec
from sklab.store.records import Code, RunOrder
from sklab.store.run_folder import RunFolder
from sklab.training.run import train

BATCH = 16


def order(name: str, steps: int, every: float) -> RunOrder:
    """A run of `steps` steps in two epochs."""
    experiment = {
        "data": {"name": "scaled_digits", "train_size": BATCH * steps // 2, "val_size": BATCH},
        "model": network(name, in_channels=1, num_classes=10),
        "train": {"epochs": 2, "batch_size": BATCH, "lr": 0.01},
    }
    spec = RunSpec.model_validate({"experiment": experiment, "seed": 0})
    code = Code(version="benchmark")
    return RunOrder(key=spec.key, study="checkpoint", cell=name, spec=spec, code=code, checkpoint_seconds=every)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="sknet26")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--every", type=float, default=10.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    spent = {"wall": 0.0, "processor": 0.0, "written": 0.0}
    size = [0]
    save = Trainer.save_checkpoint

    def timed(self: Trainer, path: str) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        save(self, path)
        spent["wall"] += time.perf_counter() - wall
        spent["processor"] += time.process_time() - processor
        spent["written"] += 1
        size[0] = max(file.stat().st_size for file in folder.checkpoints.iterdir())

    Trainer.save_checkpoint = timed
    asked = order(given.network, given.steps, given.every)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        folder = RunFolder(Path(place))
        folder.write_order(asked)
        wall, processor = time.perf_counter(), time.process_time()
        record = train(asked, folder, torch.device("cpu"))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    assert record.status == "complete", record.reason
    each = 1e3 * spent["wall"] / max(spent["written"], 1)
    print(
        f"{given.network}, {record.params / 1e6:.2f} M parameters, {given.steps} steps in {wall:.1f} s: "
        f"{spent['written']:.0f} checkpoints of {size[0] / 1e6:.1f} MB; "
        f"{100 * spent['wall'] / wall:.2f} % of wall time ({each:.0f} ms each), "
        f"{100 * spent['processor'] / processor:.2f} % of processor time"
    )


if __name__ == "__main__":
    main()
