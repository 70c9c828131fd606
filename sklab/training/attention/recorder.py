"""Reads the attention of SK units while a network is evaluated, and keeps that of a run's final evaluation."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklab.data.loaders import Loaders
from sklab.models.attention.mixers import SKAttention
from sklab.models.sk import SKConv2d
from sklab.spec.analysis import Unit
from sklab.store.files import write_whole
from sklab.training.attention.summary import chosen_images, summarise
from sklab.training.lean_lightning import Callback, Trainer

_UNIT = re.compile(r"SK_\d+_\d+")
_SAMPLES = 3


def sk_convolutions(network: nn.Module) -> dict[str, SKConv2d]:
    """The SK convolutions whose branches share a weight of one by what an image shows: `sk` and `splat` with a softmax.
    In forward order, by the names of `Unit`."""
    convolutions = {
        path: part
        for path, part in network.named_modules()
        if isinstance(part, SKConv2d) and isinstance(part.attention, SKAttention) and part.attention.shares
    }
    short = {path: next(filter(_UNIT.fullmatch, path.split(".")), path or "sk") for path in convolutions}
    several = Counter(short.values())
    return {short[path] if several[short[path]] == 1 else path: part for path, part in convolutions.items()}


def unit_of(name: str, sk: SKConv2d) -> Unit:
    """What a record says of the convolution itself."""
    firsts = [next(part for part in branch.modules() if isinstance(part, nn.Conv2d)) for branch in sk.branches]
    kernels = tuple(int(conv.dilation[0]) * (int(conv.kernel_size[0]) - 1) + 1 for conv in firsts)
    return Unit(name=name, kernels=kernels, channels=firsts[0].out_channels)


class Recorder:
    """While entered, keeps the attention of every image that `network` sees, on the device: no batch waits for it.

    units    what is recorded, in forward order
    samples  places of the images whose attention is kept per channel

    A fault in here is printed and ends the recording, never the network's pass.
    """

    def __init__(self, network: nn.Module, samples: Sequence[int] = ()) -> None:
        self._convolutions = sk_convolutions(network)
        self.units = tuple(unit_of(name, sk) for name, sk in self._convolutions.items())
        self.samples = tuple(samples)
        self._means: dict[str, list[Tensor]] = {name: [] for name in self._convolutions}
        self._kept: dict[str, dict[int, Tensor]] = {name: {} for name in self._convolutions}
        self._seen = dict.fromkeys(self._convolutions, 0)
        self._handles: list[Any] = []

    def __enter__(self) -> Recorder:
        for name, sk in self._convolutions.items():
            assert sk.attention is not None
            self._handles.append(sk.attention.register_forward_hook(partial(self._take, name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _take(self, name: str, _module: nn.Module, _entering: Any, weights: Tensor) -> None:
        try:
            self._keep(name, weights.detach())
        except Exception:
            traceback.print_exc()
            self.__exit__(None, None, None)

    def _keep(self, name: str, weights: Tensor) -> None:
        first, self._seen[name] = self._seen[name], self._seen[name] + len(weights)
        self._means[name].append(weights.mean(2, dtype=torch.float32))
        for place in self.samples:
            if first <= place < self._seen[name]:
                self._kept[name][place] = weights[place - first].float().clone()

    @property
    def images(self) -> int:
        """How many images every unit has seen."""
        return min(self._seen.values(), default=0)

    def means(self, name: str) -> NDArray[np.float64]:
        """[images, branches]: the means over channels in unit `name`."""
        return torch.cat(self._means[name]).cpu().double().numpy()

    def weights(self, name: str, place: int) -> NDArray[np.float64]:
        """[branches, channels]: what the sample at `place` got in unit `name`."""
        return self._kept[name][place].cpu().double().numpy()


class AttentionMeter(Callback):
    """Writes `file` after the final evaluation of run `key`, whose batches `loaders` give.

    A network without SK attention gets none. Nothing that goes wrong in here ends the run: it is printed into its log.
    """

    def __init__(self, file: Path, key: str, loaders: Loaders) -> None:
        self._file, self._key, self._loaders = file, key, loaders
        self._recorder: Recorder | None = None

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:
            try:
                self._recorder = self._new(pl_module.evaluated).__enter__()
            except Exception:
                traceback.print_exc()

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self._recorder is None or not self._recorder.units:
            return
        try:
            self._recorder.__exit__(None, None, None)
            self._write(self._filled(self._recorder, trainer, pl_module.evaluated))
        except Exception:
            traceback.print_exc()

    def _new(self, network: nn.Module) -> Recorder:
        places = chosen_images(len(self._loaders.val_labels), self._loaders.val_extras.get("scale"), _SAMPLES)
        return Recorder(network, places)

    def _filled(self, recorder: Recorder, trainer: Trainer, network: nn.Module) -> Recorder:
        """`recorder`, or another over the same images where it saw none: compiled networks call no hooks."""
        if recorder.images:
            return recorder
        with self._new(network) as again, trainer.precision_plugin.forward_context():
            for images, _ in self._loaders.val:
                network.forward(images)
        return again

    def _write(self, recorder: Recorder) -> None:
        summary = summarise(
            self._key, recorder.units, recorder.means, recorder.weights, recorder.samples, self._loaders
        )
        write_whole(self._file, summary.model_dump_json())
