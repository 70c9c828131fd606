"""Images in Arrow files in Hugging Face's layout: a column of encoded images and a column of class numbers.

Arrow files are mapped into memory: reading a random image costs one read, and worker processes share the pages.
Nothing here can run code: values are bytes, strings and integers.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from sklab.data.base import Encoded, FileSplit, ImagesSpec, Picture, first_names
from sklab.errors import SklabError

IMAGE_NAMES = ("image", "img")  # preferred if several columns are possible
LABEL_NAMES = ("label", "fine_label", "labels")


@dataclass(frozen=True)
class Columns:
    """Names of the columns in use, and the names of the classes (empty if the file has none).

    named  whether the labels are names of classes instead of numbers
    """

    image: str
    label: str
    classes: tuple[str, ...]
    named: bool = False


class ArrowPictures:
    """The encoded images in `column` of Arrow files, one file after the other. Each process opens the files itself.

    sources  the user's files that these are copies of: they name the images in messages, and an image given only by a
             path is in the folder of its source
    """

    def __init__(self, files: Sequence[str], column: str, sources: Sequence[str]) -> None:
        self.files, self.column, self.sources = tuple(files), column, tuple(sources)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrowPictures, (self.files, self.column, self.sources)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> Picture:
        name, place = self._locate(index)
        value = self._images[index].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is not None:
            return Encoded(f"{name}, image {place}", data)
        path = value.get("path") if isinstance(value, dict) else None
        return str(Path(name).parent / path) if path else Encoded(f"{name}, image {place}", b"")

    def sizes(self) -> NDArray[np.int64]:
        """int64 [n]: the length of each image in bytes, without reading any; 0 for those in `external_paths`."""
        lengths = arrow().compute.binary_length(self._bytes).fill_null(0)
        return np.asarray(lengths.to_numpy(), dtype=np.int64)

    def external_paths(self) -> list[str]:
        """The paths of images in separate files, which the Arrow files name."""
        if not self._bytes.null_count:
            return []
        places = np.flatnonzero(self._bytes.is_null().to_numpy()).tolist()
        return [picture for place in places if isinstance(picture := self[place], str)]

    @cached_property
    def _bytes(self) -> Any:
        structs = arrow().types.is_struct(self._images.type)
        return arrow().compute.struct_field(self._images, "bytes") if structs else self._images

    @cached_property
    def _images(self) -> Any:
        return arrow().concat_tables([open_table(file).select([self.column]) for file in self.files])[self.column]

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([open_table(file).num_rows for file in self.files])

    def _locate(self, index: int) -> tuple[str, int]:
        """The source of an image, and its number in the source, from 0."""
        at = int(np.searchsorted(self._ends, index, side="right"))
        return self.sources[at], index - (int(self._ends[at - 1]) if at else 0)


def arrow() -> Any:
    """The module pyarrow. Raises SklabError, with the remedy, if it is not installed."""
    try:
        importlib.import_module("pyarrow.compute")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise SklabError("Parquet and Arrow need pyarrow: pip install 'sklab[parquet]'") from error


def open_table(file: str) -> Any:
    """The table in an Arrow file (layout `file` or `stream`): mapped, not read."""
    ipc = importlib.import_module("pyarrow.ipc")
    try:
        try:
            return ipc.open_file(arrow().memory_map(file)).read_all()
        except arrow().ArrowInvalid:
            return ipc.open_stream(arrow().memory_map(file)).read_all()
    except (OSError, arrow().ArrowInvalid) as error:
        raise SklabError(f"{file}: not a readable Arrow file ({error})") from error


def find_columns(file: str, schema: Any, image: str | None, label: str | None) -> Columns:
    """The columns in use: the given ones, else those that fit by type, then by usual name. Class numbers come before
    class names. A column of strings with an unusual name must be given.

    Raises SklabError, listing the file's columns, if no column or more than one is left.
    """
    types = arrow().types
    images = [field.name for field in schema if _holds_images(field.type)]
    numbers = [field.name for field in schema if types.is_integer(field.type)]
    names = [field.name for field in schema if holds_names(field.type)]
    held = f"all columns: {', '.join(f'{field.name} ({field.type})' for field in schema)}"
    offered = f"columns of encoded images: {_or_none(images)}; {held}"
    chosen = _choose_column(file, "image", image, _Candidates(images, images, IMAGE_NAMES, offered))
    offered = f"columns of class numbers: {_or_none(numbers)}, of class names: {_or_none(names)}; {held}"
    likely_labels = numbers or [name for name in names if name in LABEL_NAMES]
    labelled = _choose_column(
        file, "label", label, _Candidates([*numbers, *names], likely_labels, LABEL_NAMES, offered)
    )
    return Columns(chosen, labelled, _class_names(schema, labelled), labelled in names)


def split_of(
    where: str, files: Mapping[str, str], columns: Columns, spec: ImagesSpec, train: Columns | None = None
) -> tuple[FileSplit, Columns]:
    """The images of Arrow files with their class numbers, and the columns with the names of the classes. `files`
    maps each of the user's files to the file that is read. For the validation split, `train` are those of the
    training split.

    Raises SklabError for an image without a class and for classes that do not fit the settings.
    """
    if train is not None and columns.named != train.named:
        here, in_train = ("class names" if split.named else "class numbers" for split in (columns, train))
        raise SklabError(f"{where}: {columns.label} holds {here}, but {train.label} of the training files {in_train}")
    chunks = [chunk for source, file in files.items() for chunk in _labels(source, file, columns)]
    values = arrow().chunked_array(chunks, arrow().string() if columns.named else arrow().int64())
    if columns.named:
        columns = replace(columns, classes=train.classes if train else tuple(sorted(values.unique().to_pylist())))
        labels = _class_numbers(where, values, columns)
    else:
        labels = np.asarray(values.to_numpy(), dtype=np.int64)
    ensure_classes(where, labels, columns, spec.num_classes, all_used=train is None)
    return FileSplit(ArrowPictures(tuple(files.values()), columns.image, tuple(files)), labels, spec.resize), columns


def count_classes(files: Mapping[str, str], columns: Columns) -> int:
    """The number of classes in Arrow files, which `files` maps the user's files to: of the names that a file lists or
    uses, else up to the highest number."""
    if columns.classes:
        return len(columns.classes)
    chunks = [chunk for source, file in files.items() for chunk in _labels(source, file, columns)]
    distinct = {value for chunk in chunks for value in chunk.unique().to_pylist()}
    return len(distinct) if columns.named else 1 + max(distinct, default=-1)


def ensure_classes(
    where: str, labels: NDArray[np.int64], columns: Columns, num_classes: int, *, all_used: bool
) -> None:
    """Raise SklabError if the class numbers do not fit `num_classes`; with `all_used`, every class must occur."""
    if len(labels) == 0:
        raise SklabError(f"{where}: no images")
    if labels.min() < 0:
        raise SklabError(f"{where}: {columns.label} = {labels.min()}; images without a class, as test sets have them")
    named, highest = len(columns.classes), int(labels.max()) + 1
    if named not in (0, num_classes) or highest > num_classes:
        most = max(named, highest)
        raise SklabError(f"{where}: {columns.label} has {most} classes; data.num_classes = {num_classes}")
    missing = np.flatnonzero(np.bincount(labels, minlength=num_classes) == 0)
    if all_used and len(missing):
        first = ", ".join(map(str, missing[:5].tolist()))
        raise SklabError(
            f"{where}: {columns.label} leaves {len(missing)} of data.num_classes = {num_classes} classes without an "
            f"image; the first of them: {first}"
        )


def _holds_images(kind: Any) -> bool:
    types = arrow().types
    if types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return any(field.name == "bytes" and _holds_images(field.type) for field in fields)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def holds_names(kind: Any) -> bool:
    """Whether values of this Arrow type are strings."""
    types = arrow().types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


class _Candidates(NamedTuple):
    """The candidates for a column: all that are allowed, the likely ones, usual names, and the list of them in
    errors."""

    allowed: list[str]
    likely: list[str]
    usual: Sequence[str]
    offered: str


def _choose_column(file: str, what: str, given: str | None, candidates: _Candidates) -> str:
    likely, usual = candidates.likely, candidates.usual
    if given is not None and given not in candidates.allowed:
        raise SklabError(f"{file}: data.{what}_column = {given!r}; {candidates.offered}")
    ranked = [given] if given else ([name for name in usual if name in likely] or likely)
    if not ranked or (len(ranked) > 1 and ranked[0] not in usual):
        raise SklabError(f"{file}: say which column is meant by data.{what}_column; {candidates.offered}")
    return ranked[0]


def _or_none(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """The class names that Hugging Face writes into a schema for a column of classes; empty if there are none."""
    try:
        about = from_json((schema.metadata or {})[b"huggingface"])
        return tuple(map(str, about["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _labels(source: str, file: str, columns: Columns) -> list[Any]:
    """The chunks of the label column, cast to the same type for all files."""
    values = open_table(file)[columns.label]
    if values.null_count:
        raise SklabError(f"{source}: {values.null_count} images have no {columns.label}")
    chunks: list[Any] = values.cast(arrow().string() if columns.named else arrow().int64(), safe=False).chunks
    return chunks


def _class_numbers(where: str, names: Any, columns: Columns) -> NDArray[np.int64]:
    """int64 [n]: the number of the class that each of `names` names."""
    numbers = arrow().compute.index_in(names, value_set=arrow().array(columns.classes, arrow().string()))
    unknown = sorted(set(names.filter(numbers.is_null()).to_pylist()))
    if unknown:
        raise SklabError(f"{where}: {columns.label} names classes that no training image has: {first_names(unknown)}")
    return np.asarray(numbers.to_numpy(), dtype=np.int64)
