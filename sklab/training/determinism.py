"""How a GPU computes: what "the same seed, the same numbers" rests on there, set for a process and recorded.

A process on the CPU stays as it is.
"""

from __future__ import annotations

import os
from contextlib import suppress

import torch

from sklab.errors import SklabError
from sklab.store.hardware import Arithmetic

UNKNOWN_GPU = "unknown GPU"


def set_arithmetic(device: torch.device, *, deterministic: bool) -> None:
    """Set how this process computes on a GPU; that starts no CUDA. To be called before it computes anything there:
    cuBLAS looks at its workspace once, when it starts.

    Not `deterministic`: cuDNN and torch may take algorithms that sum in another order each time. An operation that has
    no deterministic algorithm is a warning in the log. In both cases products in fp32 are computed as torch has them by
    default: of convolutions in TF32, of matrices in fp32.
    """
    if device.type != "cuda":
        return
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # type: ignore[attr-defined]  # not in its stub
    torch.set_float32_matmul_precision("highest")  # the flag of CUDA alone would leave torch's older one behind
    torch.backends.cudnn.benchmark = False  # which algorithm is fastest differs from one start to the next
    torch.backends.cudnn.deterministic = deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads it


def ensure_starts(device: torch.device) -> None:
    """Raise SklabError when nothing can be computed on `device`."""
    try:
        torch.empty(1, device=device)
    except Exception as error:  # CUDA that does not start raises almost anything, AssertionError included
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SklabError(f"the GPU can't be used: {reason}; --cpu computes on the CPU instead") from error


def arithmetic(device: torch.device) -> Arithmetic | None:
    """How this process computes on `device`, by torch's own flags; None on the CPU."""
    if device.type != "cuda":
        return None
    return Arithmetic(
        cudnn=_cudnn(),
        deterministic=torch.backends.cudnn.deterministic and torch.are_deterministic_algorithms_enabled(),
        convolutions=_precision(torch.backends.cudnn.conv.fp32_precision),  # type: ignore[attr-defined]
        matrices=_precision(torch.backends.cuda.matmul.fp32_precision),
    )


def _precision(flag: str) -> str:
    """The flag, unless the environment keeps NVIDIA's libraries from TF32 whatever torch asks them for."""
    return "ieee" if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0" else flag


def _cudnn() -> str:
    """The version of cuDNN as NVIDIA writes it; "" where there is none that torch can use."""
    with suppress(RuntimeError):  # another version than torch was built with
        if number := torch.backends.cudnn.version():  # type: ignore[no-untyped-call]
            return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return ""


def gpu_names(device: torch.device, devices: int = 1) -> str:
    """The name of the GPU `device`, or the distinct names of the first `devices` GPUs; "unknown GPU" for one that CUDA
    can't reach: a record must say how a run ended, that failure too."""
    asked = [device] if devices == 1 else [torch.device("cuda", number) for number in range(devices)]
    return " + ".join(dict.fromkeys(map(_name, asked)))


def _name(device: torch.device) -> str:
    try:
        return torch.cuda.get_device_name(device)
    except Exception:  # as in `ensure_starts`
        return UNKNOWN_GPU
