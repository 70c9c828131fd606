"""Which image files are opened, how large they may be, and which way up they are.

Whoever made a file also chose its name and its head. EXIF (or XMP, in its place) tells how the camera was held: a
number from 1 to 8, 1 for upright.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from sklab.data.base import Picture, name_of
from sklab.errors import SklabError
from sklab.store import files

# Pillow knows some forty; it hands PostScript to Ghostscript, and many of the others are hardly ever tested.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF")
MOST_PIXELS = 2**26  # 8192 x 8192: decoded by Pillow it takes less than a gigabyte
MOST_BYTES = 2**29  # of a file: what so many pixels take without compression, twice
UPRIGHT = 1
_ON_ITS_SIDE = 5  # from here up, rows and columns change places
_STEPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}  # down, across


def file_bytes(path: str) -> bytes:
    """What the file of an image holds. Raises OSError, also for a pipe, a device or more than an image can need."""
    return files.content(Path(path), MOST_BYTES)


@contextmanager
def content(picture: Picture) -> Iterator[bytes]:
    """The bytes of a picture's file; whatever goes wrong with them becomes a SklabError that names it."""
    try:
        yield file_bytes(picture) if isinstance(picture, str) else picture.data
    except Exception as error:  # decoders of broken files raise almost anything
        raise SklabError(
            f"{name_of(picture)}: not a readable image ({error}); mend or delete it, or set data.skip_corrupt: true"
        ) from error


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The image whose head is in `data`, not yet decoded. Raises ValueError for a format or a size that is not read."""
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError("no AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF or WebP, or its head is damaged") from error
    with image:
        ensure_small(*image.size)
        yield image


def ensure_small(width: int, height: int) -> None:
    """Raise ValueError when so many pixels are not decoded."""
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels; allowed: {MOST_PIXELS:,}")


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
