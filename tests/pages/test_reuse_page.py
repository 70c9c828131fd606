"""docs/reuse.md against the program."""

from __future__ import annotations

import re
from pathlib import Path

from sklab.cli import parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reuse.md").read_text(encoding="utf-8")


def test_the_command_and_the_options_on_the_page_are_there():
    [command] = [line for line in PAGE.splitlines() if line.startswith("sklab ")]
    assert (ROOT / parser().parse_args(command.split()[1:]).file).exists()
    options = re.findall(r"`(--[\w-]+)` takes", PAGE)
    chosen = {parser().parse_args([*command.split()[1:], option]).reuse for option in options}
    assert chosen == {"same code", "never"}
