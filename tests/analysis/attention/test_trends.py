"""Slopes, intervals and verdicts from analyses that are made up, and sizes of receptive fields."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.analysis.attention.analyses import findings, read_analyses
from sklab.analysis.attention.trends import (
    MARGIN,
    by_class,
    expected_kernel,
    large_minus_small,
    levels,
    trends,
    verdict,
)
from sklab.errors import SklabError
from sklab.spec.analysis import Analysis, ReceptiveField, UnitAnalysis
from sklab.store.run_folder import RunFolder

SCALES = (1.0, 1.5, 2.0)


def field(stage: str, area: int) -> ReceptiveField:
    return ReceptiveField(
        stage=stage, theoretical=10, area=area, height=3, width=3, major=2.0, minor=1.0, map=((1.0,),)
    )


def unit(name: str, kernels: tuple[int, ...], start: list[float], slope: list[float]) -> UnitAnalysis:
    """Shares `start` at scale 1 that move by `slope` per 1.0 of scale and of enlargement, alike in both classes."""
    rows = tuple(tuple(a + b * (scale - 1) for a, b in zip(start, slope, strict=True)) for scale in SCALES)
    classes = tuple(tuple((share, share) for share in row) for row in rows)
    zeros = tuple((0.0,) * len(kernels) for _ in SCALES)
    return UnitAnalysis(
        name=name, kernels=kernels, channels=4, mean=rows, spread=zeros, by_class=classes, slope=tuple(slope)
    )


def analysis(seed: int, *units: UnitAnalysis, areas: tuple[int, ...] = (9,), **changes: object) -> Analysis:
    return Analysis.model_validate(
        {
            "key": f"run{seed}",
            "seed": seed,
            "data": {"name": "scaled_digits"},
            "images": 10,
            "enlargements": SCALES,
            "classes": ("a", "b"),
            "chosen": tuple(each.name for each in units),
            "units": units,
            "samples": (),
            "fields": tuple(field(f"SK_{stage}_1", area) for stage, area in enumerate(areas, start=2)),
            "field_images": 4,
            "device": "cpu",
            "torch": "2",
            **changes,
        }
    )


def test_two_branches_give_both_measures_whatever_their_order():
    for kernels, order in (((3, 5), [0.4, 0.6]), ((5, 3), [0.6, 0.4])):
        assert large_minus_small(order, kernels) == pytest.approx(0.2)
        assert expected_kernel(order, kernels) == pytest.approx(4.2)
    assert large_minus_small([0.2, 0.3, 0.5], (3, 5, 7)) is None
    assert large_minus_small([0.5, 0.5], (5, 5)) is None
    assert expected_kernel([[0.2, 0.3, 0.5], [1, 0, 0]], (3, 5, 7)) == pytest.approx([5.6, 3.0])


@given(st.floats(0, 1), st.floats(-1, 1))
def test_of_two_branches_the_measures_are_one_straight_line(share, slope):
    start, moved = np.array([1 - share, share]), np.array([-slope, slope])
    assert expected_kernel(start, (3, 7)) == pytest.approx(5 + 2 * large_minus_small(start, (3, 7)))
    assert expected_kernel(moved, (3, 7)) == pytest.approx(2 * large_minus_small(moved, (3, 7)), abs=1e-12)


def test_slopes_are_averaged_over_seeds_with_their_t_interval():
    slopes = [0.05, 0.06, 0.07]
    runs = [analysis(seed, unit("SK_2_1", (3, 5), [0.5, 0.5], [-each, each])) for seed, each in enumerate(slopes)]
    for against in ("object", "enlargement"):
        [trend] = trends(runs, against)
        assert (trend.n, trend.verdict, trend.margin) == (3, "rises", 2 * MARGIN)
        assert trend.difference == pytest.approx(0.12)
        assert trend.difference_half == pytest.approx(4.302653 * 0.02 / math.sqrt(3), rel=1e-5)
        assert trend.kernel == pytest.approx(0.12)
    [one] = trends(runs[:1], "object")
    assert (one.n, one.verdict, one.difference_half) == (1, "cannot tell", None)
    assert levels(runs, "difference")["SK_2_1"].mean == pytest.approx([0.0, 0.06, 0.12])
    assert by_class(runs[0].units[0], 2, "kernel") == pytest.approx([4.1, 4.1])


def test_three_branches_have_an_expected_kernel_and_no_difference():
    runs = [
        analysis(seed, unit("SK_2_1", (3, 5, 7), [0.4, 0.3, 0.3], [each, 0.0, -each]))
        for seed, each in ((0, 0.05), (1, 0.051))
    ]
    [trend] = trends(runs, "object")
    assert (trend.difference, trend.verdict, trend.margin) == (None, "falls", 4 * MARGIN)
    assert trend.kernel == pytest.approx(-4 * 0.0505)
    assert levels(runs, "difference") == {}


def test_a_unit_of_equal_kernels_has_no_trend_and_no_scale_no_slope():
    runs = [
        analysis(0, unit("SK_2_1", (3, 3), [0.5, 0.5], [0.1, -0.1]), unit("SK_3_1", (3, 5), [0.5, 0.5], [0.1, -0.1]))
    ]
    assert [trend.unit for trend in trends(runs, "object")] == ["SK_3_1"]
    unknown = analysis(0, runs[0].units[1].model_copy(update={"slope": ()}))
    assert trends([unknown], "object") == ()
    assert len(trends([unknown], "enlargement")) == 1


@pytest.mark.parametrize(
    ("slope", "half", "told"),
    [
        (0.05, 0.02, "rises"),
        (-0.05, 0.02, "falls"),
        (0.005, 0.014, "flat"),
        (0.01, 0.005, "flat"),  # not zero, but surely within the margin
        (0.0, 0.03, "cannot tell"),
        (0.05, math.nan, "cannot tell"),
    ],
)
def test_verdicts(slope, half, told):
    assert verdict(slope, half, 0.02) == told


def test_low_middle_and_high_units_are_named():
    units = [unit(name, (3, 5), [0.5, 0.5], [0.0, 0.0]) for name in ("SK_2_1", "SK_3_1", "SK_4_1")]
    assert [trend.role for trend in trends([analysis(0, *units)], "object")] == ["low", "middle", "high"]
    assert [trend.role for trend in trends([analysis(0, *units, chosen=("SK_2_1", "SK_4_1"))], "object")] == [
        "low",
        "",
        "high",
    ]


def test_receptive_fields_are_compared_with_the_baselines_by_seed():
    ours = [analysis(seed, areas=(area, 16)) for seed, area in ((0, 25), (1, 36), (2, 49))]
    base = [analysis(seed, areas=(area, 16)) for seed, area in ((2, 25), (1, 16), (0, 9))]
    found = {each.cell: each for each in findings({"ours": ours, "base": base, "none": []}, "base")}
    assert set(found) == {"ours", "base"}
    first, second = found["ours"].fields
    assert (first.stage, first.n, first.side, first.share, first.roundness) == ("SK_2_1", 3, 6.0, 0.6, 0.5)
    assert first.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert (first.difference, first.difference_half) == (2.0, None), "the same difference in every seed"
    assert (second.difference, second.difference_p) == (0.0, None)
    assert found["base"].fields[0].difference is None


def test_analyses_of_different_settings_are_not_mixed():
    other = analysis(1, data={"name": "scaled_digits", "val_size": 50})
    with pytest.raises(SklabError, match=r"different data or scales: runs run0 and run1"):
        findings({"cell": [analysis(0), other]})


def test_records_come_back_as_they_were_and_damage_is_told(tmp_path):
    run, wanted = RunFolder(tmp_path), analysis(0, unit("SK_2_1", (3, 5), [0.5, 0.5], [0.1, -0.1]))
    assert read_analyses({"cell": [run]}) == {"cell": []}
    run.analysis_file.write_text(wanted.model_dump_json())
    assert read_analyses({"cell": [run]}) == {"cell": [wanted]}
    run.analysis_file.write_text("{")
    with pytest.raises(SklabError, match=r"(?s)analysis\.json can't be read as Analysis.*delete it"):
        run.read_analysis()
