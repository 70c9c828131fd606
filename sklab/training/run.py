"""The compute plane is this one function: `train(order, folder, device) -> RunRecord`."""

from __future__ import annotations

import io
import logging
import time
import traceback
from functools import partial
from typing import Any

import torch
from torch import nn

from sklab.data.augment import Share
from sklab.data.loaders import Loaders, open_loaders
from sklab.errors import SklabError
from sklab.models.numerics import LAYOUTS
from sklab.models.zoo import build
from sklab.spec.data import surely_differ
from sklab.store.files import write_whole
from sklab.store.records import RunOrder, RunRecord, now
from sklab.store.run_folder import RunFolder
from sklab.system.processes import PreemptedError, Stop
from sklab.tracking.live import close, open_logger
from sklab.training.attention.recorder import AttentionMeter
from sklab.training.callbacks.checkpoint import Checkpoints, ResumePoint, origin
from sklab.training.callbacks.meter import LatencyMeter, Logbook, Meter, log_end, peak_memory_mb
from sklab.training.callbacks.pulse import Heartbeat, PulseWriter
from sklab.training.callbacks.resume import ExactResume, PrunedError
from sklab.training.determinism import settle
from sklab.training.devices import Send, environment, largest, strategy, train_together
from sklab.training.lean_lightning import Callback, Logger, SIGTERMException
from sklab.training.module import Classifier, make_trainer
from sklab.training.outcome import outcome_of, record_of

_log = logging.getLogger(__name__)


def train(order: RunOrder, folder: RunFolder, device: torch.device) -> RunRecord:
    """Train the run that `order` asks for, write its weights and then `record.json` into `folder`; return the record.

    Whatever goes wrong inside becomes a record with its reason, never an exception; only a process that dies
    leaves none. The number of threads is the process's own affair and is recorded. For a run on several devices this
    process starts one for each and waits for them.
    """
    checkpoints = Checkpoints(folder.checkpoints, origin(order, device))
    resume_point = checkpoints.newest()
    if order.spec.experiment.train.devices == 1:
        record = _train(order, folder, resume_point, device, Share(), folder.write_record)
    else:
        record = _train_together(order, folder, resume_point, device)
    log_end(record)
    if record.final:
        checkpoints.clear()
        folder.prune_file.unlink(missing_ok=True)
    return record


def _train_together(
    order: RunOrder, folder: RunFolder, resume_point: ResumePoint | None, device: torch.device
) -> RunRecord:
    settle(device, deterministic=order.spec.experiment.train.deterministic)  # for what a record made here says
    started, clock, stop = now(), _clock(resume_point), Stop()

    def keep(record: RunRecord) -> RunRecord:
        timed = record.model_copy(update=_times(started, clock))
        folder.write_record(timed)
        return timed

    stop.listen()
    try:
        work = partial(_train, order, folder, resume_point)
        return train_together(work, order.spec.experiment.train.devices, device.type, keep, stop)
    except Exception as error:  # a process that died, or could not be started
        traceback.print_exc()
        return keep(
            record_of(order, folder, Meter(folder.metrics_file), device).model_copy(
                update=outcome_of(error, stop, folder.checkpoint_step)
            )
        )
    finally:
        stop.release()


def _train(
    order: RunOrder, folder: RunFolder, resume_point: ResumePoint | None, device: torch.device, share: Share, tell: Send
) -> RunRecord:
    """Train `share` of the run on one device, from `resume_point` on, and `tell` the record; the first device writes
    all the rest."""
    settle(device, deterministic=order.spec.experiment.train.deterministic)
    started, clock = now(), _clock(resume_point)
    meter = Meter(folder.metrics_file)
    changes = resume_point.changes if resume_point else ()
    checkpoints = Checkpoints(folder.checkpoints, origin(order, device), changes)
    keeper = ExactResume(checkpoints, resume_point, order.checkpoint_seconds, share, folder.prune_file)
    logger = open_logger(order, folder.path) if share.rank == 0 else None
    try:
        network = _fit(order, folder, meter, keeper, logger, device)
        if share.rank == 0:
            _keep_weights(network, folder)
        outcome: dict[str, Any] = {"status": "complete", "files": folder.checksums()}
    except Exception as error:  # every failure of a run is recorded with its class
        outcome = outcome_of(error, keeper.stop, folder.checkpoint_step)
        if isinstance(error, PreemptedError | PrunedError):  # asked for: nothing that a traceback would explain
            _log.warning("%s", outcome["reason"])
        else:
            traceback.print_exc()
    resumed = {"resumed_from": resume_point.step if resume_point else 0, "resumed_across": changes}
    record = record_of(order, folder, meter, device).model_copy(update={**outcome, **resumed, **_times(started, clock)})
    tell(record)
    keeper.stop.release()
    close(logger, failed=record.state not in ("complete", "pruned"))
    return record


