"""What is read is tied to what was written: records and what was read off weights by seals, files by checksums."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklab.cli import main
from sklab.errors import DamagedRecordError, SklabError
from sklab.launch.base import Job
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.store.files import sealed, unseal, unseal_text
from sklab.store.measured.scores import Evaluation
from sklab.store.reader import RecordReader
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.training.attention.analyze import analyze
from sklab.training.evaluate import evaluate

EDITED = "was changed after the run had written it: its numbers may be somebody's, not the run's"
Made = Callable[..., RunFolder]


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("sklab.launch.slots.find_gpus", list)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def trained(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Made:
    """Trains a toy run in a folder of its own."""

    def make(**changes: object) -> RunFolder:
        order = toy_order(**changes)
        folder = StudyFolder(tmp_path / "results" / "toy").run(order.key)
        folder.write_order(order)
        InlineLauncher(Slot(None, "cpu", 1)).submit(Job("train", folder.path))
        return folder

    return make


def replace(file: Path, before: bytes, after: bytes) -> None:
    content = file.read_bytes()
    assert before in content
    file.write_bytes(content.replace(before, after, 1))


def test_a_flipped_bit_or_another_seeds_weights_are_told(trained):
    folder, other = trained(), trained(seed=1)
    whole = folder.weights_file.read_bytes()
    assert evaluate(folder, None, "cpu").weights == folder.checksums()["weights.pt"]
    flipped = [bytes([*whole[:at], whole[at] ^ 64, *whole[at + 1 :]]) for at in range(0, len(whole), len(whole) // 9)]
    for content in (*flipped, other.weights_file.read_bytes(), whole[:-1], b""):
        folder.weights_file.write_bytes(content)
        for read in (lambda: evaluate(folder, None, "cpu"), lambda: analyze(folder, {}, (1.0,), "cpu")):
            with pytest.raises(SklabError, match=r"not the weights of this run \(its SHA-256 is .*; bring it back"):
                read()
    folder.weights_file.write_bytes(whole)
    evaluate(folder, None, "cpu")


def test_what_was_read_off_other_weights_or_was_edited_is_made_again(trained):
    folder, other = trained(), trained(seed=1)
    found, file = evaluate(folder, None, "cpu"), folder.evaluation_file(32)
    record = folder.read_record()
    assert (folder.read_evaluation(32), folder.missing_sizes(record, (32,))) == (found, ())
    evaluate(other, None, "cpu")
    shutil.copy(other.evaluation_file(32), file)
    assert (folder.read_evaluation(32), folder.missing_sizes(record, (32,))) == (None, (32,))
    evaluate(folder, None, "cpu")
    replace(file, b'"val_error": ', b'"val_error": 1')
    assert folder.missing_sizes(record, (32,)) == (32,)


@pytest.mark.parametrize("name", ["attention.json", "analysis.json"])
def test_attention_that_is_not_the_runs_is_told(trained, name):
    folder, other = trained(), trained(seed=1)
    for run in (folder, other):
        analyze(run, {}, (1.0,), "cpu")
    read = folder.read_attention if name == "attention.json" else folder.read_analysis
    assert read() is not None
    shutil.copy(other.path / name, folder.path / name)
    with pytest.raises(DamagedRecordError, match=f"{name} is .*; delete it; `sklab analyze` tells"):
        read()


def test_an_edited_analysis_is_told(trained):
    folder = trained()
    analyze(folder, {}, (1.0,), "cpu")
    replace(folder.analysis_file, b'"images": ', b'"images": 1')
    with pytest.raises(DamagedRecordError, match="was changed after it was written"):
        folder.read_analysis()


def test_an_edited_record_is_told_and_taken_over_by_nobody(toy_files, monkeypatch, capsys):
    monkeypatch.chdir(toy_files)
    assert main(["sweep", "sweep.yaml", "--no-wandb"]) == 0
    study = StudyFolder(Path("results/sweep"))
    run = study.run(next(iter(study.records())))
    replace(run.record_file, b'"train_loss": ', b'"train_loss": 1')
    with pytest.warns(UserWarning, match=EDITED):
        assert main(["table", "sweep"]) == 0
    with pytest.warns(UserWarning, match=EDITED):
        assert main(["report", "sweep"]) == 0
    report = (study.path / "report.md").read_text()
    assert "caution: 1 record was changed after its run had written it: " in report
    shutil.copy("sweep.yaml", "again.yaml")
    capsys.readouterr()
    assert main(["plan", "again.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 3


def test_a_record_laid_out_anew_is_the_same_and_one_without_a_seal_is_believed(tmp_path, toy_order):
    run, order = RunFolder(tmp_path / "run"), toy_order()
    run.write_order(order)
    record = RunRecord.of(order, status="complete", last={"val_error": 1e-7, "lr": 3e22}, reason="4 °C · 20 µs")
    run.write_record(record)
    tree = json.loads(run.record_file.read_bytes())
    without = {name: value for name, value in tree.items() if name not in ("seal", "files")}
    for text in (json.dumps(tree, sort_keys=True), json.dumps(tree, indent=4) + "\n", json.dumps(without)):
        run.record_file.write_text(text)
        assert run.read_record() == record
    run.record_file.write_text(json.dumps({**tree, "cell": "another"}))
    with pytest.warns(UserWarning, match=EDITED):
        assert run.read_record() == record.model_copy(update={"cell": "another", "edited": True})


@given(
    numbers=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    at=st.integers(min_value=0),
    to=st.integers(33, 126),
)
def test_a_seal_is_of_every_character(numbers, at, to):
    record = Evaluation.model_construct(key="k", val_error=0.5, images=7, data=numbers)
    text = sealed(record)
    opened, is_intact = unseal_text(text.encode())
    assert (json.loads(opened), is_intact) == (json.loads(record.model_dump_json()), True)
    changed = text[: at % len(text)] + chr(to) + text[at % len(text) + 1 :]
    try:
        tree = json.loads(changed)
    except ValueError:
        return
    if tree != json.loads(text) and "seal" in tree:
        assert not unseal(tree)


def test_runs_of_before_there_were_checksums_are_read_evaluated_and_analysed(trained):
    folder = trained()
    tree = json.loads(folder.record_file.read_bytes())
    del tree["seal"], tree["files"]
    folder.record_file.write_text(json.dumps(tree))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(folder, None, "cpu").weights == analyze(folder, {}, (1.0,), "cpu").weights == ""
    assert folder.read_attention() is not None
    assert folder.read_analysis() is not None
    assert folder.read_evaluation(32) is not None


def test_what_is_wrong_with_a_sealed_record_is_told_as_ever(tmp_path, toy_order):
    order = toy_order()
    text = sealed(RunRecord.of(order, status="complete")).replace('"cell"', '"zell"', 1)
    with pytest.raises(ValueError, match=r"zell(.|\n)*Extra inputs"):
        RecordReader().read(text.encode())
