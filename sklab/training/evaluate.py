"""The kept weights of runs on their validation images, at the size they were trained at or another."""

from __future__ import annotations

import io
import os
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from sklab.data.held_out import open_test
from sklab.data.loaders import Loader, Loaders, open_loaders
from sklab.errors import SklabError
from sklab.models.numerics import placed
from sklab.models.zoo import build
from sklab.spec.data import DataSpec, surely_differ
from sklab.spec.study.metrics import METRICS, own_metrics
from sklab.spec.study.sweep import Epoch
from sklab.spec.train import TrainSpec
from sklab.store.dated import keep_reading, lacks_test, read_tested, weights_of, what_is_read
from sklab.store.files import checksum, sealed, write_whole
from sklab.store.measured.scores import Evaluation, FinalScore, FurtherMetrics
from sklab.store.records import RunOrder, RunRecord, now
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.training.callbacks.logbook import log_evaluation, log_metrics, log_tested
from sklab.training.determinism import ensure_starts, set_arithmetic
from sklab.training.metrics.scores import Kept, Scores, every
from sklab.training.recipe import autocast


def evaluate(folder: RunFolder, size: int | None, device_type: str) -> Evaluation:
    """Evaluate the run in `folder` at `size` pixels a side (None: as trained) and write `evaluation-<size>.json`.

    The data are looked for where the run's last order says, for they may have been moved since it was trained. On the
    CPU it computes with as many threads as the run did, so that at the run's own size its last val_error and val_loss
    come out again to the last bit (of a record in single precision: to six digits). Raises SklabError when the run is
    not complete or has no weights, when its data set can't have this size, when the data are missing or are no longer
    those that it was trained on, or when the GPU can't be used.
    """
    record, device = complete_record(folder), torch.device(device_type)
    experiment = record.spec.experiment
    data = folder.read_order().spec.trained.data
    data = data.at_size(data.image_size if size is None else size)
    compute_as(record, device)
    network = kept_network(folder, record, device)
    loaders = open_loaders(data, experiment.train, record.spec.seed, device)
    ensure_trained_on(record, loaders)
    scores = _scored(network, loaders.val, experiment.train, device, Kept())
    evaluation = Evaluation(
        key=record.key,
        data=data,
        image_size=data.image_size,
        images=scores.seen,
        val_error=float(scores.error),
        val_loss=float(scores.loss),
        device=device_type,
        torch=torch.__version__,
        weights=record.files.get(folder.weights_file.name, ""),
    )
    write_whole(folder.evaluation_file(data.image_size), sealed(evaluation))
    log_evaluation(evaluation)
    return evaluation


def evaluate_test(folder: RunFolder, data: DataSpec, rule: Epoch, device_type: str) -> FinalScore:
    """Evaluate the run's kept weights, of the epoch that `rule` names, on the test split of `data`, and write
    `test.json`. To be called once all runs of the study have ended, and nowhere else.

    Raises SklabError when the run is not complete or has no such weights, or when the test split can't be had.
    """
    record, device = complete_record(folder), torch.device(device_type)
    recipe = record.spec.experiment.train
    compute_as(record, device)
    epoch, weights = weights_of(folder, record, rule)
    network = kept_network(folder, record, device, weights)
    test = open_test(data, recipe, device)
    classes = data.num_classes
    names = dict.fromkeys((*every(classes), *folder.read_order().own_metrics))
    kept = Kept(len(test.loader) * test.loader.batch_size, classes, tuple(names))
    scores = _scored(network, test.loader, recipe, device, kept)
    tested = FinalScore(
        key=record.key,
        data=data,
        images=scores.seen,
        error=float(scores.error),
        loss=float(scores.loss),
        epoch=epoch,
        device=device_type,
        torch=torch.__version__,
        weights=record.files.get(weights.name, ""),
        evaluated=now(),
        fingerprint=test.fingerprint,
        metrics=scores.further,
    )
    write_whole(folder.test_file, sealed(tested))
    log_tested(tested)
    return tested


