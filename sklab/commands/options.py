"""What the commands share: exit codes, options, and the values of these options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from sklab.errors import SklabError
from sklab.system.phases import phase
from sklab.system.terminal import tell

if TYPE_CHECKING:
    from sklab.launch.slots import Slot
    from sklab.spec.study.sweep import Sweep
    from sklab.store.study_folder import StudyFolder

COMPLETE, SOME_FAILED, USER_ERROR, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
N = TypeVar("N", int, float)
Options = TypeVar("Options")


@dataclass(frozen=True)
class StudyOptions:
    """The options of `add_study`."""

    study: str
    results: Path


@dataclass(frozen=True)
class StudyJsonOptions(StudyOptions):
    """The options of `add_study` and `add_json`."""

    json: bool


@dataclass(frozen=True)
class SweepFileOptions:
    """The options of `add_sweep_file`; `file` is None only where it is not needed."""

    file: Path | None
    experiment: Path | None
    seeds: int | None
    toy: bool
    set: list[str]
    results: Path


@dataclass(frozen=True)
class SlotOptions:
    """The options of `add_gpus`, and the number of runs at a time."""

    slots: int | None
    gpus: str | None
    cpu: bool
    per_gpu: str | None
    abreast: str | None


@dataclass(frozen=True)
class LogOptions:
    """The options of `add_log`."""

    log: str
    wandb: list[str]
    no_wandb: bool


def add_command(
    commands: Commands, name: str, call: Callable[[Options], int], options: type[Options], text: str
) -> argparse.ArgumentParser:
    """Add a command: `call` runs it with its `options`; `text` is its line in the help."""
    added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    added.set_defaults(command=call, options=options)
    return added


def typed(options: type[Options], given: object) -> Options:
    """The options of a command from parsed arguments, or from another command's options; missing ones have their
    defaults."""
    names = [field.name for field in fields(options)]  # type: ignore[arg-type]  # every `options` is a dataclass
    return options(**{name: getattr(given, name) for name in names if hasattr(given, name)})


def add_sweep_file(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    """The sweep file and the options that change it; `load` reads them."""
    parser.add_argument("file", type=Path, metavar="SWEEP", nargs=None if needed else "?", help="a sweep file")
    parser.add_argument("--experiment", type=Path, metavar="FILE", help="run the sweep on this experiment instead")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 instead of the sweep's")
    text = "at toy size, on noise, as study STUDY-toy: shows that the sweep works; its numbers mean nothing"
    parser.add_argument("--toy", action="store_true", help=text)
    add_set(parser)
    add_results(parser)
    add_code(parser)


def add_code(parser: argparse.ArgumentParser) -> None:
    """The option `--code`, which `choose_code` reads."""
    text = "execute this Python file of your own, which defines a network, data set, optimizer, augmentation or metric "
    text += '(default: what code = "FILE" in the nearest sklab.toml names)'
    parser.add_argument("--code", type=Path, metavar="FILE", help=text)


def choose_code(options: argparse.Namespace) -> None:
    """Name the file of own code for the command with these options; nothing for one that needs none."""
    if hasattr(options, "code"):
        from sklab.own.files import choose

        file = getattr(options, "file", None)
        choose(options.code, file.parent if file else None, options.results)


def add_gpus(parser: argparse.ArgumentParser) -> None:
    """The options for the GPUs of this machine and the number of runs on each; `slots_of` reads them."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--gpus", metavar="I,J,...", help="only these GPUs (default: all that nobody else uses)")
    add_cpu(where)
    how_many = parser.add_mutually_exclusive_group()
    text = "runs at a time on each GPU (default: 1); auto: twice as many as long as that pays"
    how_many.add_argument("--per-gpu", metavar="K", help=text)
    text = "the same, but one process trains all runs of a GPU in turn, with the same numbers: for small networks"
    how_many.add_argument("--abreast", metavar="K", help=text)


def add_cpu(parser: argparse._ActionsContainer) -> None:
    """The option `--cpu`."""
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU, whatever GPUs there are")


def add_set(parser: argparse.ArgumentParser) -> None:
    """The option `--set`, which `overrides_of` reads."""
    text = "replace a value of the experiment, for example train.epochs=2 (may be repeated)"
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help=text)


def add_reuse(parser: argparse.ArgumentParser) -> None:
    """The options `--no-reuse` and `--strict`."""
    parser.set_defaults(reuse="any code")
    from_others = parser.add_mutually_exclusive_group()
    text = "train also what another study under DIR has finished"
    from_others.add_argument("--no-reuse", dest="reuse", action="store_const", const="never", help=text)
    text = "take from other studies only runs of this version and commit of sklab, without uncommitted changes"
    from_others.add_argument("--strict", dest="reuse", action="store_const", const="same code", help=text)


