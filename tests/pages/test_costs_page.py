"""docs/costs.md against the program: its commands and its code work on a study."""

from __future__ import annotations

import re
import shlex
import sys
import zipfile
from pathlib import Path

from sklab.cli import main

sys.path.append(str(Path(__file__).parents[1] / "analysis"))
from studies import make_records, make_sweep, write_study

PAGE = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")


def test_the_blocks_run(tmp_path, monkeypatch, capsys):
    write_study(tmp_path / "results" / "kernels", make_sweep(), make_records({"K3": (10.0, 11.0), "K5": (4.0, 4.5)}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            assert main(shlex.split(line)[1:]) == 0
    assert "Device time:" in capsys.readouterr().out
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "costs.md", "exec"), {})
    with zipfile.ZipFile("kernels.crate.zip") as bundle:
        bundle.extractall("unpacked/kernels")
    assert main(["table", "kernels", "--results", "unpacked"]) == 0
    assert Path("with-weights.zip").exists()
