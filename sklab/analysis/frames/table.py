"""The ablation table as data: the measured, compared and published numbers of each row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Set
from functools import partial
from typing import Any

import pandas as pd

from sklab.analysis.choice.pareto import COSTS
from sklab.analysis.evidence.held_out import HeldOut, OnTest
from sklab.analysis.evidence.nuisance import NOT_MEASURED
from sklab.analysis.statistics.compare import Versus
from sklab.analysis.table.published import published_sizes, row_reproduced
from sklab.analysis.table.questions import Answer
from sklab.analysis.table.rows import AblationTable, Also, AtSize, Row
from sklab.spec.study.nuisance import named
from sklab.spec.study.sweep import Sweep

_ANSWER = (
    "question", "planned", "pair", "n", "difference", "half", "p", "adjusted", "df", "verdict", "detectable", "needed",
    "pairs", "agreement", "reason",
)  # fmt: skip
_DIGITS = 12  # significant digits of sums: with these, the results of all machines agree to the byte
_TEST_DIGITS = 6  # the same for results of series and root finding: p, intervals and numbers planned from them
_OF_TESTS = re.compile(r"test_|p_best$|shrunken_mean$|vs_\w+?_(half|half_images|p|adjusted|df|effect|detectable)$")
ALL = re.compile("")
_AS_GIVEN = "published_"


def rounded(frame: pd.DataFrame, of_tests: re.Pattern[str] = _OF_TESTS) -> pd.DataFrame:
    """`frame` for a file: means at 12 significant digits, what comes `of_tests` (by the names of columns) at 6."""
    numbers = [name for name in map(str, frame.select_dtypes("float")) if not name.startswith(_AS_GIVEN)]
    digits = {name: _TEST_DIGITS if of_tests.match(name) else _DIGITS for name in numbers}
    return frame.assign(**{name: frame[name].map(partial(_significant, digits[name])) for name in numbers})


def _significant(digits: int, number: float) -> float:
    return float(f"{number:.{digits}g}")


def data_frame(table: AblationTable) -> pd.DataFrame:
    """One line per row; nothing is rounded. The names of the factors stand behind `cell`. Single runs: `runs_frame`.

    cell               name of the cell
    is_baseline        whether it is the baseline
    planned, n         numbers of planned seeds and of complete runs
    mean, sd, half     of the study's metric over these runs: mean, standard deviation, half width of the mean's 95 %
                       interval
    p_best             probability that the cell is the best
    shrunken_mean      the mean that the model behind `p_best` expects of the cell
    vs_baseline_n, vs_best_n
                       pairs of runs, or runs of the smaller side, behind the comparison with the baseline and with the
                       best cell
    vs_baseline_difference, vs_best_difference
                       mean of the cell minus that of the other one
    vs_baseline_half, vs_best_half
                       half width of the simultaneous 95 % interval of the difference
    vs_baseline_half_images
                       the same for new seeds on new images
    vs_baseline_p, vs_best_p
                       two-sided p of the difference by itself
    vs_baseline_adjusted, vs_best_adjusted
                       p adjusted for all cells
    vs_baseline_df, vs_best_df
                       degrees of freedom of the test
    vs_baseline_effect  difference in standard deviations of one seed's difference (Hedges' g)
    vs_baseline_detectable
                       smallest true difference that these seeds find with 80 % probability
    vs_baseline_needed, vs_baseline_missing
                       seeds that find a difference as large as this one with 80 % probability; how many more they are
    vs_baseline_test, vs_baseline_reason
                       the test, or why there is none
    vs_baseline_verdict
                       `better`, `worse`, `equivalent`, `not worse`, `undecided` or `no test`
    standing           how the cell compares with that of best mean: `best` (it is that cell), `worse`, `not
                       distinguishable` or `cannot tell`
    front              whether it is on the front of a search with two objectives
    pareto_params, pareto_macs, pareto_latency_ms
                       whether it is on the Pareto set of the metric and this cost
    params, macs       parameters; multiply-accumulates of one image
    latency_ms, latency_ms_lowest, latency_ms_highest, replay_latency_ms
                       time of one image: mean, lowest and highest of the runs; as the replay of a CUDA graph
    train_seconds, samples_per_second, peak_memory_mb
                       time in training steps, training images per second of it, peak memory in 10^6 bytes
    val_NAME_n, val_NAME_mean, val_NAME_sd
                       the same for each metric of `also`
    error_SIZE_n, error_SIZE_mean, error_SIZE_half
                       the error in % at each further image size
    test_n, test_mean, test_half
                       the metric on the test split, of the runs evaluated there
    test_minus_validation, test_minus_validation_half
                       test minus validation, and the half width of its 95 % interval
    test_vs_baseline_difference, test_vs_baseline_half, test_vs_baseline_adjusted
                       the comparison with the baseline on the test split
    reproduced         whether the published error is reproduced
    published_error, published_error_SIZE, published_params, published_gmacs, published_verified
                       figures from the literature, and whether they were compared with their source
    unfinished         the runs that are not complete, with their reasons
    invalid, same_as   why the cell can't exist; the cell whose network it is too
    tuned_setting, tuning_mean
                       the setting that the cell tuned, and the mean that chose it
    untuned_n, untuned_mean, untuned_verdict
                       the result at the experiment's own setting
    """
    whole = ("params", "macs", "vs_baseline_n", "vs_baseline_needed", "vs_baseline_missing", "vs_best_n")
    types = dict.fromkeys(whole, "Int64")
    pareto_front = table.pareto_front
    rows = [
        {**_flat(table.sweep, row, pareto_front), **_tuned(table, row), **_held_out(table.held_out, row)}
        for row in table.rows
    ]
    absent = ["replay_latency_ms"] if all(row.replay_latency_ms is None for row in table.rows) else []
    frame = pd.DataFrame(rows).astype(types if table.rows else {}).drop(columns=absent, errors="ignore")
    if table.images and table.images.halves:
        _insert_halves(frame, "vs_baseline_half", [table.images.halves.get(row.name) for row in table.rows])
    return frame


def answers_frame(table: AblationTable) -> pd.DataFrame:
    """One line per planned question and per matched difference of a factor, and one per pair behind it; nothing is
    rounded. All numbers come of tests.

    question    its name
    planned     whether the sweep asks it; the others follow from the factors
    pair        the pair of cells of this line, or nothing for the answer over all pairs
    n           seeds behind it
    difference, half, half_images
                the mean difference, the half width of its 95 % interval, and that for new images
    p, adjusted, df
                two-sided p, p adjusted for the family of questions, degrees of freedom
    verdict     what is answered
    detectable  smallest true difference that these runs find with 80 % probability
    needed      seeds that find a difference as large as this one with 80 % probability
    pairs       number of pairs of cells
    agreement   p of the hypothesis that the difference is the same in all pairs
    reason      why there is no test
    """
    families = ((True, table.questions), (False, table.unplanned))
    rows = [line for planned, family in families for answer in family for line in _answer(answer, planned=planned)]
    frame = pd.DataFrame(rows, columns=list(_ANSWER)).astype({"n": "Int64", "needed": "Int64"})
    if table.images and table.images.questions:
        halves = [
            table.images.questions.get(row["question"]) if row["planned"] and not row["pair"] else None for row in rows
        ]
        _insert_halves(frame, "half", halves)
    return frame


def _insert_halves(frame: pd.DataFrame, column: str, halves: list[float | None]) -> None:
    """Half widths for new seeds and images, behind the `column` of those for new seeds."""
    at = [*frame.columns].index(column) + 1
    frame.insert(at, f"{column}_images", [_number(half) for half in halves])


def _answer(answer: Answer, *, planned: bool) -> Iterator[dict[str, Any]]:
    facts = {"question": answer.name, "planned": planned}
    whole = {"pair": "", "verdict": answer.verdict, "agreement": _number(answer.agreement)}
    yield {**facts, **whole, **_versus_columns(answer.versus), "pairs": len(answer.pairs)}
    for pair, against in answer.pairs if len(answer.pairs) > 1 else ():
        yield {**facts, "pair": str(pair), **_versus_columns(against)}


def _versus_columns(against: Versus) -> dict[str, Any]:
    parts = ("difference", "half", "p", "adjusted", "df", "detectable")
    numbers = {part: _number(getattr(against, part)) for part in parts}
    return {"n": against.n, **numbers, "needed": against.needed, "reason": against.reason}


def _flat(sweep: Sweep, row: Row, pareto_front: tuple[Row, ...]) -> dict[str, Any]:
    measured = {**_result(sweep, row, pareto_front), **_also(sweep, row), **_sizes(sweep, row), **_cost(row)}
    ours = {**measured, **_published(sweep, row), **_missing(sweep, row)}
    return {"cell": row.name, **_factors(sweep, row, {"cell", *ours}), **ours}


def _tuned(table: AblationTable, row: Row) -> dict[str, Any]:
    """The setting that the cell tuned, its mean on the seeds of tuning, and its result at the experiment's own."""
    tuning = table.tuning
    cell = next((cell for cell in tuning.cells if cell.name == row.name), None) if tuning else None
    if tuning is None:
        return {}
    untuned = tuning.untuned.get(row.name, NOT_MEASURED)
    chosen = cell if cell is not None and not cell.left else None
    mean = chosen.means[chosen.chosen] if chosen else math.nan
    return {
        "tuned_setting": named(tuning.setting(chosen, chosen.chosen)) if chosen else None,
        "tuning_mean": _number(mean) if math.isfinite(mean) else None,
        "untuned_n": untuned.n,
        "untuned_mean": _number(untuned.mean),
        "untuned_verdict": untuned.verdict,
    }


