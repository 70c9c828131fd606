"""The page of the command line, from its parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from keys import table

from sklab.cli import parser

_MADE = "<!-- Made from the program by `python docs/generator`: change the texts of the parser, not this page. -->"
_START = (
    "`sklab COMMAND --help` prints the same. `STUDY` is the name of a study under `--results`, or a path to its "
    "folder. The exit code is 0 where all runs are complete, 1 where some failed or diverged, 2 for an error of the "
    "user, and 130 after an interruption."
)


def commands() -> str:
    """The page: every command with its options."""
    parts = [part for name, command in _commands(parser()) for part in _command(name, command)]
    return "\n\n".join([_MADE, "# Command line", _START, *parts]) + "\n"


def _commands(outer: argparse.ArgumentParser, before: str = "sklab") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, with those inside others, by the words that call it."""
    for action in outer._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                inner = list(_commands(command, f"{before} {name}"))
                yield from inner or [(f"{before} {name}", command)]


def _command(name: str, command: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {name}"
    yield command.description or ""
    actions = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
    called = [name, *(_in_usage(action) for action in actions if not action.option_strings), "[OPTIONS]"]
    yield f"```text\n{' '.join(called)}\n```"
    if actions:
        rows = [_row(action, command) for action in actions]
        yield table(("option", "value", "default", "meaning"), rows).rstrip("\n")
    if command.epilog:
        yield command.epilog


def _in_usage(action: argparse.Action) -> str:
    many = " ..." if action.nargs == "+" else ""
    return f"[{_placeholder(action)}]" if action.nargs == "?" else f"{_placeholder(action)}{many}"


def _row(action: argparse.Action, command: argparse.ArgumentParser) -> tuple[str, ...]:
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{_placeholder(action)}`"
    value = "" if action.nargs == 0 else _value(action)
    return names, value, _default(action), _meaning(action, command)


def _placeholder(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def _value(action: argparse.Action) -> str:
    if action.choices:
        return ", ".join(f"`{choice}`" for choice in action.choices)
    return f"`{_placeholder(action)}`" if action.option_strings else ""


def _default(action: argparse.Action) -> str:
    """The default that the parser itself knows; another one stands in the text."""
    if not action.option_strings:
        return "" if action.nargs in ("?", "*") else "needed"
    if action.required:
        return "needed"
    return "" if action.default in (None, False, [], argparse.SUPPRESS) or action.nargs == 0 else f"`{action.default}`"


def _meaning(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    """The option's text with its `%(...)s` filled in, and the options that exclude it."""
    text = argparse.HelpFormatter(command.prog)._expand_help(action) if action.help else ""
    groups = [group._group_actions for group in command._mutually_exclusive_groups if action in group._group_actions]
    others = [f"`{other.option_strings[0]}`" for group in groups for other in group if other is not action]
    return text.replace("<", "&lt;") + (f"; not with {' or '.join(others)}" if others else "")
