"""docs/own_code.md: its file, experiment and sweep go from plan to table, are resumed, and notice an edit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sklab
from sklab.cli import main
from sklab.own import files
from sklab.spec.study.metrics import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "own_code.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^sklab (.*)$", PAGE, re.MULTILINE)
WORDS = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).split()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in BLOCKS:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    yield tmp_path
    files.choose(None, tmp_path)
    METRICS._own.clear()


def test_from_the_plan_to_the_table_and_on(here, capsys):
    assert [command.split()[0] for command in COMMANDS] == ["plan", "sweep", "table"]
    for command in COMMANDS:
        assert main(command.split()) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "worst class error" in shown
    records = sklab.load("widths").runs
    assert records["status"].tolist() == ["complete", "complete"]
    runs = list(Path("results/widths/runs").iterdir())
    assert all((run / "attention.json").exists() for run in runs), "the network has an SK unit"
    assert main(["sweep", "widths.yaml", "--code", "my_lab.py"]) == 0
    assert all(not (run / "attempts").exists() for run in runs), "nothing is trained again"
    assert f"my_lab.py {files.hash_of_current()}" in Path("results/widths/report.html").read_text()
    with Path("my_lab.py").open("a") as file:
        file.write("# edited\n")
    assert main(["plan", "widths.yaml", "--code", "my_lab.py"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "2 finished runs of width=4, width=8 are of an earlier my_lab.py" in told
    (copy,) = re.findall(r"go on with --code (\S+my_lab.py)", told)
    assert main(["plan", "widths.yaml", "--code", copy]) == 0
    assert sklab.load("widths").model("width=8", seed=0).training is False


def test_it_is_short():
    assert len(WORDS) <= 350
