"""The verdict on published figures: given on their data and with a tolerance only."""

import pytest
from studies import EXPERIMENT, make_records, make_sweep

from sklab.analysis.frames.table import data_frame
from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.published import on_published_data, order_agreement, reproduced
from sklab.spec.study.sweep import Metric, Published, PublishedRow

ROWS = {"K3": PublishedRow(error=20.0), "K5": PublishedRow(error=25.0), "K7": PublishedRow(error=30.0)}
ERRORS = {"K3": [20.0, 20.1, 19.9], "K5": [22.0, 22.1, 21.9], "K7": [29.0, 30.0, 31.0]}


def sweep_on(title="ImageNet-1k", tolerance=0.5, **changes):
    published = Published(source="a paper", data="ImageNet-1k", rows=ROWS, tolerance=tolerance)
    experiment = {**EXPERIMENT, "data": {"name": "scaled_digits", "title": title}}
    return make_sweep(["K3", "K5", "K7"], published=published, experiment=experiment, **changes)


def verdicts(sweep):
    return data_frame(ablation_table(sweep, make_records(ERRORS)))["reproduced"].tolist()


def test_on_the_published_data_every_row_has_its_verdict():
    assert verdicts(sweep_on()) == ["reproduced", "not reproduced", "cannot tell"]
    assert verdicts(sweep_on(tolerance=9.0)) == ["reproduced", "reproduced", "reproduced"]


@pytest.mark.parametrize(
    "sweep", [sweep_on(title="digits"), sweep_on(tolerance=None), sweep_on(metric=Metric(name="val_loss"))]
)
def test_elsewhere_there_is_none(sweep):
    assert verdicts(sweep) == ["", "", ""]


def test_a_row_without_an_interval_or_a_figure_is_not_judged():
    sweep = sweep_on()
    assert reproduced(sweep, "K3", 20.0, None) == "cannot tell"
    assert reproduced(sweep, "K3", None, None) == ""
    assert reproduced(sweep, "K9", 20.0, 0.1) == ""


def test_data_are_known_by_their_title_however_it_is_written():
    assert on_published_data(sweep_on(title="imagenet 1K"))
    assert not on_published_data(make_sweep())


def test_the_order_of_cells_is_compared_over_those_that_have_both():
    found = order_agreement(sweep_on(), {"K3": 3.0, "K5": 2.0, "K7": 9.0, "new": 1.0})
    assert (found.n, found.tau) == (3, pytest.approx(1 / 3))
    assert order_agreement(sweep_on(), {"K3": 3.0, "K5": None}).n == 1
