"""The folder of a study with the folders of its runs; and the search for a study or a run by the name that a user
gives.

Its YAML may come from anywhere: it is read in one pass over the parser's events, without recursion, so that no nesting
can crash the reader.
"""

from __future__ import annotations

import glob
import shlex
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml
from pydantic import ValidationError

from sklab.errors import DamagedRecordError, SklabError
from sklab.spec.data import Fingerprint
from sklab.spec.study.sweep import Sweep
from sklab.store.files import collector_paused, content, read_optional, why_unreadable, write_whole
from sklab.store.measured.scores import Evaluation
from sklab.store.reader import RecordReader
from sklab.store.records import Reused, RunRecord
from sklab.store.run_folder import RunFolder

_dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the C version is ten times faster
_MOST_SWEEP = 64 * 2**20  # bytes of sweep.yaml
MOST_VALUES = 1_000_000  # a study of 1,000 cells and 10 seeds has 35,000
MOST_LEVELS = 64
_LONGEST_NUMBER = 400  # characters
_TAG = "tag:yaml.org,2002:"
# The C parser is many times faster. Its own loader would recurse in C without a limit.
_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_resolver, _constructor = yaml.resolver.Resolver(), yaml.constructor.SafeConstructor()
_READ = {
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": _constructor.construct_yaml_bool,
    f"{_TAG}int": _constructor.construct_yaml_int,
    f"{_TAG}float": _constructor.construct_yaml_float,
}


@dataclass(frozen=True)
class StudyFolder:
    """`results/<study>`. `rebuilt` names the files that every start makes again from the records and the sweep."""

    path: Path
    rebuilt: ClassVar = (
        *("study.log", "table.csv", "questions.csv", "runs.csv", "table.md", "table.tex", "references.bib"),
        *("report.tex", "report.md", "report.html", "figures"),
    )

    @property
    def sweep_file(self) -> Path:
        """The sweep as resolved at the last start."""
        return self.path / "sweep.yaml"

    @property
    def index_file(self) -> Path:
        """Optuna's journal; it can be rebuilt from the records."""
        return self.path / "study.log"

    @property
    def lock_file(self) -> Path:
        """Locked by the runner that works on the study."""
        return self.path / ".lock"

    def sharing_file(self, option: str) -> Path:
        """How many runs `--per-gpu auto` or `--abreast auto` has found to share a GPU; it is found again where this is
        missing."""
        return self.path / f"{option.lstrip('-').replace('-', '_')}.json"

    def inventory_file(self, fingerprint: Fingerprint) -> Path:
        """The inventory of a data set that runs of the study were trained on."""
        return self.path / "data" / f"{fingerprint.listing}.json"

    @property
    def confirmation(self) -> Path:
        """The folder of the study that confirms this one's best cell."""
        return self.path.parent / f"{self.path.name}-confirm"

    @property
    def argument(self) -> str:
        """The study as an argument of a shell command: the path of its folder, with a slash."""
        return shlex.quote(str(self.path) if _is_path(str(self.path)) else f"./{self.path}")

    @property
    def runs(self) -> Path:
        """A folder for each run; its name is the run's key."""
        return self.path / "runs"

    def run(self, key: str) -> RunFolder:
        """The folder of the run with this key; it need not exist."""
        return RunFolder(self.runs / key)

    def write_sweep(self, sweep: Sweep) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.sweep_file, yaml.dump(sweep.model_dump(mode="json"), Dumper=_dumper, sort_keys=False))

    def read_sweep(self) -> Sweep:
        """The study's sweep as resolved at the last start. Raises DamagedRecordError when it is missing or can't be
        read."""
        try:
            return Sweep.model_validate(read(content(self.sweep_file, _MOST_SWEEP)))
        except FileNotFoundError as error:
            others = _studies(self.path.parent)
            raise DamagedRecordError(f"{self.path} is no study: it has no sweep.yaml{others}") from error
        except (OSError, yaml.YAMLError, ValidationError) as error:
            why = error if isinstance(error, yaml.YAMLError) else why_unreadable(error)
            raise DamagedRecordError(f"{self.sweep_file} can't be read: {why}") from error

    def records(self, keys: Iterable[str] | None = None) -> dict[str, RunRecord]:
        """Every ended run by key, in the order of the keys; only those of `keys` when given. Raises
        DamagedRecordError for a record that can't be read or is of another run than its folder."""
        read, unreadable = self.readable(keys)
        for error in unreadable.values():
            raise error
        return read

    def readable(self, keys: Iterable[str] | None = None) -> tuple[dict[str, RunRecord], dict[str, DamagedRecordError]]:
        """The records by key, and for each unreadable one the error that names its fault and the remedy."""
        folders = self.runs.iterdir() if keys is None and self.runs.is_dir() else ()
        wanted = keys if keys is not None else sorted(run.name for run in folders)
        reader = RecordReader()
        read: dict[str, RunRecord] = {}
        unreadable: dict[str, DamagedRecordError] = {}
        with collector_paused():
            for key in wanted:
                try:
                    if record := self.run(key).read_record(reader):
                        read[key] = self._own(key, record)
                except DamagedRecordError as error:
                    unreadable[key] = error
        return read, unreadable

    def _own(self, key: str, record: RunRecord) -> RunRecord:
        """`record`, if it belongs to the run in whose folder it is. Raises DamagedRecordError if not."""
        if record.key != key:
            owner = f"{record.key} ({record.cell}, seed {record.spec.seed}), not of run {key}"
            remedy = "move it where it belongs, or delete it to train the run again"
            raise DamagedRecordError(f"{self.run(key).record_file} is of run {owner}; {remedy}")
        return record

    def reused(self, keys: Iterable[str]) -> dict[str, Reused]:
        """The origin of each of `keys` that was taken over; a warning where it can't be read."""
        origins = ((key, self._reused(key)) for key in keys)
        return {key: reused for key, reused in origins if reused is not None}

    def _reused(self, key: str) -> Reused | None:
        try:
            remedy = "delete it; the run beside it stays, without the name of its origin"
            return read_optional(self.run(key).reused_file, Reused, remedy)
        except DamagedRecordError as error:
            warnings.warn(str(error), stacklevel=2)
            return None

    def evaluations(self, keys: Iterable[str], sizes: Iterable[int]) -> dict[str, dict[int, Evaluation]]:
        """The evaluations at `sizes` that the runs of `keys` have, by key and size."""
        wanted = tuple(sizes)
        evaluations = {key: {size: self.run(key).read_evaluation(size) for size in wanted} for key in keys}
        return {
            key: {size: evaluation for size, evaluation in of_run.items() if evaluation}
            for key, of_run in evaluations.items()
        }


