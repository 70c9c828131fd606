"""Refuse to train if the machine computes wrong gradients or the data can't be used.

Some combinations of torch version, device, dtype and memory format return wrong gradients without an error. Before
the first run of a sweep every distinct convolution is compared with float64 on the very kind of device that will
train it; the answer is kept for as long as torch, device and convolutions stay the same. The data are checked anew
every time, as they may change.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sklab.errors import SklabError
from sklab.launch.base import Job, Launcher
from sklab.own.files import keep_copies
from sklab.spec.data import DataSpec
from sklab.spec.fit import trained_singly
from sklab.spec.jobs import Checked, CheckedData, CheckedStart, CheckOrder, CheckResult, Finding
from sklab.spec.own.parts import codes_in
from sklab.spec.run import Experiment
from sklab.spec.study.sweep import Sweep
from sklab.spec.train import TrainSpec
from sklab.store.causes import class_of_words
from sklab.store.files import last_line_and_traceback, last_line_suffix, read_kept, write_whole
from sklab.store.versions import installed
from sklab.sweep.design.cells import run_spec, splits
from sklab.sweep.design.space import searchable
from sklab.sweep.plan.trained_data import HeldData
from sklab.system.phases import phase

_LOOK_EVERY = 60.0
_MOST_ANSWERED = 256 * 2**20  # bytes: the answer lists every class of the data
_ATTEMPTS = 3  # at a check that is killed; as many as at a run


def ensure_sound(sweep: Sweep, launcher: Launcher, results: Path, notify: Callable[[str], None]) -> HeldData:
    """Raise SklabError, with the remedy, when a network of the sweep can't be made, data are missing or not as stated,
    or a convolution is computed wrongly, where it would train. Returns what the data hold there; notices about
    them go to `notify`, line by line."""
    bad = [finding for finding in check(sweep, launcher, results).findings if not finding.ok]
    if bad:
        raise SklabError(refusal(bad))
    result = check_data(sweep, launcher, results)
    for line in result.data_notices:
        notify(line)
    if result.network_faults:
        raise SklabError(network_refusal(result.network_faults))
    if result.data_faults:
        raise SklabError(data_refusal(result.data_faults))
    return held_by(sweep, result)


def held_by(sweep: Sweep, result: CheckResult) -> HeldData:
    """The inventories of the sweep's data sets, from the result of `check_data`."""
    pairs = zip(_data(_experiments(sweep)), result.inventories, strict=False)  # answers of old versions have none
    return HeldData({checked.data.identity(): inventory for checked, inventory in pairs if inventory})


def check_data(sweep: Sweep, launcher: Launcher, results: Path, *, every_image: bool = False) -> CheckResult:
    """Check the data sets of the sweep, and the trained weights that its networks start from, where its runs would
    train: why they can't be used, and other notices. With `every_image` all images are opened, else a sample.

    Raises SklabError when the check itself can't run; its log tells why.
    """
    starts = tuple(_starts(_experiments(sweep)))
    order = CheckOrder(data=_data(_experiments(sweep)), starts=starts, every_image=every_image)
    with phase(f"checking the data: their files and {'every image' if every_image else 'a sample of the images'}"):
        return _ask(order, results / ".checks" / f"data-{sweep.study}", launcher)


def data_refusal(faults: Sequence[str]) -> str:
    """The message about data that can't be used."""
    return "\n  ".join(["the data of this sweep can't be used as it asks; nothing was trained:", *faults])


def network_refusal(faults: Sequence[str]) -> str:
    """The message about networks that can't be made or can't start from their weights."""
    return "\n  ".join(["networks of this sweep can't be made; nothing was trained:", *faults])


def _starts(experiments: Iterable[Experiment]) -> Iterator[CheckedStart]:
    """The distinct networks that start from trained weights or are frozen in part, with one recipe for each way."""
    seen = set()
    for experiment in experiments:
        model, train = experiment.model, experiment.train
        way = (model.model_dump_json(), train.trunk_lr, train.freeze)
        if (model.start or train.freeze) and way not in seen:
            seen.add(way)
            yield CheckedStart(model=model, train=train)


def _data(experiments: Iterable[Experiment]) -> tuple[CheckedData, ...]:
    """Every distinct data set with the distinct recipes that train on it."""
    sets: dict[str, DataSpec] = {}
    recipes: defaultdict[str, dict[TrainSpec, None]] = defaultdict(dict)
    for experiment in experiments:
        name = experiment.data.model_dump_json()
        sets[name] = experiment.data
        recipes[name][experiment.train] = None
    return tuple(CheckedData(data=data, recipes=tuple(recipes[name])) for name, data in sets.items())


