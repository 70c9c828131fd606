"""`looks.json` in a study's folder: the seeds with which verdicts of the study were shown.

A look is a table, shown or reported, of a study that has no run left to train, with more seeds than at the looks before
it. The same seeds again are no new look, nor is the table of a study under way.
"""

from __future__ import annotations

from pathlib import Path

from sklab.spec.values import Seq, Value
from sklab.store.files import read_optional, sealed, write_whole

_REMEDY = "delete it, or bring it back from a copy; until then verdicts are those of a study that is looked at once"


class Looks(Value):
    """The seeds of each look, in their order."""

    seeds: Seq[Seq[int]] = ()


def looks_file(study: Path) -> Path:
    """The file of the study in this folder."""
    return study / "looks.json"


def read_looks(study: Path) -> tuple[tuple[int, ...], ...]:
    """The seeds of each look at the study in this folder. Raises DamagedRecordError where they can't be read."""
    looks = read_optional(looks_file(study), Looks, _REMEDY)
    return looks.seeds if looks else ()


def keep_look(study: Path, seeds: tuple[int, ...]) -> None:
    """Add a look, unless as many seeds were seen before. Raises DamagedRecordError for a damaged file, which stays as
    it is, and OSError where the file can't be written."""
    looks = read_looks(study)
    if len(seeds) > max(map(len, looks), default=0):
        write_whole(looks_file(study), sealed(Looks(seeds=(*looks, seeds))))
