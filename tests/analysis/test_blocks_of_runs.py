"""Where runs share seeds, a table compares whole blocks of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import studies
from numpy.testing import assert_allclose

from sklab.analysis.evidence.blocks import block_means, whole_blocks
from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.looks import parts_of, seen
from sklab.analysis.table.side_by_side import side_by_side
from sklab.errors import SklabError
from sklab.spec.study.sweep import Sweep
from sklab.store.looks import Look, Looks

K3 = [20.0, 21.0, 22.0, 23.0, 20.5, 21.5, 23.0, 22.0, 21.0, 20.0, 22.0, 23.0]
K5 = [18.0, 20.0, 21.0, 22.0, 19.0, 20.0, 21.0, 22.0, 19.0, 19.0, 20.0, 21.0]


def crossed(vary: Any, seeds: int = 12) -> Sweep:
    experiment = {**studies.EXPERIMENT, "train": {**studies.EXPERIMENT["train"], "vary": vary}}
    return studies.make_sweep(seeds=range(seeds), experiment=experiment)


def test_means_are_of_whole_blocks() -> None:
    sweep = crossed({"init": 2, "order": 2}, seeds=11)
    assert whole_blocks(sweep, sweep.seeds) == (0, 1)
    assert whole_blocks(sweep, [4, 5, 6, 7, 0, 1, 2]) == (1,)
    assert_allclose(block_means(sweep, [1, 2, 3, 4, 5, 6, 7, math.nan, 0, 0, 0]), [2.5, math.nan])
    assert block_means(crossed(["init"], seeds=2), [[1, 2]]).tolist() == [[1, 2]]
    assert block_means(crossed({"init": 3}, seeds=2), [[1, 2]]).shape == (1, 0)


def test_a_table_of_crossed_runs_is_that_of_its_block_means() -> None:
    sweep = crossed({"init": 2, "order": 2})
    ours = ablation_table(sweep, studies.make_records({"K3": K3, "K5": K5}))
    means = {name: np.reshape(values, (3, 4)).mean(axis=1).tolist() for name, values in (("K3", K3), ("K5", K5))}
    plain = ablation_table(studies.make_sweep(), studies.make_records(means))
    for row, other in zip(ours.rows, plain.rows, strict=True):
        assert (row.n, row.planned, row.mean, row.half) == (3, 3, other.mean, other.half)
        assert row.baseline == other.baseline


def test_a_block_without_one_of_its_runs_does_not_count_in_its_cell() -> None:
    lacking = [*K5[:5], None, *K5[6:]]
    table = ablation_table(crossed({"init": 2, "order": 2}), studies.make_records({"K3": K3, "K5": lacking}))
    assert [(row.n, row.planned) for row in table.rows] == [(3, 3), (2, 3)]


def test_a_list_of_sources_leaves_every_run_by_itself() -> None:
    records = studies.make_records({"K3": K3, "K5": K5})
    ours, plain = (ablation_table(sweep, records) for sweep in (crossed(["init"]), studies.make_sweep(seeds=range(12))))
    assert [row.baseline for row in ours.rows] == [row.baseline for row in plain.rows]


def test_crossed_runs_are_not_paired_with_those_of_another_study() -> None:
    records = studies.make_records({"K3": K3, "K5": K5})
    tables = {
        name: ablation_table(sweep, records)
        for name, sweep in (("a", crossed(["init"])), ("b", crossed({"init": 2, "order": 2})))
    }
    with pytest.raises(SklabError, match=r"runs of b share seeds \(vary crosses them\)"):
        side_by_side(tables)


def test_a_look_is_at_whole_blocks() -> None:
    sweep = crossed({"init": 2, "order": 2})
    looked = seen(sweep, Looks(looks=(Look(seeds=tuple(range(10))),)))
    assert looked is not None
    (part,) = parts_of(sweep, np.array([K3, K5]), looked)
    assert_allclose(part, block_means(sweep, [K3, K5])[:, :2])