def _clock(resume_point: ResumePoint | None) -> float:
    """When the run would have started, had it been trained at once."""
    return time.perf_counter() - (resume_point.wall_seconds if resume_point else 0.0)


def _times(started: str, clock: float) -> dict[str, Any]:
    return {"started": started, "ended": now(), "wall_seconds": time.perf_counter() - clock}


def _fit(
    order: RunOrder,
    folder: RunFolder,
    meter: Meter,
    keeper: ExactResume,
    logger: Logger | None,
    device: torch.device,
) -> nn.Module:
    """Train; the network as it was evaluated last, with its attention written down."""
    share = keeper.share
    experiment, seed = order.experiment, order.spec.seed
    recipe = experiment.train
    if recipe.precision == "fp16" and device.type == "cpu":
        raise SklabError("train.precision = fp16 needs a GPU; allowed on the CPU: fp32 or bf16")
    torch.manual_seed(seed)
    model = build(experiment.model).to(device)
    model = model.to(memory_format=LAYOUTS[recipe.memory_format])  # type: ignore[call-overload]  # not in its stub
    loaders = open_loaders(experiment.data, recipe, seed, device, share)
    meter.facts = loaders.facts
    _ensure_as_ordered(order, loaders)
    whole_steps = len(loaders.train) // recipe.accumulate  # a batch is always full, and so is the sum behind a step
    batches = whole_steps * recipe.accumulate
    classifier = Classifier(model, recipe, seed, batches)
    if recipe.compile:
        model.compile()
    if share.rank:  # else the devices would drop the same units of different images
        torch.manual_seed(seed + (share.rank << 31))
    signs = [PulseWriter(folder.path), Heartbeat(folder.heartbeat_file)]
    told: list[Callback] = [meter, Logbook(order, meter), *signs, keeper]
    watching: list[Callback] = told if share.rank == 0 else [keeper]
    if share.world == 1:  # several devices see a part of the images each: `sklab analyze` reads them all
        watching.append(AttentionMeter(folder.attention_file, order.key, loaders))
    latency = LatencyMeter(experiment)
    watching.append(latency)  # last: the attention of its passes is not recorded
    trainer = make_trainer(
        recipe,
        device,
        folder.path,
        max_epochs=recipe.epochs,
        limit_train_batches=batches,
        devices=share.world,
        strategy=strategy(share),
        plugins=[keeper.checkpoints, *environment(share)],
        callbacks=watching,
        logger=logger if logger is not None else False,
    )
    keeper.stop.listen()
    try:
        trainer.fit(classifier, loaders.train, loaders.val, ckpt_path=keeper.resume_file, weights_only=True)
    except SIGTERMException:  # it came while Lightning was setting up, before the keeper had the signals back
        raise PreemptedError("SIGTERM before the first step of this attempt") from None
    if share.rank == 0 and len(meter.epochs) != recipe.epochs:
        raise RuntimeError(f"{len(meter.epochs)} of {recipe.epochs} epochs were evaluated")
    meter.peak_memory, meter.latency_ms = largest(peak_memory_mb(device)), latency.latency_ms
    return classifier.evaluated


def _ensure_as_ordered(order: RunOrder, loaders: Loaders) -> None:
    """Raise SklabError when the data are not those that the study was started with."""
    if surely_differ(order.fingerprint, loaders.facts.fingerprint):
        raise SklabError(
            "the data have changed since the study was started; start it again, it then tells in what they have changed"
        )


def _keep_weights(network: nn.Module, folder: RunFolder) -> None:
    content = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in network.state_dict().items()}, content)
    write_whole(folder.weights_file, content.getvalue())
