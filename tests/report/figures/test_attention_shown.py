import re

import attended
import numpy as np
import pytest
from pages import read
from pydantic import ValidationError
from studies import key_of, make_records, make_sweep, write_study

from sklab.analysis.attention.cells import (
    CellAttention,
    by_size,
    per_channel,
    per_class,
    read_attention_results,
    slopes,
)
from sklab.report.build import build
from sklab.report.figures.classes import classes_figure
from sklab.spec.analysis import Analysis, AttentionSummary
from sklab.store.study_folder import StudyFolder

ERRORS = {"SK": [20.0, 21.0, 22.5], "SK wide": [18.0, 19.5, 20.0]}
FIGURES = {"attention_sizes", "attention_slopes", "attention_classes"}


def study(folder, *, analysed):
    write_study(folder, make_sweep(list(ERRORS)), make_records(ERRORS))
    attended.write(folder, {cell: [key_of(cell, seed) for seed in range(3)] for cell in ERRORS}, analysed=analysed)
    return read(build(folder).read_text(encoding="utf-8"))


def figures(folder):
    return {file.stem for file in (folder / "figures").glob("*.svg") if re.match("attention|receptive", file.stem)}


def test_what_every_run_records_is_drawn_by_true_scale(tmp_path):
    page = study(tmp_path / "made", analysed=False)
    assert figures(tmp_path / "made") == FIGURES
    assert "smallest objects" in (tmp_path / "made/figures/attention_sizes.svg").read_text()
    assert "SKSK_2_1true scale3+0.20200.0050rises" in re.sub(r"\s", "", page.text).replace("truescale", "true scale")


def test_what_was_analysed_is_drawn_by_enlargement_with_receptive_fields(tmp_path):
    page = study(tmp_path / "made", analysed=True)
    assert figures(tmp_path / "made") == {*FIGURES, "attention_channels", "receptive_fields"}
    assert "enlarged 2×" in (tmp_path / "made/figures/attention_sizes.svg").read_text()
    assert "Receptive fields stage by stage" in page.text
    text = (tmp_path / "made/report.md").read_text(encoding="utf-8")
    assert re.search(r"\| SK wide \| SK\\_2\\_1 \| 3 \| 11\.9 \| 0\.1 \| 21 \| \+1\.8 \|", text)


def test_a_study_without_attention_has_no_such_section(kernels_folder):
    assert "<h2>Attention" not in (kernels_folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["{", "{}", '{"key": "<script>"}'])
def test_a_record_that_cannot_be_read_is_told_and_costs_nothing_else(tmp_path, content):
    study(tmp_path / "made", analysed=True)
    StudyFolder(tmp_path / "made").run(key_of("SK", 0)).analysis_file.write_text(content)
    page = read(build(tmp_path / "made").read_text(encoding="utf-8"))
    assert "a record of attention can't be used" in page.text
    assert figures(tmp_path / "made") == set()


def test_more_branches_are_measured_by_the_expected_kernel():
    made = [AttentionSummary.model_validate(attended.summary("k", seed, windows=(3, 5, 7))) for seed in (0, 1)]
    seen = CellAttention("SK", tuple(made), (), "kernel")
    means, _ = by_size(seen).series["smallest objects"]
    assert means[0] == pytest.approx(5 + 4 * (0.01 + 0.005))
    assert [trend.verdict for trend in slopes(seen)[0]] == ["rises", "rises", "flat"]
    assert [of.classes for of in per_class(seen)] == [("0", "1", "2")] * 3


def seen_classes(rise, noise):
    """Attention of three seeds: unit by unit the same rise from class to class, and noise."""
    rng = np.random.default_rng(1)
    analyses = [Analysis.model_validate(attended.analysis(str(seed), seed)) for seed in range(3)]
    classes = len(analyses[0].classes)
    for analysis in analyses:
        for unit in analysis.units:
            large = 0.5 + rise * np.array([1.0, 0.0, 2.0][:classes]) + noise * rng.normal(size=classes)
            object.__setattr__(unit, "by_class", (((1 - large).tolist(), large.tolist()),) * 3)
    return CellAttention("SK", (), tuple(analyses))


