"""How many runs at a time: twice as many, for as long as they get more done together."""

from __future__ import annotations

from dataclasses import dataclass, replace

RISE = 1.15  # what twice as many runs must do together, of what was done before; less is noise, or not worth the memory


@dataclass(frozen=True)
class Climb:
    """A search for the number of runs at a time, from 1 to `most`; it knows nothing but what they did together.

    count    the number to try or, once `settled`, to stay with
    proven   the largest number that was worth it so far
    speed    what `proven` runs did together, in samples per second; 0 before the first measurement
    """

    most: int
    count: int = 1
    proven: int = 1
    speed: float = 0.0
    settled: bool = False

    def after(self, count: int, speed: float) -> Climb:
        """The climb once `count` runs at a time were seen to do `speed` samples per second together. What is said of
        another count than the one that is tried comes too late, and changes nothing."""
        if self.settled or count != self.count:
            return self
        if not speed >= RISE * self.speed:  # a NaN is not
            return replace(self, count=self.proven, settled=True)
        after = min(2 * count, self.most)
        return replace(self, count=after, proven=count, speed=speed, settled=after == count)

    def within(self, most: int) -> Climb:
        """The climb where no more than `most` runs fit, at least 1: memory has run out, or would."""
        most = max(1, min(most, self.most))
        count, proven = min(self.count, most), min(self.proven, most)
        return Climb(most, count, proven, self.speed, self.settled or (count == proven and self.speed > 0))