def add_log(parser: argparse.ArgumentParser) -> None:
    """The loggers of runs, and what goes to W&B."""
    text = "what else follows the runs: wandb, tensorboard, mlflow, csv, with a comma between (default: wandb)"
    parser.add_argument("--log", metavar="NAME,...", default="wandb", help=text)
    text = (
        "a setting of W&B: mode, project, entity, group, name, tags, notes, artifacts=weights,table, system=on; before"
        " its variable WANDB_... (may be repeated)"
    )
    parser.add_argument("--wandb", action="append", default=[], metavar="KEY=VALUE", help=text)
    parser.add_argument("--no-wandb", action="store_true", help="do not log to Weights & Biases")


def add_budget(parser: argparse.ArgumentParser, text: str) -> None:
    """The option `--budget`."""
    parser.add_argument("--budget", metavar="TIME", help=text)


def add_study(parser: argparse.ArgumentParser) -> None:
    """The study, which `study_folder` finds."""
    parser.add_argument("study", metavar="STUDY", help="name of a study under DIR, or a path to its folder")
    add_results(parser)


def add_run(parser: argparse.ArgumentParser, also: str = "", *, needed: bool = True) -> None:
    """The run, which `sweep.state.named.run_of_words` finds; `also` says what else may be named."""
    text = f"{also}STUDY CELL SEED (the seed may be left out where the cell has one run), or STUDY/key, key or folder"
    parser.add_argument("run", metavar="RUN", nargs="+" if needed else "*", help=text)


def add_results(parser: argparse.ArgumentParser) -> None:
    """The option `--results`."""
    text = "folder of the studies (default: results)"
    parser.add_argument("--results", type=Path, metavar="DIR", default=Path("results"), help=text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def load(options: SweepFileOptions) -> Sweep:
    """The sweep of the given file, with the changes that the options make."""
    assert options.file is not None
    overrides = overrides_of(options.set)
    with phase(f"reading {options.file}"):
        from sklab.sweep.design.toy import toy
        from sklab.sweep.files.load import load_sweep

        sweep = load_sweep(options.file, experiment=options.experiment, seeds=options.seeds, overrides=overrides)
        return toy(sweep, options.seeds) if options.toy else sweep


def overrides_of(texts: list[str]) -> dict[str, str]:
    """The `--set path=value` options as a mapping. Raises SklabError for one without a value."""
    return pairs_of(texts, "--set", "train.epochs=2")


def pairs_of(texts: list[str], option: str, example: str) -> dict[str, str]:
    """The `key=value` texts of an option as a mapping. Raises SklabError for one without a value."""
    pairs = {text: text.partition("=") for text in texts}
    for text, (path, equals, _) in pairs.items():
        if not (path and equals):
            raise SklabError(f"{option}: found {text!r}; allowed: path=value, for example {example}")
    return {path: value for path, _, value in pairs.values()}


def study_folder(name: str, results: Path) -> StudyFolder:
    """The folder of a study that is given by its name under `--results`, or by the path of the folder."""
    from sklab.store.study_folder import find_study

    given = Path(name)
    if len(given.parts) > 1 and given.is_file():  # a path: no study has such a name
        raise SklabError(f"{name} is a file; a study is given by its name or its folder, for example {given.stem}")
    return find_study(name, results)


def study_alone(words: list[str], results: Path) -> StudyFolder | None:
    """The study that the words of `add_run` name; None where they name a run."""
    study = study_folder(words[0], results) if len(words) == 1 else None
    return study if study and study.sweep_file.exists() else None


def folder_of(sweep: Sweep, results: Path) -> StudyFolder:
    """The folder of the sweep's study under `--results`, whether it exists or not."""
    from sklab.store.study_folder import StudyFolder

    return StudyFolder(results / sweep.study)


def at_least(option: str, given: N | None, least: N, default: N) -> N:
    """The value of a numeric option, or its default. Raises SklabError for a smaller one, or no number."""
    value = default if given is None else given
    if not value >= least:  # a NaN is not
        raise SklabError(f"{option}: found {value}; allowed: {least} or more (default: {default:g})")
    return value


def slots_of(sweep: Sweep | None, options: SlotOptions) -> tuple[Slot, ...]:
    """The slots of this machine for the runs of the sweep; None stands for one whose runs take one device each. Raises
    SklabError where GPUs are meant and none can be used."""
    from sklab.launch.local.gpus import choose_gpus
    from sklab.launch.slots import find_slots, runs_per_gpu
    from sklab.sweep.run.preflight import ensure_abreast, most_devices

    option, given = ("--abreast", options.abreast) if options.abreast else ("--per-gpu", options.per_gpu)
    per_gpu = runs_per_gpu(given or "1", option)
    with phase("looking for GPUs"):
        gpus = [] if options.cpu else choose_gpus(options.gpus, tell)
    if options.abreast and sweep:
        ensure_abreast(sweep)
    return find_slots(options.slots, most_devices(sweep) if sweep else 1, gpus, per_gpu, option)


def device_of(*, cpu: bool) -> str:
    """Where a command computes by itself: "cuda" where there are GPUs, unless `cpu`. Raises SklabError as `slots_of`
    does."""
    from sklab.launch.slots import find_gpus

    return "cuda" if not cpu and find_gpus() else "cpu"
