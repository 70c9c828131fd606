"""`sklab evaluate`: finished runs on their validation images, or on the test split."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sklab.commands.options import (
    COMPLETE,
    SOME_FAILED,
    Commands,
    add_code,
    add_command,
    add_cpu,
    add_json,
    add_results,
    add_run,
    device_of,
    study_alone,
)
from sklab.errors import SklabError
from sklab.system.terminal import fitting, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklab.store.measured.scores import Evaluation, FinalScore
    from sklab.store.records import RunRecord
    from sklab.store.study_folder import StudyFolder


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of `sklab evaluate`."""

    run: list[str]
    size: int | None
    test: bool
    cpu: bool
    results: Path
    json: bool


def add_evaluate(commands: Commands) -> None:
    """`sklab evaluate`."""
    text = "evaluate finished runs, at another image size if asked"
    evaluate = add_command(commands, "evaluate", _evaluate, EvaluateOptions, text)
    add_run(evaluate, "a study, or one run: ")
    what = evaluate.add_mutually_exclusive_group()
    what.add_argument("--size", type=int, metavar="N", help="pixels a side (default: as trained)")
    text = "read the test split of a study whose runs have all ended (data.test)"
    what.add_argument("--test", action="store_true", help=text)
    add_cpu(evaluate)
    add_results(evaluate)
    add_code(evaluate)
    add_json(evaluate)


def _evaluate(options: EvaluateOptions) -> int:
    from sklab.commands.screen.text import evaluation_text
    from sklab.sweep.state.named import run_of_words
    from sklab.training.evaluate import evaluate, evaluate_study

    device, study = device_of(cpu=options.cpu), study_alone(options.run, options.results)
    if study:
        outcomes = _tested(study, device) if options.test else evaluate_study(study, options.size, device)
        return _show(outcomes, as_json=options.json)
    if options.test:
        raise SklabError(
            f"--test: found the run {' '.join(options.run)!r}; allowed: a study, since the test split is read once"
        )
    run = run_of_words(options.run, options.results)
    evaluation, order = evaluate(run, options.size, device), run.read_order()
    text = f"{order.cell}, seed {order.spec.seed}: {evaluation_text(evaluation)}"
    print(evaluation.model_dump_json(indent=1) if options.json else fitting(text))
    return COMPLETE


def _tested(study: StudyFolder, device: str) -> Iterator[tuple[RunRecord, FinalScore | SklabError]]:
    from sklab.sweep.run.reading import orders_for_test
    from sklab.training.evaluate import evaluate_test_of

    return evaluate_test_of(study, orders_for_test(study), device)


def _show(outcomes: Iterator[tuple[RunRecord, Evaluation | FinalScore | SklabError]], *, as_json: bool) -> int:
    """Report each run of a study as its evaluation ends; a run without weights does not stop the others."""
    import json

    from sklab.commands.screen.text import evaluation_text

    evaluations, failed = [], False
    for record, outcome in outcomes:
        run = f"{record.cell}, seed {record.spec.seed}"
        if isinstance(outcome, SklabError):
            failed = True
            tell(f"sklab: {run}: {outcome}")
            continue
        evaluations.append(outcome.model_dump(mode="json"))
        print(f"{run}: {evaluation_text(outcome)}", file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print(json.dumps(evaluations, indent=1))
    return SOME_FAILED if failed else COMPLETE
