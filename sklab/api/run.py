"""A sweep from Python: the options of `sklab sweep` as keyword arguments, and what a notebook's kernel needs beside."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict

from sklab.api.study import Study
from sklab.commands.options import USER_ERROR, choose_code, typed
from sklab.commands.run import SweepOptions, add_sweep, sweep_here
from sklab.errors import SklabError
from sklab.launch.fork.spare import server_ended
from sklab.spec.names import meant
from sklab.store.study_folder import StudyFolder
from sklab.system.safe_path import protect

if TYPE_CHECKING:
    from typing import Unpack

_SET_BY_PROTECT = ("PATH", "PYTHONPATH", "PYTHONSAFEPATH")
_OVER_BUDGET = "the sweep takes more than its budget, so nothing was started; fewer seeds or epochs, or a larger budget"
_NOT_HERE = ("help", "plan")  # of the command's options
_one_at_a_time = threading.Lock()  # streams, environment and server belong to the whole process


class RunOptions(TypedDict, total=False):
    """The keyword arguments of `run`: the options that `sklab sweep --help` explains, with `_` for `-`.

    set            values of the experiment by their paths: `{"train.epochs": 2}`
    gpus           one number, or several
    per_gpu        a number, or `"auto"`; so is `abreast`
    log            one name, or several: `"wandb"`, `"tensorboard"`, `"mlflow"`, `"csv"`
    wandb          settings by their names: `{"project": "kernels"}`
    stale_after    minutes
    budget         device-hours as text: `"90m"`, `"40h"`, `"2d"`
    """

    experiment: str | Path
    seeds: int
    toy: bool
    set: Mapping[str, Any]
    results: str | Path
    slots: int
    launcher: str | Path
    gpus: str | int | Sequence[int]
    cpu: bool
    per_gpu: int | Literal["auto"]
    abreast: int | Literal["auto"]
    log: str | Sequence[str]
    wandb: Mapping[str, str]
    no_wandb: bool
    stale_after: float
    max_identical: int
    no_reuse: bool
    strict: bool
    code: str | Path
    budget: str


def run(sweep: str | Path, **options: Unpack[RunOptions]) -> Study:
    """Train what is missing of a sweep, write its report and give the study: `sklab sweep` from Python.

    sweep    a sweep file
    options  the options of the command, as in `RunOptions`

    Its progress is printed as lines on standard output. The runs are trained in processes of their own, so it can be
    called from a notebook, from any thread, and from a script without `if __name__ == "__main__"`. When it is
    interrupted (Ctrl-C, the stop button of a notebook), the runs write checkpoints, and the same call goes on from
    there. Runs that fail stand in the study with their reasons.

    Raises SklabError where the sweep or an option is faulty (all faults at once), and where the sweep takes more than
    its `budget`.
    """
    shown: list[StudyFolder] = []
    with _one_at_a_time, redirect_stdout(sys.stdout), redirect_stderr(sys.stdout), _process_kept():
        protect()
        code = sweep_here(_options(sweep, options), lambda folder: _written(folder, shown))
    if code == USER_ERROR:
        raise SklabError(_OVER_BUDGET)
    return Study(shown[0])


def _written(folder: StudyFolder, shown: list[StudyFolder]) -> int:
    from sklab.commands.results import write_report

    write_report(folder)
    shown.append(folder)
    return 0


@contextmanager
def _process_kept() -> Iterator[None]:
    """Leave the caller's process as it was: without the environment and the server of the runs."""
    before = {name: os.environ.get(name) for name in _SET_BY_PROTECT}
    try:
        with server_ended():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Parser(argparse.ArgumentParser):
    """The command's own parser; what it would print before it exits is an error here."""

    def error(self, message: str) -> NoReturn:
        raise SklabError(f"run: {message}")


def _options(sweep: str | Path, given: Mapping[str, Any]) -> SweepOptions:
    """The options of the command from keyword arguments. Raises SklabError for those that it does not have."""
    parser = _Parser(prog="run", allow_abbrev=False)
    commands: Any = parser.add_subparsers()
    add_sweep(commands)
    known = known_options(commands.choices["sweep"])
    for name in given:
        if name not in known:
            raise SklabError(f"run: unknown option {name!r}; allowed: {', '.join(known)}{meant(name, known)}")
    words = [word for name, value in given.items() for word in _words(known[name], value)]
    options = parser.parse_args(["sweep", *words, "--", str(sweep)])
    choose_code(options)
    return typed(SweepOptions, options)


def known_options(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of a command that `run` takes, by their names as keyword arguments."""
    actions = [action for action in command._actions if action.option_strings]
    named = {action.option_strings[-1].lstrip("-").replace("-", "_"): action for action in actions}
    return {name: action for name, action in named.items() if name not in _NOT_HERE}


def _words(action: argparse.Action, value: Any) -> list[str]:
    """An option as words of a command line."""
    flag = action.option_strings[-1]
    if action.nargs == 0:
        return [flag] if value else []
    return [f"{flag}={text}" for text in _texts(value, repeated=isinstance(action.default, list))]


def _texts(value: Any, *, repeated: bool) -> list[str]:
    """The value of an option as text, once or, where the option may be `repeated`, once for each of its values."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [f"{path}={_yaml(entry)}" for path, entry in value.items()]
    several = [str(entry) for entry in value] if isinstance(value, Sequence) and not isinstance(value, str) else None
    return [str(value)] if several is None else several if repeated else [",".join(several)]


def _yaml(value: Any) -> str:
    """A value as text that is read as it again; text stays as it is, as on a command line."""
    import yaml

    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=sys.maxsize).removesuffix("...\n").strip()
