"""`sklab analyze` from kept weights to records and words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sklab.cli import main
from sklab.data.loaders import open_loaders
from sklab.launch.base import Job
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.models.zoo import build, create_model
from sklab.spec.study.sweep import Sweep
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.training.attention.analyze import analyze
from sklab.training.attention.behaviour import enlarged, low_middle_high, stage_ends
from sklab.training.attention.recorder import sk_convolutions


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("sklab.launch.slots.find_gpus", list)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def study(toy_files, monkeypatch) -> StudyFolder:
    """The toy sweep, two cells x two seeds, trained but without its tables; its files' folder is the current one."""
    monkeypatch.chdir(toy_files)
    sweep = load_sweep(Path("sweep.yaml"))
    study = StudyFolder(Path("results/sweep"))
    study.write_sweep(sweep)
    launcher = InlineLauncher(Slot(None, "cpu", 1))
    for cell in sweep.cells:
        for seed in sweep.seeds:
            spec = run_spec(sweep, cell, seed)
            order = {"key": spec.key, "study": "sweep", "cell": cell.name, "spec": spec, "code": {"version": "0"}}
            study.run(spec.key).write_order(RunOrder.model_validate(order))
            launcher.submit(Job("train", study.run(spec.key).path))
    return study


@pytest.fixture
def run(toy_order, tmp_path, monkeypatch) -> RunFolder:
    """One trained run of the study `sweep`; the folder of its results is the current one."""
    monkeypatch.chdir(tmp_path)
    order = toy_order()
    folder = StudyFolder(Path("results/sweep")).run(order.key)
    folder.write_order(order)
    InlineLauncher(Slot(None, "cpu", 1)).submit(Job("train", folder.path))
    return folder


def runs_with_attention(study: StudyFolder) -> list[RunFolder]:
    return [run for key in study.records() if (run := study.run(key)).attention_file.exists()]


def test_a_study_is_analysed_from_its_weights_once_and_the_same_again(study, capsys):
    assert main(["analyze", "sweep", "--scales", "1.0,1.5,2.0", "--json"]) == 0
    shown = capsys.readouterr()
    assert "[4/4] K3+K5 SK: ok" in shown.err
    plain, sk = json.loads(shown.out)
    assert (plain["cell"], plain["by_object"], plain["by_enlargement"]) == ("K3", [], [])
    assert [trend["unit"] for trend in sk["by_object"]] == ["SK_2_1", "SK_3_1"]
    assert [trend["role"] for trend in sk["by_enlargement"]] == ["low", "high"]
    assert all(trend["n"] == 2 for trend in sk["by_object"])
    assert [stage["theoretical"] for stage in plain["fields"]] == [7, 11]
    assert [stage["theoretical"] for stage in sk["fields"]] == [11, 19]
    assert all(0 < field["side"] <= 32 for cell in (plain, sk) for field in cell["fields"])
    assert sk["fields"][0]["difference"] is not None

    files = {run: run.analysis_file.read_bytes() for run in map(study.run, study.records())}
    for run in files:
        run.analysis_file.unlink()
    assert main(["analyze", "results/sweep", "--scales", "1.0,1.5,2.0"]) == 0
    assert {run: run.analysis_file.read_bytes() for run in files} == files
    table = capsys.readouterr().out
    assert "K3+K5 SK: SK_3_1" in table
    assert "K3: SK_2_1" in table

    for run in files:
        run.weights_file.unlink()
    assert main(["analyze", "sweep", "--scales", "1.0,1.5,2.0"]) == 0, "what stands there needs no weights"
    assert main(["analyze", "sweep"]) == 2
    assert "weights.pt: no such file" in capsys.readouterr().err


def test_the_record_holds_means_over_images_classes_and_channels(run):
    record, summary = run.read_record(), run.read_attention()
    analysis = analyze(run, {}, (1.0, 1.5, 2.0), "cpu")
    assert record is not None
    assert summary is not None
    assert (analysis.key, analysis.seed, analysis.images) == (record.key, record.spec.seed, 32)
    network = build(record.spec.experiment.model).eval()
    network.load_state_dict(torch.load(run.weights_file, weights_only=True))
    seen: list[torch.Tensor] = []
    network.get_submodule("units.SK_3_1.sk.attention").register_forward_hook(lambda _m, _i, out: seen.append(out))
    experiment = record.spec.experiment
    loaders = open_loaders(experiment.data, experiment.train, 0, torch.device("cpu"))
    images = torch.cat([batch for batch, _ in loaders.val])
    for at, scale in enumerate((1.0, 1.5, 2.0)):
        with torch.no_grad():
            network(enlarged(images, scale))
        weights = seen[-1].double().numpy()
        unit = analysis.units[1]
        assert unit.mean[at] == pytest.approx(weights.mean((0, 2)), rel=1e-4)
        assert unit.spread[at] == pytest.approx(weights.mean(2).std(0), rel=1e-2, abs=1e-6)
        present = np.unique(loaders.val_labels)
        for label in range(10):
            got = [branch[label] for branch in unit.by_class[at]]
            if label in present:
                assert got == pytest.approx(weights[loaders.val_labels == label].mean((0, 2)), rel=1e-4)
            else:
                assert got == [None, None]
        samples = [sample for sample in analysis.samples if sample.enlargement == scale]
        assert [sample.image for sample in samples] == [10, 20]
        for sample in samples:
            assert np.array(sample.weights["SK_3_1"]) == pytest.approx(weights[sample.image], rel=1e-4)
    assert [unit.slope for unit in analysis.units] == [unit.slope for unit in summary.units]


