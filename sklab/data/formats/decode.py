"""From an encoded image to pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from simplejpeg import decode_jpeg, decode_jpeg_header

from sklab.data.base import Picture
from sklab.data.formats.encoded import (
    UPRIGHT,
    content,
    ensure_small,
    opened,
    orientation,
    orientation_of,
    sides,
    turned,
)

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, upper, right, lower, in pixels of the file's image
View = Callable[[int, int], Box]  # which part of an image of this width and height is wanted

_TRIES = 10  # until a random crop fits into the image
_SCALES = (8, 4, 2)  # libjpeg-turbo can divide an image's sides by these while decoding, which is fast


def decode(picture: Picture, size: int, view: View, *, upright: bool = False) -> Pixels:
    """uint8 [3, size, size]: the part of the image that `view` asks for, rounded to pixels, resized (bilinear,
    antialiased).

    Grey, palette and CMYK images become RGB. With `upright`, the image is first turned as its EXIF orientation says.
    Raises SklabError, naming the image, if it can't be read.
    """
    with content(picture) as data:
        return _part(data, size, view, upright=upright)


def whole(picture: Picture, *, upright: bool = False) -> Pixels:
    """uint8 [3, H, W]: the image as it is, in RGB. `upright` and errors as for `decode`."""
    with content(picture) as data:
        return _any_kind(data, upright=upright).transpose(2, 0, 1)


def has_orientation(picture: Picture) -> bool:
    """Decode the image, and return whether its EXIF orientation is other than upright. Raises SklabError as `decode`
    does."""
    with content(picture) as data:
        _part(data, 8, centre(8, 8), upright=False)
        return orientation(data) != UPRIGHT


def _part(data: bytes, size: int, view: View, *, upright: bool) -> Pixels:
    try:
        height, width, colours, _ = decode_jpeg_header(data)
        ensure_small(width, height)
        exif = orientation(data) if upright else UPRIGHT
        across, down = sides(width, height, exif)
        box = view(across, down)
        if colours == "CMYK":
            raise ValueError("Adobe's inverted inks: Pillow knows them")
        pixels = turned(_jpeg(data, width, height, _scale(box, size)), exif)
    except ValueError:  # no JPEG, one that strict decoders refuse, or a too large one, which Pillow's check refuses
        pixels = _any_kind(data, upright=upright)
        down, across = pixels.shape[:2]
        box = view(across, down)
    return _resized(pixels, size, box, pixels.shape[1] / across, pixels.shape[0] / down)


def _scale(box: Box, size: int) -> int:
    """The largest scale that leaves at least `size` x `size` pixels of `box` when it divides the image's sides."""
    smaller = min(box[2] - box[0], box[3] - box[1])
    return next((scale for scale in _SCALES if smaller >= scale * size), 1)


def _jpeg(data: bytes, width: int, height: int, scale: int) -> Pixels:
    """uint8 [H, W, 3]. The same bits as from Pillow, in two thirds of the time."""
    pixels: Pixels = decode_jpeg(data, min_width=math.ceil(width / scale), min_height=math.ceil(height / scale))
    return pixels


def _any_kind(data: bytes, *, upright: bool) -> Pixels:
    """uint8 [H, W, 3] of a file that Pillow reads."""
    with opened(data) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"mode {image.mode}; allowed: 8 bits per channel")
        pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
        return turned(pixels, orientation_of(image)) if upright else pixels


def _resized(pixels: Pixels, size: int, box: Box, across: float, down: float) -> Pixels:
    """uint8 [3, size, size]: `box` of `pixels` [H, W, 3], its sides are the file's times `across` and `down`."""
    columns = _rounded(box[0] * across, box[2] * across, pixels.shape[1])
    rows = _rounded(box[1] * down, box[3] * down, pixels.shape[0])
    part = torch.from_numpy(pixels[rows, columns]).permute(2, 0, 1)[None]
    resized: Any = F.interpolate(part, (size, size), mode="bilinear", antialias=True)[0].numpy()
    return resized  # type: ignore[no-any-return]


def _rounded(start: float, stop: float, most: int) -> slice:
    """The pixels from `start` to `stop` of `most`, at least one."""
    first = min(round(start), most - 1)
    return slice(first, max(first + 1, min(round(stop), most)))


def centre(resize: int, size: int) -> View:
    """The middle `size` x `size` pixels of the image after its shorter side is resized to `resize` pixels."""

    def view(width: int, height: int) -> Box:
        return _middle(width, height, *(2 * (min(width, height) * size / resize,)))

    return view


def random_resized(shares: tuple[float, ...], random: np.random.Generator) -> View:
    """A part of `shares` [smallest, largest] of the area with an aspect ratio between 3/4 and 4/3, anywhere.

    The area is uniform, the aspect log-uniform. After ten tries that do not fit: the largest middle part with an
    allowed aspect.
    """

    def view(width: int, height: int) -> Box:
        for share, aspect, left, upper in random.random((_TRIES, 4)):
            area = width * height * (shares[0] + share * (shares[-1] - shares[0]))
            ratio = math.exp((2 * aspect - 1) * math.log(4 / 3))
            across, down = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if across <= width and down <= height:
                x, y = left * (width - across), upper * (height - down)
                return x, y, x + across, y + down
        return _middle(width, height, min(width, height * 4 / 3), min(height, width * 4 / 3))

    return view


def _middle(width: int, height: int, across: float, down: float) -> Box:
    left, upper = (width - across) / 2, (height - down) / 2
    return left, upper, left + across, upper + down
