"""Small real-shaped data sets for tests: encoded images, a JPEG folder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(label: int, number: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """uint8 [height, width, 3], the brighter the higher the label."""
    random = np.random.default_rng([abs(label), number])
    return random.integers(60 * abs(label), 60 * abs(label) + 60, (size[1], size[0], 3), dtype=np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG", mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).convert(mode).save(stream, kind)
    return stream.getvalue()


def folder(root: Path, train: int = 6, val: int = 6, size: tuple[int, int] = (32, 32), suffix: str = "png") -> Path:
    """`root` with the classes cat and dog, so many images each in train and val, of `size` (width, height)."""
    kind = {"png": "PNG", "jpg": "JPEG"}[suffix]
    for at, (split, count) in enumerate((("train", train), ("val", val))):
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                data = encoded(pixels(label, 100 * at + number, size), kind)
                (root / split / name / f"{number}.{suffix}").write_bytes(data)
    return root
