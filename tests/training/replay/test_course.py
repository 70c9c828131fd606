"""A run that is trained by replays: the same numbers, files and ends as in Lightning's loop, alone or beside others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attempts import CPU, PLAIN, assert_same, attempt, died, dying, outcome
from torch import nn

from sklab.models.weights import start
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.training import run
from sklab.training.fit import Process
from sklab.training.metrics.scores import Scores
from sklab.training.module import Classifier
from sklab.training.replay import steps
from sklab.training.replay.course import Course, Steps
from sklab.training.replay.steps import GraphedTraining
from sklab.training.run import Attempt

Made = Callable[..., tuple[RunOrder, RunFolder]]

# Every rate is a number of single precision, so that rounding it to one changes nothing.
EXACT = {**PLAIN, "lr": 0.0625, "schedule": "step", "step_at": (1, 2), "step_factor": 0.5}
ALL = {
    **EXACT,
    "batch_size": 8,
    "mixup": 0.3,
    "ema_decay": 0.6,
    "clip_norm": 0.5,
    "label_smoothing": 0.1,
    "decay_norm_and_bias": False,
    "nesterov": True,
}
CUT = {**EXACT, "mixup": 0.3, "cutmix": 1.0, "loss": "bce", "label_smoothing": 0.1, "batch_size": 8}
HELD = {**EXACT, "freeze": ["stem", "units.SK_3_*"], "decay_norm_and_bias": False}
HALF = {**EXACT, "precision": "bf16", "memory_format": "channels_last", "momentum": 0.0, "batch_size": 12}


class _Rows:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, float], int]] = []

    def log(self, row: dict[str, float], step: int) -> None:
        self.rows.append((dict(row), step))


@pytest.fixture
def dies_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the next attempt die before its step or evaluation batch of this number, from 0; never when -1."""
    left = {"step": -1, "evaluation": -1}

    monkeypatch.setattr(GraphedTraining, "step", dying(left, "step", GraphedTraining.step))
    monkeypatch.setattr(Scores, "add", dying(left, "evaluation", Scores.add))
    return lambda step=-1, evaluation=-1: left.update(step=step, evaluation=evaluation)


def ended(attempts: dict[RunFolder, Attempt]) -> dict[RunFolder, RunRecord]:
    """The records of attempts that were taken in turn to their ends."""
    while running := [attempt for attempt in attempts.values() if attempt.record is None]:
        for each in running:
            each.advance()
    return {folder: attempt.record for folder, attempt in attempts.items() if attempt.record is not None}


@pytest.mark.parametrize("recipe", [EXACT, ALL, CUT, HELD, HALF], ids=["plain", "all", "cutmix", "frozen", "bf16"])
def test_it_computes_what_lightnings_loop_computes(made: Made, monkeypatch, recipe, request) -> None:
    order, folder = made("lightning", recipe)
    theirs = attempt(order, folder)
    request.getfixturevalue("replaying")
    monkeypatch.setattr(Classifier, "training_step", None)  # it is not used
    order, ours = made("replayed", recipe)
    record = attempt(order, ours)
    assert_same(outcome(ours, record), outcome(folder, theirs))
    assert {file.name for file in ours.path.iterdir()} == {file.name for file in folder.path.iterdir()}
    assert (record.val_images, record.guessing_error) == (theirs.val_images, theirs.guessing_error)
    assert record.latency_ms > 0 < record.samples_per_second
    for name in ("attention.json", "images.json"):
        assert (ours.path / name).read_text() == (folder.path / name).read_text()


def test_it_computes_the_further_metrics_that_lightnings_loop_computes(made: Made, request) -> None:
    def trained(name: str) -> RunRecord:
        order, folder = made(name, {**EXACT, "batch_size": 12})  # the last batch of an evaluation is smaller
        return attempt(order.model_copy(update={"metrics": ("val_macro_f1", "val_ece", "val_top5_error")}), folder)

    theirs = trained("lightning")
    request.getfixturevalue("replaying")
    assert trained("replayed").last == theirs.last
    assert {"val_macro_f1", "val_ece", "val_top5_error"} <= theirs.last.keys()


def test_it_rounds_rates_to_single_precision_and_no_more(made: Made, request) -> None:
    order, folder = made("lightning", {"lr": 0.05, "epochs": 1})
    attempt(order, folder)
    request.getfixturevalue("replaying")
    order, ours = made("replayed", {"lr": 0.05, "epochs": 1})
    attempt(order, ours)
    theirs, mine = (torch.load(each.weights_file, weights_only=True) for each in (folder, ours))
    assert all(torch.allclose(theirs[name].double(), mine[name].double(), atol=1e-5) for name in theirs)


