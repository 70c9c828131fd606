"""Loaders of image files: worker processes decode, and the device does the rest."""

from __future__ import annotations

import multiprocessing
import signal
import weakref
from collections.abc import Iterator
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sklab.data.augment import BatchKeys, EpochSampler, Normalise, Share, crop_draws, cut, mirror, pad, shifts_and_flips
from sklab.data.base import FileSplit
from sklab.data.changes.policies import Changes
from sklab.data.formats.decode import View, centre, decode, random_resized
from sklab.errors import SklabError
from sklab.spec.train import Augment, TrainSpec
from sklab.system.processes import STOP_SIGNALS

_MOST_WORKERS = 16


class TrainImages(Dataset[tuple[Tensor, int]]):
    """Image uint8 [3, H, W] and label by (epoch, index): a crop drawn from (seed, epoch, index), or the middle; then
    changed by own code and the policy of `augment`."""

    def __init__(self, split: FileSplit, size: int, augment: Augment, seed: int) -> None:
        self._split, self._size, self._shares, self._seed = split, size, augment.random_resized_crop, seed
        self.changes = Changes(augment, seed)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key
        view = centre(self._split.resize, self._size)
        if self._shares is not None:
            view = random_resized(self._shares, crop_draws(self._seed, epoch, index))
        image, label = _example(self._split, index, self._size, view)
        return self.changes.by_policy(image[None], epoch, [index])[0], label


class ValImages(Dataset[tuple[Tensor, int]]):
    """Image uint8 [3, H, W] and label by index: always the middle."""

    def __init__(self, split: FileSplit, size: int) -> None:
        self._split, self._size = split, size

    def __len__(self) -> int:
        return len(self._split.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return _example(self._split, index, self._size, centre(self._split.resize, self._size))


class TrainFiles:
    """Our share of full batches of (images float32 [B, 3, H, W], labels int64 [B]), augmented, in epoch order."""

    def __init__(
        self,
        split: FileSplit,
        size: int,
        train: TrainSpec,
        seed: int,
        normalise: Normalise,
        share: Share,
    ) -> None:
        self.batch_size, self._own = train.batch_size, share.of(train.batch_size)
        sources = train.sources(seed)
        self.sampler, self._augment_seed = EpochSampler(len(split.files), sources.order), sources.augment
        self._augment, self._normalise, self._device, self._size = train.augment, normalise, normalise.device, size
        images = TrainImages(split, size, train.augment, sources.augment)
        self._changes = images.changes
        keys = BatchKeys(self.sampler, train.batch_size, self._own)
        self._loader = _loader(self, images, normalise.device, batch_sampler=keys)

    def __len__(self) -> int:
        return len(self._loader)

    def skip(self, batches: int) -> None:
        """The next iteration (and only that one) leaves out the first `batches` of its epoch."""
        self.sampler.skipped = batches * self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        sampler = self.sampler
        first = sampler.skipped  # the sampler resets it when the workers start
        drawn = shifts_and_flips(self._augment, len(sampler), self._augment_seed, sampler.epoch)
        numbers = torch.split(torch.from_numpy(sampler.permutation()[first:]), self.batch_size)
        moves = (torch.split(torch.from_numpy(values[first:]).to(self._device), self.batch_size) for values in drawn)
        self._changes.load()  # before the workers start, so that none has to
        batches = _batches(self._loader, self._device)
        for (images, labels), indices, shifts, flips in zip(batches, numbers, *moves, strict=False):
            changed = self._normalise(self._moved(images, shifts[self._own], flips[self._own]))
            yield self._changes.erased(changed, sampler.epoch, indices[self._own].tolist()), labels

    def _moved(self, images: Tensor, shifts: Tensor, flips: Tensor) -> Tensor:
        margin = self._augment.pad_crop
        if margin:
            index = torch.arange(len(images), device=self._device)
            return cut(pad(images, margin), index, shifts, flips, self._size)
        return mirror(images, flips) if self._augment.flip else images


class ValFiles:
    """Batches of (images, labels), not augmented, in the set's order; the last batch may be smaller."""

    def __init__(self, split: FileSplit, size: int, train: TrainSpec, normalise: Normalise) -> None:
        self.batch_size = train.batch_size
        self._normalise, self._device = normalise, normalise.device
        self._loader = _loader(self, ValImages(split, size), normalise.device, batch_size=train.batch_size)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return ((self._normalise(images), labels) for images, labels in _batches(self._loader, self._device))


def _example(split: FileSplit, index: int, size: int, view: View) -> tuple[Tensor, int]:
    return torch.from_numpy(decode(split.files[index], size, view, upright=split.upright)), int(split.labels[index])


def _loader(
    owner: object, images: Dataset[tuple[Tensor, int]], device: torch.device, **how: Any
) -> DataLoader[tuple[Tensor, int]]:
    """A loader that decodes in as many processes as this one has threads. Their number never changes a pixel.

    They are kept from one epoch to the next, until `owner` is no more: what they draw is decided by the key of an image
    alone, which names the epoch.
    """
    Finalize(None, _end_all_workers, exitpriority=0)
    loader = DataLoader(
        images,
        num_workers=min(torch.get_num_threads(), _MOST_WORKERS),
        persistent_workers=True,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # of its own: loading batches must not move the run's random state
        worker_init_fn=_ignore_stop_signals,
        **how,
    )
    weakref.finalize(owner, _end_workers, loader).atexit = False
    return loader


def _end_workers(loader: DataLoader[tuple[Tensor, int]]) -> None:
    """End the processes of `loader`. Left to the garbage collector, which may close their queues first, that takes 10
    seconds and leaves them alive."""
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()  # type: ignore[attr-defined]  # every iterator with processes has it


def _ignore_stop_signals(_worker: int) -> None:
    """A stop signal reaches all processes of a run, but the run needs its loaders until the next complete step."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_all_workers() -> None:
    """Kill the loader processes that still wait for work when this process ends, for example after a failed batch.
    Otherwise it would send them a stop signal, which they ignore, and wait for ever."""
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def _batches(loader: DataLoader[tuple[Tensor, int]], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    try:
        for images, labels in loader:
            yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    except SklabError as error:  # a worker's error holds its whole traceback as text: keep the last line
        raise SklabError(str(error).strip().splitlines()[-1].partition(": ")[2]) from None
