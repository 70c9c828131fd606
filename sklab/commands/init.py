"""The command init: from a folder of photos to an experiment and a sweep over it."""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklab.commands.options import (
    COMPLETE,
    Commands,
    SlotOptions,
    add_budget,
    add_command,
    add_gpus,
    add_json,
    slots_of,
)
from sklab.errors import SklabError
from sklab.system.phases import phase
from sklab.system.terminal import duration, fitting, quantity, tell

if TYPE_CHECKING:
    from sklab.data.look.layout import Layout
    from sklab.data.look.opening import Found
    from sklab.launch.slots import Slot
    from sklab.sweep.proposal.choose import Choice, Trained

_BUDGET = "1h"
_TRIES = 2  # choices that are probed until one takes about the time that is allowed
_ENOUGH, _TOO_LONG = 0.3, 1.1  # of the budget: with less, a larger network is tried; with more, a smaller one


@dataclass(frozen=True)
class InitOptions(SlotOptions):
    """The options of `sklab init`."""

    folder: Path
    to: Path
    weights: Path | None
    budget: str | None
    force: bool
    json: bool


@dataclass(frozen=True)
class Files:
    """The files that `init` writes, called `name`."""

    name: str
    to: Path

    @property
    def experiment(self) -> Path:
        """The experiment file."""
        return self.to / "experiments" / f"{self.name}.yaml"

    @property
    def sweep(self) -> Path:
        """The sweep file."""
        return self.to / "sweeps" / f"{self.name}.yaml"


def add_init(commands: Commands) -> None:
    """`sklab init`."""
    text = "look at a folder of photos, and write an experiment and a sweep with settings that fit"
    parser = add_command(commands, "init", _init, InitOptions, text)
    layouts = "root/train/<class>/* and root/val/<class>/*, or root/<class>/* without splits"
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=f"the photos: {layouts}")
    text = "the folder that gets experiments/NAME.yaml and sweeps/NAME.yaml (default: the current one)"
    parser.add_argument("--to", type=Path, metavar="DIR", default=Path(), help=text)
    text = "start from trained weights: .safetensors, .pt or .pth of a ResNeXt or an SKNet, or the folder of a run"
    parser.add_argument("--weights", type=Path, metavar="FILE", help=text)
    parser.add_argument("--force", action="store_true", help="replace these files where they exist")
    parser.add_argument("--slots", type=int, metavar="N", help="runs at a time, for the time estimate")
    add_gpus(parser)
    add_budget(parser, f"time that the sweep may take on this machine (90m, 40h, 2d; default: {_BUDGET})")
    add_json(parser)


def _init(options: InitOptions) -> int:
    from sklab.data.look.layout import layout_of
    from sklab.sweep.plan.prices import hours

    budget = 3600 * hours(options.budget or _BUDGET)
    files = Files(_name(options.folder), options.to)
    _ensure_new(files, force=options.force)
    trained = _trained(options.weights, files)
    found, seconds_each = _looked(layout_of(options.folder.expanduser()))
    choice, seconds = _priced(found, seconds_each, files, options, budget, trained)
    next_commands = [f"sklab {command} {shlex.quote(str(files.sweep))}" for command in ("plan", "sweep")]
    if options.json:
        print(json.dumps(_as_json(found, choice, files, seconds, next_commands), indent=1))
        return COMPLETE
    _show(found, choice, files, seconds, budget)
    print("next:\n" + "\n".join(f"  {command}" for command in next_commands))
    return COMPLETE


def _name(folder: Path) -> str:
    """A name of a study after the folder."""
    from sklab.spec.names import study_with_ending

    name = study_with_ending(folder.expanduser().resolve().name.lstrip("._-") or "photos", "")
    return name if name[0].isalnum() else f"photos{name}"


def _ensure_new(files: Files, *, force: bool) -> None:
    for file in (files.experiment, files.sweep):
        if file.exists() and not force:
            raise SklabError(f"{file} exists and is not replaced; --force replaces it, --to DIR writes elsewhere")


def _looked(layout: Layout) -> tuple[Found, float]:
    """The folder, looked at, and the seconds that reading and decoding an image took in one thread."""
    from sklab.data.look.opening import MOST, look

    total = min(MOST, sum(len(files) for classes in layout.images.values() for files in classes.values()))
    used = time.process_time()
    with phase(f"looking at {quantity(total, 'image')}", total) as looking:
        found = look(layout, looking.advance)
    return found, (time.process_time() - used) / max(1, total)


