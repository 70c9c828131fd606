"""A study by a metric of which higher is better says the same as its mirror image by the error, turned round."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import key_of, make_record, make_sweep, metrics, write_study

from sklab.analysis.table.ablation import ablation_table
from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.spec.study.questions import Question
from sklab.spec.study.search import Search
from sklab.spec.study.sweep import Metric, Replicates
from sklab.store.study_folder import StudyFolder

# K5 is better than the baseline, K7 worse, K9 does not differ from it; K11 is the best.
ERRORS = {
    "K3": [20.0, 21.0, 20.6, 20.4],
    "K5": [15.1, 15.8, 15.5, 15.4],
    "K7": [25.3, 26.0, 25.4, 25.9],
    "K9": [20.2, 20.8, 20.9, 20.1],
    "K11": [14.1, 14.7, 14.8, 14.2],
}
COSTS = {"K3": 10_000, "K5": 20_000, "K7": 30_000, "K9": 40_000, "K11": 50_000}
QUESTIONS = {
    "five": Question(cells=("K5",), against=("K3",)),
    "seven": Question(cells=("K7",), against=("K3",)),
    "nine": Question(cells=("K9",), against=("K3",)),
}
NO_IMAGES = "New images: not judged, because the error is not a mean over images."  # of macro-F1, as turned round
MIRRORED = Metric(name="val_macro_f1")

# What stands in the one report where the other has its opposite.
TURNED = {
    "lower": "higher", "lowers": "raises", "lowest": "highest", "Lower": "Higher", "Lowest": "Highest",
    "Left": "Right", "Further left": "Further right", "negative is": "positive is", "lower than": "higher than",
    "does not lower": "does not raise", "it is below": "it is above",
}  # fmt: skip
OPPOSITE = {**TURNED, **{there: here for here, there in TURNED.items()}}
SAME_IN_BOTH = (
    "higher order", "the lowest and the highest latency", "not detectably lower than that of guessing",
    "negative is a lower", "epoch of lowest validation error",
)  # fmt: skip


def mirrored(record):
    of_epochs = {name: {**getattr(record, name)} for name in ("last", "best")}
    for epoch in of_epochs.values():
        epoch["val_macro_f1"] = 100 - epoch["val_error"]
    return record.model_copy(update=of_epochs)


def both(errors=None, *, names=None, **changes):
    """The table by the error, and its mirror image."""
    errors = ERRORS if errors is None else errors
    seeds = range(max(map(len, errors.values())))
    made = {}
    for cell, of_cell in errors.items():
        for seed, error in enumerate(of_cell):
            cost = {"params": COSTS[cell], "macs": COSTS[cell]}
            made[key_of(cell, seed)] = mirrored(make_record(cell, seed, error, **cost))
    sweep = make_sweep(list(errors), seeds, **changes)
    return tuple((sweep.model_copy(update={"metric": metric}), made) for metric in (Metric(), MIRRORED))


def tables(*args, **changes):
    return tuple(ablation_table(*study) for study in both(*args, **changes))


DESIGNS = {
    "planned": {"questions": QUESTIONS, "margin": 0.5},
    "wide margin": {"questions": QUESTIONS, "margin": 2.0},
    "best": {"choose_best": True},
    "race": {"replicates": Replicates(start=2, max=4)},
    "race of questions": {"replicates": Replicates(start=2, max=4, stop="questions"), "questions": QUESTIONS},
    "race for the best": {"replicates": Replicates(start=2, max=4, stop="best")},
    "two objectives": {"design": "search", "search": Search(trials=4, objectives=("val_error", "params"))},
}


@pytest.mark.parametrize("design", DESIGNS)
def test_every_verdict_is_that_of_the_mirror_image(design):
    of_error, of_f1 = tables(**DESIGNS[design])
    for row, mirror in zip(of_error.rows, of_f1.rows, strict=True):
        told = (row.verdict, row.standing, row.pareto, row is of_error.winner, row.n, row.seeds_missing)
        assert told == (
            mirror.verdict,
            mirror.standing,
            mirror.pareto,
            mirror is of_f1.winner,
            mirror.n,
            mirror.seeds_missing,
        )
        assert mirror.mean == pytest.approx(100 - row.mean)
        if row.baseline and not math.isnan(row.baseline.half):
            assert mirror.baseline.difference == pytest.approx(-row.baseline.difference)
            assert mirror.baseline.half == pytest.approx(row.baseline.half)
        if row.chance is not None:
            assert mirror.chance == pytest.approx(row.chance, abs=0.03)
            assert mirror.shrunken == pytest.approx(100 - row.shrunken, abs=0.1)
    turned = {"lower": "higher", "higher": "lower", "not higher": "not lower"}
    verdicts = [answer.verdict for answer in of_error.questions]
    assert [answer.verdict for answer in of_f1.questions] == [turned.get(verdict, verdict) for verdict in verdicts]
    assert [row.name for row in of_f1.pareto_front] == [row.name for row in of_error.pareto_front]
    assert (of_f1.likeliest and of_f1.likeliest.name) == (of_error.likeliest and of_error.likeliest.name)


def test_the_studies_hold_every_verdict():
    seen = {row.verdict for changes in DESIGNS.values() for row in tables(**changes)[1].rows}
    assert seen >= {"better", "worse", "undecided", "equivalent"}
    answers = {answer.verdict for changes in DESIGNS.values() for answer in tables(**changes)[1].questions}
    assert answers >= {"lower", "higher", "undecided"}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.floats(5, 60), min_size=3, max_size=3), min_size=2, max_size=4),
    st.sampled_from([None, 0.5, 5.0, 40.0]),
)
def test_any_table_has_the_verdicts_of_its_mirror_image(values, margin):
    errors = {name: [round(value, 2) for value in of_cell] for name, of_cell in zip(COSTS, values, strict=False)}
    of_error, of_f1 = tables(errors, margin=margin)
    near = [
        row.baseline is not None and abs(row.baseline.adjusted - 0.05) < 1e-6 for row in of_error.rows
    ]  # rounding may then decide
    pairs = zip(of_error.rows, of_f1.rows, near, strict=True)
    assert all(is_near or row.verdict == mirror.verdict for row, mirror, is_near in pairs)
    means = np.sort([row.mean for row in of_error.rows])
    if np.diff(means)[:1] > 1e-9:
        assert of_error.best.name == of_f1.best.name


def report_of(folder, study):
    """The words of a report: no numbers, no signs."""
    sweep, records = study
    write_study(folder, sweep, records)
    for key, record in records.items():
        file = StudyFolder(folder).run(key).metrics_file
        lines = metrics(record).splitlines()
        f1 = [f"{line},{100 - float(line.split(',')[3])}" for line in lines[1:]]
        file.write_text("\n".join([f"{lines[0]},val_macro_f1", *f1, ""]))
    build(folder)
    return (folder / "report.md").read_text(encoding="utf-8") + terminal_table(study_table(folder))


def words(text, *, turn):
    for fixed in SAME_IN_BOTH:
        text = text.replace(fixed, re.sub(r"\w", "x", fixed))
    if turn:
        text = (
            re.sub(r"macro-\s*[fF]1", "error", text)
            .replace("Macro-F1", "Error")
            .replace("val\\_macro\\_f1", "val\\_error")
        )
        pattern = "|".join(rf"\b{re.escape(word)}\b" for word in sorted(OPPOSITE, key=len, reverse=True))
        text = re.sub(pattern, lambda found: OPPOSITE[found[0]], text)
    text = re.sub(r"[+−-]?\d[\d.,]*|[-─]{3,}", "#", text)
    text = " ".join(text.split()).replace(f"## New images and noise {NO_IMAGES}", "").replace(NO_IMAGES, "")
    text = text.replace("[New images and noise](#new-images-and-noise) · ", "")
    return re.split(r"(?<=[.:]) ", " ".join(text.split()))


@pytest.mark.parametrize("design", ["planned", "wide margin", "best", "race", "race of questions", "two objectives"])
def test_every_sentence_is_that_of_the_mirror_image_turned_round(design, tmp_path):
    changes = DESIGNS[design]
    of_error, of_f1 = both(**changes)
    first, second = report_of(tmp_path / "made", of_error), report_of(tmp_path / "mirror" / "made", of_f1)
    assert words(second, turn=True) == words(first, turn=False)
    assert "macro-F1" in second
    for false in ("lower is better", "Left of", "lowest mean", "lower in", "negative is better", "Further left is"):
        assert false not in second
