"""The shape of the house: how many modules a room shows, how many there are, and how much a function takes at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import sklab

ROOT = Path(sklab.__path__[0])
MODULES = [file for file in ROOT.rglob("*.py") if file.name != "__init__.py"]
MOST_ARGUMENTS = 6
BY_TORCH = {"models/zoo.py:_signature"}  # called with the arguments that torch gives to a convolution


def test_no_room_shows_more_than_eleven_modules():
    rooms = {file.parent.relative_to(ROOT): len([*file.parent.glob("[!_]*.py")]) for file in MODULES}
    assert {str(room): modules for room, modules in rooms.items() if modules > 11} == {}


def test_two_modules_are_loose():
    assert sorted(file.name for file in MODULES if file.parent == ROOT) == ["cli.py", "errors.py"]


def test_there_are_fewer_than_320_modules():
    # Since 180: questions (as values, in files, answered, in words), GPUs (replays, health, climb), evidence (looks,
    # images, the best cell, the test split, nuisance settings, sources of chance); since 249: kinds of attention,
    # trained weights (read, matched, written, held back), sets of photographs; since
    # 281: sklab from Python, the user's own code, `init`, loggers, a live report; compute statements and archives, each
    # as values and in words. More: say why.
    assert len(MODULES) < 320


def test_packages_are_empty():
    full = [file for file in ROOT.rglob("__init__.py") if file.read_text(encoding="utf-8").strip()]
    assert full == [ROOT / "__init__.py"], "it names the public API"


def test_no_function_takes_more_than_six_arguments():
    assert {
        name: count
        for file in MODULES
        for name, count in arguments(file)
        if count > MOST_ARGUMENTS and name not in BY_TORCH
    } == {}


def arguments(file: Path) -> Iterator[tuple[str, int]]:
    """Each function in `file`, and how many arguments it takes beside `self` and `cls`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            yield f"{file.relative_to(ROOT)}:{node.name}", len([name for name in names if name not in ("self", "cls")])


def test_no_two_test_modules_have_one_name():
    # pytest imports them by their bare names, and leaves out the second of two.
    names = [file.name for file in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(name for name in names if names.count(name) > 1) == []
