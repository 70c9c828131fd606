"""The command line: parse, one call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

from sklab.system.safe_path import leave_current_directory, protect

if __name__ == "__main__":
    leave_current_directory()

import argparse
import io
import os
import platform
import sys
import warnings
from datetime import datetime

from sklab.system import terminal
from sklab.commands.analyze import add_analyze
from sklab.commands.confirm import add_confirm
from sklab.commands.doctor import add_doctor, add_models
from sklab.commands.evaluate import add_evaluate
from sklab.commands.export import add_archive, add_export
from sklab.commands.init import add_init
from sklab.commands.options import INTERRUPTED, UNREAD, USER_ERROR, choose_code, typed
from sklab.commands.plan import add_plan
from sklab.commands.results import add_compare, add_costs, add_report, add_table
from sklab.commands.run import add_retry, add_sweep, add_train
from sklab.commands.results import add_wandb
from sklab.commands.status import add_dashboard, add_list, add_logs, add_status
from sklab.commands.screen.phases import show_phase
from sklab.errors import SklabError
from sklab.system.phases import phases_shown_by
from sklab.system.terminal import tell

# In the order of `sklab --help`.
_COMMANDS = (
    *(add_init, add_sweep, add_plan, add_list, add_status, add_logs, add_dashboard, add_retry, add_table),
    *(add_report, add_wandb, add_compare, add_costs, add_confirm, add_train, add_evaluate, add_analyze),
    *(add_export, add_archive, add_models, add_doctor),
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0: all runs complete, 1: some failed or diverged, 2: user error, 130: asked
    to stop, 141: nobody reads its output any further (`| head`)."""
    terminal.open_closed_streams()
    terminal.outlast_readers()
    protect()
    os.environ["MPLBACKEND"] = "svg"  # we draw files; another one, as of a notebook, may not be installed here
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no ± gets a ?
    terminal.escape_control_characters()
    warnings.formatwarning = _in_a_line
    options = parser().parse_args(arguments)
    try:
        _check_clock()
        choose_code(options)
        with phases_shown_by(show_phase):
            code = int(options.command(typed(options.options, options)))
        sys.stdout.flush()  # here, not at the interpreter's end, shows that nobody reads
        return code
    except SklabError as error:
        tell(f"sklab: {error}")
        return error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError) and terminal.lost_reader():
            return UNREAD
        tell(f"sklab: {error}; finished runs are safe, the same command goes on from them")
        return USER_ERROR
    except KeyboardInterrupt:
        tell("sklab: interrupted; finished runs are safe, the same command goes on from them")
        return INTERRUPTED


def _check_clock() -> None:
    """Raise SklabError where the time can't be told, which every study writes down."""
    try:
        datetime.now().astimezone()
    except ValueError as error:
        found = f"TZ: found {os.environ.get('TZ')!r}, a day or more away from UTC"
        raise SklabError(f"{found}; allowed: a time zone within 24 hours of it, for example UTC+3") from error


def _in_a_line(message: Warning | str, *_: object, **_named: object) -> str:
    """A warning as whoever types a command reads it, without our source."""
    return f"sklab: warning: {message}\n"


class _Version(argparse.Action):
    """Prints the versions, for which nothing is imported that they are of."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"sklab {version('sklab')}, Python {platform.python_version()}, torch {version('torch')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it reads holds the command to call as `command`."""
    made = argparse.ArgumentParser(prog="sklab", description="The ablation-study lab for Selective Kernel networks.")
    made.add_argument("--version", action=_Version, nargs=0, help="print the versions of sklab, Python and torch")
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in _COMMANDS:
        add(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
