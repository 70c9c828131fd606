"""CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes (Krizhevsky 2009), from its binary version.

The binary version is plain bytes, a record per image, so nothing is unpickled. CIFAR-100 uses the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sklab.data.base import ArraySplit, Splits, ThirdSplit
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Images
from sklab.spec.values import ensure_no_broken_rule
from sklab.store.files import content, is_regular

__all__ = ["Spec", "list_test", "load", "load_test"]
SIDE = 32
_VAL_SIZE = 5000
_PIXELS = 3 * SIDE * SIDE
_MOST_BYTES = 2**28  # of a file; the largest one has 154 million


class CifarSpec(DataSpec):
    """Settings of both sets.

    root      the unpacked folder of the binary version, or the folder that holds it; `~` is the home folder
    test      `official`: the official test images are the third split, and the last training images are for validation
              (`null`: the official test images are for validation, as in most publications)
    val_size  with `test`: how many of the training images are for validation
    """

    places: ClassVar[frozenset[str]] = frozenset({"root"})
    added: ClassVar[frozenset[str]] = frozenset({"test", "val_size"})
    # Published names of files and folder. A record's pixels follow `header` bytes, of which the last is the class.
    folder: ClassVar[str]
    train_files: ClassVar[tuple[str, ...]]
    test_file: ClassVar[str]
    names_file: ClassVar[str]
    header: ClassVar[int]

    channels: Literal[3] = 3
    image_size: Literal[32] = 32
    root: str = Field(min_length=1)
    test: Literal["official"] | None = None
    val_size: int = Field(default=_VAL_SIZE, ge=100, le=25_000)

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.test is None and self.val_size != _VAL_SIZE:
            ensure_no_broken_rule(["val_size goes with test: official; without it the official test images validate"])
        return self

    @property
    def images(self) -> Images:
        """The numbers of images, the same in both sets."""
        return Images(50_000 - self.val_size, self.val_size, arrays=True) if self.test else Images(50_000, 10_000, True)


def load(spec: Any) -> Splits:
    """50,000 training and 10,000 test images; with `test`, all of them training images. Raises SklabError if a file is
    missing, torn or has other classes."""
    folder, classes = _folder(spec), _classes(spec)
    trained = _split(spec, [folder / name for name in spec.train_files])
    if spec.test is None:
        return Splits(trained, _split(spec, [folder / spec.test_file]), classes)
    first = len(trained.labels) - spec.val_size
    train, val = (ArraySplit(trained.images[part], trained.labels[part]) for part in (slice(first), slice(first, None)))
    return Splits(train, val, classes)


def load_test(spec: Any) -> ThirdSplit:
    """The official test images. Raises SklabError as `load` does."""
    return ThirdSplit(_split(spec, [_folder(spec) / spec.test_file]), _classes(spec))


def list_test(spec: Any) -> list[str]:
    """The file of the official test images, not opened. Raises SklabError where it is missing."""
    file = _folder(spec) / spec.test_file
    if not is_regular(file):
        raise SklabError(f"{file}: no such file (data.test = {spec.test!r})")
    return [str(file)]


def _folder(spec: CifarSpec) -> Path:
    root = Path(spec.root).expanduser()
    return root / spec.folder if (root / spec.folder).is_dir() else root


def _classes(spec: Any) -> tuple[str, ...]:
    file = _folder(spec) / spec.names_file
    classes = tuple(_bytes(file).decode("ascii", "replace").split())
    if len(classes) != spec.num_classes:
        raise SklabError(f"{file}: {len(classes)} classes; data.num_classes = {spec.num_classes}")
    return classes


def _split(spec: CifarSpec, files: list[Path]) -> ArraySplit:
    records = np.concatenate([_records(spec, file) for file in files])
    images = records[:, spec.header :].reshape(-1, 3, SIDE, SIDE)
    return ArraySplit(np.ascontiguousarray(images), records[:, spec.header - 1].astype(np.int64))


def _records(spec: CifarSpec, file: Path) -> np.ndarray:
    length, data = spec.header + _PIXELS, _bytes(file)
    if not data or len(data) % length:
        raise SklabError(f"{file}: {len(data)} bytes, not a multiple of {length}: torn or another version; get it anew")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, length)
    if records[:, spec.header - 1].max() >= spec.num_classes:
        raise SklabError(f"{file}: class numbers above {spec.num_classes - 1}; it is damaged: get it anew")
    return records


def _bytes(file: Path) -> bytes:
    try:
        return content(file, _MOST_BYTES)
    except OSError as error:
        raise SklabError(
            f"{file}: {error.strerror}; data.root is the unpacked folder of the binary version (not the Python one)"
        ) from error


class Spec(CifarSpec):
    """Settings of the set."""

    # Of the 50,000 training images, over all pixels (RGB).
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    folder: ClassVar[str] = "cifar-10-batches-bin"
    train_files: ClassVar[tuple[str, ...]] = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
    test_file: ClassVar[str] = "test_batch.bin"
    names_file: ClassVar[str] = "batches.meta.txt"
    header: ClassVar[int] = 1

    name: Literal["cifar10"] = "cifar10"
    num_classes: Literal[10] = 10
