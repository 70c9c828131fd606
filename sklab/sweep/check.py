"""Refuse to train what the machine computes wrongly, or on data that are not there.

Some combinations of torch version, device, dtype and memory format return wrong gradients without a word. Before
the first run of a sweep every distinct convolution is compared with float64 on the very kind of device that will
train it; the answer is kept for as long as torch, device and question stay the same. The data are looked at anew
every time, for they come and go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path

from sklab.errors import SklabError
from sklab.launch.base import Job, Launcher
from sklab.records import write_whole
from sklab.spec.check import Checked, CheckOrder, CheckResult, Finding
from sklab.spec.run import Experiment
from sklab.spec.sweep import Cell, Sweep
from sklab.sweep.design import run_spec, searched_cell

_LOOK_EVERY = 60.0


def ensure_sound(sweep: Sweep, launcher: Launcher, results: Path) -> None:
    """Raise SklabError, with the remedy, when data of the sweep are missing or not as stated, or a convolution of it is
    computed wrongly, where it would train."""
    bad = [finding for finding in check(sweep, launcher, results).findings if not finding.ok]
    if bad:
        raise SklabError(refusal(bad))
    ensure_data(sweep, launcher, results)


def ensure_data(sweep: Sweep, launcher: Launcher, results: Path) -> None:
    """Raise SklabError when a data set of the sweep can't be used where it would train."""
    asked = {data.model_dump_json(): data for data in (experiment.data for experiment in _experiments(sweep))}
    folder = results / ".checks" / f"data-{sweep.study}"
    (folder / "result.json").unlink(missing_ok=True)
    result = _ask(CheckOrder(data=tuple(asked.values())), folder, launcher)
    if result.data_faults:
        raise SklabError(
            "\n  ".join(["the data of this sweep can't be used; nothing was trained:", *result.data_faults])
        )


def check(sweep: Sweep, launcher: Launcher, results: Path) -> CheckResult:
    """The findings for every distinct convolution of the sweep, from the cache under `results` or computed now.

    Raises SklabError when the check itself can't run; its log tells why.
    """
    order = CheckOrder(networks=_covering(_experiments(sweep)))
    question = f"{version('torch')} {launcher.kind} {order.model_dump_json()}"
    folder = results / ".checks" / hashlib.sha256(question.encode()).hexdigest()[:16]
    answer = folder / "result.json"
    return CheckResult.model_validate_json(answer.read_bytes()) if answer.exists() else _ask(order, folder, launcher)


def _ask(order: CheckOrder, folder: Path, launcher: Launcher) -> CheckResult:
    """The answer to `order` of a job over `folder`. Raises SklabError when it can't run; its log tells why."""
    answer = folder / "result.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "check.json", order.model_dump_json(indent=1))
    launcher.submit(Job("check", folder))
    while not launcher.wait(_LOOK_EVERY):
        pass
    if not answer.exists():
        raise SklabError(f"the check before the first run ended without an answer; see {folder / 'log.txt'}")
    return CheckResult.model_validate_json(answer.read_bytes())


def refusal(bad: list[Finding]) -> str:
    """What to tell the user about convolutions that are computed wrongly, with the remedy."""
    lines = [
        f"  {finding.convolution} in {finding.precision}, {finding.memory_format}: relative error of "
        f"the weight gradient {_shown(finding.weight_error)}, of the input gradient {_shown(finding.input_error)}, "
        f"of the output {_shown(finding.forward_error)}"
        for finding in bad
    ]
    remedy = "use train.memory_format: contiguous, or train.precision: fp32 (for example --set train.precision=fp32)"
    head = "this machine's torch computes wrong numbers for this sweep; nothing was trained:"
    return "\n".join([head, *lines, f"remedy: {remedy}"])


def _shown(error: float) -> str:
    return "not a number" if error < 0 else f"{error:.1e}"


def most_devices(sweep: Sweep) -> int:
    """On how many devices the runs of the sweep train that take the most."""
    return max((experiment.train.devices for experiment in _experiments(sweep)), default=1)


def _experiments(sweep: Sweep) -> Iterator[Experiment]:
    """The experiment of every cell that the sweep has or, for a search, may come to have."""
    for cell in (*sweep.cells, *_searchable(sweep)):
        yield run_spec(sweep, cell, sweep.seeds[0]).experiment


def _searchable(sweep: Sweep) -> Iterator[Cell]:
    if sweep.search is None:
        return
    for levels in product(*(factor.levels for factor in sweep.factors.values())):
        cell = searched_cell(sweep, dict(zip(sweep.factors, levels, strict=True)))
        if isinstance(cell, Cell):
            yield cell


def _covering(experiments: Iterable[Experiment]) -> tuple[Checked, ...]:
    """A few networks that hold every branch and every other setting there is, and so every convolution."""
    seen: set[str] = set()
    chosen = []
    for experiment in experiments:
        parts = set(_parts(experiment))
        if not parts <= seen:
            seen |= parts
            chosen.append(_checked(experiment))
    return tuple(chosen)


def _checked(experiment: Experiment) -> Checked:
    train = experiment.train
    return Checked(
        model=experiment.model,
        image_size=experiment.data.image_size,
        precision=train.precision,
        memory_format=train.memory_format,
    )


def _parts(experiment: Experiment) -> Iterator[str]:
    """What decides the convolutions of a network, and how they are computed."""
    how = _checked(experiment).model_dump_json(exclude={"model"})
    return (f"{how} {part}" for part in experiment.model.parts())
