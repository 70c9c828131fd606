"""The log of a run, from what the run does to what `sklab logs` prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sklab.cli import main
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
NUMBER = r"[\d.]+"
EPOCH = rf"val_error {NUMBER} %, train_loss {NUMBER}, val_loss {NUMBER}, lr {NUMBER}, {NUMBER} s, [\d,]+ images/s"


@pytest.fixture
def here(toy_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(toy_files)
    return toy_files


def only_run(capsys: pytest.CaptureFixture[str]) -> RunFolder:
    [study] = map(StudyFolder, Path("results").glob("toy*"))
    [run] = map(study.run, study.records())
    capsys.readouterr()
    return run


def test_the_log_of_a_complete_run_tells_its_start_its_epochs_and_its_end(here, capsys):
    assert main(["train", "toy.yaml", "--no-wandb", "--slots", "1"]) == 0
    run = only_run(capsys)
    assert main(["logs", run.path.name]) == 0
    lines = capsys.readouterr().out.splitlines()
    order = run.read_order()
    expected = [
        rf"{order.cell}, seed 0: attempt 1 at run {order.key} of {order.study}",
        r"training on cpu: .+, torch \S+, \d+ threads?",
        r"data: scaled_digits, 64 images an epoch, 32 for validation, 1x32x32, 10 classes",
        r"network: \w+, [\d,]+ parameters",
        r"recipe: epochs 2, batch_size 16, lr 0\.05",
        r"starts anew: 2 epochs of 4 batches",
        rf"epoch 1 of 2: {EPOCH}",
        rf"epoch 2 of 2: {EPOCH}",
        rf"complete after 2 epochs, {NUMBER} s",
        rf"val_error {NUMBER} %, lowest {NUMBER} % in epoch [12]; weights beside this log: weights\.pt",
    ]
    assert [line for line, told in zip(expected, lines, strict=True) if not re.fullmatch(STAMP + line, told)] == []


def test_the_log_of_a_failed_run_ends_with_its_reason(here, capsys):
    main(["train", "toy.yaml", "--no-wandb", "--slots", "1", "--set", "train.precision=fp16"])
    run = only_run(capsys)
    last = run.log_file.read_text().splitlines()[-1]
    assert re.fullmatch(rf"{STAMP}failed after 0 epochs, {NUMBER} s: train.precision = fp16 needs a GPU.*", last)


@pytest.mark.parametrize("how", [[], ["--follow"]])
def test_an_empty_log_is_said_to_be_empty(tmp_path, toy_order, capsys, how):
    order = toy_order()
    run = StudyFolder(tmp_path / "results" / "toy").run(order.key)
    run.write_order(order)
    run.log_file.touch()
    assert main(["logs", str(run.path), *how]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"sklab: {run.log_file} is empty: the run has printed nothing\n")


def test_a_run_is_named_by_study_cell_and_seed(tmp_path, toy_files, capsys, monkeypatch):
    monkeypatch.chdir(toy_files)
    sweep = load_sweep(toy_files / "sweep.yaml")
    folder = StudyFolder(Path("results/sweep"))
    folder.write_sweep(sweep)
    run = folder.run(sweep.cells[1].runs[1])
    run.path.mkdir(parents=True)
    run.order_file.touch()
    run.log_file.write_text("of K3+K5 SK, seed 1\n")
    for words in (["K3+K5 SK", "1"], ["K3+K5 SK"]):
        assert main(["logs", "sweep", *words]) == 0
        assert capsys.readouterr().out == "of K3+K5 SK, seed 1\n"
    for command in (["evaluate"], ["analyze"], ["export", "--to", "onnx"], ["logs"]):
        assert main([command[0], "sweep", "K3+K5 S", "1", *command[1:]]) == 2
        assert "did you mean 'K3+K5 SK'?" in capsys.readouterr().err