@pytest.mark.usefixtures("replaying")
class TestReplayed:
    def test_a_run_that_died_many_times_ends_as_one_that_never_did(self, made: Made, dies_at) -> None:
        calm_order, calm_folder = made("calm", ALL)
        calm = attempt(calm_order, calm_folder)
        order, folder = made("disturbed", ALL)
        points = [{"step": 2}, {"step": 7}, {"evaluation": 1}, {"evaluation": 3}, {"step": 8}]
        for point in points:
            dies_at(**point)
            died(order, folder)
        dies_at()
        record = attempt(order, folder)
        assert record.attempt == 1 + len(points)
        assert record.resumed_from > 8
        assert_same(outcome(folder, record), outcome(calm_folder, calm))
        assert not folder.checkpoints.exists()

    def test_beside_others_it_gives_the_same_bits(self, made: Made) -> None:
        recipes = {"a": ALL, "b": EXACT, "c": {**ALL, "lr": 0.03}, "d": HALF}
        alone = {name: attempt(*made(f"{name} alone", recipe)) for name, recipe in recipes.items()}
        process, attempts = Process(CPU, abreast=4), {}
        for name, recipe in recipes.items():
            order, folder = made(f"{name} beside", recipe)
            attempts[folder] = Attempt(order, folder, process)
        for name, (folder, record) in zip(recipes, ended(attempts).items(), strict=True):
            before = RunFolder(folder.path.parent / f"{name} alone")
            assert_same(outcome(folder, record), outcome(before, alone[name]))
            assert record.hardware is not None
            assert record.hardware.abreast == 4

    def test_one_that_diverges_leaves_the_others_as_they_are(self, made: Made) -> None:
        alone = attempt(*made("alone", EXACT))
        process, attempts = Process(CPU), {}
        for name, recipe in {"good": EXACT, "bad": {**EXACT, "lr": 1e30}}.items():
            order, folder = made(name, recipe)
            attempts[folder] = Attempt(order, folder, process)
        (good, record), (_, bad) = ended(attempts).items()
        assert (bad.status, record.status) == ("diverged", "complete")
        assert "non-finite" in bad.reason
        assert_same(outcome(good, record), outcome(RunFolder(good.path.parent / "alone"), alone))

    def test_one_that_is_pruned_leaves_the_others_as_they_are(self, made: Made) -> None:
        process, attempts = Process(CPU), {}
        for name in ("good", "bad"):
            order, folder = made(name, EXACT)
            attempts[folder] = Attempt(order, folder, process)
        RunFolder(folder.path).ask_to_prune("it looks worse than others")
        records = ended(attempts)
        assert [record.status for record in records.values()] == ["complete", "pruned"]
        assert records[folder].reason == "it looks worse than others"

    def test_all_that_are_asked_to_stop_go_on_from_there_each_by_itself(self, made: Made) -> None:
        calm = attempt(*made("calm", ALL))
        process, attempts, orders = Process(CPU), {}, {}
        for name in ("first", "second"):
            order, folder = made(name, ALL, every=60.0)
            attempts[folder], orders[folder] = Attempt(order, folder, process), order
        for _ in range(9):
            for each in attempts.values():
                each.advance()
        process.stop._ask(15, None)
        for folder, record in ended(attempts).items():
            assert (record.status, record.failure) == ("failed", "preempted")
            assert record.reason.startswith("SIGTERM after step ")
            later = attempt(orders[folder], folder)
            assert later.resumed_from > 0
            assert_same(outcome(folder, later), outcome(RunFolder(folder.path.parent / "calm"), calm))

    def test_what_the_card_answers_to_who_waits_for_it_is_the_runs_own_end(self, made: Made, monkeypatch) -> None:
        class Failed:
            """An event of a card that has failed meanwhile."""

            def query(self) -> bool:
                raise RuntimeError("CUDA error: device-side assert triggered")

            synchronize = query

        def reached(_: Course) -> Steps:
            yield Failed()  # type: ignore[misc]

        monkeypatch.setattr(Course, "_reached", reached)
        order, folder = made("run", EXACT)
        attempt = Attempt(order, folder, Process(CPU))
        attempt.advance()
        assert attempt.is_ready
        attempt.advance()
        record = folder.read_record()
        assert record is not None
        assert (record.status, record.failure) == ("failed", "code")
        assert record.reason == "CUDA error: device-side assert triggered"

    def test_a_network_that_draws_random_numbers_is_trained_by_lightning(self, made: Made, monkeypatch, caplog) -> None:
        """What it draws would depend on what trains beside it."""

        def make(_: object) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(1024, 10))

        monkeypatch.setattr(start, "build", make)
        order, folder = made("drawn", PLAIN)
        with monkeypatch.context() as patch:
            patch.setattr(steps, "REPLAYED", set())
            theirs = attempt(order, folder)
        order, ours = made("ours", PLAIN)
        record = attempt(order, ours)
        assert "can't be recorded: it draws random numbers" in caplog.text
        assert_same(outcome(ours, record), outcome(folder, theirs))

    def test_who_follows_a_run_is_told_the_same_as_of_a_run_in_lightning(self, made: Made, monkeypatch) -> None:
        rows: dict[str, list[Any]] = {}
        for name, replaying in (("lightning", set[str]()), ("replayed", {"cpu"})):
            monkeypatch.setattr(steps, "REPLAYED", replaying)
            follower = _Rows()
            monkeypatch.setattr(run, "open_live", lambda *_, follower=follower: follower)
            monkeypatch.setattr(run, "close", lambda *_, **__: None)
            attempt(*made(name, EXACT))
            rows[name] = follower.rows
        assert [row["epoch"] for row, _ in rows["replayed"] if "epoch" in row] == [1, 2, 3]
        assert rows["replayed"] == rows["lightning"]
