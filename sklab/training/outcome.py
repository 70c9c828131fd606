"""What a run came to: its record, and the class of its failure.

`sklab.sweep.run.failures` decides what follows from a failure.
"""

from __future__ import annotations

import errno
import platform
import re
import socket
import traceback
from contextlib import suppress
from typing import Any

import torch

from sklab.errors import SklabError
from sklab.models.zoo import Cost, cost
from sklab.own.files import file_of
from sklab.spec.own.parts import codes_in
from sklab.spec.run import Experiment
from sklab.store.causes import class_of_words
from sklab.store.hardware import Hardware
from sklab.store.records import FailureClass, RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.versions import dependencies, installed
from sklab.system.machine import cpu_name
from sklab.system.processes import PreemptedError, Stop
from sklab.training.callbacks.meter import Meter, peak_memory
from sklab.training.callbacks.resume import PrunedError
from sklab.training.determinism import arithmetic, gpu_names
from sklab.training.devices import LostProcessError
from sklab.training.module import DivergedError

_VERSIONED = ("torch", "lightning", "numpy")
# What cuBLAS and cuDNN say when they find no memory for their own work, but of other troubles as well.
_PERHAPS_NO_MEMORY = re.compile(
    r"CUBLAS_STATUS_NOT_INITIALIZED|CUBLAS_STATUS_INTERNAL_ERROR|CUDNN_STATUS_NOT_INITIALIZED"
    r"|CUDNN_STATUS_INTERNAL_ERROR|unable to find an engine",
    re.IGNORECASE,
)
_FULL = 0.05  # of a GPU's memory, free: less is too little for what these libraries ask for
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE}


def failure_class(error: Exception) -> FailureClass:
    """`diverged`; `killed`: a process of the run was; `oom`: no memory; `device`: the GPU, its driver or the way to
    other GPUs is at fault; `data`: what the run was given or the disk that it lies on is; `code`: everything else."""
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, LostProcessError) and error.killed:
        return "killed"
    if _is_out_of_memory(error):
        return "oom"
    if isinstance(error, SklabError) or (isinstance(error, OSError) and error.errno in _STORAGE):
        return "data"
    return class_of_words(str(error)) or "code"


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if class_of_words(str(error)) == "oom":
        return True
    return isinstance(error, RuntimeError) and bool(_PERHAPS_NO_MEMORY.search(str(error))) and _gpu_is_full()


def _gpu_is_full() -> bool:
    """Whether this process's GPU has no memory left, whoever holds it; False where CUDA can't tell any more."""
    try:
        free, total = torch.cuda.mem_get_info()
    except Exception:  # a CUDA that is broken raises almost anything
        return False
    return free < _FULL * total


def outcome_of(error: Exception, stop: Stop, reached: int) -> dict[str, Any]:
    """Status, failure class, reason in one line and traceback of a run that `error` ended, its newest checkpoint after
    the step `reached`.

    Once the process was asked to stop, whatever then goes wrong is put down to that: the next attempt would fail again
    of any other reason.
    """
    if isinstance(error, PrunedError):
        return {"status": "pruned", "reason": str(error)}
    if (isinstance(error, PreemptedError) or stop.asked) and not isinstance(error, DivergedError):
        reason = str(error) if isinstance(error, PreemptedError) else f"ended by {stop.asked}"
        follows = f"goes on from step {reached}" if reached else "begins it anew"
        return {"status": "failed", "failure": "preempted", "reason": f"{reason}; the next start {follows}"}
    status = "diverged" if isinstance(error, DivergedError) else "failed"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    shown = "" if isinstance(error, DivergedError | SklabError | LostProcessError) else traceback.format_exc()
    return {"status": status, "failure": failure_class(error), "reason": reason, "traceback": shown}


def record_of(order: RunOrder, folder: RunFolder, meter: Meter, device: torch.device, abreast: int = 1) -> RunRecord:
    """The record of a run, however it ended; the caller fills in `status`."""
    experiment = order.spec.experiment
    counted, peak = _cost(experiment), peak_memory(device).most(meter.peak)
    return RunRecord.of(
        order,
        status="failed",
        last=meter.epochs[-1] if meter.epochs else {},
        best=meter.epochs[meter.best_epoch - 1] if meter.epochs else {},
        previous=meter.epochs[-2] if len(meter.epochs) > 1 else {},
        best_epoch=meter.best_epoch,
        epochs=len(meter.epochs),
        params=counted.params,
        macs=counted.macs,
        train_seconds=meter.train_seconds,
        samples_per_second=meter.samples_per_second,
        peak_memory_mb=peak.allocated,
        peak_reserved_mb=peak.reserved,
        latency_ms=meter.latency_ms,
        replay_latency_ms=meter.replay_ms,
        **meter.facts._asdict(),
        start=meter.start,
        hardware=_hardware(device, experiment.train.devices, abreast),
        versions={
            "python": platform.python_version(),
            **installed(_VERSIONED),
            **dependencies(experiment),
            **_own_code(experiment),
        },
        first_step=meter.first_step,
        attempt=folder.attempt,
    )


def _cost(experiment: Experiment) -> Cost:
    """The cost of the network; zeros where it can't be made, which is why its run has failed."""
    try:
        return cost(experiment.model, experiment.data.image_size)
    except SklabError:
        return Cost(0, 0)


def _own_code(experiment: Experiment) -> dict[str, str]:
    """The hash of the file of own code that the run uses, by its name."""
    with suppress(SklabError):  # it is not there, which is why the run has failed
        return {file_of(code).name: code for code in sorted(codes_in(experiment))}
    return {}


def _hardware(device: torch.device, devices: int, abreast: int) -> Hardware:
    on_gpu = device.type == "cuda"
    return Hardware(
        host=socket.gethostname(),
        device=device.type,
        device_name=gpu_names(device, devices) if on_gpu else cpu_name(),
        threads=torch.get_num_threads(),
        devices=devices,
        instructions="" if on_gpu else torch.backends.cpu.get_cpu_capability(),
        arithmetic=arithmetic(device),
        abreast=abreast,
    )
