"""A results folder may come from anywhere: nothing in it ends a reader, keeps it waiting or hides the rest."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sklab.cli import main
from sklab.errors import DamagedRecordError
from sklab.store import study_folder
from sklab.store.files import MOST_BYTES, content
from sklab.store.records import RunOrder, RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import prices
from sklab.sweep.plan.reuse import offers, take_over
from sklab.sweep.run.journal import is_whole

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(PLAIN)
def test_what_is_written_as_yaml_is_read_as_the_safe_loader_reads_it(value):
    text = yaml.safe_dump(value)
    assert study_folder.read(text.encode()) == yaml.safe_load(text)


def test_a_value_that_stands_twice_and_names_that_look_like_numbers_come_back(toy_files):
    sweep, folder = load_sweep(toy_files / "sweep.yaml"), StudyFolder(toy_files / "results" / "sweep")
    cell = sweep.cells[0].model_copy(update={"factors": {"lr": "1e-4", "on": "no", "date": "2001-01-01", "=": "0x1F"}})
    shared = {"a": ["one list"] * 2}
    cell = cell.model_copy(update={"settings": {"x": shared, "y": shared}})
    folder.write_sweep(sweep.model_copy(update={"cells": (cell,)}))
    assert folder.read_sweep().cells == (cell,)


LAUGHS = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))])
HOSTILE = {
    "lists in lists": "[" * 1_000_000,
    "block lists": "- " * 1_000_000,
    "mappings": "{a: " * 1_000_000,
    "keys": "? " * 1_000_000,
    "aliases": LAUGHS,
    "values": "[" + "a," * study_folder.MOST_VALUES + "a]",
    "digits": "study: " + "9" * 100_000,
    "base 60": "study: 1" + ":59" * 1_000_000,
    "a tag": "!!python/object/apply:os.abort []\n",
    "a tagged scalar": "study: !!int x",
    "a date": "study: 2001-01-01",
    "a list as a key": "{[a]: b}",
    "merging": "{<<: {a: b}}",
    "a nul": "\0",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_sweep_file_of_a_study_is_told_within_seconds(tmp_path, text):
    (tmp_path / "sweep.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(DamagedRecordError, match=r"sweep.yaml can't be read"):
        StudyFolder(tmp_path).read_sweep()
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "text", ["[" * 1_000_000, '{"a":' * 1_000_000, "9" * 100_000], ids=["lists", "objects", "digits"]
)
def test_hostile_json_is_no_record_no_answer_and_no_journal(tmp_path, text):
    study, run = StudyFolder(tmp_path), StudyFolder(tmp_path).run("k")
    run.path.mkdir(parents=True)
    for file in (run.record_file, run.order_file, run.analysis_file, run.evaluation_file(32), study.index_file):
        file.write_text(text + "\n")
    assert run.read_evaluation(32) is None
    assert not is_whole(study.index_file)
    with pytest.raises(DamagedRecordError, match="not a run order"):
        run.read_order()
    with pytest.raises(DamagedRecordError, match="can't be read as Analysis"):
        run.read_analysis()
    with pytest.warns(UserWarning, match="is torn"):
        assert run.read_record() is None


def _socket(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(here)


def _large(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(MOST_BYTES + 1)


SICK: dict[str, Callable[[Path], None]] = {
    "no regular file": os.mkfifo,
    "no regular file ": Path.mkdir,
    "no regular file  ": _socket,
    "a link to nothing": lambda file: file.symlink_to(file.with_name("gone")),
    "Too many levels of symbolic links": lambda file: file.symlink_to(file),
    "larger than 16 MB": _large,
    "no regular file   ": lambda file: file.symlink_to("/dev/zero"),
}


@pytest.fixture(params=SICK.items(), ids=["pipe", "folder", "socket", "dangling", "loop", "large", "device"])
def sick(request) -> tuple[str, Callable[[Path], None]]:
    """What a record that can't be read is, as it is told, and how to make one."""
    why, make = request.param
    return why.strip(), make


def test_what_is_no_file_is_never_opened(tmp_path, sick):
    why, make = sick
    make(tmp_path / "file")
    with pytest.raises(OSError, match=why):
        content(tmp_path / "file")


