"""docs/clusters.md against the program."""

from __future__ import annotations

import re
from pathlib import Path

from sklab.cli import parser
from sklab.spec.study.launchers import SlurmSpec
from sklab.sweep.files.inputs import read_launcher

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


def test_the_file_on_the_page_is_one_and_every_key_is_explained(tmp_path):
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "slurm.yaml").write_text(block)
    assert read_launcher(tmp_path / "slurm.yaml").parallel == 8
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    assert {key for row in rows for key in re.findall(r"\w+", row)} == set(SlurmSpec.model_fields)


def test_the_commands_on_the_page_are_commands():
    lines = [line for line in PAGE.splitlines() if line.startswith("sklab ")]
    assert len(lines) == 2
    for line in lines:
        options = parser().parse_args(line.split()[1:])
        assert (ROOT / options.file).exists()