def _factors(sweep: Sweep, row: Row, ours: Set[str]) -> dict[str, str]:
    """The factors under their own names; `factor NAME` where the name is that of another column."""
    return {f"factor {name}" if name in ours else name: row.factors.get(name, "") for name in sweep.columns}


def _result(sweep: Sweep, row: Row, pareto_front: tuple[Row, ...]) -> dict[str, Any]:
    return {
        "is_baseline": row.is_baseline,
        "planned": row.planned,
        "n": row.n,
        "mean": _number(row.mean),
        "sd": _number(row.sd),
        "half": _number(row.half),
        **_best(sweep, row),
        **_numbers(
            "baseline", row.baseline, ("n", "difference", "half", "p", "adjusted", "df", "effect", "detectable")
        ),
        **_decision(row),
        **_numbers("best", row.best, ("n", "difference", "half", "p", "adjusted", "df")),
        "standing": row.standing,
        **({"front": row in pareto_front} if sweep.search and sweep.search.second_objective else {}),
        **{f"pareto_{cost}": cost in row.pareto for cost in COSTS},
    }


def _best(sweep: Sweep, row: Row) -> dict[str, float | None]:
    """The columns on the best cell, where the sweep asks for it."""
    if not sweep.chooses_best:
        return {}
    return {"p_best": _number(row.chance), "shrunken_mean": _number(row.shrunken)}


