"""Your own images in Parquet or Arrow files in Hugging Face's layout: a column of images, and one of classes."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from sklab.data.base import FileSplit, ImagesSpec, Splits, ThirdSplit
from sklab.data.formats.arrow import Columns, arrow, count_classes, find_columns, holds_names, open_table, split_of
from sklab.errors import SklabError
from sklab.store.files import is_regular, writing_whole
from sklab.system.machine import cache_folder

_SUFFIXES = (".parquet", ".arrow")
_ROWS = 256  # per batch of a copy: so many are in memory at a time


class Spec(ImagesSpec):
    """Settings of the set.

    root          folder of the files; `~` is the home folder
    train         the files of training below `root`, as a pattern (`*` in a name, `**/` for folders at any depth)
    val           the files of validation, as a pattern
    test          the files of the third split, as a pattern (`null`: none)
    image_column  the column of images (`null`: found by its type and usual names)
    label_column  the column of classes (`null`: found by its type and usual names)
    """

    places: ClassVar[frozenset[str]] = frozenset({"root"})

    name: Literal["parquet"] = "parquet"
    root: str = Field(min_length=1)
    train: str = Field(default="**/train*", min_length=1)
    val: str = Field(default="**/val*", min_length=1)
    test: str | None = Field(default=None, min_length=1, description="a pattern of files")
    image_column: str | None = None
    label_column: str | None = None

    def classes_held(self) -> int:
        """The number of classes in the training files."""
        files = _files(self, "train")
        columns = find_columns(files[0], _schema(files[0]), self.image_column, self.label_column)
        return count_classes({file: _arrow_file(file, columns) for file in files}, columns)


def load(spec: Spec) -> Splits:
    """Train and val; no image is decoded. Parquet files are copied to the cache once, as Arrow, for random access.

    Raises SklabError when files, columns or classes are not as the spec says.
    """
    train, columns = _split(spec, "train")
    val, _ = _split(spec, "val", columns)
    return Splits(train, val, columns.classes or tuple(map(str, range(spec.num_classes))))


def load_test(spec: Spec) -> ThirdSplit:
    """The third split, with the classes of the training files. Raises SklabError as `load` does."""
    _, columns = _split(spec, "train")
    test, _ = _split(spec, "test", columns)
    return ThirdSplit(test, columns.classes or tuple(map(str, range(spec.num_classes))))


def list_test(spec: Spec) -> list[str]:
    """The files of the third split; none is opened. Raises SklabError where there are none, or where one is a file of
    another split."""
    files = _files(spec, "test")
    shared = [file for file in files if file in {*_files(spec, "train"), *_files(spec, "val")}]
    if shared:
        raise SklabError(f"{shared[0]}: data.test = {spec.test!r} fits this file, and so does data.train or data.val")
    return files


def _split(spec: Spec, split: str, train: Columns | None = None) -> tuple[FileSplit, Columns]:
    files = _files(spec, split)
    columns = find_columns(files[0], _schema(files[0]), spec.image_column, spec.label_column)
    return split_of(
        f"{spec.root} ({split})", {file: _arrow_file(file, columns) for file in files}, columns, spec, train
    )


def _files(spec: Spec, split: str) -> list[str]:
    root, pattern = Path(spec.root).expanduser(), getattr(spec, split)
    if not root.is_dir():
        raise SklabError(f"{root}: no such folder (data.root = {spec.root!r})")
    try:
        matches = sorted(root.glob(pattern))
    except (ValueError, NotImplementedError) as error:
        raise SklabError(f"data.{split} = {pattern!r}: {error}; allowed: a pattern below data.root") from error
    inside = [file for path in matches for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    files = list(dict.fromkeys(str(path) for path in inside if path.suffix in _SUFFIXES))
    if irregular := [file for file in files if not is_regular(Path(file))]:
        raise SklabError(f"{irregular[0]}: no regular file, or a link to nothing")
    if not files:
        raise SklabError(f"{root}: no {' or '.join(_SUFFIXES)} file fits data.{split} = {pattern!r}")
    return files


def _schema(file: str) -> Any:
    return open_table(file).schema if file.endswith(".arrow") else _parquet(file).schema_arrow


def _parquet(file: str) -> Any:
    arrow()
    try:
        return importlib.import_module("pyarrow.parquet").ParquetFile(file)
    except (OSError, arrow().ArrowInvalid) as error:
        raise SklabError(f"{file}: not a readable Parquet file ({error})") from error


def _arrow_file(file: str, columns: Columns) -> str:
    """An Arrow file with the columns in use: `file` itself, or its copy in the cache."""
    if file.endswith(".arrow"):
        return file
    status = Path(file).stat()
    identity = f"{Path(file).resolve()} {status.st_size} {status.st_mtime_ns} {columns.image} {columns.label}"
    copy = cache_folder() / f"parquet-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.arrow"
    if not copy.exists():
        try:
            _copy(file, copy, [columns.image, columns.label])
        except (OSError, arrow().ArrowInvalid) as error:
            raise SklabError(f"{file}: can't be copied to {copy.parent} ($SKLAB_CACHE): {error}") from error
    return str(copy)


def _copy(file: str, copy: Path, columns: list[str]) -> None:
    """Write the copy atomically: a reader sees a complete file."""
    source, ipc = _parquet(file), importlib.import_module("pyarrow.ipc")
    copy.parent.mkdir(parents=True, exist_ok=True)
    batches = source.iter_batches(_ROWS, columns=columns)
    original = source.schema_arrow
    schema = arrow().schema([_without_dictionary(original.field(name)) for name in columns], original.metadata)
    with writing_whole(copy) as stream, ipc.new_file(stream, schema) as target:
        for batch in batches:
            target.write_batch(batch.select(columns).cast(schema))


def _without_dictionary(field: Any) -> Any:
    """The column with plain strings instead of a dictionary: an Arrow file allows only one dictionary per column."""
    return field.with_type(arrow().string()) if holds_names(field.type) else field
