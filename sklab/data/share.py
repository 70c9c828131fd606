"""How the devices of one run divide its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sklab.data.draws import EpochSampler


@dataclass(frozen=True)
class Share:
    """The part of device number `rank`, from 0, where `world` devices train one run."""

    rank: int = 0
    world: int = 1

    def of(self, count: int) -> slice:
        """Our places among `count`: neighbours. Those of all devices, one after another, are all, each once."""
        return slice(count * self.rank // self.world, count * (self.rank + 1) // self.world)


class BatchKeys:
    """What `sampler` gives, in full batches of `size`, and of each only the places `ours`."""

    def __init__(self, sampler: EpochSampler, size: int, ours: slice) -> None:
        self._sampler, self._size, self._ours = sampler, size, ours

    def __len__(self) -> int:
        return len(self._sampler) // self._size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys = list(self._sampler)  # fewer than an epoch's when some are skipped
        for start in range(0, len(keys) - self._size + 1, self._size):
            yield keys[start : start + self._size][self._ours]
