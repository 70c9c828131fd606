"""metrics.csv as it is found: half-written, damaged or from anywhere."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.report.run_files import _read
from sklab.spec.study.sweep import Metric
from sklab.store.measured.metrics import read_epochs
from sklab.store.run_folder import RunFolder
from sklab.sweep.run.pruning import read_values
from sklab.sweep.state.status import last_metrics

HEAD = "epoch,train_loss,val_loss,val_error,lr,seconds\n"
ROWS = ("1,1.0,0.9,50.0,0.1,2.0\n", "2,0.8,0.7,40.0,0.1,4.0\n")


def test_epochs_are_read_in_order_as_far_as_lines_are_whole(tmp_path):
    file = tmp_path / "metrics.csv"
    whole = HEAD + "".join(ROWS)
    for end in range(len(whole) + 1):
        file.write_text(whole[:end])
        lines = whole[:end].count("\n")
        assert [epoch["val_error"] for epoch in read_epochs(file)] == [50.0, 40.0][: max(0, lines - 1)]


DAMAGED = {
    "a nul": b"3,1\0,0.9,30.0,0.1,6.0\n",
    "a huge field": b"3," + b"9" * 1_000_000 + b",x,1,1,1\n",
    "no number": b"3,a,b,c,d,e\n",
    "an epoch of another number": b"1000000000,1.0,0.9,30.0,0.1,6.0\n",
    "too few": b"3,1.0\n",
    "too many": b"3,1,1,1,1,1,1,1\n",
    "no text": b"\xff\xfe\n",
    "an open quote": b'"3,1.0\n',
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_line_ends_the_reading_for_every_reader(tmp_path, line):
    run = RunFolder(tmp_path)
    run.metrics_file.write_bytes((HEAD + "".join(ROWS)).encode() + line + b"3,1.0,0.9,30.0,0.1,6.0\n")
    assert last_metrics(run)[0] == 2
    assert read_values(run, Metric()) == (50.0, 40.0)
    assert _read(run.metrics_file, "val_error") == {1: 50.0, 2: 40.0}


def test_what_is_no_finite_number_is_neither_shown_nor_drawn(tmp_path):
    run = RunFolder(tmp_path)
    run.metrics_file.write_text(HEAD + "1,1.0,nan,inf,0.1,2.0\n2,1.0,1e300,40.0,0.1,4.0\n3,1,nan,nan,0.1,6\n")
    assert last_metrics(run) == (3, {"train_loss": 1.0, "lr": 0.1, "seconds": 6.0})
    assert _read(run.metrics_file, "val_error") == {2: 40.0}
    assert _read(run.metrics_file, "val_loss") == {}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda file: file.symlink_to("gone")])
def test_what_is_no_file_has_no_epochs(tmp_path, make):
    run = RunFolder(tmp_path)
    make(run.metrics_file)
    assert last_metrics(run) == (0, {})
    assert read_values(run, Metric()) == ()


@given(st.binary())
def test_whatever_the_file_holds_it_is_read(tmp_path_factory, held):
    run = RunFolder(tmp_path_factory.getbasetemp())
    run.metrics_file.write_bytes(held)
    assert isinstance(last_metrics(run)[0], int)
    assert isinstance(read_values(run, Metric()), tuple)
