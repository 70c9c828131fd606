"""A finished run's network as a file that says itself what it is."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import safetensors
import safetensors.torch
import torch
from onnx.reference import ReferenceEvaluator
from pictures import folder as pictures

from sklab.cli import main
from sklab.errors import SklabError
from sklab.models.weights.description import Description, described
from sklab.models.weights.matching import counted
from sklab.models.weights.start import start
from sklab.models.zoo import build
from sklab.spec.data import data_spec
from sklab.spec.networks import network
from sklab.spec.run import RunSpec
from sklab.store.files import checksum
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.training import export as exporting
from sklab.training.evaluate import kept_network
from sklab.training.export import default_name, describe, export
from sklab.training.run import train

CPU = torch.device("cpu")


@pytest.fixture
def run(tmp_path: Path, toy_order: Callable[..., RunOrder], monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A trained toy run of the study `toy`; the folder that holds `results` is the current one."""
    monkeypatch.chdir(tmp_path)
    return trained(toy_order())


def trained(order: RunOrder) -> RunFolder:
    folder = RunFolder(Path("results/toy/runs") / order.key)
    folder.write_order(order)
    train(order, folder, CPU)
    return folder


@pytest.fixture
def photos(tmp_path: Path, toy_order: Callable[..., RunOrder], monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A trained run of a network without attention, on photographs."""
    monkeypatch.chdir(tmp_path)
    root = pictures(tmp_path / "photos", train=8, val=2)
    order = toy_order(model={"attention": "none"})
    tree = order.spec.model_dump()
    tree["experiment"]["model"] |= {"in_channels": 3, "num_classes": 2}
    sizes = {"num_classes": 2, "image_size": 32, "resize": 32}
    tree["experiment"]["data"] = {"name": "image_folder", "root": str(root), **sizes}
    spec = RunSpec.model_validate(tree)
    return trained(order.model_copy(update={"spec": spec, "key": spec.key}))


def metadata_of(file: Path) -> dict[str, str]:
    with safetensors.safe_open(file, "pt") as opened:
        return dict(opened.metadata())


def test_the_file_alone_gives_the_network_back(run, capsys):
    assert main(["export", run.path.name, "--to", "safetensors"]) == 0
    file = Path("toy-cell-seed0.safetensors")
    assert capsys.readouterr().out == f"{file} ({file.stat().st_size / 1e6:,.1f} MB)\n"
    record = run.read_record()
    metadata = metadata_of(file)
    description = described(metadata, str(file))
    assert metadata["format"] == "pt"
    assert description == Description(
        model=record.spec.experiment.model,
        mean=(0.0924,),
        std=(0.1727,),
        image_size=32,
        classes=tuple("0123456789"),
        run=record.key,
        val_error=record.last["val_error"],
        sklab=description.sklab,
    )
    made = build(description.model)
    made.load_state_dict(safetensors.torch.load_file(file))
    kept = torch.load(run.weights_file, weights_only=True)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in made.state_dict().items())


def test_equal_runs_make_equal_bytes_for_machines_too(run, tmp_path, capsys):
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for file in files:
        assert main(["export", str(run.path), "--to", "safetensors", "--out", str(file), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["file"], told["bytes"]) == (str(file), file.stat().st_size)
        assert told["description"]["run"] == run.path.name
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_file_that_is_there_stays(run, tmp_path, capsys):
    (tmp_path / "toy-cell-seed0.safetensors").write_text("somebody's")
    assert main(["export", run.path.name, "--to", "safetensors"]) == 2
    assert "toy-cell-seed0.safetensors is there already and stays as it is; move it away" in capsys.readouterr().err
    assert (tmp_path / "toy-cell-seed0.safetensors").read_text() == "somebody's"
    with pytest.raises(SklabError, match="results is there already"):
        export(run, "safetensors", tmp_path / "results")


def test_weights_that_are_not_the_runs_are_no_network_of_it(run, tmp_path):
    whole = run.weights_file.read_bytes()
    for wrong in (b"", whole[:1000], whole[:-1] + bytes([whole[-1] ^ 1])):
        run.weights_file.write_bytes(wrong)
        with pytest.raises(SklabError, match=r"weights\.pt: not the weights of this run \(its SHA-256"):
            export(run, "safetensors", None)
    run.weights_file.unlink()
    with pytest.raises(SklabError, match=r"weights\.pt: no such file"):
        export(run, "safetensors", None)
    run.record_file.unlink()
    with pytest.raises(SklabError, match="not complete"):
        export(run, "safetensors", None)
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_a_full_disk_leaves_no_part_of_a_file(run, tmp_path, monkeypatch, capsys):
    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sklab.store.files.os.fsync", full)
    assert main(["export", run.path.name, "--to", "safetensors"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_an_onnx_file_holds_the_same_description(run):
    assert main(["export", run.path.name, "--to", "onnx"]) == 0
    read = onnx.load("toy-cell-seed0.onnx")
    assert {entry.key: entry.value for entry in read.metadata_props} == describe(run, run.read_record()).metadata()
    kept = kept_network(run, run.read_record(), CPU)
    images = torch.randn(4, 1, 32, 32)
    (logits,) = ReferenceEvaluator(read).run(None, {"images": images.numpy()})
    with torch.no_grad():
        assert logits == pytest.approx(kept(images).numpy(), abs=1e-4)


def test_a_run_starts_from_an_exported_file_and_tells_of_its_own_network_alone(run, tmp_path, toy_order):
    file = tmp_path / "start.safetensors"
    export(run, "safetensors", file)
    assert export(run, "safetensors", tmp_path / "again.safetensors").sha256 == checksum(file.read_bytes())
    order = toy_order(model={"init": str(file)})
    kept = torch.load(run.weights_file, weights_only=True)
    begun = start(order.spec.experiment.model)
    assert (begun.origin.taken, begun.origin.fresh, begun.origin.head) == (len(counted(kept)), 0, True)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in counted(begun.network.state_dict()).items())
    tuned = trained(order)
    file.unlink()
    told = describe(tuned, tuned.read_record())
    assert told.model == run.read_record().spec.experiment.model
    assert str(file) not in "".join(told.metadata().values())
    assert export(tuned, "safetensors", file).description == told


def test_what_timm_has_not_is_refused_and_nothing_is_written(run, tmp_path, capsys):
    assert main(["export", run.path.name, "--to", "timm"]) == 2
    assert "timm has no such network; of ours it has resnet26" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_a_file_for_timm_says_what_it_is_but_is_no_network_of_ours(run, tmp_path, monkeypatch):
    told = describe(run, run.read_record())
    spec = network("resnext50", depths=[2, 2, 2, 2], width=64, branches=[{"kernel": 3, "groups": 1}], num_classes=10)
    monkeypatch.setattr(exporting, "describe", lambda *_: told.model_copy(update={"model": spec}))
    monkeypatch.setattr(exporting, "kept_network", lambda *_: build(spec))
    exported = export(run, "timm", None)
    assert exported.file == "toy-cell-seed0.timm.safetensors"
    metadata = metadata_of(tmp_path / exported.file)
    assert described(metadata, exported.file) is None
    assert (metadata["architecture"], metadata["run"], metadata["mean"]) == ("resnet26", told.run, "[0.0924]")
    assert "layer4.1.bn3.weight" in safetensors.torch.load_file(tmp_path / exported.file)


def test_names_of_classes_come_from_the_run_or_from_its_data(run, toy_order):
    plain = trained(toy_order(model={"attention": "none"}))
    assert not plain.attention_file.exists()
    for folder in (plain, run):
        assert describe(folder, folder.read_record()).classes == tuple("0123456789")
    run.attention_file.write_text("{")
    assert describe(run, run.read_record()).classes == tuple("0123456789")


def test_names_of_classes_that_are_not_known_are_left_out(photos, tmp_path):
    record = photos.read_record()
    assert describe(photos, record).classes == ("cat", "dog")
    (tmp_path / "photos/train/cat").rename(tmp_path / "photos/train/bird")
    (tmp_path / "photos/val/cat").rename(tmp_path / "photos/val/bird")
    assert describe(photos, record).classes == ()
    shutil.rmtree(tmp_path / "photos")
    assert describe(photos, record).classes == ()
    assert describe(photos, record).mean == (0.485, 0.456, 0.406)


def test_one_number_for_all_channels_is_told_for_each(run, monkeypatch):
    monkeypatch.setattr(data_spec("scaled_digits"), "mean", (0.5,))
    record = run.read_record()
    colours = record.spec.experiment.model.model_copy(update={"in_channels": 3})
    experiment = record.spec.experiment.model_copy(update={"model": colours})
    spec = record.spec.model_copy(update={"experiment": experiment})
    assert describe(run, record.model_copy(update={"spec": spec})).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("study", "cell", "name"),
    [
        ("kernels", "K3+K5 SK", "kernels-K3+K5-SK-seed0.safetensors"),
        ("a", "../b/c: *?", "a-..-b-c-seed0.safetensors"),
        ("a", "wide " * 100, f"a-{'wide-' * 24}"[:120].strip("-") + "-seed0.safetensors"),
    ],
)
def test_the_name_of_the_file_says_which_run_it_is(toy_order, study, cell, name):
    assert default_name(toy_order().model_copy(update={"study": study, "cell": cell}), "safetensors") == name


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"model": "{"}, "can't be read .Expecting property name"),
        ({"model": '{"family":"bottleneck"}'}, "model.branches: Field required"),
        ({"mean": '"a"'}, "mean: "),
        ({"image_size": "null"}, "image_size: "),
    ],
)
def test_a_description_that_was_changed_by_hand_is_told(run, entry, told):
    metadata = {**describe(run, run.read_record()).metadata(), **entry}
    with pytest.raises(SklabError, match=rf"some\.safetensors: .*{told}"):
        described(metadata, "some.safetensors")


def test_files_of_others_have_no_description():
    assert described({}, "some.safetensors") is None
    assert described({"format": "pt", "model": "resnet"}, "some.safetensors") is None
