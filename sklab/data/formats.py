"""Which image files are opened, and how large they may be: whoever made a file also chose its name and its head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sklab.data.base import Picture, name_of
from sklab.errors import SklabError
from sklab.store import files

# Pillow knows some forty; it hands PostScript to Ghostscript, and many of the others are hardly ever tested.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF")
MOST_PIXELS = 2**26  # 8192 x 8192: decoded by Pillow it takes less than a gigabyte
MOST_BYTES = 2**29  # of a file: what so many pixels take without compression, twice


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
