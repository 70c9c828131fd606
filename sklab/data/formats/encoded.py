"""Encoded images: which formats are opened, how large they may be, and how they are oriented.

The name and the header of a file can't be trusted. EXIF (or XMP instead) says how the camera was held: a number from 1
to 8, 1 for upright.
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

# Pillow reads about forty formats: it gives PostScript to Ghostscript, and many others are hardly tested.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF")
MOST_PIXELS = 2**26  # 8192 x 8192: Pillow needs less than a gigabyte to decode it
MOST_BYTES = 2**29  # of a file: twice what so many pixels take without compression
UPRIGHT = 1
_ON_ITS_SIDE = 5  # from this number up, rows and columns change places
_STEPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}  # down, across


def file_bytes(path: str) -> bytes:
    """The bytes of an image file. Raises OSError, also for a pipe, a device, or a file larger than any image needs."""
    return files.content(Path(path), MOST_BYTES)


@contextmanager
def content(picture: Picture) -> Iterator[bytes]:
    """The bytes of a picture's file. Any error in the `with` block becomes a SklabError that names the picture."""
    try:
        yield file_bytes(picture) if isinstance(picture, str) else picture.data
    except Exception as error:  # decoders of broken files raise almost anything
        raise SklabError(
            f"{name_of(picture)}: not a readable image ({error}); mend or delete it, or set data.skip_corrupt: true"
        ) from error


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The image in `data`, not yet decoded. Raises ValueError for a format or a size that is not allowed."""
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError("no AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF or WebP, or its head is damaged") from error
    with image:
        ensure_small(*image.size)
        yield image


def ensure_small(width: int, height: int) -> None:
    """Raise ValueError for more pixels than are allowed."""
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels; allowed: {MOST_PIXELS:,}")


def orientation(data: bytes) -> int:
    """The orientation of the image in `data`; 1 for TIFF, which Pillow turns itself. Raises as `opened` does."""
    with opened(data) as image:
        return UPRIGHT if image.format == "TIFF" else orientation_of(image)


def orientation_of(image: Image.Image) -> int:
    """The orientation of an open image; 1 if it has none, or an invalid one."""
    try:
        number = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # nothing else reads EXIF, and damaged EXIF raises almost anything
        return UPRIGHT
    return number if number in _STEPS else UPRIGHT


def sides(width: int, height: int, exif: int) -> tuple[int, int]:
    """Width and height of an image once it is upright."""
    return (height, width) if exif >= _ON_ITS_SIDE else (width, height)


def turned(pixels: NDArray[np.uint8], exif: int) -> NDArray[np.uint8]:
    """`pixels` [H, W, 3] of an image of EXIF orientation `exif`, turned upright."""
    if exif == UPRIGHT:
        return pixels
    down, across = _STEPS[exif]
    oriented = pixels.transpose(1, 0, 2) if exif >= _ON_ITS_SIDE else pixels
    return np.ascontiguousarray(oriented[::down, ::across])
