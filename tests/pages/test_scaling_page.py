"""docs/scaling.md against the program: its files are launcher files, its commands run or are commands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sklab.cli import main, parser
from sklab.sweep.files.inputs import read_launcher

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
FILES = {text.splitlines()[0].removeprefix("# "): text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)}
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
ENGINES = Path(sys.prefix) / "engines"
SHORT = {"train": {"epochs": 1, "warmup_epochs": 0}, "data": {"train_size": 64, "val_size": 32}}


@pytest.mark.parametrize(("file", "engine"), [("slurm.yaml", "slurm"), ("ray.yaml", "ray")])
def test_each_launcher_file_is_one(tmp_path, file, engine):
    (tmp_path / file).write_text(FILES[file])
    spec = read_launcher(tmp_path / file)
    assert (spec.launcher, spec.parallel) == (engine, 2)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one(command):
    options = parser().parse_args(command)
    assert options.command.__name__.endswith(command[0])
    if command[0] == "sweep":
        assert (ROOT / options.file).is_file()
        assert options.launcher is None or options.launcher.name in FILES


def test_every_page_that_it_names_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def here(tmp_path: Path) -> None:
    for folder in ("experiments", "sweeps"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)


@pytest.mark.slow
def test_the_commands_for_a_laptop_run(tmp_path, monkeypatch):
    here(tmp_path)
    file = tmp_path / "experiments" / "quickstart.yaml"
    tree = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(tree | {section: tree[section] | changed for section, changed in SHORT.items()}))
    monkeypatch.chdir(tmp_path)
    laptop = [command for command in COMMANDS if "--launcher" not in command][:4]
    assert [command[0] for command in laptop] == ["sweep", "plan", "sweep", "status"]
    for command in laptop:
        more = ["--no-wandb"] if command[0] == "sweep" else []
        assert main([*command, *more]) == 0


@pytest.mark.slow
@pytest.mark.skipif(not (ENGINES / "ray").is_dir(), reason="`make test-slow` installs Ray")
def test_the_toy_command_for_ray_runs(tmp_path):
    here(tmp_path)
    [command] = [command for command in COMMANDS if "ray.yaml" in command and "--toy" in command]
    path = os.pathsep.join(filter(None, [str(ENGINES), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": path, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "sklab.cli", *command, "--no-wandb"], cwd=tmp_path, env=env, check=True)
