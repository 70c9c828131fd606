"""Which GPUs, or which nodes of a cluster, runs may be given to: one that is sick fails run after run, and others are
well."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

_RUNS = 2  # different runs in a row that failed at a place because of it, after which it gets no more


class Health:
    """Remembers where each job was, and what is said of its end. Places are of one `kind`, such as "GPU".

    given_up  the places that get no more jobs, in the order in which they were given up
    """

    def __init__(self, kind: str) -> None:
        self.given_up: tuple[str, ...] = ()
        self._kind = kind
        self._place: dict[Path, str] = {}
        self._failed: defaultdict[str, set[Path]] = defaultdict(set)

    def ended(self, folder: Path, place: str) -> None:
        """The job in `folder` has ended at `place`."""
        self._place[folder] = place

    def judge(self, folder: Path, *, sick: bool) -> str:
        """The job that ended last in `folder` failed because of its place, or it did its work there. The message about
        a place that is given up, else ""."""
        place = self._place.get(folder)
        if place is None or place in self.given_up:
            return ""
        if not sick:
            self._failed.pop(place, None)
            return ""
        self._failed[place].add(folder)
        if len(self._failed[place]) < _RUNS:
            return ""
        self.given_up += (place,)
        why = f"{_RUNS} runs in a row have failed on it because of it"
        return f"{self._kind} {place} is given up: {why}; no more runs go there"

    def avoided_by(self, folder: Path) -> frozenset[str]:
        """The places where the job in `folder` has failed, which it is to get only where no other is free."""
        return frozenset(place for place, failed in self._failed.items() if folder in failed)
