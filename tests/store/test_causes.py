"""Errors as torch, CUDA and NCCL word them, and the class of failure they are of."""

from __future__ import annotations

import pytest
import torch

from sklab.store.causes import class_of_words
from sklab.training.outcome import failure_class

DEVICE = (
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: uncorrectable NVLink error detected during the execution",
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: unspecified launch failure",
    "CUDA error: the launch timed out and was terminated",
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
    "CUDA error: all CUDA-capable devices are busy or unavailable",
    "CUDA error: no CUDA-capable device is detected",
    "CUDA error: invalid device ordinal",
    "CUDA error: misaligned address",
    "CUDA error: an illegal instruction was encountered",
    "CUDA error: unknown error",
    "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable ...",
    "No CUDA GPUs are available",
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from ...",
    "CUDA error: no kernel image is available for execution on the device",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`",
    "NCCL error in: ProcessGroupNCCL.cpp:2395, unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
    "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=4) [ProcessGroupNCCL.cpp]",
    "NCCL communicator was aborted on rank 0.",
    "No supported gpu backend found!",
)


@pytest.mark.parametrize("text", DEVICE)
@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError, torch.distributed.DistBackendError])
def test_what_a_gpu_its_driver_or_the_way_to_others_does_is_of_class_device(text, kind):
    assert class_of_words(text) == "device"
    assert failure_class(kind(text)) == "device"


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("CUDA error: device-side assert triggered\nCUDA kernel errors might be ...", "code"),
        ("NCCL error in: ProcessGroupNCCL.cpp, device-side assert triggered", "code"),
        ("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!", "code"),
        ("CUDA error: invalid argument", "code"),
        ("mat1 and mat2 shapes cannot be multiplied", "code"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB", "oom"),
        ("CUDA error: out of memory", "oom"),
        ("NCCL error in: ProcessGroupNCCL.cpp: Cuda failure 'out of memory'", "oom"),
    ],
)
def test_what_would_happen_on_every_gpu_is_not(text, failure):
    assert failure_class(RuntimeError(text)) == failure
