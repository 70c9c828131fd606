"""Your own images, in the layout of ImageNet: `root/train/<class>/<image>`, and the same in `root/val` and, for a third
split, in a folder beside them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sklab.data.base import FileSplit, ImagesSpec, Splits, ThirdSplit, first_names, subset
from sklab.errors import SklabError
from sklab.spec import limits

_READ = tuple(".avif .bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split())  # noqa: SIM905
# Image formats that are not read, also raw formats of cameras; and files without a suffix, which may be images.
_UNREAD = ("", *".arw .cr2 .cr3 .dng .eps .exr .heic .heif .hif .jp2 .jxl .nef .orf .psd .raf .raw .svg .tga".split())  # noqa: SIM905
_IMAGES = frozenset({*_READ, *_UNREAD} - {""})
_DEEPER, _OUTSIDE = "in sub-folders", "outside the class folders"


class Spec(ImagesSpec):
    """Settings of the set. Classes are numbered in the order of their names.

    root    folder that holds `train` and `val`; `~` is the home folder
    folds   parts that the images of `train` are cut into, each with the same share of every class: one of them is for
            validation, and the images of `val` are not used (0: `train` and `val` as they are)
    split   which part that is: 0 to folds - 1 of the first cut, then those of the next cut, and so on
    test    name of the folder beside them that holds the third split (`null`: none)
    source  a regular expression: images in whose names it matches the same text (its first group, if it has one) have a
            common source, such as a patient (`null`: each image is its own)
    """

    added: ClassVar[frozenset[str]] = ImagesSpec.added | {"folds", "split"}
    places: ClassVar[frozenset[str]] = frozenset({"root"})
    beside: ClassVar[frozenset[str]] = ImagesSpec.beside | {"source"}

    name: Literal["image_folder"] = "image_folder"
    root: str = Field(min_length=1)
    folds: int = Field(default=0, ge=0, le=limits.FRESH)
    split: int = Field(default=0, ge=0, lt=2**31)
    test: str | None = Field(default=None, pattern=r"^\w[\w.-]*$", description="the name of a folder")
    source: str | None = Field(default=None, min_length=1, max_length=limits.NAME)

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
        if self.test in ("train", "val"):
            yield f"test = {self.test} is the {self.test} split; allowed: a folder beside it"
        yield from _faults(self.source)


def _faults(pattern: str | None) -> Iterator[str]:
    try:
        re.compile(pattern or "")
    except re.error as error:
        yield f"source = {pattern}: {error}; allowed: a regular expression, such as ^(patient[0-9]+)"


class _Listing(NamedTuple):
    """The paths of a folder's images, sorted by name, and how many files of which kind are not read."""

    images: list[str]
    passed_over: Counter[str]


def load(spec: Spec) -> Splits:
    """List the images without opening them. Raises SklabError if the folders are not as the spec says, or if a class
    would lose more images than it keeps."""
    if spec.folds:
        return _in_folds(spec, Path(spec.root).expanduser())
    root, classes = _paired(spec, "val")
    (train_split, train_notes), (val_split, val_notes) = (
        _split(root / split, classes, spec) for split in ("train", "val")
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
    train, other = _classes(root, "train"), _classes(root, split)
    unpaired = sorted(set(train) ^ set(other))
    if unpaired:
        raise SklabError(
            f"{root}: train and {split} must hold the same classes; only in one of them: {first_names(unpaired)}"
        )
    _ensure_as_many(spec, root, train)
    return root, train


def _in_folds(spec: Spec, root: Path) -> Splits:
    """One of the stratified folds of the images in `train`, and the others."""
    classes = _classes(root, "train")
    _ensure_as_many(spec, root, classes)
    whole, notes = _split(root / "train", classes, spec)
    fewest = int(np.bincount(whole.labels).min())
    if fewest < spec.folds:
        raise SklabError(f"{root / 'train'}: a class has {fewest} images; data.folds = {spec.folds} needs one in each")
    train, val = fold(whole.labels, spec.folds, spec.split)
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


def _classes(root: Path, split: str) -> list[str]:
    """Names of the class folders of a split, sorted."""
    folder = root / split
    if not folder.is_dir():
        missing = folder if root.is_dir() else root
        held = "train/ and val/" if split in ("train", "val") else f"train/, val/ and {split}/ (data.test)"
        raise SklabError(f"{missing}: no such folder (data.root = {str(root)!r}); it must hold {held}")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise SklabError(f"{folder}: no class folders; there must be one folder of images for each class")
    return names


def _split(folder: Path, classes: list[str], spec: Spec) -> tuple[FileSplit, list[str]]:
    """The images of a split, and a line about other files beside them, if there are any."""
    by_class = [_class(folder / name) for name in classes]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(listing.images) for listing in by_class])
    files = tuple(file for listing in by_class for file in listing.images)
    outside = sum(_kind(entry.name) in _IMAGES for entry in _shown(folder) if entry.is_file())
    passed_over = sum((listing.passed_over for listing in by_class), Counter({_OUTSIDE: outside}))
    notes = [f"{folder}: passed over: {_listed(passed_over)}"] if passed_over.total() else []
    return FileSplit(files, labels, spec.resize, sources=_sources(files, spec.source)), notes


def _sources(files: Sequence[str], pattern: str | None) -> NDArray[np.int64] | None:
    """int64 [n]: equal numbers for files with a common source; a name without a match is its own."""
    if pattern is None:
        return None
    found = (re.search(pattern, os.path.basename(file)) for file in files)  # noqa: PTH119 - as above
    names = (match[min(match.re.groups, 1)] if match else None for match in found)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name or file, len(numbers)) for name, file in zip(names, files, strict=True)])


def _class(folder: Path) -> _Listing:
    """The images of a class. Raises SklabError if there are none, or fewer than the images that are passed over."""
    listing = _scan(folder)
    lost = Counter({kind: count for kind, count in listing.passed_over.items() if kind in (*_UNREAD, _DEEPER)})
    if not listing.images or lost.total() > len(listing.images):
        held = f"only {len(listing.images):,} images can be read" if listing.images else "no images"
        others = f"; passed over: {_listed(lost)}" if lost else ""
        raise SklabError(f"{folder}: {held}{others}; allowed: {', '.join(_READ)}, in the class folder itself")
    return listing


def _scan(folder: Path) -> _Listing:
    """The files in `folder`; hidden files are not counted."""
    images: list[str] = []
    passed_over: Counter[str] = Counter()
    for entry in _shown(folder):
        # A link is followed only when it is opened.
        if entry.name.lower().endswith(_READ) and not entry.is_dir(follow_symlinks=False):
            images.append(entry.name)
        elif entry.is_dir():
            passed_over[_DEEPER] += _images_below(entry.path)
        else:
            passed_over[_kind(entry.name)] += 1
    paths = [os.path.join(folder, name) for name in sorted(images)]  # noqa: PTH118 - a million Path objects take seconds
    return _Listing(paths, passed_over)


def _images_below(folder: str) -> int:
    return sum(_kind(name) in _IMAGES for _, _, names in os.walk(folder) for name in names if not name.startswith("."))


def _shown(folder: Path) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in os.scandir(folder) if not entry.name.startswith("."))


def _kind(name: str) -> str:
    """The suffix in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - as above


def _listed(passed_over: Counter[str]) -> str:
    most_first = sorted((-count, kind or "without a suffix") for kind, count in passed_over.items() if count)
    return ", ".join(f"{-count:,} {kind}" for count, kind in most_first)
