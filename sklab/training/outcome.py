"""What kind of failure an exception is; `sklab.sweep.run.failures` decides what follows from it."""

from __future__ import annotations

import errno

import torch

from sklab.errors import SklabError
from sklab.store.records import FailureClass
from sklab.training.devices import LostProcessError
from sklab.training.module import DivergedError

# What torch says of memory in a plain RuntimeError: its CPU allocator, CUDA, cuBLAS and cuDNN.
_NO_MEMORY = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE}


def failure_class(error: Exception) -> FailureClass:
    """`diverged`; `killed`: a process of the run was; `oom`: no memory; `data`: what the run was given or the disk that
    it lies on is at fault; `code`: everything else."""
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, LostProcessError) and error.killed:
        return "killed"
    if _is_out_of_memory(error):
        return "oom"
    at_fault = isinstance(error, SklabError) or (isinstance(error, OSError) and error.errno in _STORAGE)
    return "data" if at_fault else "code"


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)
