"""The compute plane is this one function: `train(order, folder, device) -> RunRecord`."""

from __future__ import annotations

import logging
import time
import traceback
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import torch
from torch import nn

from sklab.own.files import look_in
from sklab.spec.study.metrics import METRICS
from sklab.store.hardware import Energy
from sklab.store.records import RunOrder, RunRecord, now
from sklab.store.run_folder import RunFolder
from sklab.system.processes import PreemptedError
from sklab.tracking.live import close, open_live
from sklab.training.callbacks.best import write_weights
from sklab.training.callbacks.checkpoint import Checkpoints, ResumePoint, origin
from sklab.training.callbacks.logbook import log_end
from sklab.training.callbacks.meter import Meter
from sklab.training.callbacks.resume import ExactResume, PrunedError
from sklab.training.devices import Member, Send, train_together
from sklab.training.fit import Process, fit
from sklab.training.outcome import outcome_of, record_of
from sklab.training.replay.course import Steps

_log = logging.getLogger(__name__)


def train(order: RunOrder, folder: RunFolder, device: torch.device) -> RunRecord:
    """Train the run that `order` asks for, write its weights and then `record.json` into `folder`; return the record.

    Whatever goes wrong inside becomes a record with its reason, never an exception; only a process that dies
    leaves none. The number of threads is the process's own affair and is recorded. For a run on several devices this
    process starts one for each and waits for them.
    """
    process = Process(device)
    try:
        attempt = Attempt(order, folder, process)
        while attempt.record is None:
            attempt.advance()
        return attempt.record
    finally:
        process.stop.release()


class Attempt:
    """An attempt at the run that `order` asks for, step by step, so that a process can train several runs in turn.

    record  how it ended; None before the end
    """

    def __init__(self, order: RunOrder, folder: RunFolder, process: Process) -> None:
        self.record: RunRecord | None = None
        recipe = order.spec.experiment.train
        self._process, self._deterministic = process, recipe.deterministic
        self._steps, self._stream = _attempt(order, folder, process), _own_stream(process.device, recipe.devices)
        self._event: torch.cuda.Event | None = None

    @property
    def is_ready(self) -> bool:
        """False while the device has not done what the next step needs."""
        with suppress(Exception):  # the device failed meanwhile, which the next step will tell
            return self._event is None or self._event.query()  # type: ignore[no-untyped-call]
        return True

    def advance(self) -> None:
        """Take the next step, as soon as it is ready."""
        self._process.set_arithmetic(deterministic=self._deterministic)
        with torch.cuda.stream(self._stream) if self._stream else nullcontext():
            try:
                self._event = self._next()
            except StopIteration as end:
                self.record = end.value

    def _next(self) -> torch.cuda.Event | None:
        event, self._event = self._event, None
        try:
            if event is not None:
                event.synchronize()
        except Exception as error:  # the run's own end, which it records
            return self._steps.throw(error)
        return next(self._steps)


def _own_stream(device: torch.device, devices: int) -> torch.cuda.Stream | None:
    """Recordings on one and the same stream would share memory of cuBLAS. A process that only watches over others needs
    none: it would hold the GPU's memory for nothing."""
    if device.type == "cuda" and devices == 1:
        with suppress(Exception):  # CUDA does not start: the attempt will end of that, and record it
            return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return None


def _attempt(order: RunOrder, folder: RunFolder, process: Process) -> Steps:
    checkpoints = Checkpoints(folder.checkpoints, origin(order, process.device))
    resume_point = checkpoints.newest()
    if order.spec.experiment.train.devices == 1:
        record = yield from _train(order, folder, resume_point, process, folder.write_record)
    else:
        record = _train_together(order, folder, resume_point, process)
    log_end(record)
    if record.final:
        checkpoints.clear()
        folder.prune_file.unlink(missing_ok=True)
    return record


