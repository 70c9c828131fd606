"""torch.compile: a network is compiled once for all runs of a user, and once for all sizes of its last batch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
import torch._inductor.config as inductor
from torch import Tensor, nn

_FOLDER = "TORCHINDUCTOR_CACHE_DIR"
_CHOSEN_BY_TORCH = f"{tempfile.gettempdir()}/torchinductor_"  # and written there as soon as some of it is loaded


def compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """What calls `network`, compiled at the first call by as many threads as this process has, and kept for other runs.

    It is kept in `$TORCHINDUCTOR_CACHE_DIR`, by default in a folder of the user's own, outside `$SKLAB_CACHE`, which
    users may share: what lies there is executed.
    """
    if os.environ.get(_FOLDER, _CHOSEN_BY_TORCH).startswith(_CHOSEN_BY_TORCH):
        with suppress(OSError, RuntimeError):  # no home, or one that can't be written: it stays torch's
            os.environ[_FOLDER] = str(_own_folder())
    inductor.compile_threads = torch.get_num_threads()

    def call(images: Tensor) -> Tensor:
        """As one graph. `network.compile()` would take an `nn.Sequential`, as torch's own, apart into its layers."""
        logits: Tensor = network(images)
        return logits

    return torch.compile(call)


def _own_folder() -> Path:
    """One for each kind of processor, of which a home may serve several: code for one crashes on another."""
    kind = torch.backends.cpu.get_cpu_capability().lower()
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / f"sklab-compiled-{kind}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def filled(images: Tensor, count: int) -> Tensor:
    """`images` [N, C, H, W] as the first of a batch of `count`: one of another size would be compiled anew."""
    if len(images) == count:
        return images
    batch = images.new_empty_strided((count, *images.shape[1:]), images.stride()).zero_()
    batch[: len(images)] = images
    return batch