def test_a_file_without_permission_is_told(tmp_path, monkeypatch, toy_order):
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    run = StudyFolder(tmp_path).run("k")
    run.write_order(toy_order())
    run.record_file.touch()
    monkeypatch.setattr("sklab.store.files.os.open", refuse)
    with pytest.raises(DamagedRecordError, match=r"record.json: Permission denied; mend it, or move its folder away"):
        run.read_record()


@pytest.fixture
def study(toy_files, toy_order) -> StudyFolder:
    """A study of two cells x two seeds, all complete."""
    sweep, folder = load_sweep(toy_files / "sweep.yaml"), StudyFolder(toy_files / "results" / "sweep")
    folder.write_sweep(sweep)
    for cell in sweep.cells:
        for seed, key in cell.runs.items():
            spec = run_spec(sweep, cell, seed)
            order = RunOrder(key=key, study="sweep", cell=cell.name, spec=spec, code=toy_order().code)
            folder.run(key).write_order(order)
            last = {"val_error": 10.0 + seed, "val_loss": 1.0}
            folder.run(key).write_record(RunRecord.of(order, status="complete", last=last, best=last, epochs=2))
    return folder


def break_one(study: StudyFolder, make: Callable[[Path], None]) -> Path:
    """Put something else in the place of the record of a run."""
    file = study.run(study.read_sweep().cells[1].runs[1]).record_file
    file.unlink()
    make(file)
    return file


@pytest.mark.parametrize("command", ["table", "report", "status", "compare"])
def test_a_record_that_can_not_be_read_hides_no_other(study, sick, command, capsys):
    why, make = sick
    others = [shutil.copytree(study.path, study.path.with_name("again"))] if command == "compare" else []
    file = break_one(study, make)
    assert main([command, *map(str, [study.path, *others])]) == 1
    said = capsys.readouterr()
    assert "3 of 4" in said.out or command == "compare"
    assert "1 unreadable" in said.out or command == "compare"
    told = said.out + said.err
    assert f"unreadable: {file}: {why}; mend it, or move its folder away to train the run again" in " ".join(
        told.split()
    )


def test_the_table_as_json_is_made_without_it_too(study, capsys):
    break_one(study, os.mkfifo)
    assert main(["table", "--json", str(study.path)]) == 1
    assert '"n": 1' in capsys.readouterr().out


def test_a_sweep_over_a_record_that_can_not_be_read_starts_nothing(study, sick, toy_files, capsys):
    why, make = sick
    break_one(study, make)
    assert main(["sweep", str(toy_files / "sweep.yaml"), "--results", str(study.path.parent)]) == 2
    assert f"{why}; mend it, or move its folder away to train the run again" in capsys.readouterr().err


def test_a_sick_study_beside_it_stops_no_other(study, sick, toy_files):
    _, make = sick
    sweep, other = load_sweep(toy_files / "sweep.yaml"), StudyFolder(study.path.with_name("other"))
    for cell in sweep.cells:
        for key in cell.runs.values():
            study.run(key).weights_file.touch()
            study.run(key).metrics_file.touch()
    make(study.path.with_name("thing"))
    study.path.with_name("empty").mkdir()
    make(study.path.with_name("empty") / "runs")
    break_one(study, make)
    make(study.run(sweep.cells[0].runs[1]).reused_file)
    assert prices(sweep, other, {}).keys() == {cell.name for cell in sweep.cells}
    broken = sweep.cells[1].runs[1]
    assert offers(sweep, other, {}).keys() == {key for cell in sweep.cells for key in cell.runs.values()} - {broken}
    study.sweep_file.unlink()
    make(study.sweep_file)
    prices(sweep, other, {})


@pytest.mark.parametrize("name", ["weights_file", "metrics_file", "log_file", "attention_file"])
def test_a_run_whose_files_are_none_is_not_taken_over(study, toy_files, toy_order, name):
    sweep, other = load_sweep(toy_files / "sweep.yaml"), StudyFolder(study.path.with_name("other"))
    key = sweep.cells[0].runs[0]
    study.run(key).weights_file.touch()
    study.run(key).metrics_file.touch()
    getattr(study.run(key), name).unlink(missing_ok=True)
    os.mkfifo(getattr(study.run(key), name))
    assert take_over(prepare(Start(sweep, other, toy_order().code))) == {}
