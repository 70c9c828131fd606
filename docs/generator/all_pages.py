"""The pages of docs/reference/ that the program itself tells."""

from __future__ import annotations

from pathlib import Path

import column_page
import command_page
import key_pages

REFERENCE = Path(__file__).parents[1] / "reference"


def pages() -> dict[str, str]:
    """The generated pages by name, in Markdown."""
    return {
        "experiment.md": key_pages.experiment(),
        "sweep.md": key_pages.sweep(),
        "launchers.md": key_pages.launchers(),
        "cli.md": command_page.commands(),
        "columns.md": column_page.page(),
    }


def write() -> None:
    """Write the pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
