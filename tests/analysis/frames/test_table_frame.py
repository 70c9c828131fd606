"""The table as data."""

import pandas as pd
import pytest
from studies import make_records, make_sweep

from sklab.analysis.frames.table import data_frame
from sklab.analysis.table.ablation import ablation_table
from sklab.spec.study.sweep import Cell

ERRORS = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0], "K7": [30.0, 31.2, 32.0]}


def test_the_frame_holds_every_row():
    table = ablation_table(make_sweep(list(ERRORS)), make_records(ERRORS))
    frame = data_frame(table)
    assert frame["cell"].tolist() == ["K3", "K5", "K7"]
    assert frame["kernel"].tolist() == ["K3", "K5", "K7"]
    assert frame["mean"].tolist() == pytest.approx([row.mean for row in table.rows], rel=1e-11)
    assert frame["params"].dtype == "Int64"


def test_a_factor_called_like_a_column_keeps_its_own():
    cell = Cell(name="K3", factors={"n": "lots"}, runs={})
    frame = data_frame(ablation_table(make_sweep(["K3"], cells=(cell,), columns=("n",)), {}))
    assert (frame.loc[0, "n"], frame.loc[0, "factor n"]) == (0, "lots")


def test_a_frame_without_cells_is_empty():
    assert isinstance(data_frame(ablation_table(make_sweep([], cells=()), {})), pd.DataFrame)
