"""Your own images, in the layout of ImageNet: `root/train/<class>/<image>` and `root/val/<class>/<image>`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sklab.data.base import FileSplit, Splits
from sklab.data.images import ImagesSpec
from sklab.errors import SklabError

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_SHOWN = 5  # names in a message


class Spec(ImagesSpec):
    """Settings of the set. Classes are numbered in the order of their names.

    root  folder that holds `train` and `val`; `~` is the home folder
    """

    places: ClassVar[frozenset[str]] = frozenset({"root"})

    name: Literal["image_folder"] = "image_folder"
    root: str = Field(min_length=1)


def load(spec: Spec) -> Splits:
    """List the images; none is opened. Raises SklabError when the folders are not as the spec says."""
    root = Path(spec.root).expanduser()
    train, val = _classes(root, "train"), _classes(root, "val")
    odd = sorted(set(train) ^ set(val))
    if odd:
        raise SklabError(f"{root}: train and val must hold the same classes; only in one of them: {_some(odd)}")
    if len(train) != spec.num_classes:
        raise SklabError(f"{root}: found {len(train)} classes ({_some(train)}); data.num_classes = {spec.num_classes}")
    return Splits(_split(root / "train", train, spec.resize), _split(root / "val", val, spec.resize), tuple(train))


def _classes(root: Path, split: str) -> list[str]:
    """Names of the class folders of a split, sorted."""
    folder = root / split
    if not folder.is_dir():
        missing = folder if root.is_dir() else root
        raise SklabError(f"{missing}: no such folder (data.root = {str(root)!r}); it must hold train/ and val/")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise SklabError(f"{folder}: no class folders; there must be one folder of images for each class")
    return names


def _split(folder: Path, classes: list[str], resize: int) -> FileSplit:
    by_class = [_images(folder / name) for name in classes]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(files) for files in by_class])
    return FileSplit(tuple(file for files in by_class for file in files), labels, resize)


def _images(folder: Path) -> list[str]:
    """Paths of the images of a class, sorted by name; hidden files and files of other kinds are passed over."""
    names = (entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    images = sorted(name for name in names if name.lower().endswith(_SUFFIXES))
    if not images:
        raise SklabError(f"{folder}: no images; allowed: {', '.join(_SUFFIXES)}")
    return [os.path.join(folder, name) for name in images]  # noqa: PTH118 - a million Path objects take seconds


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