def check(sweep: Sweep, launcher: Launcher, results: Path) -> CheckResult:
    """The findings for every distinct convolution of the sweep, from the cache under `results` or computed now.

    Raises SklabError when a network can't be made, or when the check itself can't run; its log tells why.
    """
    order = CheckOrder(networks=_covering(_experiments(sweep)))
    libraries = {name for network in order.networks for name in network.model.libraries}
    versions = " ".join(installed(("torch", *sorted(libraries))).values())
    question = f"{versions} {launcher.kind} {order.model_dump_json()}"
    folder = results / ".checks" / hashlib.sha256(question.encode()).hexdigest()[:16]
    with phase("checking the gradients of every convolution against float64"):
        result = _kept(folder) or _ask(order, folder, launcher)
    if result.network_faults:
        raise SklabError(network_refusal(result.network_faults))
    return result


def _kept(folder: Path) -> CheckResult | None:
    """The stored answer of an earlier check, unless its fault may have been mended since."""
    result = read_kept(folder / "result.json", CheckResult, _MOST_ANSWERED)
    return result if result and not result.network_faults else None


def _ask(order: CheckOrder, folder: Path, launcher: Launcher) -> CheckResult:
    """The answer to `order` from a job in `folder`. Raises SklabError when it can't run; its log tells why."""
    answer = folder / "result.json"
    folder.mkdir(parents=True, exist_ok=True)
    answer.unlink(missing_ok=True)
    keep_copies(folder, codes_in(order))
    write_whole(folder / "check.json", order.model_dump_json(indent=1))
    job, log = Job("check", folder), folder / "log.txt"
    for _ in range(_ATTEMPTS):
        exitcode = _end_of(job, launcher)
        if result := read_kept(answer, CheckResult, _MOST_ANSWERED):
            return result
        sick = class_of_words("\n".join(last_line_and_traceback(log))) == "device"
        if sick:
            launcher.judge(job, sick=True)
        if (exitcode >= 0 and not sick) or not launcher.capacity:
            break
    raise SklabError(f"the check before the first run ended without an answer; see {log}{last_line_suffix(log)}")


def _end_of(job: Job, launcher: Launcher) -> int:
    """Run `job` to its end; returns its exit code."""
    launcher.submit(job)
    while not (ended := launcher.wait(_LOOK_EVERY)):
        pass
    return ended[0].exitcode


def refusal(bad: list[Finding]) -> str:
    """The message about convolutions that are computed wrongly, with the remedy."""
    lines = [
        f"  {finding.convolution} in {finding.precision}, {finding.memory_format}, batch {finding.batch}: relative "
        f"errors: weight gradient {_shown(finding.weight_error)}, input gradient {_shown(finding.input_error)}, "
        f"output {_shown(finding.forward_error)}"
        for finding in bad
    ]
    remedy = "use train.memory_format: contiguous, or train.precision: fp32 (for example --set train.precision=fp32)"
    head = "this machine's torch computes wrong numbers for this sweep; nothing was trained:"
    return "\n".join([head, *lines, f"remedy: {remedy}"])


def _shown(error: float) -> str:
    return "not a number" if error < 0 else f"{error:.1e}"


def most_devices(sweep: Sweep) -> int:
    """The largest number of devices that a run of the sweep trains on."""
    return max((experiment.train.devices for experiment in _experiments(sweep)), default=1)


def ensure_abreast(sweep: Sweep) -> None:
    """Raise SklabError if runs of the sweep can't be trained in turn by one process."""
    reasons = dict.fromkeys(reason for experiment in _experiments(sweep) for reason in trained_singly(experiment))
    if reasons:
        allowed = (
            "fp32 or bf16, sgd, accumulate 1, one device, not compiled, images that stay on the device and are not "
            "changed by torchvision or own code"
        )
        need = f"--abreast: runs of this sweep need a process each: {'; '.join(reasons)}"
        raise SklabError(f"{need}; allowed: {allowed}; or use --per-gpu")


def _experiments(sweep: Sweep) -> Iterator[Experiment]:
    """The experiments of the sweep's cells and, in a search, of the cells that it may find; with each split of the
    data."""
    for cell in (*sweep.cells, *searchable(sweep)):
        experiment = run_spec(sweep, cell, sweep.seeds[0]).experiment
        yield from (experiment.model_copy(update={"data": data}) for data in splits(sweep, experiment.data))


def _covering(experiments: Iterable[Experiment]) -> tuple[Checked, ...]:
    """A few networks that together have every branch and every other setting, and so every convolution."""
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
        batch=train.batch_size // train.devices,
        deterministic=train.deterministic,
    )


def _parts(experiment: Experiment) -> Iterator[str]:
    """Texts of all settings that decide the convolutions of a network and how they are computed."""
    how = _checked(experiment).model_dump_json(exclude={"model"})
    return (f"{how} {part}" for part in experiment.model.parts())
