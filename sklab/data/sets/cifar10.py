"""CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes (Krizhevsky 2009), from its binary version."""

from __future__ import annotations

from typing import ClassVar, Literal

from sklab.data.formats.cifar import CifarSpec, load

__all__ = ["Spec", "load"]


class Spec(CifarSpec):
    """Settings of the set: `root` alone."""

    # Of the 50,000 training images, over all pixels (RGB).
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    folder: ClassVar[str] = "cifar-10-batches-bin"
    train_files: ClassVar[tuple[str, ...]] = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
    val_file: ClassVar[str] = "test_batch.bin"
    names_file: ClassVar[str] = "batches.meta.txt"
    header: ClassVar[int] = 1

    name: Literal["cifar10"] = "cifar10"
    num_classes: Literal[10] = 10