def evaluate_metrics(folder: RunFolder, names: tuple[str, ...], device_type: str) -> FurtherMetrics:
    """Evaluate the run's kept weights, of its last epoch and of its best one where these were kept, by the further
    metrics `names`, and write `metrics.json` with these and those that it had. Raises SklabError as `evaluate` does."""
    record, device = complete_record(folder), torch.device(device_type)
    compute_as(record, device)
    recipe, data = record.spec.experiment.train, folder.read_order().spec.trained.data
    loaders = open_loaders(data, recipe, record.spec.seed, device)
    ensure_trained_on(record, loaders)
    kept = Kept(len(loaders.val_labels), len(loaders.classes), names)

    def at(file: Path) -> dict[str, float]:
        return _scored(kept_network(folder, record, device, file), loaders.val, recipe, device, kept).further

    last, best_file = at(folder.weights_file), folder.best_weights_file
    of_best = last if record.best_epoch == record.epochs else at(best_file) if best_file.exists() else {}
    further = FurtherMetrics(
        key=record.key,
        last={**_further(record.last), **last},
        own_metrics={**record.own_metrics, **own_metrics(names)},
        best={**_further(record.best), **of_best},
        device=device_type,
        torch=torch.__version__,
        weights=record.files.get(folder.weights_file.name, ""),
        best_weights=record.files.get(best_file.name, ""),
    )
    write_whole(folder.metrics_evaluated_file, sealed(further))
    log_metrics(last)
    return further


def _further(epoch: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in epoch.items() if name in METRICS and METRICS[name].further}


def _scored(network: nn.Module, loader: Loader, recipe: TrainSpec, device: torch.device, kept: Kept) -> Scores:
    scores = Scores(device, kept)
    with torch.inference_mode(), autocast(recipe, device):
        for images, labels in loader:
            scores.add(network(images), labels)
    return scores


def evaluate_missing(folder: RunFolder, record: RunRecord, order: RunOrder, device_type: str) -> None:
    """Evaluate the run at those sizes and by those metrics of the order that are missing, and on the test split if the
    order asks for that; a run that is not complete is left as it is.

    Never raises: the record stands on disk before this begins, and nothing that goes wrong here (larger images may well
    not fit into memory) may take the finished training with it. The log has the traceback; who ordered the evaluation
    sees that its file is not there, and the next `sklab sweep` tries again.
    """
    missing: list[Callable[[], object]] = [
        partial(evaluate, folder, size, device_type) for size in folder.missing_sizes(record, order.sizes)
    ]
    if names := folder.missing_metrics(record, order.metrics):
        missing.append(partial(evaluate_metrics, folder, names, device_type))
    if order.test and lacks_test(folder, record, order):
        missing.append(partial(evaluate_test, folder, order.spec.experiment.data, order.test, device_type))
    for evaluation in missing:
        try:
            evaluation()
        except Exception:  # the missing file shows it
            traceback.print_exc()


def evaluate_study(
    study: StudyFolder, size: int | None, device_type: str
) -> Iterator[tuple[RunRecord, Evaluation | SklabError]]:
    """Every complete run of the study with its evaluation at `size` (None: as trained), or why there is none; a warning
    for each record that can't be read.

    An evaluation that is there already is read, not made again. Raises SklabError, before the first, when no run is
    complete or a data set can't have this size.
    """
    keys = [key for cell in study.read_sweep().cells for key in cell.runs.values()]
    records, unreadable = study.readable(keys)
    for error in unreadable.values():
        warnings.warn(str(error), stacklevel=2)
    complete = [record for record in records.values() if record.status == "complete"]
    if not complete:
        raise SklabError(f"{study.path}: no run is complete; only complete runs can be evaluated")
    sizes = [record.spec.experiment.data.image_size if size is None else size for record in complete]
    for record, wanted in zip(complete, sizes, strict=True):
        record.spec.experiment.data.at_size(wanted)
    for record, wanted in zip(complete, sizes, strict=True):
        try:
            run = study.run(record.key)
            yield record, run.read_evaluation(wanted) or evaluate(run, wanted, device_type)
        except SklabError as error:
            yield record, error


