"""From an encoded image to pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sklab.data.base import Picture, name_of
from sklab.errors import SklabError

Box = tuple[float, float, float, float]  # left, upper, right, lower, in pixels of the file's image
View = Callable[[int, int], Box]  # which part of an image of this width and height is wanted

_TRIES = 10  # of a random crop to fit into the image


def decode(picture: Picture, size: int, view: View) -> NDArray[np.uint8]:
    """uint8 [3, size, size]: the part of the image that `view` asks for, resized (bilinear, antialiased).

    Grey, palette and CMYK images become RGB. Raises SklabError, naming the image, when it can't be read.
    """
    return _read(picture, lambda image: _resized(image, size, view))


def whole(picture: Picture) -> NDArray[np.uint8]:
    """uint8 [3, H, W]: the image as it is, in RGB. Raises SklabError as `decode` does."""
    return _read(picture, _rgb)


def _read(picture: Picture, part: Callable[[Image.Image], Image.Image]) -> NDArray[np.uint8]:
    name = name_of(picture)
    source = picture if isinstance(picture, str) else BytesIO(picture.data)
    try:
        with Image.open(source) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode}; allowed: 8 bits per channel")
            return np.array(part(image)).transpose(2, 0, 1)
    except Exception as error:  # decoders of broken files raise almost anything
        raise SklabError(
            f"{name}: not a readable image ({error}); mend or delete it, or set data.skip_corrupt: true"
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _resized(image: Image.Image, size: int, view: View) -> Image.Image:
    width, height = image.size
    box = view(width, height)
    # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that still has every pixel we need.
    image.draft(None, (math.ceil(width * size / (box[2] - box[0])), math.ceil(height * size / (box[3] - box[1]))))
    across, down = image.width / width, image.height / height
    part = (box[0] * across, box[1] * down, min(box[2] * across, image.width), min(box[3] * down, image.height))
    return _rgb(image).resize((size, size), Image.Resampling.BILINEAR, part)


def centre(resize: int, size: int) -> View:
    """The middle `size` x `size` pixels of the image whose shorter side was made `resize` pixels."""

    def view(width: int, height: int) -> Box:
        return _middle(width, height, *(2 * (min(width, height) * size / resize,)))

    return view


def random_resized(shares: tuple[float, ...], random: np.random.Generator) -> View:
    """A part of `shares` [smallest, largest] of the area with an aspect ratio between 3/4 and 4/3, anywhere.

    Area uniform, aspect log-uniform. After ten tries that do not fit: the largest middle part of an aspect allowed.
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
