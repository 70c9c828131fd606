"""`sklab analyze --weights`: a trained network that belongs to no study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import folder as pictures

from sklab.cli import main
from sklab.launch.base import Job
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.models.weights.description import Description
from sklab.models.weights.files import tensor_file
from sklab.models.zoo import build
from sklab.spec.analysis import Analysis
from sklab.spec.networks import network
from sklab.spec.values import leaves
from sklab.store.files import checksum, unseal_text
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.training.attention import file as analysing

DIGITS = ("--data", "name=scaled_digits", "train_size=64", "val_size=32")
TOY = {"stem_width": 4, "width": 8, "out_width": 8, "cardinality": 2, "depths": [1, 1]}
SETTINGS = [f"{key}={json.dumps(value)}" for key, value in TOY.items()]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("sklab.launch.slots.find_gpus", list)
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(toy_order) -> RunFolder:
    """A trained run, whose network lies as `toy.safetensors` in the current folder."""
    order = toy_order()
    folder = StudyFolder(Path("results/sweep")).run(order.key)
    folder.write_order(order)
    InlineLauncher(Slot(None, "cpu", 1)).submit(Job("train", folder.path))
    assert main(["export", order.key, "--to", "safetensors", "--out", "toy.safetensors"]) == 0
    return folder


def read(file: Path) -> Analysis:
    text, intact = unseal_text(file.read_bytes())
    assert intact
    return Analysis.model_validate_json(text)


def untrained(path: str, mean: tuple[float, ...] = (0.0924,), std: tuple[float, ...] = (0.1727,), **model: Any) -> None:
    """The file of a network with fresh weights, which describes itself."""
    spec = network("sknet_small", **TOY, **model)
    torch.manual_seed(0)
    told = Description(model=spec, mean=mean, std=std, image_size=32, run="0" * 16, val_error=10.0, sklab="1")
    Path(path).write_bytes(tensor_file(build(spec).state_dict(), told.metadata()))


def test_a_file_gives_what_its_run_gives(run, capsys):
    assert main(["analyze", run.path.name, "--json"]) == 0
    capsys.readouterr()
    assert main(["analyze", "--weights", "toy.safetensors", *DIGITS, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    file = read(Path("analysis-toy/analysis.json"))
    of_run = run.read_analysis()
    assert (file.key, file.seed, file.weights) == (run.path.name, None, checksum(Path("toy.safetensors").read_bytes()))
    found, expected = (
        dict(leaves(json.loads(record.model_dump_json(exclude={"seed", "weights"})), lists=True, path="record"))
        for record in (file, of_run)
    )
    assert found.keys() == expected.keys()
    assert all(
        value == (pytest.approx(expected[path], rel=1e-4, abs=1e-6) if isinstance(value, float) else expected[path])
        for path, value in found.items()
    )
    assert told["cell"] == "toy"
    assert {trend["n"] for trend in told["by_object"]} == {1}
    assert [field["difference"] for field in told["fields"]] == [None, None]


def test_the_page_stands_alone_and_compares_with_nothing(capsys):
    untrained("toy.safetensors")
    assert main(["analyze", "--weights", "toy.safetensors", *DIGITS, "--out", "deep/er"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "its figures: deep/er/analysis.html\n"
    assert "toy: SK_3_1" in shown.out
    assert "baseline" not in shown.out
    page = Path("deep/er/analysis.html").read_text()
    assert "<h1>toy</h1>" in page
    assert "Effective receptive field of each stage" in page
    assert "val_size = 32" in page
    assert "\nstem_width: 4\n" in page
    assert f"SHA-256 {checksum(Path('toy.safetensors').read_bytes())[:12]}…, of run {'0' * 16}" in page
    assert "minus baseline" not in page
    assert "seed None" not in page
    figures = {file.name for file in Path("deep/er/figures").iterdir()}
    names = ("attention_sizes", "attention_slopes", "attention_channels", "attention_classes", "receptive_fields")
    assert figures == {f"{name}.{kind}" for name in names for kind in ("svg", "pdf")}
    assert all(Path("deep/er/figures", f"{name}.svg").read_text() for name in names)


def test_a_network_without_attention_has_receptive_fields_alone(capsys):
    untrained("plain.safetensors", attention="none")
    assert main(["analyze", "--weights", "plain.safetensors", *DIGITS]) == 0
    assert "plain: SK_3_1" in capsys.readouterr().out
    assert {file.name for file in Path("analysis-plain/figures").iterdir()} == {
        f"receptive_fields.{kind}" for kind in ("svg", "pdf")
    }
    page = Path("analysis-plain/analysis.html").read_text()
    assert "Receptive fields stage by stage" in page
    assert "Slopes unit by unit" not in page


def test_the_same_again_computes_nothing_and_other_weights_do(monkeypatch, capsys):
    untrained("toy.safetensors")
    assert main(["analyze", "--weights", "toy.safetensors", *DIGITS]) == 0
    before, page = (Path("analysis-toy", name).read_bytes() for name in ("analysis.json", "analysis.html"))
    Path("analysis-toy/analysis.html").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(analysing, "behaviour", None)
        assert main(["analyze", "--weights", "toy.safetensors", *DIGITS]) == 0
    assert Path("analysis-toy/analysis.html").read_bytes() == page
    for change in (["--scales", "1.0,1.5"], ["--data", "val_size=16"]):
        assert main(["analyze", "--weights", "toy.safetensors", *DIGITS, *change]) == 0
        assert Path("analysis-toy/analysis.json").read_bytes() != before
    Path("analysis-toy/analysis.json").write_text("{")
    assert main(["analyze", "--weights", "toy.safetensors", *DIGITS]) == 0
    assert Path("analysis-toy/analysis.json").read_bytes() == before


def test_weights_alone_need_to_be_told_their_network(run, capsys):
    shutil.copy(run.weights_file, "bare.pt")
    assert main(["analyze", "--weights", "bare.pt", *DIGITS]) == 2
    assert "bare.pt: does not say which network it is of; --model does, for example" in capsys.readouterr().err
    assert main(["analyze", "--weights", "bare.pt", "--model", "sknet_small", *SETTINGS, *DIGITS, "--json"]) == 0
    bare = capsys.readouterr().out
    assert main(["analyze", "--weights", "toy.safetensors", *DIGITS, "--json"]) == 0
    assert bare.replace('"bare"', '"toy"') == capsys.readouterr().out
    assert read(Path("analysis-bare/analysis.json")).key == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--weights", "none.safetensors"], "none.safetensors: can't be read (No such file or directory)"),
        (["--weights", "torn.safetensors"], "torn.safetensors: is damaged or no safetensors file"),
        (["--weights", "notes.txt"], "notes.txt: is no file of weights"),
        (["--weights", "."], ".: can't be read (no regular file)"),
        (["--weights", "toy.safetensors", "--model", "sknet51"], "unknown network; found 'sknet51'"),
        (["--weights", "toy.safetensors", "--model", "family=sknet"], "unknown family; found 'sknet'"),
        (["--weights", "toy.safetensors", "--model", "base=sknet50", "with=3"], "with: unknown setting"),
        (
            ["--weights", "toy.safetensors", "--model", "sknet_small"],
            "tensors of another shape (stem.0.weight [4, 1, 3, 3] for [16, 1, 3, 3], ",
        ),
        (
            ["--weights", "toy.safetensors", "--model", "sknet_small", *SETTINGS, "attention=none"],
            "tensors that the network lacks (units.SK_2_1.sk.attention.expand.weight ",
        ),
        (["toy", "--weights", "toy.safetensors"], "either a study or a run, or --weights FILE"),
        ([], "either a study or a run, or --weights FILE"),
        (["toy", "--model", "sknet50"], "--model and --out go with --weights"),
    ],
    ids=lambda entry: None if isinstance(entry, str) else " ".join(entry)[:60],
)  # fmt: skip
def test_what_can_not_be_analysed_is_told_and_nothing_is_written(capsys, arguments, told):
    untrained("toy.safetensors")
    Path("torn.safetensors").write_bytes(Path("toy.safetensors").read_bytes()[:100])
    Path("notes.txt").write_text("notes")
    assert main(["analyze", *arguments, *DIGITS]) == 2
    assert told in capsys.readouterr().err
    assert not list(Path().glob("analysis-*"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "unknown data set None; known: "),
        (["name=scaled_digit"], "did you mean 'scaled_digits'?"),
        (["val_size=3"], "unknown data set None; known: "),
        (["name=scaled_digits", "val=3"], "data.val: unknown setting"),
        (["name=image_folder", "root=photos"], "model.in_channels = 1 but the data set image_folder has 3"),
    ],
    ids=lambda entry: None if isinstance(entry, str) else " ".join(entry),
)
def test_data_that_do_not_go_with_the_network_are_told(capsys, data, told):
    untrained("toy.safetensors")
    options = ["--data", *data] if data else []
    assert main(["analyze", "--weights", "toy.safetensors", *options]) == 2
    assert told in capsys.readouterr().err


def test_photographs_are_seen_as_in_training_unless_settings_say_otherwise(capsys):
    untrained("net.safetensors", (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), in_channels=3, num_classes=2)
    pictures(Path("photos"), train=3, val=4, size=(40, 40))
    data = ["--data", "name=image_folder", "root=photos"]
    assert main(["analyze", "--weights", "net.safetensors", *data]) == 0
    seen = read(Path("analysis-net/analysis.json"))
    assert (seen.data.num_classes, seen.data.image_size, seen.data.resize) == (2, 32, 37)
    assert (seen.data.mean, seen.data.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert seen.images == 8
    assert "normalised" not in capsys.readouterr().err
    own = [*data, "image_size=24", "resize=24", "mean=[0.5, 0.5, 0.5]"]
    assert main(["analyze", "--weights", "net.safetensors", *own]) == 0
    seen = read(Path("analysis-net/analysis.json"))
    assert (seen.data.image_size, seen.data.resize, seen.data.mean) == (24, 24, (0.5, 0.5, 0.5))
    said = "trained on pixels normalised with mean [0.5, 0.4, 0.3] and std [0.2, 0.2, 0.2]; those of image_folder have"
    assert said in capsys.readouterr().err


def test_a_head_for_other_classes_than_there_are_is_refused(capsys):
    untrained("net.safetensors", (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), in_channels=3, num_classes=3)
    pictures(Path("photos"), train=2, val=2)
    data = ["--data", "name=image_folder", "root=photos"]
    assert main(["analyze", "--weights", "net.safetensors", *data]) == 2
    assert "num_classes" in capsys.readouterr().err
    assert main(["analyze", "--weights", "net.safetensors", *data, "num_classes=2"]) == 2
    assert "model.num_classes = 3 but the data set image_folder has 2" in capsys.readouterr().err
