"""`images.json`: what a run made of each of its validation images, packed to a few bytes an image.

A bit says whether an image was named wrongly. A byte holds its loss, on a scale of equal ratios from 2^-24 to 2^8 with
steps of 9 %. The order of the images is that of the data set.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sklab.spec import limits
from sklab.spec.study.metrics import TOP1_ERROR
from sklab.spec.study.sweep import Metric
from sklab.spec.values import Value
from sklab.store.files import checksum, content, sealed, unseal_text, write_whole
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LOWEST, _HIGHEST, _STEPS = -24.0, 8.0, 255  # powers of 2; a byte of 0 is a loss of 0
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Outcomes:
    """One evaluation: whether each of N images was named `wrong`ly, bool [N], and its cross-entropy `loss`, float64
    [N]."""

    wrong: BoolArray
    loss: FloatArray

    def of(self, metric: Metric) -> FloatArray:
        """The metric, a mean over images, image by image, [N]: 0 or 100 % for an error."""
        return self.loss if metric.name == "val_loss" else 100 * self.wrong.astype(np.float64)


class Packed(Value):
    """`Outcomes` in a file: bits and bytes, compressed and in base 64."""

    wrong: str
    loss: str

    @classmethod
    def of(cls, outcomes: Outcomes) -> Packed:
        return cls(wrong=_text(np.packbits(outcomes.wrong)), loss=_text(_bytes_of(outcomes.loss)))

    def outcomes(self, images: int) -> Outcomes:
        """Raises ValueError where these are not of so many images."""
        bits, codes = _array(self.wrong, -(-images // 8)), _array(self.loss, images)
        return Outcomes(np.unpackbits(bits, count=images).astype(bool), _losses_of(codes))


class ImageScores(Value):
    """The content of `images.json`.

    last, best  the evaluations at the epochs of the record's `last` and `best`; None where these are equal
    sources     which images have a common source (a digit, a patient): its number for each image, counted in the order
                in which they come, as differences; "" where each image is its own
    """

    key: str
    images: int = Field(ge=1, le=limits.IMAGES)
    last: Packed
    best: Packed | None = None
    sources: str = ""


def write_images(folder: RunFolder, scores: ImageScores) -> None:
    """Write them beside the record, which is to name them."""
    write_whole(folder.images_file, sealed(scores, indent=None))


def read_images(folder: RunFolder, record: RunRecord, metric: Metric) -> tuple[Outcomes, IntArray | None] | None:
    """What the run of `record` made of each image at the epoch of `metric`, and the source of each image (None: each is
    its own).

    None where there is no such file, and where it is not what the record names or does not give the record's figures.
    """
    try:
        text = content(folder.images_file, _MOST_BYTES)
        inner, is_intact = unseal_text(text)
        held = ImageScores.model_validate_json(inner)
        packed = held.last if metric.epoch == "last" or held.best is None else held.best
        if not is_intact or held.key != record.key or not _is_named(record, folder, text):
            return None
        outcomes, sources = packed.outcomes(held.images), _sources(held)
        return (outcomes, sources) if _is_of(record, metric, outcomes) else None
    except (OSError, ValueError, KeyError, zlib.error):
        return None


def sources_text(sources: npt.ArrayLike | None) -> str:
    """The `sources` of `ImageScores` from any number for each source; "" where no two images share one."""
    numbers = None if sources is None else numbered(sources)
    if numbers is None or len(np.unique(numbers)) == len(numbers):
        return ""
    return _text(np.diff(numbers, prepend=0).astype("<i4").view(np.uint8))


def numbered(sources: npt.ArrayLike) -> IntArray:
    """`sources` counted from 0 in the order in which they come, int64 [N]."""
    _, first, inverse = np.unique(np.asarray(sources), return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)


def _sources(held: ImageScores) -> IntArray | None:
    return numbered(np.cumsum(_array(held.sources, 4 * held.images).view("<i4"))) if held.sources else None


def _is_named(record: RunRecord, folder: RunFolder, text: bytes) -> bool:
    return record.files.get(folder.images_file.name) == checksum(text)


def _is_of(record: RunRecord, metric: Metric, outcomes: Outcomes) -> bool:
    """Whether as many images are wrong as the record says, to the image."""
    figures = record.last if metric.epoch == "last" else record.best
    images = len(outcomes.wrong)
    return images == record.val_images and round(figures[TOP1_ERROR] * images / 100) == int(outcomes.wrong.sum())


def _bytes_of(loss: FloatArray) -> npt.NDArray[np.uint8]:
    with np.errstate(divide="ignore"):
        place = (np.log2(np.asarray(loss, dtype=np.float64)) - _LOWEST) / (_HIGHEST - _LOWEST)
    return np.where(place < 0, 0, 1 + np.round(np.clip(place, 0, 1) * (_STEPS - 1))).astype(np.uint8)


def _losses_of(codes: npt.NDArray[np.uint8]) -> FloatArray:
    place = (codes.astype(np.float64) - 1) / (_STEPS - 1)
    return np.where(codes == 0, 0.0, 2.0 ** (_LOWEST + place * (_HIGHEST - _LOWEST)))


def _text(array: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")


def _array(text: str, size: int) -> npt.NDArray[np.uint8]:
    """uint8 [size]. Raises ValueError for another number of bytes; no more than that is ever unpacked."""
    unpacked = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    if len(unpacked) != size:
        raise ValueError(f"found {len(unpacked)} bytes or more, expected {size}")
    return np.frombuffer(unpacked, dtype=np.uint8)
