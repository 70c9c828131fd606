"""What a run made of each of its images, in its last evaluation and in its best one."""

from __future__ import annotations

import numpy.typing as npt

from sklab.store.measured.images import ImageScores, Outcomes, Packed, sources_text


class KeptImages:
    """Keeps the images of the last evaluation and of the best one so far; None before the first."""

    def __init__(self) -> None:
        self._last: Packed | None = None
        self._best: Packed | None = None

    def take(self, outcomes: Outcomes, *, is_best: bool) -> None:
        """Keep those of an evaluation that has ended."""
        self._last = Packed.of(outcomes)
        if is_best:
            self._best = self._last

    def state_dict(self) -> dict[str, str]:
        """The best ones, for a checkpoint; after it comes another evaluation, which is the last one then."""
        return self._best.model_dump() if self._best else {}

    def load_state_dict(self, state: dict[str, str]) -> None:
        self._best = Packed(**state) if state else None

    def of_run(self, key: str, images: int, sources: npt.ArrayLike | None) -> ImageScores | None:
        """The content of the run's `images.json`, for so many `images` with their `sources`; None without an
        evaluation."""
        if self._last is None:
            return None
        best = None if self._best == self._last else self._best
        return ImageScores(key=key, images=images, last=self._last, best=best, sources=sources_text(sources))
