"""A sweep over a network of another library: refused before any run where it can't be made, else trained."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from peers import with_peers
from torch import nn

from sklab.cli import main
from sklab.errors import FaultyInputError, SklabError
from sklab.launch.base import Job
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.store.records import Code, RunOrder
from sklab.store.run_folder import RunFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.run.preflight import ensure_sound

PAGE = (Path(__file__).parents[3] / "docs" / "convert.md").read_text(encoding="utf-8")
EXPERIMENT, SWEEP = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
FEW = {
    "data": "{name: scaled_digits, train_size: 32, val_size: 16}",
    "train.epochs": "1",
    "train.batch_size": "16",
}
HERE = Slot(None, "cpu", 1)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The two files of the page, on a few images."""
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    Path("sweeps").mkdir()
    Path("experiments/mobilenet.yaml").write_text(EXPERIMENT)
    Path("sweeps/mobilenet.yaml").write_text(SWEEP)
    return Path("sweeps/mobilenet.yaml")


def sweep(page):
    return load_sweep(page, seeds=1, overrides=FEW)


@pytest.fixture
def timm(monkeypatch):
    def create(_name, pretrained, num_classes, in_chans):
        depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        pool = nn.AdaptiveAvgPool2d(1)
        stem = nn.Conv2d(in_chans, 4, 3, stride=4)
        return nn.Sequential(stem, depthwise, nn.BatchNorm2d(4), nn.ReLU6(), pool, nn.Flatten(), nn.Linear(4, 10))

    library = ModuleType("timm")
    library.list_models, library.create_model = lambda: ["mobilenetv2_100"], create
    monkeypatch.setitem(sys.modules, "timm", library)


def test_the_files_on_the_page_load(page):
    cells = {cell.name: run_spec(sweep(page), cell, 0).experiment.model for cell in sweep(page).cells}
    assert list(cells) == ["plain", "D2", "D3", "D3, sum"]
    assert cells["plain"].sk is None
    assert [cells[name].sk.branches[1].dilation for name in ("D2", "D3")] == [2, 3]
    assert cells["D3, sum"].sk.attention == "none"


def test_a_wrong_setting_is_told_with_its_place(page):
    page.write_text(SWEEP.replace("sk.branches.1.dilation", "sk.branches.1.dilatoin"))
    with pytest.raises(FaultyInputError, match=r"did you mean 'model\.sk\.branches\.1\.dilation'"):
        sweep(page)


def test_a_missing_library_stops_the_sweep_with_the_install_line_and_can_be_mended(page, monkeypatch, timm, tmp_path):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "timm", None)
        with pytest.raises(SklabError) as caught:
            ensure_sound(sweep(page), InlineLauncher(HERE), tmp_path, print)
    assert str(caught.value) == (
        "networks of this sweep can't be made; nothing was trained:\n  timm is not installed; pip install 'sklab[timm]'"
    )
    ensure_sound(sweep(page), InlineLauncher(HERE), tmp_path, print)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("name: mobilenetv2_10 ", "timm has no network 'mobilenetv2_10' - did you mean 'mobilenetv2_100'?"),
        ("select: depthwise ", "timm's mobilenetv2_100: select 'depthwise' matches no convolution of this Sequential"),
        ('select: "0" ', "0: its padding (0, 0) is not 1, which keeps the size at stride 1"),
    ],
)
def test_what_can_not_be_made_stops_the_sweep_with_the_reason(page, timm, tmp_path, setting, told):
    key = setting.partition(":")[0]
    text = re.sub(rf"{key}: [\w.]+ ", setting, EXPERIMENT, count=1)
    Path("experiments/mobilenet.yaml").write_text(text)
    with pytest.raises(SklabError, match="nothing was trained") as caught:
        ensure_sound(sweep(page), InlineLauncher(HERE), tmp_path, print)
    assert str(caught.value).count(told) == 1


def test_the_plan_counts_it_or_says_in_one_line_why_not(page, timm, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    assert main(["plan", str(page), "--json"]) == 0
    params = [cell["params"] for cell in json.loads(capsys.readouterr().out)["cells"]]
    assert params[0] < params[3] < params[1] == params[2]
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "other cache"))
    assert main(["plan", str(page)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "sklab: timm is not installed; pip install 'sklab[timm]'"


def record(page, folder):
    """What the run of the first SK cell leaves behind."""
    asked = sweep(page)
    spec = run_spec(asked, asked.cells[1], 0)
    run = RunFolder(folder)
    run.write_order(RunOrder(key=spec.key, study="s", cell="D2", spec=spec, code=Code(version="0")))
    InlineLauncher(HERE).submit(Job("train", run.path))
    return run.read_record()


def test_the_librarys_version_stands_in_the_record(page, timm, tmp_path, monkeypatch):
    monkeypatch.setattr("sklab.store.versions.version", lambda name: f"{name}'s")
    made = record(page, tmp_path / "run")
    assert (made.status, made.versions["timm"]) == ("complete", "timm's")


def test_a_library_that_is_gone_when_the_run_begins_leaves_a_record(page, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    left = record(page, tmp_path / "run")
    assert (left.status, left.params, left.versions["timm"]) == ("failed", 0, "not installed")
    assert left.reason == "timm is not installed; pip install 'sklab[timm]'"


@pytest.mark.slow
def test_the_page_is_trained_from_the_command_to_the_table(page):
    few = [word for path, text in FEW.items() for word in ("--set", f"{path}={text}")]
    command = [sys.executable, "-m", "sklab.cli", "sweep", str(page), "--seeds", "1", "--no-wandb", *few]
    answer = subprocess.run(command, env=with_peers(), capture_output=True, text=True, timeout=1800, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "4 of 4 runs complete" in answer.stdout
    study = Path("results") / load_sweep(page, seeds=1, overrides=FEW).study
    table = (study / "table.csv").read_text()
    assert all(name in table for name in ("plain", "D2", "D3", "D3, sum"))
    run = next((study / "runs").iterdir())
    assert "timm" in RunFolder(run).read_record().versions
    assert "timm 1." in (study / "report.md").read_text()
