"""The commands about the installation: models and doctor; and the installed libraries that can't be loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from sklab.commands.options import (
    COMPLETE,
    Commands,
    SweepFileOptions,
    add_command,
    add_cpu,
    add_json,
    add_sweep_file,
    folder_of,
    load,
)
from sklab.commands.plan import costs_here
from sklab.errors import SklabError
from sklab.system.phases import phase
from sklab.system.processes import signal_name
from sklab.system.safe_path import protect
from sklab.system.terminal import fitting, one_line

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
        lines = str(error).strip().splitlines()
        print("sklab: fault", type(error).__name__, *lines[:1], flush=True)
"""


@dataclass(frozen=True)
class ModelsOptions:
    """The options of `sklab models`."""

    json: bool


@dataclass(frozen=True)
class DoctorOptions(SweepFileOptions):
    """The options of `sklab doctor`; without a file it looks at the machine alone."""

    all: bool
    cpu: bool


def add_models(commands: Commands) -> None:
    """`sklab models`."""
    text = "list the networks with their parameters and multiply-accumulates"
    add_json(add_command(commands, "models", _models, ModelsOptions, text))


def add_doctor(commands: Commands) -> None:
    """`sklab doctor`."""
    text = "print versions and devices; with a sweep, check its arithmetic and data"
    doctor = add_command(commands, "doctor", _doctor, DoctorOptions, text)
    add_sweep_file(doctor, needed=False)
    add_cpu(doctor)
    doctor.add_argument(
        "--all", action="store_true", help="open every image of the sweep's data, not only some of each set"
    )


def _models(options: ModelsOptions) -> int:
    import json

    from sklab.commands.screen.text import models_text
    from sklab.spec.networks import SETTINGS, image_size, network
    from sklab.sweep.plan.costs import CostCounter, Network

    counts = CostCounter(costs_here)([Network(network(name), image_size(name)) for name in SETTINGS])
    rows = [
        {"name": name, "params": params, "macs": macs, "image_size": image_size(name)}
        for name, (params, macs) in zip(SETTINGS, counts, strict=True)
    ]
    print(json.dumps(rows, indent=1) if options.json else fitting(models_text(rows)))
    return COMPLETE


def _try_libraries() -> int:
    with phase("loading every installed library"):
        faults = unloadable()
    print(libraries_text(faults))
    if needed_by_runs(faults):
        raise SklabError("no run can start here; install versions of these libraries that fit together")
    return COMPLETE


def _doctor(options: DoctorOptions) -> int:
    from sklab.commands.screen.text import findings_text, machine_text
    from sklab.launch.local.launcher import LocalLauncher
    from sklab.launch.slots import find_slots
    from sklab.sweep.plan.trained_data import changed
    from sklab.sweep.run.preflight import check, check_data, data_refusal, held_by, network_refusal, refusal

    if options.all and options.file is None:
        raise SklabError("--all opens every image of a sweep's data: sklab doctor SWEEP --all")
    slots = find_slots(gpus=[] if options.cpu else None)
    print(fitting(machine_text(slots)))
    if options.file is None:
        return _try_libraries()
    launcher = LocalLauncher(slots[:1])
    try:
        sweep = load(options)
        result = check(sweep, launcher, options.results)
        data = check_data(sweep, launcher, options.results, every_image=options.all)
    finally:
        launcher.stop()
    print(fitting("\n".join([findings_text(result), *map(one_line, data.data_notices)])))
    bad = [finding for finding in result.findings if not finding.ok]
    problems = [
        *([refusal(bad)] if bad else []),
        *([network_refusal(data.network_faults)] if data.network_faults else []),
        *([data_refusal(data.data_faults)] if data.data_faults else []),
    ]
    study = folder_of(sweep, options.results)
    records = study.records(key for cell in sweep.cells for key in cell.runs.values())
    problems += changed(study, records.values(), held_by(sweep, data))
    if problems:
        raise SklabError("\n".join(problems))
    return COMPLETE


def unloadable() -> dict[str, str]:
    """The installed libraries that can't be loaded, with the reasons. A run loads those of `launch.fork.preload`
    together."""
    untried = [name for name in (*_NEEDED, *_OTHERS, *_EXTRAS) if find_spec(name.partition(".")[0]) is not None]
    faults: dict[str, str] = {}
    while untried:
        name, end = _try(untried, faults)
        if not end:
            break
        faults[name] = end
        untried = untried[untried.index(name) + 1 :]
    return faults


def _try(names: list[str], faults: dict[str, str]) -> tuple[str, str]:
    """Load `names` one after the other in a process and add each fault to `faults`. Returns the last name tried, and
    how that library ended the process; "" if it did not."""
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
            kind, _, text = line.removeprefix("sklab: fault ").partition(" ")
            faults[name] = f"{kind}: {text}" if text else kind
    if done.returncode == 0:
        return name, ""
    return name, f"killed by {signal_name(-done.returncode)}" if done.returncode < 0 else f"exit {done.returncode}"


def libraries_text(faults: dict[str, str]) -> str:
    """The lines of `sklab doctor` about these libraries."""
    if not faults:
        return "libraries: each that is installed can be loaded"
    lines = [f"  {name}: {why}" for name, why in faults.items()]
    return "\n".join(["libraries that can't be loaded; only what uses them fails:", *lines])


def needed_by_runs(faults: dict[str, str]) -> bool:
    """Whether no run can start."""
    return any(name in faults for name in _NEEDED)
