"""Which of the libraries that sklab may use can't be loaded, tried in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

from sklab.system.processes import signal_name
from sklab.system.safe_path import protect

# What every run loads, and then what commands and single experiments load.
_NEEDED = ("torch", "numpy", "PIL", "simplejpeg", "sklearn", "yaml", "pydantic", "sklab.launch.fork.preload")
_OTHERS = ("optuna", "pandas", "scipy", "matplotlib", "jinja2", "rich", "wandb", "wandb_workspaces", "pyarrow")
_EXTRAS = ("datasets", "timm", "torchvision", "ray", "optuna_dashboard")
_TRY = """
import importlib, sys
for name in sys.argv[1:]:
    print("sklab: trying", name, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        said = str(error).strip().splitlines()
        print("sklab: fault", type(error).__name__, *said[:1], flush=True)
"""


def unloadable() -> dict[str, str]:
    """The installed libraries that can't be loaded, and why; `launch.fork.preload` is what a run loads together."""
    left = [name for name in (*_NEEDED, *_OTHERS, *_EXTRAS) if find_spec(name.partition(".")[0]) is not None]
    faults: dict[str, str] = {}
    while left:
        name, end = _try(left, faults)
        if not end:
            break
        faults[name] = end
        left = left[left.index(name) + 1 :]
    return faults


def _try(names: list[str], faults: dict[str, str]) -> tuple[str, str]:
    """Load `names` one after the other, and enter what goes wrong; the last that was tried, and how it ended the
    process, if it did."""
    protect()
    command = [sys.executable, "-c", _TRY, *names]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, env=hidden, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    name = names[0]
    for line in done.stdout.splitlines():
        if line.startswith("sklab: trying "):
            name = line.removeprefix("sklab: trying ")
        elif line.startswith("sklab: fault "):
            kind, _, said = line.removeprefix("sklab: fault ").partition(" ")
            faults[name] = f"{kind}: {said}" if said else kind
    if done.returncode == 0:
        return name, ""
    return name, f"killed by {signal_name(-done.returncode)}" if done.returncode < 0 else f"exit {done.returncode}"


def libraries_text(faults: dict[str, str]) -> str:
    """What `sklab doctor` says of them."""
    if not faults:
        return "libraries: each that is installed can be loaded"
    lines = [f"  {name}: {why}" for name, why in faults.items()]
    return "\n".join(["libraries that can't be loaded; only what uses them fails:", *lines])


def needed_by_runs(faults: dict[str, str]) -> bool:
    """Whether no run can start."""
    return any(name in faults for name in _NEEDED)
