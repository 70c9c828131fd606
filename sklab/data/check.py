"""The check that data are as their spec says, and enough for a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sklab.data.base import ArraySplit, FileSplit, ImagesSpec, Splits, first_names
from sklab.data.cache import load_files, load_splits, map_pictures
from sklab.data.changes.policies import Changes
from sklab.data.formats.decode import has_orientation
from sklab.data.kept import list_test, orientation_notice, spread_sample, with_set_name
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Images, Inventory
from sklab.spec.fit import misfits
from sklab.spec.train import TrainSpec
from sklab.system.terminal import one_line

SHOWN = 20  # faulty images that are named one by one


class DataCheck(NamedTuple):
    """The result of checking a data set: what it holds (None if its settings alone decide that), and notices,
    a line each."""

    inventory: Inventory | None
    notices: tuple[str, ...]


def check(spec: DataSpec, recipes: Iterable[TrainSpec], *, every_image: bool = False) -> DataCheck:
    """Check the data of `spec`: what they hold, what is passed over or left out, how many images were opened, and how
    many carry an EXIF orientation. With `every_image` all images are opened and read, else some per split.

    Raises SklabError, naming the place, if the data are missing, not as stated, or too few for runs by these recipes,
    or if a library that changes the images can't be imported.
    Of the test split, it is only checked that its files are there.
    What has to be computed or read only once is done here, so that the runs find it in the cache.
    """
    recipes = tuple(recipes)
    for recipe in recipes:
        Changes(recipe.augment, 0).load()
    splits = load_splits(spec, whole=every_image)
    list_test(spec)
    ensure_fits(spec, splits, *recipes)
    opened = _open_images(spec, splits, every_image=every_image) if isinstance(spec, ImagesSpec) else ()
    lines = [*splits.passed_over, *_left_out(splits), *opened]
    return DataCheck(splits.inventory, with_set_name(spec, lines))


def ensure_fits(spec: DataSpec, splits: Splits, *recipes: TrainSpec) -> None:
    """Raise SklabError if a recipe needs more images than there are, or something that these images do not allow."""
    images = Images(len(splits.train.labels), len(splits.val.labels), isinstance(splits.train, ArraySplit))
    reasons = dict.fromkeys(reason for recipe in recipes for reason in misfits(recipe, images))
    if reasons:
        raise SklabError(f"data set {spec.name}: {'; '.join(reasons)}")


def _left_out(splits: Splits) -> Iterator[str]:
    if splits.skipped:
        yield f"left out because they can't be decoded: {first_names(splits.skipped)}"


def _open_images(spec: ImagesSpec, splits: Splits, *, every_image: bool) -> Iterator[str]:
    """Decode all images, or a few of each split, spread evenly over its classes."""
    files = [split for split in (splits.train, splits.val) if isinstance(split, FileSplit)] or list(load_files(spec))
    chosen = files if every_image else [spread_sample(split) for split in files]
    results = [result for split in chosen for result in map_pictures(split.files, has_orientation)]
    faults = [result for result in results if isinstance(result, SklabError)]
    if faults and not spec.skip_corrupt:
        raise SklabError("\n  ".join([*(one_line(str(fault)) for fault in faults[:SHOWN]), *_more(len(faults))]))
    total, turned = sum(len(split.labels) for split in files), results.count(True)
    some_of_them = f"{len(results):,} of {total:,} images were opened; `sklab doctor SWEEP --all` opens every one"
    yield f"all {total:,} images were opened" if len(results) == total else some_of_them
    yield from orientation_notice(spec, turned, len(results))


def _more(faults: int) -> Iterator[str]:
    if faults > SHOWN:
        yield f"and {faults - SHOWN:,} more that can't be read"