def test_classes_that_differ_are_sorted_and_said_to():
    seen = seen_classes(rise=0.1, noise=0.005)
    assert [(one.classes, one.differ) for one in per_class(seen)] == [(("1", "0", "2"), True)] * 3
    assert all(np.all(one.halves > 0) for one in per_class(seen))
    [figure] = classes_figure([seen], "attention")
    assert "classes differ" in figure.svg
    assert figure.caption.endswith("The classes differ significantly in SK_2_1, SK_3_1, SK_4_1.")


def test_noise_is_not_sorted_into_a_slope():
    seen = seen_classes(rise=0.0, noise=0.05)
    assert [(one.classes, one.differ) for one in per_class(seen)] == [(("0", "1", "2"), False)] * 3
    [figure] = classes_figure([seen], "attention")
    assert "no significant difference" in figure.svg
    assert "classes differ<" not in figure.svg
    assert figure.caption.endswith("In no unit do the classes differ significantly.")


def test_one_seed_tells_nothing_of_classes():
    seen = CellAttention("SK", (), seen_classes(rise=0.1, noise=0.005).analyses[:1])
    assert [(one.classes, one.differ) for one in per_class(seen)] == [(("0", "1", "2"), False)] * 3
    assert np.isnan(per_class(seen)[0].halves).all()
    [figure] = classes_figure([seen], "attention")
    assert "no test" in figure.svg
    assert figure.caption.endswith("The seeds allow no test.")


def test_cells_of_two_and_of_more_branches_are_shown_by_one_measure(tmp_path):
    folder = StudyFolder(tmp_path)
    runs = {}
    for cell, windows in {"two": (3, 5), "three": (3, 5, 7)}.items():
        run = runs[cell] = folder.run(key_of(cell, 0))
        run.path.mkdir(parents=True)
        made = AttentionSummary.model_validate(attended.summary(run.path.name, 0, windows=windows))
        run.attention_file.write_text(made.model_dump_json())
    both = read_attention_results({cell: [run] for cell, run in runs.items()}, "two")
    assert [cell.measure for cell in both.cells] == ["kernel", "kernel"]
    assert 3 < by_size(both.cells[0]).series["smallest objects"][0][0] < 5
    assert read_attention_results({"two": [runs["two"]]}, "two").cells[0].measure == "difference"


def test_channels_of_two_images_are_seen_at_three_enlargements():
    analysis = Analysis.model_validate(attended.analysis("k", 0))
    found = per_channel(CellAttention("SK", (), (analysis,)))
    assert [(of.unit, of.image, of.label) for of in found[2:4]] == [("SK_4_1", 4, "1"), ("SK_2_1", 7, "1")]
    assert list(found[0].values) == list(attended.SCALES)
    assert found[0].values[1.5] == pytest.approx([-0.2, 0.2])
    assert per_channel(CellAttention("SK", (), ())) == []


def test_files_whose_lists_do_not_fit_each_other_are_no_attention():
    whole = attended.summary("k", 0)
    AttentionSummary.model_validate(whole)
    short = {**whole["units"][0], "mean": whole["units"][0]["mean"][:1]}
    sample = {"image": 0, "label": 0, "weights": {"SK_9_9": [[0.5], [0.5]]}}
    for changes in (
        {"counts": [[1] * 3] * 2},
        {"scale_edges": (1.0, 2.0)},
        {"units": [short, *whole["units"][1:]]},
        {"samples": [sample]},
        {"samples": [{**sample, "label": 3, "weights": {}}]},
    ):
        with pytest.raises(ValidationError):
            AttentionSummary.model_validate({**whole, **changes})
    analysis = attended.analysis("k", 0)
    for changes in ({"enlargements": (1.0, 2.0)}, {"classes": ("0",)}):
        with pytest.raises(ValidationError):
            Analysis.model_validate({**analysis, **changes})
