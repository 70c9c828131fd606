"""What the words of a library's error say about its cause. Compute reads them in exceptions, control in the logs of
processes that died without a record; so the table lies below both, and needs no torch."""

from __future__ import annotations

from sklab.store.records import FailureClass

# The first class that has a word of the text decides: an error may quote an earlier one as its cause.
_WORDS: tuple[tuple[FailureClass, tuple[str, ...]], ...] = (
    ("code", ("device-side assert",)),  # a label out of range, and the like: the same would happen on every GPU
    # torch's allocator on the CPU, CUDA, cuBLAS, cuDNN up to 8 and from 9 on
    ("oom", ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED", "_ALLOCATION_FAILED")),
    (
        "device",
        (
            *("ECC error", "NVLink error", "hardware stack error", "launch failure", "launch timed out"),
            *("illegal memory access", "illegal instruction was encountered", "misaligned address"),
            *("invalid program counter", "operation not supported on global/shared address space"),
            *("CUDA unknown error", "CUDA error: unknown error", "CUDA driver error: unknown error"),
            *("busy or unavailable", "CUDA-capable device is detected", "invalid device ordinal", "GPU is lost"),
            *("No CUDA GPUs are available", "Found no NVIDIA driver", "CUDA driver initialization failed"),
            *(
                "driver version is insufficient",
                "driver on your system is too old",
                "system not yet initialized",
                "No supported gpu backend found",
            ),
            *("no kernel image is available", "the MPS server", "_STATUS_EXECUTION_FAILED"),
            *("NCCL error", "NCCL communicator was aborted", "ProcessGroupNCCL", "this run was to have"),
        ),
    ),
)


def class_of_words(text: str) -> FailureClass | None:
    """The class of failure that `text` tells of; None where it tells of none."""
    return next((failure for failure, words in _WORDS if any(word in text for word in words)), None)
