"""The process of a run, forked from the server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from sklab.launch import fork
from sklab.launch.base import Job
from sklab.launch.slots import Slot

print("imported", flush=True)
if __name__ == "__main__":
    fork._PRELOAD = []  # a run that has ended needs no torch
    process = fork.start(Job("train", Path(sys.argv[1])), Slot(None, "CPU", 1))
    process.join()
    print(process.exitcode, __name__)
"""


def test_a_script_that_starts_runs_is_imported_once(tmp_path):
    run = next((ROOT / "results/example/runs").iterdir())
    shutil.copytree(run, tmp_path / "run")
    script = tmp_path / "study.py"
    script.write_text(SCRIPT)
    printed = subprocess.run([sys.executable, script, tmp_path / "run"], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ["imported", "0", "__main__"]
    assert printed.stderr == ""
