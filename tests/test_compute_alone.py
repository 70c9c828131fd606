"""The compute plane in a process where optuna and wandb can't be imported, as on a bare cluster node."""

from __future__ import annotations

import subprocess
import sys

from sklab.store.run_folder import RunFolder

ALONE = """
import sys
from pathlib import Path
for missing in ("optuna", "wandb"):
    sys.modules[missing] = None
from sklab.launch.base import Job
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
InlineLauncher(Slot(None, "cpu", 1)).submit(Job("train", Path(sys.argv[1])))
import sklab.launch.fork.preload
"""


def test_a_run_needs_neither_optuna_nor_wandb(tmp_path, toy_order):
    run = RunFolder(tmp_path)
    run.write_order(toy_order())
    subprocess.run([sys.executable, "-c", ALONE, str(run.path)], check=True, timeout=300)
    record = run.read_record()
    assert record is not None
    assert record.status == "complete"
