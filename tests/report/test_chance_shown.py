"""The section on the sources of chance: in every form of the report, where a sweep varies them, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies

from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.rows import AblationTable
from sklab.report.build import build
from sklab.report.evidence.components import chance_grids, chance_sentences
from sklab.spec.study.sweep import Sweep

CROSSED = {"init": 2, "order": 2, "split": 1}
CELLS = ("K3", "K5", "K7")
Errors = dict[str, Any]  # lists of numbers; None: no run


def sweep_of(vary: Any, seeds: int) -> Sweep:
    experiment = {**studies.EXPERIMENT, "train": {**studies.EXPERIMENT["train"], "vary": vary}}
    made: Sweep = studies.make_sweep(CELLS, seeds=range(seeds), experiment=experiment)
    return made


def errors_of(blocks: int, init: float, split: float) -> Errors:
    """The runs of blocks of 2 initialisations x 2 orders on one split: initialisations move each cell by itself, the
    split moves all alike, and the order does nothing."""
    random = np.random.default_rng(5)
    of_split = split * random.normal(size=(1, blocks, 1, 1))
    of_init = init * random.normal(size=(len(CELLS), blocks, 1, 2))
    values = 20 + of_split + of_init + 0.5 * random.normal(size=(len(CELLS), blocks, 2, 2))
    return dict(zip(CELLS, values.reshape(len(CELLS), -1).tolist(), strict=True))


def table_of(vary: Any, errors: Errors) -> AblationTable:
    return ablation_table(sweep_of(vary, len(errors["K3"])), studies.make_records(errors))


def test_a_study_that_varies_nothing_apart_says_nothing(kernels_folder: Path) -> None:
    table = ablation_table(studies.make_sweep(), studies.make_records({"K3": [20.0, 21.0, 22.0]}))
    assert (table.sources, chance_sentences(table), chance_grids(table)) == (None, (), ())
    assert "Sources of chance" not in (kernels_folder / "report.md").read_text()


def test_each_source_has_its_row_and_its_share() -> None:
    table = table_of(CROSSED, errors_of(20, init=3, split=4))
    (grid,) = chance_grids(table)
    assert [row[:2] for row in grid.rows] == [
        ("initialisation", "40"),
        ("order of the images", "40"),
        ("split", "20"),
        ("rest", "–"),
    ]
    sds = [float(row[2]) for row in grid.rows]
    assert sds[0] == pytest.approx(3, abs=0.6)
    assert sds[2] == pytest.approx(4, abs=1.6)
    assert float(grid.rows[3][2]) == pytest.approx(0.5, abs=0.1)
    shares = [int(row[6].removesuffix(" %")) for row in grid.rows]  # in differences the split drops out
    assert shares[0] > 90
    assert shares[2] < 10
    assert "from 20 blocks of 4 runs in 3 cells" in grid.legend


def test_the_advice_names_what_matters_and_what_may_be_fixed() -> None:
    covered, advice = chance_sentences(table_of(CROSSED, errors_of(40, init=3, split=0)))
    assert covered == (
        "Blocks of 4 runs cross 2 initialisations, 2 orders and 1 split, and every block has new ones. Runs of a block "
        "are not independent, so the table compares means of blocks: n and seeds to add count blocks. An interval "
        "holds for any other initialisation, order of the images and split, with the augmentation that all runs share."
    )
    assert advice.startswith("The largest part of the variance of a difference is that of the initialisation: 9")
    assert "The order of the images may be fixed: below 10 % of it by these runs." in advice
    assert "new seeds in each, vary: [init, order, split]: about 0.7" in advice


def test_few_runs_call_no_source_negligible() -> None:
    _, advice = chance_sentences(table_of(CROSSED, errors_of(2, init=0.5, split=0.5)))
    assert "No source is surely below 10 % of it, so none may be fixed without loss." in advice


def test_a_list_tells_what_intervals_cover_and_that_sources_are_not_told_apart() -> None:
    table = table_of(["init", "split"], errors_of(2, init=1, split=1))
    covered, apart = chance_sentences(table)
    assert covered == (
        "Every run has a new initialisation and split. An interval holds for any other initialisation and split, with "
        "the order of the images and augmentation that all runs share."
    )
    assert apart.startswith("What each source adds is not known")
    assert chance_grids(table) == ()


def test_a_cell_with_gaps_is_left_out_where_that_leaves_more_runs() -> None:
    errors = errors_of(6, init=1, split=1)
    lacking: Errors = {**errors, "K7": [None, *errors["K7"][1:5], *[None] * 19]}
    table = table_of(CROSSED, lacking)
    assert table.sources is not None
    assert (table.sources.cells, table.sources.blocks) == (("K3", "K5"), 6)
    shorter: Errors = {name: [*of_cell[:20], *[None] * 4] for name, of_cell in errors.items()}
    table = table_of(CROSSED, {**shorter, "K3": errors["K3"]})
    assert table.sources is not None
    assert (table.sources.cells, table.sources.blocks) == (CELLS, 5)


@pytest.mark.parametrize("there", [0, 3, 5])
def test_an_unfinished_study_says_what_it_waits_for(there: int) -> None:
    errors = {name: [*of_cell[:there], *[None] * (8 - there)] for name, of_cell in errors_of(2, 1, 1).items()}
    covered, *more = chance_sentences(table_of(CROSSED, errors))
    assert covered.startswith("Blocks of 4 runs")
    assert more == ["What each source adds is not known yet: no cell has all runs of a block."] if there < 4 else more


def test_sources_are_in_the_order_of_their_seeds_in_a_block() -> None:
    """The first source runs fastest: what differs from run to run is the initialisation."""
    errors: Errors = {name: [20.0, 30.0, 20.0, 30.0, 21.0, 11.0, 21.5, 11.0] for name in CELLS}
    table = table_of({"init": 2, "order": 2}, errors)
    assert table.sources is not None
    assert table.sources.runs is not None
    init, order = table.sources.runs.sources
    assert init.share > 0.99
    assert order.share < 0.01


def test_every_form_of_the_report_has_the_section(tmp_path: Path) -> None:
    sweep, errors = sweep_of(CROSSED, 12), errors_of(3, init=1, split=1)
    folder = studies.write_study(tmp_path / "made", sweep, studies.make_records(errors))
    build(folder)
    for name in ("report.md", "report.html", "report.tex"):
        text = (folder / name).read_text()
        assert "Sources of chance" in text
        assert "Blocks of 4 runs cross 2 initialisations, 2 orders and 1 split" in text
        assert "Spread between runs, by source" in text
    text = (folder / "report.md").read_text()
    assert "| initialisation | 6 |" in text
    assert "in blocks of 2 init × 2 order × 1 split" in text
    assert "Whole blocks of 4 complete runs" in text
