"""Own code beyond one process: exported networks, and runs on several devices."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors
import torch
from onnx.reference import ReferenceEvaluator
from own_lab import forget, own_order, trained

from sklab.cli import main
from sklab.data.cache import load_splits
from sklab.launch.base import Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.launch.slots import Slot
from sklab.spec.study.metrics import OwnMetric
from sklab.store.run_folder import RunFolder
from sklab.training.evaluate import evaluate, kept_network

CPU = torch.device("cpu")
PARTS = {"train": {"devices": 2, "optimizer": "lion", "lr": 1e-3, "augment": {"own": "dim"}}}


def forget_all() -> None:
    """As on another machine: the copy beside the run is all that is left of the file."""
    forget()
    shutil.rmtree("cache")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the export, in torch
def test_an_own_network_is_exported_once_its_code_is_named(tmp_path):
    run = trained(tmp_path)
    network = kept_network(run, run.read_record(), CPU)
    images = torch.rand(5, 1, 8, 8)
    expected = network(images).detach()
    forget_all()
    for kind in ("safetensors", "onnx"):
        forget()
        assert main(["export", str(run.path), "--to", kind, "--code", "my_lab.py"]) == 0
    [weights, graph] = [Path(f"s-cell-seed0.{ending}") for ending in ("safetensors", "onnx")]
    with safetensors.safe_open(weights, "pt") as opened:
        stated, kept = json.loads(opened.metadata()["model"]), opened.keys()
        assert set(kept) == set(network.state_dict())
        assert json.loads(opened.metadata()["classes"]) == ["across", "down"]
    assert (stated["family"], stated["width"]) == ("two_layers", 8)
    assert stated["code"] == run.read_record().spec.experiment.model.code
    evaluator = ReferenceEvaluator(str(graph))
    [scores] = evaluator.run(None, {evaluator.input_names[0]: images.numpy()})
    assert scores == pytest.approx(expected.numpy(), abs=1e-5)


def test_an_own_network_is_not_exported_before_its_code_is_named(tmp_path, capsys):
    run = trained(tmp_path)
    forget_all()
    Path("my_lab.py").unlink()
    assert main(["export", str(run.path), "--to", "safetensors"]) == 2
    assert "read it, then name it: --code FILE" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.slow  # processes that begin with nothing: each imports torch
def test_own_code_on_two_devices_is_one_run(tmp_path):
    order = own_order(tmp_path, **PARTS)
    stated = OwnMetric(better="lower", unit="%", code=order.spec.experiment.data.code)
    asked = {"metrics": ("val_worst_class_error",), "own_metrics": {"val_worst_class_error": stated}}
    runs = [RunFolder(tmp_path / "results" / name / order.key) for name in "ab"]
    launcher = LocalLauncher([Slot(None, "cpu", 2)])
    try:
        for run in runs:
            run.write_order(order.model_copy(update=asked))
            launcher.submit(Job("train", run.path))
            while not (ended := launcher.wait(5.0)):
                pass
            assert ended[0].exitcode == 0
    finally:
        launcher.stop()
    record, again = (run.read_record() for run in runs)
    assert (record.status, record.traceback) == ("complete", "")
    assert record.hardware.devices == 2
    assert (record.last, record.best) == (again.last, again.best)
    assert "val_worst_class_error" in record.last
    assert evaluate(runs[0], None, "cpu").val_error == record.last["val_error"]
    assert record.fingerprint.same_as(load_splits(order.spec.experiment.data).inventory.fingerprint)
