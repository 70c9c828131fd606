"""How a camera was held, as EXIF (or XMP, in its place) tells it: a number from 1 to 8, 1 for upright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sklab.data.formats import opened

UPRIGHT = 1
_ON_ITS_SIDE = 5  # from here up, rows and columns change places
_STEPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}  # down, across


def orientation(data: bytes) -> int:
    """That of the image whose file `data` is; 1 for TIFF, which Pillow turns by itself. Raises as `opened` does."""
    with opened(data) as image:
        return UPRIGHT if image.format == "TIFF" else orientation_of(image)


def orientation_of(image: Image.Image) -> int:
    """1 where none, or none that there is, can be read."""
    try:
        told = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # EXIF is read by nobody else, and what is no EXIF raises almost anything
        return UPRIGHT
    return told if told in _STEPS else UPRIGHT


def sides(width: int, height: int, how: int) -> tuple[int, int]:
    """Width and height of an image once it is upright."""
    return (height, width) if how >= _ON_ITS_SIDE else (width, height)


def turned(pixels: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
    """`pixels` [H, W, 3] of an image of orientation `how`, upright."""
    if how == UPRIGHT:
        return pixels
    down, across = _STEPS[how]
    laid = pixels.transpose(1, 0, 2) if how >= _ON_ITS_SIDE else pixels
    return np.ascontiguousarray(laid[::down, ::across])