def _studies(results: Path) -> str:
    """The end of a message: the studies in `results`."""
    studies = sorted(file.parent.name for file in results.glob("*/sweep.yaml"))
    return f"; studies there: {', '.join(studies)}" if studies else ""


def find_study(name: str, results: Path) -> StudyFolder:
    """The study called `name` under `results`; for a path (`./kernels`, `other/kernels`), the study in that folder.

    Raises SklabError where a bare name is that of a study in the current folder but not of one under `results`.
    """
    if _is_path(name):
        return StudyFolder(Path(name))
    study, here = StudyFolder(results / name), StudyFolder(Path(name))
    if here.sweep_file.exists() and not study.sweep_file.exists():
        raise SklabError(f"{study.path} is no study; the folder {name} of the current one is named ./{name}")
    return study


def find_run(name: str, results: Path) -> RunFolder:
    """The run that `name` means: the path of its folder, `STUDY/key`, or the key of a run in any study under `results`.

    Raises SklabError when there is none, or several.
    """
    study, _, key = name.rpartition("/")
    if _is_path(name):
        folder = Path(study) if _is_path(study) else results / study
        named = Path(name), StudyFolder(folder).run(key).path
        folders = [path for path in dict.fromkeys(named) if (path / "run.json").is_file()]
    else:
        folders = sorted(order.parent for order in results.glob(f"*/runs/{glob.escape(name)}/run.json"))
    if len(folders) != 1:
        several = f"several: {', '.join(map(str, folders))}" if folders else f"none under {results}"
        allowed = "STUDY CELL SEED, a run's folder, STUDY/key or a key"
        raise SklabError(f"run {name!r}: found {several}; allowed: {allowed}{_studies(results)}")
    return RunFolder(folders[0])


def _is_path(name: str) -> bool:
    return "/" in name or name in (".", "..")


def read(text: bytes) -> Any:
    """The value in `text`, as PyYAML's safe loader gives it. Raises yaml.YAMLError for anything but null, booleans,
    numbers and text, in lists and mappings: for tags, aliases and dates, too many values, too many levels."""
    lists: list[list[Any]] = [[]]  # the open ones; for a mapping, keys and values in turn
    for count, event in enumerate(yaml.parse(text, Loader=_Parser)):
        kind = type(event)
        if isinstance(event, yaml.ScalarEvent):
            lists[-1].append(event.value if event.implicit[1] else _scalar(event))
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            lists.append([])
        elif kind is yaml.MappingEndEvent:
            lists[-2].append(_mapping(lists.pop(), event))
        elif kind is yaml.SequenceEndEvent:
            lists[-2].append(lists.pop())
        elif kind is yaml.AliasEvent:
            _refuse("an alias stands for another value", event)
        if count > MOST_VALUES or len(lists) > MOST_LEVELS:
            _refuse(f"more than {MOST_VALUES} values or {MOST_LEVELS} levels", event)
    return lists[0][-1] if lists[0] else None


def _scalar(event: yaml.ScalarEvent) -> Any:
    """A scalar that is written without quotes."""
    if not event.implicit[0]:
        _refuse(f"the tag {event.tag}", event)
    tag = _resolver.resolve(yaml.ScalarNode, event.value, (True, False))  # type: ignore[no-untyped-call]
    if tag == f"{_TAG}str":
        return event.value
    if tag not in _READ or len(event.value) > _LONGEST_NUMBER:
        _refuse(f"no plain value ({tag})", event)
    return _READ[tag](yaml.ScalarNode(tag, event.value))


def _mapping(entries: list[Any], event: yaml.Event) -> dict[Any, Any]:
    keys = entries[::2]
    if any(isinstance(key, (list, dict)) for key in keys):
        _refuse("a key is text or a number", event)
    return dict(zip(keys, entries[1::2], strict=True))


def _refuse(fault: str, event: yaml.Event) -> NoReturn:
    mark = event.start_mark
    raise yaml.YAMLError(f"{fault}{f', line {mark.line + 1}' if mark else ''}")