def _numbers(name: str, against: Versus | None, parts: tuple[str, ...]) -> dict[str, float | None]:
    return {f"vs_{name}_{part}": _number(getattr(against, part, None)) for part in parts}


def _decision(row: Row) -> dict[str, Any]:
    """The columns on the verdict against the baseline, and on the seeds that it would need."""
    parts = ("needed", "test", "reason")
    return {
        **{f"vs_baseline_{part}": getattr(row.baseline, part, None) for part in parts},
        "vs_baseline_missing": row.seeds_missing,
        "vs_baseline_verdict": row.verdict,
    }


def _also(sweep: Sweep, row: Row) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in sweep.also:
        there = row.also.get(name, Also(0, None, None))
        numbers = {"n": there.n, "mean": _number(there.mean), "sd": _number(there.sd)}
        columns |= {f"{name}_{part}": number for part, number in numbers.items()}
    return columns


def _sizes(sweep: Sweep, row: Row) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for size in sweep.sizes:
        there = row.at_size.get(size, AtSize(0, None, None))
        numbers = {"n": there.n, "mean": _number(there.mean), "half": _number(there.half)}
        columns |= {f"error_{size}_{part}": number for part, number in numbers.items()}
    return columns


def _held_out(held: HeldOut | None, row: Row) -> dict[str, Any]:
    """The columns of the test split; none before it is read."""
    if held is None or not held.values:
        return {}
    on = held.rows.get(row.name, OnTest())
    parts = {"mean": on.mean, "half": on.half, "minus_validation": on.gap, "minus_validation_half": on.gap_half}
    against = {part: getattr(on.baseline, part, None) for part in ("difference", "half", "adjusted")}
    return {
        "test_n": on.n,
        **{f"test_{part}": _number(number) for part, number in parts.items()},
        **{f"test_vs_baseline_{part}": _number(number) for part, number in against.items()},
    }


def _cost(row: Row) -> dict[str, Any]:
    measured = ("train_seconds", "samples_per_second", "peak_memory_mb")
    lowest, highest = row.latency_range or (None, None)
    latency = {"latency_ms": row.latency_ms, "latency_ms_lowest": lowest, "latency_ms_highest": highest}
    latency |= {"replay_latency_ms": row.replay_latency_ms}
    numbers = {**latency, **{name: getattr(row, name) for name in measured}}
    return {"params": row.params, "macs": row.macs, **{name: _number(number) for name, number in numbers.items()}}


def _published(sweep: Sweep, row: Row) -> dict[str, Any]:
    parts = ("error", "params", "gmacs", "verified")
    errors = row.published.errors if row.published else {}
    return {
        "reproduced": row_reproduced(sweep, row),
        **{f"published_{part}": getattr(row.published, part, None) for part in parts},
        **{f"published_error_{size}": errors.get(size) for size in published_sizes(sweep)},
    }


def _missing(sweep: Sweep, row: Row) -> dict[str, str]:
    return {
        "unfinished": "; ".join(f"seed {run.seed} {run.state}: {run.reason}" for run in row.unfinished),
        "invalid": row.invalid,
        **({"same_as": row.same_as} if sweep.duplicates else {}),
    }


def _number(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else number
