import json

import pytest
from example_study import NASTY
from studies import EXPERIMENT, failed_record, make_records, make_sweep, write_study

from sklab.cli import main
from sklab.spec.run import Experiment, RunSpec
from sklab.store.records import Code

ERRORS = {"K3": [20.0, 21.0, 22.5], "K5": [18.0, 19.5, 20.0]}
OTHERS = {"K3": [30.0, 30.5, 33.5], "K5": [25.0, 24.0, 26.0]}
LONGER = RunSpec(
    experiment=Experiment.model_validate({**EXPERIMENT, "train": {**EXPERIMENT["train"], "epochs": 9}}), seed=0
)


@pytest.fixture
def results(tmp_path):
    write_study(tmp_path / "a", make_sweep(), make_records(ERRORS))
    code = Code(version="0.2.0", commit="fedcba9876543210")
    write_study(tmp_path / "b", make_sweep(), make_records(OTHERS, spec=LONGER, code=code))
    return tmp_path


def compare(results, capsys, *options):
    ended = main(["compare", *options, "--results", str(results)])
    said = capsys.readouterr()
    return ended, said.out, said.err


def test_the_terminal_shows_numbers_tests_and_what_differs(results, capsys):
    ended, text, _ = compare(results, capsys, "a", "b")
    rows = [line.split() for line in text.splitlines()]
    assert ended == 0
    assert rows[0] == ["cell", "a", "n", "mean", "±95%", "diff", "b", "n", "mean", "±95%", "diff", "Δ", "±95%", "p"]
    assert rows[2] == ["K3", "3", "21.17", "3.13", "–", "3", "31.33", "4.70", "–", "+10.17", "1.90", "0.004"]
    flat = " ".join(text.split())
    assert "b against a: Kendall's tau +1.00 over 2 cells; settings: train.epochs 3 → 9" in flat
    assert "a: sklab 0.1.0, commit 0123456789ab b: sklab 0.2.0, commit fedcba987654" in flat
    assert max(map(len, text.splitlines())) <= 120


def test_json_has_every_number(results, capsys):
    found = json.loads(compare(results, capsys, "a", "b", "--json")[1])
    assert found["cells"]["K5"][1]["shift"]["mean"] == pytest.approx(5.8333, abs=1e-4)
    assert found["differ"] == [{"train.epochs": ["3", "9"]}]


def test_markdown_holds_hostile_names(tmp_path, capsys):
    for name in ("a", "b"):
        errors = {cell: [float(at), at + 1.5] for at, cell in enumerate(NASTY)}
        write_study(tmp_path / name, make_sweep(NASTY, (0, 1)), make_records(errors))
    text = compare(tmp_path, capsys, "a", "b", "--markdown")[1]
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(NASTY)
    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize(("studies", "told"), [
    (["a"], "two different ones"), (["a", "a"], "two different ones"), (["a", "{}/a"], "named twice"),
    (["a", "nix"], "no study"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(results, capsys, studies, told):
    ended, _, error = compare(results, capsys, *(study.format(results) for study in studies))
    assert ended == 2
    assert told in error


@pytest.mark.parametrize(
    ("studies", "heads"),
    [
        (["a", "b"], ["a", "b"]),
        (["kernels-on-all-of-imagenet/one", "kernels-on-all-of-imagenet/two"], ["one", "two"]),
        (["kernels-on-all-of-imagenet/one/k", "kernels-on-all-of-imagenet/two/k"], ["one/k", "two/k"]),
        (["k", "results-of-the-year-before/k"], ["k", "…of-the-year-before/k"[-19:]]),
        (["one-with-the-same-long-end", "two-with-the-same-long-end"], ["1: …", "2: …"]),
    ],
)
def test_studies_have_headings_of_their_own(tmp_path, capsys, monkeypatch, studies, heads):
    monkeypatch.chdir(tmp_path)
    for name in studies:
        write_study(tmp_path / name, make_sweep(), make_records(ERRORS))
    head = compare(tmp_path, capsys, *studies, "--markdown")[1].splitlines()[0]
    shown = [text.strip()[:-2] for text in head.split("|") if text.strip().endswith(" n")]
    assert max(map(len, shown)) <= 20
    assert all(wanted in found for wanted, found in zip(heads, shown, strict=True))
    assert len(set(shown)) == len(studies)


def test_a_study_whose_numbers_are_not_all_there_says_how_its_runs_stand(results, capsys):
    write_study(results / "c", make_sweep(), {record.key: record for record in (failed_record("K3", 0),)})
    ended, text, _ = compare(results, capsys, "a", "c")
    flat = " ".join(text.split())
    assert ended == 0
    assert "c: 0 of 6 runs complete, 1 failed, 5 waiting; sklab" in flat
    assert "a: sklab 0.1.0" in flat, "all of its runs are complete"
    assert "over 0 tests. no test" in flat
