"""A data set of the Hugging Face hub by name: the library `datasets` downloads it, then it is read locally."""

from __future__ import annotations

import importlib
from typing import Any, Literal

from pydantic import Field

from sklab.data.base import FileSplit, ImagesSpec, Splits, ThirdSplit
from sklab.data.formats.arrow import Columns, count_classes, find_columns, open_table, split_of
from sklab.errors import SklabError

_REMEDY = (
    "where this machine can't reach the hub, copy the set's Parquet files to it and use data: "
    "{name: parquet, root: <folder>}"
)


class Spec(ImagesSpec):
    """Settings of the set.

    path          name on the hub, such as `uoft-cs/cifar10`
    config        which of its configurations (`null`: the only or default one)
    revision      commit or tag; without one the set may change under a study
    train         name of the split for training
    val           name of the split for validation
    test          name of the third split (`null`: none)
    image_column  the column of images (`null`: found by its type and usual names)
    label_column  the column of classes (`null`: found by its type and usual names)
    """

    name: Literal["hub"] = "hub"
    path: str = Field(min_length=1)
    config: str | None = None
    revision: str | None = None
    train: str = Field(default="train", pattern=r"^\w[\w.-]*$")
    val: str = Field(default="validation", pattern=r"^\w[\w.-]*$")
    test: str | None = Field(default=None, pattern=r"^\w[\w.-]*$", description="the name of a split")
    image_column: str | None = None
    label_column: str | None = None

    def classes_held(self) -> int:
        """The number of classes in the training split."""
        files, columns = _files(self, "train")
        return count_classes(files, columns)


def load(spec: Spec) -> Splits:
    """Train and val, from the Arrow files that `datasets` keeps. Raises SklabError if they are missing or don't fit."""
    train, columns = _split(spec, "train")
    val, _ = _split(spec, "val", columns)
    return Splits(train, val, columns.classes or tuple(map(str, range(spec.num_classes))))


def load_test(spec: Spec) -> ThirdSplit:
    """The third split, with the classes of the training files. Raises SklabError as `load` does."""
    _, columns = _split(spec, "train")
    test, _ = _split(spec, "test", columns)
    return ThirdSplit(test, columns.classes or tuple(map(str, range(spec.num_classes))))


def list_test(spec: Spec) -> list[str]:
    """None: only the hub knows which files hold the split. Raises SklabError where it is another one of the splits."""
    if spec.test in (spec.train, spec.val):
        raise SklabError(f"data.test = {spec.test!r} is data.train or data.val as well; allowed: another split")
    return []


def _split(spec: Spec, split: str, train: Columns | None = None) -> tuple[FileSplit, Columns]:
    files, columns = _files(spec, split)
    return split_of(_where(spec, split), files, columns, spec, train)


def _files(spec: Spec, split: str) -> tuple[dict[str, str], Columns]:
    files = [str(file["filename"]) for file in _fetched(spec, getattr(spec, split)).cache_files]
    if not files:
        raise SklabError(f"{_where(spec, split)}: no images")
    schema = open_table(files[0]).schema
    columns = find_columns(_where(spec, split), schema, spec.image_column, spec.label_column)
    return {file: file for file in files}, columns


def _where(spec: Spec, split: str) -> str:
    return f"{spec.path} ({getattr(spec, split)})"


def _fetched(spec: Spec, split: str) -> Any:
    """The split as `datasets.Dataset`; it is downloaded if it is not there yet."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise SklabError("data sets of the Hugging Face hub need datasets: pip install 'sklab[hub]'") from error
    try:
        return datasets.load_dataset(spec.path, spec.config, split=split, revision=spec.revision)
    except Exception as error:  # an error of the library, the network or the hub: in any case there are no data
        message = (str(error).strip().splitlines() or [""])[0]
        raise SklabError(f"{spec.path} ({split}): not loaded ({type(error).__name__}: {message}); {_REMEDY}") from error
