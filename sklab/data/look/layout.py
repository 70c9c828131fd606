"""How a folder of images is laid out: with splits, `root/train/<class>/*`, or without, `root/<class>/*`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sklab.data.base import first_names
from sklab.data.look.listing import DEEPER, IMAGES, READ, UNREAD, class_names, kind_of, listed, scan, shown
from sklab.errors import SklabError

WHOLE = "."  # the folder of training where there are no splits
_TRAIN, _VAL, _TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z", ".bz2", ".xz")
_LAYOUTS = "a folder with a folder of images for each class, or with train/ and val/ that hold such folders"


@dataclass(frozen=True)
class Layout:
    """The folders of a set of images.

    root     the folder that holds all of them
    train    the folder of training below it, or WHOLE
    val      that of validation; None where it is to be held out from training
    test     that of the third split, if there is one
    images   the paths of the images, by split and class
    others   what lies beside the images, by kind
    """

    root: Path
    train: str
    val: str | None
    test: str | None
    images: Mapping[str, Mapping[str, tuple[str, ...]]]
    others: Counter[str]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in their order."""
        return tuple(self.images[self.train])


def layout_of(root: Path) -> Layout:
    """The layout of the folder `root`. Raises SklabError, with the remedy, where it is none that can be read."""
    _ensure_folder(root)
    names = {name.lower(): name for name in class_names(root)}
    train, val, test = (next((names[name] for name in some if name in names), None) for some in (_TRAIN, _VAL, _TEST))
    if train is None and (val or test):
        _refuse(root, f"there is {val or test}/ but no train/", f"rename the folder of training: {root / 'train'}")
    splits = [split for split in (train or WHOLE, val, test) if split]
    others: Counter[str] = Counter()
    images = {split: dict(_classes(root / split, others)) for split in splits}
    _ensure_classes(root, images)
    return Layout(root, splits[0], val, test, images, others)


def _ensure_folder(root: Path) -> None:
    if root.is_file():
        packed = root.suffix.lower() in _ARCHIVES
        found, remedy = ("this is an archive", "unpack it first") if packed else ("this is a file", f"name {_LAYOUTS}")
        _refuse(root, found, remedy)
    if not root.is_dir():
        _refuse(root, "no such folder", f"name {_LAYOUTS}")


def _classes(folder: Path, others: Counter[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for entry in shown(folder):
        if entry.is_file():
            others[kind_of(entry.name)] += 1
    for name in class_names(folder):
        listing = scan(folder / name)
        others.update(listing.passed_over)
        yield name, tuple(listing.images)


def _ensure_classes(root: Path, images: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
    train, *rest = images
    _ensure_images(root / train, images[train])
    for split in rest:
        if unpaired := sorted(set(images[train]) ^ set(images[split])):
            told = f"{train} and {split} must hold the same classes; only in one of them: {first_names(unpaired)}"
            _refuse(root, told, "rename, add or delete these folders")
        _ensure_images(root / split, images[split])


def _ensure_images(folder: Path, classes: Mapping[str, tuple[str, ...]]) -> None:
    if not any(classes.values()):
        _refuse(folder, *_nothing(folder, classes))
    if empty := [name for name, files in classes.items() if not files]:
        held = f"no images in the folders of {len(empty)} classes: {first_names(empty)}"
        others = scan(folder / empty[0]).passed_over
        also = f" (in the first: {listed(others)})" if others.total() else ""
        _refuse(folder, f"{held}{also}", f"delete these folders, or put images there ({', '.join(READ)})")
    if len(classes) < 2:
        _refuse(folder, f"one class: {next(iter(classes))}", "a network learns to tell two classes or more apart")


def _nothing(folder: Path, classes: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    """Why there are no images in class folders, and what to do."""
    kinds = Counter(kind_of(entry.name) for entry in shown(folder) if entry.is_file())
    archives = sum(kinds[kind] for kind in _ARCHIVES)
    deeper = {name: scan(folder / name).passed_over for name in classes}
    if loose := sum(kinds[kind] for kind in READ):
        return f"{loose:,} images lie here without a class", "move those of each class into a folder of its name"
    if archives:
        return "no images, but an archive", "unpack it first"
    if inner := [name for name, found in deeper.items() if found[DEEPER]]:
        remedy = f"name the folder that holds the classes, such as {folder / inner[0]}"
        return "no images in class folders, but deeper", remedy
    unread = sum((found for found in deeper.values()), Counter())
    raw = Counter({kind: count for kind, count in unread.items() if kind in IMAGES and kind in UNREAD})
    held = f"no images that can be read, but {listed(raw)}" if raw else "no images"
    return held, f"allowed: {', '.join(READ)}, in {_LAYOUTS}"


def _refuse(folder: Path, found: str, remedy: str) -> NoReturn:
    raise SklabError(f"{folder}: {found}; {remedy}")