def test_other_data_and_scales_replace_the_record(run, capsys):
    key = run.path.name
    assert main(["analyze", key, "--scales", "1.0,2.0"]) == 0
    assert main(["analyze", f"sweep/{key}", "--scales", "1.0,2.0", "--data", "val_size=48"]) == 0
    analysis = run.read_analysis()
    assert analysis is not None
    assert (analysis.images, analysis.enlargements) == (48, (1.0, 2.0))
    capsys.readouterr()
    assert main(["analyze", key, "--scales", "1.0,2.0", "--data", "val_size=48", "train_size=64", "--json"]) == 0
    assert "object" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "run 'nothing': found none under results"),
        (["sweep", "--scales", "1.5,2.0"], "allowed: rising numbers from 1.0 up to 8"),
        (["sweep", "--scales", "1.0,two"], "--scales: found '1.0,two'"),
        (["sweep", "--scales", "1.0,nan"], "--scales"),
        (["sweep", "--data", "val_size"], "--data: found 'val_size'; allowed: path=value, for example val_size=4000"),
        (["sweep", "--data", "vall_size=50"], "did you mean 'val_size'"),
        (["sweep", "--data", "val_size=3"], "data.val_size: Input should be greater than or equal to 10; found 3"),
        (["sweep", "--data", "name=image_fold", "root=x"], "did you mean 'image_folder'"),
        (
            ["sweep", "--data", "name=image_folder", "root=/nowhere", "num_classes=3"],
            "num_classes = 10 but the data set",
        ),
    ],
)
def test_what_can_not_be_analysed_is_told(toy_order, tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sklab.training.attention.analyze.complete_record", lambda run: RunRecord.of(run.read_order(), status="failed")
    )
    order = toy_order()
    study = StudyFolder(Path("results/sweep"))
    cell = {"name": "cell", "runs": {"0": order.key}}
    sweep = {"study": "sweep", "experiment_name": "toy", "experiment": {}, "design": "list", "seeds": [0]}
    study.write_sweep(Sweep.model_validate({**sweep, "baseline": "cell", "columns": [], "cells": [cell]}))
    study.run(order.key).write_order(order)
    assert main(["analyze", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.rglob("analysis.json"))


def test_runs_that_can_not_be_analysed_stand_beside_those_that_can(study, capsys):
    first, second = runs_with_attention(study)
    first.weights_file.unlink()
    (study.run(second.path.name).record_file).unlink()
    assert main(["analyze", "sweep", "--scales", "1.0,2.0"]) == 1
    told = capsys.readouterr()
    assert "weights.pt: no such file" in told.err
    assert "has not ended" in told.err
    assert "K3: SK_2_1" in told.out


def test_objects_are_enlarged_around_the_centre():
    ramp = torch.linspace(-1, 1, 33).expand(1, 1, 33, 33)
    twice = enlarged(ramp, 2.0)
    assert twice.shape == ramp.shape
    assert twice[0, 0, 16] == pytest.approx(ramp[0, 0, 16] / 2, abs=1e-6)
    assert enlarged(ramp, 1.0) is ramp
    last = torch.rand(2, 1, 8, 8).contiguous(memory_format=torch.channels_last)
    assert enlarged(last, 1.25).stride() == last.stride()


@pytest.mark.parametrize(
    ("name", "chosen", "ends"),
    [
        ("sknet50", ("SK_2_3", "SK_3_4", "SK_5_3"), ["SK_2_3", "SK_3_4", "SK_4_6", "SK_5_3"]),  # the paper's
        ("sknet_small", ("SK_2_1", "SK_3_1", "SK_4_1"), ["SK_2_1", "SK_3_1", "SK_4_1"]),
        ("resnext_small", (), ["SK_2_1", "SK_3_1", "SK_4_1"]),
    ],
)
def test_low_middle_and_high_units_are_the_last_of_their_stages(name, chosen, ends):
    with torch.device("meta"):
        network = create_model(name)
    assert low_middle_high(list(sk_convolutions(network))) == chosen
    assert list(stage_ends(network)) == ends
    assert low_middle_high(["a", "b", "c", "d"]) == ("a", "b", "d")
    assert low_middle_high(["a"]) == ("a",)
