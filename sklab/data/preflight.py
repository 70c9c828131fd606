"""Is the data set there, and as the spec says? Asked before the first run of a sweep, where the runs will be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sklab.data.base import ArraySplit, FileSplit, ImagesSpec, Splits, some
from sklab.data.cache import each, load_files, load_splits
from sklab.data.formats.decode import look
from sklab.data.kept import about_orientation, few, named
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Images, Inventory
from sklab.spec.fit import misfits
from sklab.spec.train import TrainSpec
from sklab.system.terminal import one_line

SHOWN = 20  # images that are named one by one


class Looked(NamedTuple):
    """What was found out about a data set: what it holds, None where its settings alone decide that, and what there is
    to say about it, line by line."""

    inventory: Inventory | None
    notices: tuple[str, ...]


def check(spec: DataSpec, recipes: Iterable[TrainSpec], *, every_image: bool = False) -> Looked:
    """Look at the data of `spec`: what they hold, what is passed over or left out, how many images were opened and how
    many carry an EXIF orientation. With `every_image` all are opened and their contents read, else some of each split.

    Raises SklabError, naming the place, when runs by these recipes would find their data missing, not as stated or too
    few. What only has to be computed or read through once is done here, so that the runs find it in the cache.
    """
    splits = load_splits(spec, whole=every_image)
    ensure_fits(spec, splits, *recipes)
    opened = _looked_into(spec, splits, every_image=every_image) if isinstance(spec, ImagesSpec) else ()
    lines = [*splits.passed_over, *_left_out(splits), *opened]
    return Looked(splits.inventory, named(spec, lines))


def ensure_fits(spec: DataSpec, splits: Splits, *recipes: TrainSpec) -> None:
    """Raise SklabError when recipes ask for more images than there are, or for what can't be done with them."""
    images = Images(len(splits.train.labels), len(splits.val.labels), isinstance(splits.train, ArraySplit))
    reasons = dict.fromkeys(reason for recipe in recipes for reason in misfits(recipe, images))
    if reasons:
        raise SklabError(f"data set {spec.name}: {'; '.join(reasons)}")


def _left_out(splits: Splits) -> Iterator[str]:
    if splits.skipped:
        yield f"left out because they can't be decoded: {some(splits.skipped)}"


def _looked_into(spec: ImagesSpec, splits: Splits, *, every_image: bool) -> Iterator[str]:
    """Decode all images, or a few of each split, spread evenly over its classes."""
    files = [split for split in (splits.train, splits.val) if isinstance(split, FileSplit)] or list(load_files(spec))
    chosen = files if every_image else [few(split) for split in files]
    found = [seen for split in chosen for seen in each(split.files, look)]
    faults = [seen for seen in found if isinstance(seen, SklabError)]
    if faults and not spec.skip_corrupt:
        raise SklabError("\n  ".join([*(one_line(str(fault)) for fault in faults[:SHOWN]), *_more(len(faults))]))
    total, turned = sum(len(split.labels) for split in files), found.count(True)
    some_of_them = f"{len(found):,} of {total:,} images were opened; `sklab doctor SWEEP --all` opens every one"
    yield f"all {total:,} images were opened" if len(found) == total else some_of_them
    yield from about_orientation(spec, turned, len(found))


def _more(faults: int) -> Iterator[str]:
    if faults > SHOWN:
        yield f"and {faults - SHOWN:,} more that can't be read"