def _priced(
    found: Found, seconds_each: float, files: Files, options: InitOptions, budget: float, trained: Trained | None
) -> tuple[Choice, float | None]:
    """The choice whose sweep takes about as long as the budget at most, written to the files, and the seconds that it
    will take by a probe; None where the probe failed."""
    from sklab.commands.plan import costs_here
    from sklab.sweep.plan.costs import CostCounter, Network
    from sklab.sweep.plan.prices import resources_of
    from sklab.sweep.proposal.choose import Machine, choose, with_epochs_for

    slots = slots_of(None, options)
    count = CostCounter(costs_here)
    machine = Machine(len(slots), resources_of(slots).gpu, seconds_each)
    root, scale, before = _named(options.folder, files), 1.0, None
    choice, seconds = None, None
    for _ in range(_TRIES):
        choice = choose(
            found, root, machine, budget * scale, lambda model, size: count([Network(model, size)])[0][1], trained
        )
        if before is not None and before.same_as(choice):
            break
        _write(found, choice, files, None)
        seconds, before = _measured(files, slots), choice
        if seconds is None or _ENOUGH * budget <= seconds <= _TOO_LONG * budget:
            break
        scale *= choice.seconds / seconds
    assert choice is not None
    if seconds is not None and seconds > _TOO_LONG * budget:
        choice = with_epochs_for(replace(choice, seconds=seconds), budget)
        seconds = choice.seconds
    _write(found, choice, files, seconds)
    return choice, seconds


def _trained(weights: Path | None, files: Files) -> Trained | None:
    """The trained weights to start from. Raises SklabError for a file that can't be read, and for one for which no
    sweep is proposed."""
    if weights is None:
        return None
    from pydantic import ValidationError

    from sklab.models.weights.start import network_of
    from sklab.spec.start.weights import Weights
    from sklab.store.files import first_fault
    from sklab.sweep.proposal.choose import Trained
    from sklab.sweep.proposal.write import ensure_known

    with phase("reading the weights"):
        try:
            base = network_of(Weights.model_validate(str(weights)))
        except ValidationError as error:
            raise SklabError(f"--weights: {first_fault(error).removeprefix('Value error, ')}") from None
        except SklabError as error:
            raise SklabError(f"--weights: {error}") from None
    ensure_known(base, str(weights))
    return Trained(base, _named(weights, files))


def _named(path: Path, files: Files) -> str:
    """A folder or file as the experiment names it: relative to it where both lie in one project, else absolute."""
    absolute, project = path.expanduser().resolve(), files.to.resolve()
    beside = absolute.is_relative_to(project) or (absolute.is_relative_to(Path.cwd()) and project == Path.cwd())
    return os.path.relpath(absolute, files.experiment.parent.resolve()) if beside else str(absolute)


def _write(found: Found, choice: Choice, files: Files, seconds: float | None) -> None:
    from sklab.store.files import write_whole
    from sklab.sweep.proposal.write import experiment_text, sweep_text

    title = f"{found.layout.root.resolve().name}, {found.total:,} images of {len(found.layout.classes)} classes"
    fewest = min(found.counts[found.layout.train].values())
    taken = f"about {duration(seconds)} on the machine of `sklab init`" if seconds is not None else "not measured"
    for file, text in (
        (files.experiment, experiment_text(choice, title, fewest, taken, str(found.layout.root))),
        (files.sweep, sweep_text(choice, files.name, title, taken)),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text)


def _measured(files: Files, slots: tuple[Slot, ...]) -> float | None:
    """The seconds that the sweep will take, by a few steps of each of its cells; None where these fail."""
    from sklab.commands.plan import probed
    from sklab.store.study_folder import StudyFolder
    from sklab.store.versions import this_code
    from sklab.sweep.files.load import load_sweep
    from sklab.sweep.plan.plan import price_left
    from sklab.sweep.plan.prepared import Start, prepare
    from sklab.sweep.plan.prices import resources_of

    sweep = load_sweep(files.sweep)
    study = prepare(Start(sweep, StudyFolder(files.to / "results" / sweep.study), this_code(), "never"))
    probes = probed(study, slots, len(slots))
    if faults := list(dict.fromkeys(probe.fault for probe in probes.values() if probe.fault)):
        tell(f"warning: no time estimate: {faults[0]}")
        return None
    bill = price_left(study, resources_of(slots), probes)
    return bill.seconds if bill else None


def _show(found: Found, choice: Choice, files: Files, seconds: float | None, budget: float) -> None:
    from sklab.commands.screen.found import chosen_lines, found_lines, hint_lines

    for line in (*found_lines(found), *chosen_lines(choice), *hint_lines(found, choice)):
        print(fitting(line))
    print(f"written: {files.experiment}, {files.sweep}")
    if seconds is not None:
        print(f"time of the sweep here: about {duration(seconds)}")
        if seconds > _TOO_LONG * budget:
            print(fitting("  that is more than --budget: fewer seeds, a smaller data.image_size or a GPU make it less"))


def _as_json(
    found: Found, choice: Choice, files: Files, seconds: float | None, next_commands: list[str]
) -> dict[str, Any]:
    from sklab.commands.screen.found import warnings

    sides = found.shorter_sides
    return {
        "folder": str(found.layout.root),
        "counts": found.counts,
        "opened": len(found.opened),
        "shorter_side": {"smallest": sides[0], "median": sides[len(sides) // 2], "largest": sides[-1]},
        "modes": dict(found.modes),
        "unreadable": {image.file: image.fault for image in found.faulty},
        "copies": [[image.file for image in group] for group in found.copies()],
        "warnings": list(warnings(found)),
        "chosen": {"data": choice.data, "model": choice.model, "train": choice.train, "metric": choice.metric},
        "why": dict(choice.why),
        "experiment": str(files.experiment),
        "sweep": str(files.sweep),
        "seconds": seconds,
        "next": next_commands,
    }