def _train_together(
    order: RunOrder, folder: RunFolder, resume_point: ResumePoint | None, process: Process
) -> RunRecord:
    started, clock, stop, device = now(), _clock(resume_point), process.stop, process.device

    def keep(record: RunRecord) -> RunRecord:
        timed = record.model_copy(update=_times(started, clock))
        folder.write_record(timed)
        return timed

    stop.listen()
    try:
        work = partial(_train_share, order, folder, resume_point)
        return train_together(work, order.spec.experiment.train.devices, device.type, keep, stop)
    except Exception as error:  # a process that died, or could not be started
        traceback.print_exc()
        return keep(
            record_of(order, folder, Meter(folder.metrics_file, order.metrics), device).model_copy(
                update=outcome_of(error, stop, folder.checkpoint_step)
            )
        )


def _train_share(
    order: RunOrder, folder: RunFolder, resume_point: ResumePoint | None, member: Member, tell: Send
) -> None:
    look_in(folder.path)  # this is a new process, and the order came as it was, unread
    for name, stated in order.own_metrics.items():
        METRICS.declare(name, stated)
    process = Process(member.device, member.share, meet=member.meet)
    process.set_arithmetic(deterministic=order.spec.experiment.train.deterministic)
    for _ in _train(order, folder, resume_point, process, tell):
        pass
    process.stop.release()


def _train(order: RunOrder, folder: RunFolder, resume_point: ResumePoint | None, process: Process, tell: Send) -> Steps:
    """Train the process's share of the run, from `resume_point` on, and `tell` the record; the first device writes
    all the rest."""
    started, clock, first = now(), _clock(resume_point), process.share.rank == 0
    meter, spent = Meter(folder.metrics_file, order.metrics), _joules(process)
    changes = resume_point.changes if resume_point else ()
    checkpoints = Checkpoints(folder.checkpoints, origin(order, process.device), changes)
    keeper = ExactResume(
        checkpoints, resume_point, order.checkpoint_seconds, process.share, process.stop, folder.prune_file
    )
    live = meter.follower = open_live(order, folder.path) if first else None
    try:
        process.meet()
        network = yield from fit(order, folder, meter, keeper, process)
        if first:
            _keep_weights(network, folder)
        outcome: dict[str, Any] = {"status": "complete", "files": folder.checksums()}
    except Exception as error:  # every failure of a run is recorded with its class
        process.ensure_usable()
        outcome = outcome_of(error, process.stop, folder.checkpoint_step)
        if isinstance(error, PreemptedError | PrunedError):  # asked for: nothing that a traceback would explain
            _log.warning("%s", outcome["reason"])
        else:
            traceback.print_exc()
    resumed = {"resumed_from": resume_point.step if resume_point else 0, "resumed_across": changes}
    record = record_of(order, folder, meter, process.device, process.abreast).model_copy(
        update={**outcome, **resumed, **_times(started, clock), "energy": _energy(process, spent)}
    )
    tell(record)
    close(live, failed=record.state not in ("complete", "pruned"))
    return record


def _clock(resume_point: ResumePoint | None) -> float:
    """When the run would have started, had it been trained at once."""
    return time.perf_counter() - (resume_point.wall_seconds if resume_point else 0.0)


def _times(started: str, clock: float) -> dict[str, Any]:
    return {"started": started, "ended": now(), "wall_seconds": time.perf_counter() - clock}


def _joules(process: Process) -> float:
    process.energy.look()
    return process.energy.joules


def _energy(process: Process, before: float) -> Energy:
    """What was counted since `before`, divided by the runs that the process trained at a time."""
    after, meter = _joules(process), process.energy
    if not meter.source:
        return Energy(why=meter.why)
    return Energy(joules=(after - before) / process.abreast, source=meter.source)


def _keep_weights(network: nn.Module, folder: RunFolder) -> None:
    write_weights(folder.weights_file, {name: tensor.cpu() for name, tensor in network.state_dict().items()})
