"""The same seed gives the same bits on a card: twice, beside others, and however often the run died."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from on_card import assert_same, next_ends, record_of, train

from sklab.launch.base import Job
from sklab.launch.local.launcher import LocalLauncher
from sklab.store.run_folder import RunFolder

pytestmark = pytest.mark.gpu

Made = Callable[..., RunFolder]

AUGMENTED = {"epochs": 3, "augment": {"pad_crop": 2, "flip": True}}
ALL = {
    **AUGMENTED,
    "batch_size": 8,
    "mixup": 0.3,
    "ema_decay": 0.6,
    "clip_norm": 0.5,
    "label_smoothing": 0.1,
    "nesterov": True,
}
LAUNCHED_SINGLY = {**ALL, "accumulate": 2}  # in Lightning's loop
WAYS = {
    "fp32": AUGMENTED,
    "bf16": {**AUGMENTED, "precision": "bf16"},
    "fp32 channels_last": {**AUGMENTED, "memory_format": "channels_last"},
    "bf16 channels_last": {**AUGMENTED, "precision": "bf16", "memory_format": "channels_last"},
    "all that a recipe has": ALL,
    "launched singly": LAUNCHED_SINGLY,
}
Launch = Callable[..., LocalLauncher]


@pytest.mark.parametrize("recipe", WAYS.values(), ids=WAYS)
def test_the_same_seed_gives_the_same_bits_twice(launch: Launch, made: Made, recipe: dict[str, Any]) -> None:
    runs = [made(name, every=60.0, **recipe) for name in ("first", "second")]
    records = train(launch(), *runs)
    assert [record.status for record in records] == ["complete"] * 2, records[0].traceback
    hardware = records[0].hardware
    assert hardware is not None
    assert hardware.arithmetic is not None
    assert (hardware.device, hardware.arithmetic.deterministic) == ("cuda", True)
    assert_same(*runs)


def test_a_step_is_recorded(launch: Launch, made: Made) -> None:
    run = made("run", **ALL)
    train(launch(), run)
    assert "can't be recorded" not in run.log_file.read_text()


def test_a_run_is_the_same_alone_and_beside_seven_others_in_one_process(launch: Launch, made: Made) -> None:
    recipes = [*[recipe for recipe in WAYS.values() if recipe is not LAUNCHED_SINGLY], ALL, AUGMENTED, ALL]
    alone = [made(f"alone {n}", seed=n, every=60.0, **recipe) for n, recipe in enumerate(recipes)]
    beside = [made(f"beside {n}", seed=n, every=60.0, **recipe) for n, recipe in enumerate(recipes)]
    train(launch(), *alone)
    for record in train(launch(8, abreast=True), *beside):
        assert record.status == "complete", record.traceback
    for ours, theirs in zip(beside, alone, strict=True):
        assert_same(ours, theirs)
    assert max(record_of(run).hardware.abreast for run in beside) > 1  # type: ignore[union-attr]


def test_one_that_diverges_among_eight_leaves_the_others_as_they_are(launch: Launch, made: Made) -> None:
    alone = made("alone", every=60.0, **ALL)
    train(launch(), alone)
    beside = [made(f"beside {n}", every=60.0, **(ALL if n else {**ALL, "lr": 1e30})) for n in range(8)]
    bad, *good = train(launch(8, abreast=True), *beside)
    assert bad.status == "diverged"
    assert [record.status for record in good] == ["complete"] * 7
    for run in beside[1:]:
        assert_same(run, alone)


@pytest.mark.parametrize("recipe", [ALL, LAUNCHED_SINGLY], ids=["replayed", "launched singly"])
@pytest.mark.parametrize("abreast", [False, True], ids=["a process", "one process for all"])
def test_a_run_that_was_killed_twice_and_stopped_once_ends_as_one_that_never_was(
    launch: Launch, made: Made, recipe: dict[str, Any], abreast: bool
) -> None:
    recipe = {**recipe, "epochs": 30}
    calm, disturbed = made("calm", every=60.0, **recipe), made("disturbed", **recipe)
    train(launch(), calm)
    launcher, steps = launch(abreast=abreast), 0
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        launcher.submit(Job("train", disturbed.path))
        steps = _interrupt(launcher, disturbed, steps, number)
    launcher.submit(Job("train", disturbed.path))
    deadline = time.monotonic() + 120
    while not next_ends(launcher, deadline):
        pass
    record = record_of(disturbed)
    assert (record.status, record.attempt) == ("complete", 4)
    assert record.resumed_from >= steps > 0
    assert_same(disturbed, calm)


def _interrupt(launcher: LocalLauncher, run: RunFolder, reached: int, number: signal.Signals) -> int:
    """Send the run a signal once it has got further than the step `reached`; the step of its newest checkpoint then."""
    deadline = time.monotonic() + 120
    while run.checkpoint_step <= reached:
        assert not next_ends(launcher, deadline), "it ended before it could be interrupted"
    [process] = launcher.processes
    os.kill(process.pid, number)  # type: ignore[arg-type]
    while not next_ends(launcher, deadline):
        pass
    process.join(60)  # one for all outlives the run by a moment
    return run.checkpoint_step
