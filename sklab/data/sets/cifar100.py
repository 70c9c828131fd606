"""CIFAR-100: 60,000 photographs of 32x32 pixels in a hundred classes (Krizhevsky 2009), from its binary version."""

from __future__ import annotations

from typing import ClassVar, Literal

from sklab.data.sets.cifar10 import CifarSpec, list_test, load, load_test

__all__ = ["Spec", "list_test", "load", "load_test"]


class Spec(CifarSpec):
    """Settings of the set. The classes are the hundred fine ones."""

    # Of the 50,000 training images, over all pixels (RGB).
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4865, 0.4409)
    std: ClassVar[tuple[float, ...]] = (0.2673, 0.2564, 0.2762)

    folder: ClassVar[str] = "cifar-100-binary"
    train_files: ClassVar[tuple[str, ...]] = ("train.bin",)
    test_file: ClassVar[str] = "test.bin"
    names_file: ClassVar[str] = "fine_label_names.txt"
    header: ClassVar[int] = 2  # coarse class, fine class

    name: Literal["cifar100"] = "cifar100"
    num_classes: Literal[100] = 100
