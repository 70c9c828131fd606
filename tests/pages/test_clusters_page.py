"""docs/clusters.md against the program."""

from __future__ import annotations

import re
from pathlib import Path

from sklab.cli import parser
from sklab.sweep.files.inputs import read_launcher

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


def test_the_file_on_the_page_is_one(tmp_path):
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "slurm.yaml").write_text(block)
    assert read_launcher(tmp_path / "slurm.yaml").parallel == 8


def test_the_commands_on_the_page_are_commands():
    lines = [line for line in PAGE.splitlines() if line.startswith("sklab ")]
    assert len(lines) == 2
    for line in lines:
        options = parser().parse_args(line.split()[1:])
        assert (ROOT / options.file).exists()
