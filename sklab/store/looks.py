"""`looks.json` in a study's folder: the seeds with which verdicts of the study were shown.

A look is a table, shown or reported, of a study that has no run left to train, with more seeds than at the looks before
it. The same seeds again are no new look, nor is the table of a study under way.
"""

from __future__ import annotations

from pathlib import Path

from sklab.spec.values import Seq, Value
from sklab.store.files import read_optional, sealed, write_whole

_REMEDY = "delete it, or bring it back from a copy; until then verdicts are those of a study that is looked at once"


class Look(Value):
    """The seeds that were seen: `seeds` of the cells, `baseline` those that the baseline has beyond them."""

    seeds: Seq[int]
    baseline: Seq[int] = ()

    def adds_to(self, earlier: Look) -> bool:
        """Whether it has more seeds than the earlier look."""
        return len(self.seeds) > len(earlier.seeds) or len(self.baseline) > len(earlier.baseline)


class Looks(Value):
    """The looks in their order. `most_seeds` is the plan at the first of them: how many seeds the cells may get."""

    looks: Seq[Look] = ()
    most_seeds: int | None = None


NO_LOOKS = Looks()


def looks_file(study: Path) -> Path:
    """The file of the study in this folder."""
    return study / "looks.json"


def read_looks(study: Path) -> Looks:
    """The looks at the study in this folder. Raises DamagedRecordError where they can't be read."""
    return read_optional(looks_file(study), Looks, _REMEDY) or NO_LOOKS


def keep_look(study: Path, look: Look, most_seeds: int | None) -> None:
    """Add a look, unless as many seeds were seen before. Raises DamagedRecordError for a damaged file, which stays as
    it is, and OSError where the file can't be written."""
    kept = read_looks(study)
    if all(map(look.adds_to, kept.looks)):
        plan = kept.most_seeds if kept.looks else most_seeds
        write_whole(looks_file(study), sealed(Looks(looks=(*kept.looks, look), most_seeds=plan)))
