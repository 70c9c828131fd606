"""Your own images, in the layout of ImageNet: `root/train/<class>/<image>`, and the same in `root/val` and, for a third
split, in a folder beside them. Or without splits, `root/<class>/<image>`: then `train: .` and `folds`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sklab.data.base import FileSplit, ImagesSpec, Splits, ThirdSplit, first_names, subset
from sklab.data.look.listing import (
    DEEPER,
    IMAGES,
    READ,
    UNREAD,
    Listing,
    by_content,
    class_names,
    kind_of,
    listed,
    scan,
    shown,
)
from sklab.errors import SklabError
from sklab.spec import limits

_OUTSIDE = "outside the class folders"
_ROOT = "."  # as the folder of training: no splits
_FOLDER = r"^\w[\w.-]*$"


class Spec(ImagesSpec):
    """Settings of the set. Classes are numbered in the order of their names.

    root    folder that holds `train` and `val`; `~` is the home folder
    train   name of the folder in it that holds the images of training; `.` is `root` itself
    val     name of the folder that holds those of validation
    folds   parts that the images of `train` are cut into, each with the same share of every class: one of them is for
            validation, and the images of `val` are not used (0: `train` and `val` as they are)
    split   which part that is: 0 to folds - 1 of the first cut, then those of the next cut, and so on
    copies  with `folds`, where images of the same content go: `together` keeps them on one side of the split, `apart`
            counts each as its own
    test    name of the folder beside them that holds the third split (`null`: none)
    source  a regular expression: images in whose names it matches the same text (its first group, if it has one) have a
            common source, such as a patient (`null`: each image is its own)
    """

    added: ClassVar[frozenset[str]] = ImagesSpec.added | {"folds", "split", "train", "val", "copies"}
    places: ClassVar[frozenset[str]] = frozenset({"root"})
    beside: ClassVar[frozenset[str]] = ImagesSpec.beside | {"source"}

    name: Literal["image_folder"] = "image_folder"
    root: str = Field(min_length=1)
    train: str = Field(default="train", pattern=rf"{_FOLDER}|^\.$", description="the name of a folder")
    val: str = Field(default="val", pattern=_FOLDER, description="the name of a folder")
    folds: int = Field(default=0, ge=0, le=limits.FRESH)
    split: int = Field(default=0, ge=0, lt=2**31)
    copies: Literal["apart", "together"] = "apart"
    test: str | None = Field(default=None, pattern=_FOLDER, description="the name of a folder")
    source: str | None = Field(default=None, min_length=1, max_length=limits.NAME)

    def classes_held(self) -> int:
        """The number of class folders."""
        return len(_classes(self, Path(self.root).expanduser(), self.train))

    def why_one_split(self) -> Iterator[str]:
        """The folders are one split, unless their images are cut into folds."""
        if not self.folds:
            yield f"data set {self.name} has one split where data.folds is not set"

    def split_anew(self, number: int) -> Self:
        """The next fold, or the first one of another cut."""
        return self.model_copy(update={"split": self.split + number})

    def _broken(self) -> Iterator[str]:
        yield from super()._broken()
        if self.folds == 1:
            yield "folds = 1 leaves no image for training; allowed: 2 up, or 0 for the folders as they are"
        if self.split and not self.folds:
            yield f"split = {self.split} needs folds"
        if self.copies == "together" and not self.folds:
            yield "copies = together needs folds"
        if self.train == _ROOT and not self.folds:
            yield "train = . needs folds, which hold out the images of validation"
        if self.train == _ROOT and self.test:
            yield f"test = {self.test} can't lie beside train = ., which is the whole root"
        if self.train == self.val and not self.folds:
            yield f"train and val are the same folder, {self.val}; allowed: two folders, or folds"
        for split in ("train", "val"):
            if self.test == getattr(self, split):
                yield f"test = {self.test} is the {split} split; allowed: a folder beside it"
        yield from _faults(self.source)


def _faults(pattern: str | None) -> Iterator[str]:
    try:
        re.compile(pattern or "")
    except re.error as error:
        yield f"source = {pattern}: {error}; allowed: a regular expression, such as ^(patient[0-9]+)"


def load(spec: Spec) -> Splits:
    """List the images without opening them. Raises SklabError if the folders are not as the spec says, or if a class
    would lose more images than it keeps."""
    if spec.folds:
        return _in_folds(spec, Path(spec.root).expanduser())
    root, classes = _paired(spec, spec.val)
    (train_split, train_notes), (val_split, val_notes) = (
        _split(root / split, classes, spec) for split in (spec.train, spec.val)
    )
    return Splits(train_split, val_split, tuple(classes), passed_over=(*train_notes, *val_notes))


def load_test(spec: Spec) -> ThirdSplit:
    """List the images of the third split without opening them. Raises SklabError as `load` does."""
    root, classes = _paired(spec, str(spec.test))
    return ThirdSplit(_split(root / str(spec.test), classes, spec)[0], tuple(classes))


def list_test(spec: Spec) -> list[str]:
    """The files of the third split; none is opened. Raises SklabError as `load` does."""
    images = load_test(spec).images
    assert isinstance(images, FileSplit)
    return [str(images.files[place]) for place in range(len(images.labels))]


def _paired(spec: Spec, split: str) -> tuple[Path, list[str]]:
    """The root and the classes, which are the same in train and in `split`."""
    root = Path(spec.root).expanduser()
    train, other = _classes(spec, root, spec.train), _classes(spec, root, split)
    unpaired = sorted(set(train) ^ set(other))
    if unpaired:
        raise SklabError(
            f"{root}: {spec.train} and {split} must hold the same classes; only in one of them: {first_names(unpaired)}"
        )
    _ensure_as_many(spec, root, train)
    return root, train


def _in_folds(spec: Spec, root: Path) -> Splits:
    """One of the stratified folds of the images in `train`, and the others."""
    classes, folder = _classes(spec, root, spec.train), root / spec.train
    _ensure_as_many(spec, root, classes)
    whole, notes = _split(folder, classes, spec)
    first = np.arange(len(whole.labels), dtype=np.int64)
    if spec.copies == "together":
        first = by_content([str(whole.files[place]) for place in first.tolist()])
    chosen = np.unique(first)
    fewest = int(np.bincount(whole.labels[chosen], minlength=len(classes)).min())
    if fewest < spec.folds:
        held = f"{fewest} images" if len(chosen) == len(first) else f"{fewest} images that are no copies of others"
        raise SklabError(f"{folder}: a class has {held}; data.folds = {spec.folds} needs one in each")
    _, held_out = fold(whole.labels[chosen], spec.folds, spec.split)
    in_val = np.isin(first, chosen[held_out])
    train, val = np.flatnonzero(~in_val), np.flatnonzero(in_val)
    return Splits(subset(whole, train), subset(whole, val), tuple(classes), passed_over=tuple(notes))


def fold(labels: NDArray[np.int64], folds: int, split: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of the images for training and for validation, each in rising order: fold `split % folds` of cut
    number `split // folds`. Every image is for validation once in a cut."""
    from sklearn.model_selection import StratifiedKFold  # slow to import

    cut, at = divmod(split, folds)
    parts = StratifiedKFold(folds, shuffle=True, random_state=cut).split(labels, labels)
    train, val = next(islice(parts, at, None))
    return train, val


