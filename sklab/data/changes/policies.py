"""What is done to training images one by one: by an augmentation of the user's own, and by torchvision (RandAugment or
TrivialAugment, and random erasing).

torchvision draws from torch's global generator. Here that is set for each image, from (seed, epoch, image) alone, and
then put back: what is drawn depends on nothing else, and moves nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sklab.data.augment import ERASE, OWN, POLICY, generator
from sklab.data.changes.mixing import inside
from sklab.errors import SklabError
from sklab.own.files import called, own
from sklab.spec.train import Augment
from sklab.store.versions import imported


class Changes:
    """The changes by own code and by torchvision that `augment` asks for, in runs with this seed of augmentation.

    Raises SklabError, with the remedy, at the first change if torchvision can't be imported.
    """

    def __init__(self, augment: Augment, seed: int) -> None:
        self._augment, self._seed = augment, seed

    def load(self) -> None:
        """Import what is needed: own code, torchvision. Raises SklabError, with the setting that needs it and the
        remedy."""
        if (named := self._augment.own) is not None:
            own("augmentation", named.name, named.code)
        for setting, value in (("policy", self._augment.policy), ("erase", self._augment.erase)):
            if value:
                try:
                    imported("torchvision", "transforms.v2")
                except SklabError as error:
                    raise SklabError(f"train.augment.{setting} = {value} is torchvision's: {error}") from error

    def by_policy(self, images: Tensor, epoch: int, indices: Sequence[int]) -> Tensor:
        """uint8 [B, C, H, W]: the images of these numbers, changed by own code and then by the policy (C = 1 or 3), on
        the CPU."""
        images = self._by_own(images, epoch, indices)
        if self._policy is None:
            return images
        with self._drawing(POLICY, epoch, indices) as places:
            return torch.stack([self._policy(images[place]) for place in places])

    def _by_own(self, images: Tensor, epoch: int, indices: Sequence[int]) -> Tensor:
        named = self._augment.own
        if named is None:
            return images
        of_user, changed = own("augmentation", named.name, named.code), []
        for image, index in zip(images, indices, strict=True):
            drawing = torch.Generator().manual_seed(int(generator(self._seed, epoch, OWN, int(index)).integers(2**63)))
            given = called(of_user, named.code, image.clone(), drawing, **named.settings)
            if not isinstance(given, Tensor) or (given.shape, given.dtype) != (image.shape, image.dtype):
                found = f"{given.dtype} {list(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
                raise SklabError(f"{of_user}: found {found}; allowed: a tensor as given, uint8 {list(image.shape)}")
            changed.append(given)
        return torch.stack(changed)

    def erased(self, images: Tensor, epoch: int, indices: Sequence[int]) -> Tensor:
        """float32 [B, C, H, W], normalised: the images of these numbers, in place, with 0 in a box of some of them."""
        if self._eraser is None:
            return images
        boxes = torch.zeros((len(images), 4), dtype=torch.int64)
        with self._drawing(ERASE, epoch, indices) as places:
            for place in places:
                boxes[place] = self._erased_box(images[place])
        erased = inside(boxes.to(images.device, non_blocking=True), *images.shape[2:])
        return images.masked_fill_(erased[:, None], 0.0)

    def _erased_box(self, image: Tensor) -> Tensor:
        """int64 [4]: top, left, bottom, right; an empty box for an image that stays whole. The draws are those of
        `v2.RandomErasing`, which itself would wait for a GPU at every image."""
        if torch.rand(1) < self._augment.erase:
            drawn = self._eraser.make_params([image])
            if drawn["v"] is not None:  # else no box that it drew fits into the image
                top, left = drawn["i"], drawn["j"]
                return torch.tensor([top, left, top + drawn["h"], left + drawn["w"]])
        return torch.zeros(4, dtype=torch.int64)

    @contextmanager
    def _drawing(self, stream: int, epoch: int, indices: Sequence[int]) -> Iterator[Iterator[int]]:
        """The places of the images. At each, torch's generator is set for that image; on the CPU only."""

        def places() -> Iterator[int]:
            for place, index in enumerate(indices):
                number = generator(self._seed, epoch, stream, int(index)).integers(2**63)
                torch.default_generator.manual_seed(int(number))  # torch.manual_seed would set those of GPUs too
                yield place

        with torch.random.fork_rng(devices=[]):
            yield places()

    @cached_property
    def _policy(self) -> Any:
        if self._augment.policy is None:
            return None
        self.load()
        v2 = imported("torchvision", "transforms.v2")
        if self._augment.policy == "randaugment":
            return v2.RandAugment(num_ops=self._augment.operations, magnitude=self._augment.magnitude)
        return v2.TrivialAugmentWide()

    @cached_property
    def _eraser(self) -> Any:
        if not self._augment.erase:
            return None
        self.load()
        return imported("torchvision", "transforms.v2").RandomErasing()