def evaluate_test_of(
    study: StudyFolder, orders: Iterable[RunOrder], device_type: str
) -> Iterator[tuple[RunRecord, FinalScore | SklabError]]:
    """Every complete run of `orders` with its evaluation on the test split, or why there is none. One that is there is
    read, not made again. To be called once all runs of the study have ended; the reading is written down first."""
    asked = [(order, record) for order in orders if (record := study.run(order.key).read_record())]
    complete = [(order, record) for order, record in asked if record.status == "complete" and order.test]
    if not complete:
        raise SklabError(f"{study.path}: no run is complete that has a test split (data.test)")
    keep_reading(study, {order.key: what_is_read(order) for order, _ in complete}, now)
    for order, record in complete:
        run, data, rule = study.run(order.key), order.spec.experiment.data, order.test or "last"
        try:
            yield record, read_tested(run, record, data, rule) or evaluate_test(run, data, rule, device_type)
        except SklabError as error:
            yield record, error


def complete_record(folder: RunFolder) -> RunRecord:
    """The record of a complete run. Raises SklabError for any other."""
    record = folder.read_record()
    if record is None or record.status != "complete":
        state = "has not ended" if record is None else record.state
        raise SklabError(
            f"{folder.path}: the run is not complete ({state}); only complete runs can be evaluated or analysed"
        )
    return record


def ensure_trained_on(record: RunRecord, loaders: Loaders) -> None:
    """Raise SklabError when the data are surely other ones than those that the run was trained on."""
    if surely_differ(record.fingerprint, loaders.facts.fingerprint):
        raise SklabError(
            f"{record.cell}, seed {record.spec.seed}: the data have changed since the run was trained, and its "
            f"weights are not judged on other images; bring the images back"
        )


def use_threads_of(record: RunRecord, device: torch.device) -> None:
    """Compute with as many threads as the run did, where they decide the last bits."""
    if device.type == "cpu" and record.hardware is not None:
        torch.set_num_threads(min(record.hardware.threads, len(os.sched_getaffinity(0))))


def compute_as(record: RunRecord, device: torch.device) -> None:
    """Have this process compute as the run did. Raises SklabError when the GPU can't be used."""
    use_threads_of(record, device)
    set_arithmetic(device, deterministic=record.spec.experiment.train.deterministic)
    ensure_starts(device)


def kept_network(folder: RunFolder, record: RunRecord, device: torch.device, weights: Path | None = None) -> nn.Module:
    """The run's network with its kept weights (those of the last epoch, or in the file `weights`), in eval mode. Raises
    SklabError where they can't be had."""
    file = weights or folder.weights_file
    network, content = build(record.spec.experiment.model), _kept_weights(file, record)
    try:
        network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:  # a broken file raises almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SklabError(f"{file}: not the weights of this run ({reason})") from error
    return placed(network.eval(), record.spec.experiment.train.memory_format, device)


def _kept_weights(file: Path, record: RunRecord) -> bytes:
    """The content of the file. Raises SklabError where it is not what the record names."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        remedy = "move the run's folder away to train it again"
        raise SklabError(f"{file}: no such file; {remedy}") from None
    checksum_found, named = checksum(content), record.files.get(file.name, "")
    if named not in ("", checksum_found):
        why = f"its SHA-256 is {checksum_found[:12]}..., the record names {named[:12]}..."
        remedy = "bring it back, or move the run's folder away to train it again"
        raise SklabError(f"{file}: not the weights of this run ({why}); {remedy}")
    return content
