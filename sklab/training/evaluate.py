"""The kept weights of runs on their validation images, at the size they were trained at or another."""

from __future__ import annotations

import io
import os
import traceback
import warnings
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from sklab.data.loaders import Loaders, open_loaders
from sklab.errors import SklabError
from sklab.models.numerics import placed
from sklab.models.zoo import build
from sklab.spec.data import surely_differ
from sklab.store.files import checksum, sealed, write_whole
from sklab.store.records import Evaluation, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.training.callbacks.meter import log_evaluation
from sklab.training.determinism import ensure_starts, set_arithmetic
from sklab.training.recipe import Scores, autocast


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
    use_threads_of(record, device)
    set_arithmetic(device, deterministic=experiment.train.deterministic)
    ensure_starts(device)
    network = kept_network(folder, record, device)
    loaders = open_loaders(data, experiment.train, record.spec.seed, device)
    ensure_trained_on(record, loaders)
    scores = Scores(device)
    with torch.inference_mode(), autocast(experiment.train, device):
        for images, labels in loaders.val:
            scores.add(network(images), labels)
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


def evaluate_missing(folder: RunFolder, record: RunRecord, sizes: Iterable[int], device_type: str) -> None:
    """Evaluate the run at those of `sizes` that are missing; a run that is not complete is left as it is.

    Never raises: the record stands on disk before this begins, and nothing that goes wrong here (larger images may well
    not fit into memory) may take the finished training with it. The log has the traceback; who ordered the evaluation
    sees that its file is not there, and the next `sklab sweep` tries again.
    """
    for size in folder.missing_sizes(record, sizes):
        try:
            evaluate(folder, size, device_type)
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


def kept_network(folder: RunFolder, record: RunRecord, device: torch.device) -> nn.Module:
    """The run's network with its kept weights, in eval mode. Raises SklabError where they can't be had."""
    network, content = build(record.spec.experiment.model), _kept_weights(folder, record)
    try:
        network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:  # a broken file raises almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SklabError(f"{folder.weights_file}: not the weights of this run ({reason})") from error
    return placed(network.eval(), record.spec.experiment.train.memory_format, device)


def _kept_weights(folder: RunFolder, record: RunRecord) -> bytes:
    """The content of `weights.pt`. Raises SklabError where it is not what the record names."""
    try:
        content = folder.weights_file.read_bytes()
    except FileNotFoundError:
        remedy = "move the run's folder away to train it again"
        raise SklabError(f"{folder.weights_file}: no such file; {remedy}") from None
    checksum_found, named = checksum(content), record.files.get(folder.weights_file.name, "")
    if named not in ("", checksum_found):
        why = f"its SHA-256 is {checksum_found[:12]}..., the record names {named[:12]}..."
        remedy = "bring it back, or move the run's folder away to train it again"
        raise SklabError(f"{folder.weights_file}: not the weights of this run ({why}); {remedy}")
    return content
