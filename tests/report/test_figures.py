from xml.etree import ElementTree

import pytest
from studies import make_record, make_records, make_sweep, write_study

from sklab.analysis.tables import ablation_table
from sklab.report.curves import chosen, read_curves
from sklab.report.figures import draw
from sklab.report.style import COLOURS, inline


def texts(svg):
    return {part.text for part in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    errors = {f"c{at:02d}": [60.0 - at, 61.0 - 1.01 * at] for at in range(44)}
    sweep, records = make_sweep(list(errors), [0, 1]), make_records(errors)
    folder = write_study(tmp_path_factory.mktemp("many") / "made", sweep, records)
    table = ablation_table(sweep, records)
    return {drawing.name: drawing for drawing in draw(table, read_curves(folder, table))}


def test_of_many_cells_the_baseline_and_the_lowest_are_drawn(many):
    assert {"c00", "c05", "c43"} <= texts(many["error"].svg)
    assert "c04" not in texts(many["error"].svg)
    assert "40 of 44 cells" in many["error"].caption
    assert {"c00", "c33", "c43"} <= texts(many["curves"].svg)
    assert "c32" not in texts(many["curves"].svg)


def test_of_many_points_two_are_named(many):
    assert {text for text in texts(many["error_params"].svg) if text.startswith("c")} == {"c00", "c43"}


def test_all_cells_are_named_while_there_is_room():
    names = [f"cell {at}" for at in range(8)]
    records = [make_record(name, 0, 10.0 + at % 3, params=1000 + at) for at, name in enumerate(names)]
    table = ablation_table(make_sweep(names, [0]), {record.key: record for record in records})
    for drawing in draw(table, {}):
        assert set(names) <= texts(drawing.svg)


def test_the_chosen_keep_their_order():
    errors = {"base": [90.0], "a": [3.0], "b": [1.0], "gone": [None], "c": [2.0]}
    rows = ablation_table(make_sweep(list(errors), [0]), make_records(errors)).rows
    assert [row.name for row in chosen(rows, 3)] == ["base", "b", "c"]


def test_curves_are_read_as_far_as_they_are_whole(tmp_path):
    sweep, records = make_sweep(["K3"], [0, 1]), make_records({"K3": [20.0, 21.0]})
    folder = write_study(tmp_path / "made", sweep, records)
    first, second = (folder / "runs" / key / "metrics.csv" for key in records)
    first.write_text("epoch,train_loss,val_loss,val_error,lr,seconds\n1,1,1,40.0,0.1,1\n2,1,1,30")
    second.unlink()
    assert read_curves(folder, ablation_table(sweep, records)) == {"K3": [{1: 40.0, 2: 30.0}]}


def test_there_is_nothing_to_draw_before_the_first_run():
    assert draw(ablation_table(make_sweep(), {}), {}) == []


def test_a_figure_in_a_page_takes_the_colours_of_the_page(many):
    text = inline(many["error"].svg)
    assert text.startswith('<svg role="img"')
    assert not [colour for colour in COLOURS.values() if colour in text]
    assert "var(--ink)" in text
