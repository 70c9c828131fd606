"""One study with everything in it that a report has to show, and names that try to break it."""

from __future__ import annotations

from typing import Any

import studies

from sklab.spec.run import Experiment, RunSpec
from sklab.spec.study.sweep import Cell, InvalidCell, Published, PublishedRow, Sweep
from sklab.store.records import Code, RunRecord

# Cell name, kernels, attention, published error with whether it is verified, errors by seed.
_CELLS: list[tuple[str, str, str, float, bool, list[float]]] = [
    ("K3", "3", "", 22.23, True, [12.3, 11.95, 12.1]),
    ("K5", "5", "", 25.14, False, [15.4, 15.0, 15.25]),
    ("K7", "7", "", 25.51, False, []),
    ("K3+K5 sum", "3, 5", "", 21.76, False, [11.75, 11.2, 11.5]),
    ("K3+K5 SK", "3, 5", "SK", 20.79, True, [10.6, 10.25, 10.3]),
    ("K3+K7 SK", "3, 7", "SK", 20.97, False, [10.9, 10.05, 10.75]),
    ("K5+K7 SK", "5, 7", "SK", 23.09, False, [13.1]),
]
SEEDS = (0, 1, 2)

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a | b \\| c",
    "# 1. *x* _y_ [z](http://example.org) `q` ~w~ !",
    r"\input{/etc/passwd} \write18{ls} $x^2$ {}{ % & # ~ ^ _",
    "[2ex] starts like an option",
    "* starred",
    "{{ 7 * 7 }} {% raw %}",
    "two\nlines\tand\x1b[31m colour \u202e reversed",
    "Grüße, naïve – “quotes” 核 \U0001f600 e\u0301 ≥ α",
    "--- === ?`<< >>",
    "'",
    "$not math$ \\frac",
    "]]> &amp; &lt;",
    "x" * 300,
]  # fmt: skip


def kernels() -> tuple[Sweep, dict[str, RunRecord]]:
    """A kernel study in which a run failed, a cell diverged, runs are missing and a cell can't exist."""
    sweep = studies.make_sweep(
        ["K3"],
        SEEDS,
        study="kernels",
        question="Which kernels, with and without attention, give the lowest error?",
        columns=("kernels", "SK"),
        cells=tuple(_cell(name, kernels, attention) for name, kernels, attention, *_ in _CELLS),
        invalid=(InvalidCell(name="K9 G7", factors={"kernels": "9"}, reason="branch 1: G = 7 does not divide C = 16"),),
        published=Published(
            source="Li et al., CVPR 2019, Table 7",
            data="ImageNet-1k",
            rows={
                name: PublishedRow(error=error, params=25.0, gmacs=4.24, verified=v)
                for name, _, _, error, v, _ in _CELLS
            },
        ),
    )
    done = [
        _record(at, name, seed, error)
        for at, (name, *_, errors) in enumerate(_CELLS)
        for seed, error in enumerate(errors)
    ]
    ended_badly = [
        studies.failed_record("K5+K7 SK", 1, "RuntimeError: out of memory"),
        *(
            studies.failed_record("K7", seed, "the loss is nan", status="diverged", failure="diverged")
            for seed in SEEDS
        ),
    ]
    return sweep, {record.key: record for record in (*done, *ended_badly)}


def _cell(name: str, kernels: str, attention: str) -> Cell:
    settings: dict[str, Any] = {"model.attention": "sk" if attention else "none"}
    runs = {seed: studies.key_of(name, seed) for seed in SEEDS}
    return Cell(name=name, factors={"kernels": kernels, "SK": attention}, settings=settings, runs=runs)


def _record(at: int, name: str, seed: int, error: float) -> RunRecord:
    code = Code(version="0.1.0", commit="0123456789abcdef0123", dirty=name == "K3+K7 SK")
    return studies.make_record(name, seed, error, params=50_000 + 4_000 * at, macs=9_000_000 + 500_000 * at, code=code)


def _titled(title: str) -> RunSpec:
    """A run on data of this title."""
    data = {**studies.EXPERIMENT["data"], "title": title}
    return RunSpec(experiment=Experiment.model_validate({**studies.EXPERIMENT, "data": data}), seed=0)


def hostile() -> tuple[Sweep, dict[str, RunRecord]]:
    """A study whose every text is nasty."""
    text = " ".join(NASTY[:10])
    cells = tuple(
        Cell(
            name=name,
            factors={NASTY[0]: name, NASTY[2]: name[::-1]},
            settings={name: name},
            runs={0: f"../{at}\"'<", 1: f"k{at}"},
        )
        for at, name in enumerate(NASTY)
    )
    sweep = studies.make_sweep(
        ["x"], (0, 1), question=text, experiment_name=text, baseline=NASTY[0], columns=(NASTY[0], NASTY[2]),
        cells=cells,
        invalid=tuple(InvalidCell(name=f"invalid {name}", reason=name) for name in NASTY),
        published=Published(source=text, data=NASTY[1], rows={name: PublishedRow(error=1.0) for name in NASTY}),
        experiment={"data": {"name": NASTY[1]}, NASTY[0]: NASTY[4]},
    )  # fmt: skip
    machine = studies.MACHINE.model_copy(update={"host": NASTY[0], "device_name": NASTY[4]})
    how = {"hardware": machine, "versions": {NASTY[0]: NASTY[4]}, "code": Code(version=NASTY[1], commit=NASTY[4])}
    done = [
        studies.make_record(name, 0, 10.0 + at, key=cells[at].runs[0], spec=_titled(name), **how)
        for at, name in enumerate(NASTY)
    ]
    failed = [studies.failed_record(name, 1, name, key=cells[at].runs[1], **how) for at, name in enumerate(NASTY)]
    return sweep, {record.key: record for record in (*done, *failed)}
