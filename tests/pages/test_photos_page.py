"""docs/photos.md does what it says: its commands and its file run on a folder of photographs."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from pictures import encoded, pixels
from PIL import Image

from sklab.cli import main
from sklab.commands import init
from sklab.models.zoo import build
from sklab.spec.networks import network
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_single, load_sweep

PAGE = (Path(__file__).parents[2] / "docs" / "photos.md").read_text(encoding="utf-8")
*COMMANDS, TUNED = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
(SHORT,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def run(command):
    program, *arguments = shlex.split(command, comments=True)
    assert program == "sklab"
    assert main([*arguments, *(["--no-wandb"] if arguments[0] == "sweep" else [])]) == 0, command


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))


def test_the_page_is_planned_as_written(monkeypatch, capsys):
    monkeypatch.setattr(init, "_measured", lambda *_: 600.0)
    for label, name in enumerate(("robin", "wren")):
        folder = Path("photos/birds") / name
        folder.mkdir(parents=True)
        for number in range(10):
            (folder / f"{number}.jpg").write_bytes(encoded(pixels(label, number, (80, 70)), "JPEG"))
    run(COMMANDS[0])
    assert "  sklab plan sweeps/birds.yaml\n  sklab sweep sweeps/birds.yaml\n" in capsys.readouterr().out
    run(COMMANDS[1])
    assert "data: image_folder: 2 classes, 64 x 64 pixels" in capsys.readouterr().out
    Path("experiments/short.yaml").write_text(SHORT)
    short, written = load_single(Path("experiments/short.yaml")), load_sweep(Path("sweeps/birds.yaml"))
    assert run_spec(short, short.cells[0], 0).experiment.data == run_spec(written, written.cells[0], 0).experiment.data
    safetensors.torch.save_file(build(network("resnext50", num_classes=3)).state_dict(), "resnext50_32x4d.safetensors")
    run(TUNED)
    started = load_sweep(Path("sweeps/birds.yaml"))
    assert all(run_spec(started, cell, 0).experiment.model.start for cell in started.cells)


@pytest.mark.slow
def test_real_photographs_become_a_table(capsys):
    _cut_photographs(Path("photos/birds"))
    run(COMMANDS[0].replace("30m", "5m"))
    text = capsys.readouterr().out
    assert "60 images of 3 classes" in text
    assert "time of the sweep here: about" in text
    file = Path("experiments/birds.yaml")
    file.write_text(
        re.sub(r"epochs: .*", "epochs: 1", file.read_text()).replace("warmup_epochs: 1", "warmup_epochs: 0")
    )
    for command in COMMANDS[1:]:
        run(command.replace("sweeps/birds.yaml", "sweeps/birds.yaml --seeds 1"))
    assert "K3+K5 SK" in capsys.readouterr().out
    assert Path("results/birds/report.html").exists()


def _cut_photographs(root: Path) -> None:
    """Twenty JPEGs each of three photographs that scikit-image brings."""
    spec = find_spec("skimage")
    assert spec
    assert spec.origin
    random = np.random.default_rng(0)
    for name in ("astronaut", "chelsea", "coffee"):
        (root / name).mkdir(parents=True)
        with Image.open(Path(spec.origin).parent / "data" / f"{name}.png") as photo:
            for number in range(20):
                left, upper = (int(random.integers(0, side - 96)) for side in photo.size)
                photo.crop((left, upper, left + 96, upper + 96)).convert("RGB").save(root / name / f"{number}.jpg")
