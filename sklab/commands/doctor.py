"""The commands about what is installed: models, doctor."""

from __future__ import annotations

import argparse

from sklab.commands.options import COMPLETE, Commands, add_command, add_json, add_sweep_file, folder_of, load
from sklab.commands.plan import costs_here
from sklab.errors import SklabError
from sklab.system.terminal import fitting, one_line


def add_models(commands: Commands) -> None:
    """`sklab models`."""
    text = "list the networks with their parameters and multiply-accumulates"
    add_json(add_command(commands, "models", _models, text))


def add_doctor(commands: Commands) -> None:
    """`sklab doctor`."""
    text = "print versions and devices; with a sweep, check its arithmetic and data"
    doctor = add_command(commands, "doctor", _doctor, text)
    add_sweep_file(doctor, needed=False)
    doctor.add_argument(
        "--all", action="store_true", help="open every image of the sweep's data, not only some of each set"
    )


def _models(options: argparse.Namespace) -> int:
    import json

    from sklab.commands.screen.text import models_text
    from sklab.spec.networks import SETTINGS, image_size, network
    from sklab.sweep.plan.costs import Counted, Network

    counts = Counted(costs_here)([Network(network(name), image_size(name)) for name in SETTINGS])
    rows = [
        {"name": name, "params": params, "macs": macs, "image_size": image_size(name)}
        for name, (params, macs) in zip(SETTINGS, counts, strict=True)
    ]
    print(json.dumps(rows, indent=1) if options.json else fitting(models_text(rows)))
    return COMPLETE


def _try_libraries() -> int:
    from sklab.system.libraries import libraries_text, needed_by_runs, unloadable

    faults = unloadable()
    print(libraries_text(faults))
    if needed_by_runs(faults):
        raise SklabError("no run can start here; install versions of these libraries that fit together")
    return COMPLETE


def _doctor(options: argparse.Namespace) -> int:
    from sklab.commands.screen.text import findings_text, machine_text
    from sklab.launch.local.launcher import LocalLauncher
    from sklab.launch.slots import find_slots
    from sklab.sweep.plan.plan import study_records
    from sklab.sweep.plan.trained_data import changed
    from sklab.sweep.run.preflight import check, check_data, data_refusal, held_by, refusal

    if options.all and options.file is None:
        raise SklabError("--all opens every image of a sweep's data: sklab doctor SWEEP --all")
    slots = find_slots()
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
    told = [*([refusal(bad)] if bad else []), *([data_refusal(data.data_faults)] if data.data_faults else [])]
    study = folder_of(sweep, options)
    told += changed(study, study_records(sweep, study).values(), held_by(sweep, data))
    if told:
        raise SklabError("\n".join(told))
    return COMPLETE
