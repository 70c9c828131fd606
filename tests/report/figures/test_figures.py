from itertools import combinations
from xml.etree import ElementTree

import pytest
from studies import EXPERIMENT, make_record, make_records, make_sweep, write_study

from sklab.analysis.table.ablation import ablation_table
from sklab.report.figures.labels import Label, place_labels
from sklab.report.figures.study import draw
from sklab.report.figures.style import COLOURS, inline, new_figure
from sklab.report.run_files import chosen, read_curves
from sklab.spec.study.sweep import Published, PublishedRow


def texts(svg):
    return {part.text for part in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    errors = {f"c{at:02d}": [60.0 - at, 61.0 - 1.01 * at] for at in range(44)}
    sweep = make_sweep(list(errors), [0, 1])
    runs = [(at, seed, error) for at, of_cell in enumerate(errors.values()) for seed, error in enumerate(of_cell)]
    made = [make_record(f"c{at:02d}", seed, error, params=1000 + at) for at, seed, error in runs]
    records = {record.key: record for record in made}
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


def priced(data_title="", **published):
    """Two cells of unequal cost, with published figures on ImageNet-1k."""
    figures = {"source": "a paper", "data": "ImageNet-1k", "rows": {"K5": PublishedRow(error=20.5, params=1.1)}}
    experiment = {**EXPERIMENT, "data": {"name": "scaled_digits", "title": data_title}}
    sweep = make_sweep(["K3", "K5"], [0], published=Published(**{**figures, **published}), experiment=experiment)
    records = [make_record("K3", 0, 22.0, params=1_000_000), make_record("K5", 0, 20.0, params=1_200_000)]
    table = ablation_table(sweep, {record.key: record for record in records})
    return next(drawing for drawing in draw(table, {}) if drawing.name == "error_params")


def test_latency_is_drawn_with_the_range_of_its_runs_and_a_sign_where_they_differ_severalfold():
    latencies = {"K3": [0.6, 1.3], "K5": [2.0, 2.2]}
    records = [
        make_record(cell, seed, 20.0 + seed, latency_ms=latency)
        for cell, of_cell in latencies.items()
        for seed, latency in enumerate(of_cell)
    ]
    table = ablation_table(make_sweep(["K3", "K5"], [0, 1]), {record.key: record for record in records})
    [figure] = [drawing for drawing in draw(table, {}) if drawing.name == "error_latency_ms"]
    assert {"K3‡", "K5"} <= texts(figure.svg)
    assert "from the fastest run to the slowest" in figure.caption
    assert "‡: the runs differ by a factor of 2 or more" in figure.caption


OTHERS = {"DPN-92": PublishedRow(error=20.7, params=1.7), "SENet": PublishedRow(error=21.1, params=1.3, verified=True)}


def test_published_points_on_the_same_data_stand_beside_ours():
    drawing = priced("ImageNet-1k", others=OTHERS)
    assert {"K3", "K5", "†", "DPN-92†", "SENet", "grey: published"} <= texts(drawing.svg)
    assert "published error, %" not in texts(drawing.svg)
    assert "† transcribed, not verified" in drawing.caption


def test_published_points_on_other_data_get_axes_of_their_own():
    drawing = priced(others=OTHERS)
    assert {"K3", "K5", "K5†", "DPN-92†", "published, on ImageNet-1k", "published error, %"} <= texts(drawing.svg)
    assert "axes of their own" in drawing.caption


def test_published_figures_without_a_cost_or_a_doubt_are_not_drawn_or_marked():
    drawing = priced("ImageNet-1k", rows={}, others={"a": PublishedRow(error=9.0), "SENet": OTHERS["SENet"]})
    assert "SENet" in texts(drawing.svg)
    assert "a†" not in texts(drawing.svg)
    assert "†" not in drawing.caption


@pytest.mark.parametrize("params", [(1000, 1000), (1000, None)])
def test_cells_of_one_cost_are_not_drawn_against_it(params):
    costs = [(f"c{at}", count) for at, count in enumerate(params) if count]
    records = [make_record(name, 0, 10.0, params=count) for name, count in costs]
    table = ablation_table(make_sweep(["c0", "c1"], [0]), {record.key: record for record in records})
    assert [drawing.name for drawing in draw(table, {})] == ["error"]


def test_labels_lie_on_no_other_and_on_no_mark():
    figure, (panel,) = new_figure(5.4, 3.9)
    labels = [Label(f"cell number {at}", at % 4, at // 4 * 0.2, 0.0, "#000000") for at in range(12)]
    panel.plot([label.x for label in labels], [label.y for label in labels], "o")
    figure.draw_without_rendering()
    place_labels(panel, labels)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in panel.texts]
    assert len(boxes) > 6
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_a_label_avoids_the_level_bar_through_a_mark():
    figure, (panel,) = new_figure(5.4, 3.9)
    panel.plot([0, 4], [0, 4], "o")
    figure.draw_without_rendering()
    place_labels(panel, [Label("cell", 2.0, 2.0, 0.0, "#000000", (1.0, 3.0))])
    [text] = panel.texts
    level = panel.transData.transform((2.0, 2.0))[1]
    figure.draw_without_rendering()
    box = text.get_window_extent()
    assert not box.y0 < level < box.y1


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
    assert read_curves(folder, ablation_table(sweep, records)) == {"K3": [{1: 40.0}]}


def test_there_is_nothing_to_draw_before_the_first_run():
    assert draw(ablation_table(make_sweep(), {}), {}) == []


def test_a_figure_in_a_page_takes_the_colours_of_the_page(many):
    text = inline(many["error"])
    assert text.startswith('<svg role="img" aria-label="Validation error by cell" class="single"')
    assert not [colour for colour in COLOURS.values() if colour in text]
    assert "var(--ink)" in text