def _ensure_as_many(spec: Spec, root: Path, classes: list[str]) -> None:
    if len(classes) != spec.num_classes:
        raise SklabError(
            f"{root}: found {len(classes)} classes ({first_names(classes)}); data.num_classes = {spec.num_classes}"
        )


def _classes(spec: Spec, root: Path, split: str) -> list[str]:
    """Names of the class folders of a split, sorted."""
    folder = root / split
    if not folder.is_dir():
        missing = folder if root.is_dir() else root
        pair = f"{spec.train}/" if spec.folds else f"{spec.train}/ and {spec.val}/"
        held = pair if split in (spec.train, spec.val) else f"{spec.train}/, {spec.val}/ and {split}/ (data.test)"
        raise SklabError(f"{missing}: no such folder (data.root = {str(root)!r}); it must hold {held}")
    names = class_names(folder)
    if not names:
        raise SklabError(f"{folder}: no class folders; there must be one folder of images for each class")
    return names


def _split(folder: Path, classes: list[str], spec: Spec) -> tuple[FileSplit, list[str]]:
    """The images of a split, and a line about other files beside them, if there are any."""
    by_class = [_class(folder / name) for name in classes]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(listing.images) for listing in by_class])
    files = tuple(file for listing in by_class for file in listing.images)
    outside = sum(kind_of(entry.name) in IMAGES for entry in shown(folder) if entry.is_file())
    passed_over = sum((listing.passed_over for listing in by_class), Counter({_OUTSIDE: outside}))
    notes = [f"{folder}: passed over: {listed(passed_over)}"] if passed_over.total() else []
    return FileSplit(files, labels, spec.resize, sources=_sources(files, spec.source)), notes


def _sources(files: Sequence[str], pattern: str | None) -> NDArray[np.int64] | None:
    """int64 [n]: equal numbers for files with a common source; a name without a match is its own."""
    if pattern is None:
        return None
    found = (re.search(pattern, os.path.basename(file)) for file in files)  # noqa: PTH119 - as above
    names = (match[min(match.re.groups, 1)] if match else None for match in found)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name or file, len(numbers)) for name, file in zip(names, files, strict=True)])


def _class(folder: Path) -> Listing:
    """The images of a class. Raises SklabError if there are none, or fewer than the images that are passed over."""
    listing = scan(folder)
    lost = Counter({kind: count for kind, count in listing.passed_over.items() if kind in (*UNREAD, DEEPER)})
    if not listing.images or lost.total() > len(listing.images):
        held = f"only {len(listing.images):,} images can be read" if listing.images else "no images"
        others = f"; passed over: {listed(lost)}" if lost else ""
        raise SklabError(f"{folder}: {held}{others}; allowed: {', '.join(READ)}, in the class folder itself")
    return listing
