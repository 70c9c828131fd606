"""What lies on disk: the folders of a study and of its runs, and the records in them.

`record.json` is the truth about a run. It appears whole (written aside, flushed, put in place) or not at all,
so a run without one has not ended and a run with one is never repeated unless it failed.
"""

from __future__ import annotations

import gc
import glob
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError

from sklab.errors import DamagedRecordError, SklabError
from sklab.spec.analysis import Analysis, AttentionSummary
from sklab.spec.data import AnyData
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.sweep import Metric, Sweep
from sklab.spec.values import Seq, Value

V = TypeVar("V", bound=Value)

Status = Literal["complete", "diverged", "failed"]
FailureClass = Literal["preempted", "stale", "oom", "diverged", "data", "code", "killed"]


class Code(Value):
    """Which sklab made a run: its version, git commit ("" outside a checkout) and whether the tree was dirty."""

    version: str
    commit: str = ""
    dirty: bool = False

    def same_as(self, other: Code) -> bool:
        """Whether both are surely the same code: two trees with uncommitted changes may differ in them."""
        return self == other and not self.dirty


class Tracking(Value):
    """Where a run's live metrics go. `group` is the study, `job_type` the cell."""

    mode: Literal["online", "offline", "disabled"] = "disabled"
    project: str = "sklab"


class RunOrder(Value):
    """`run.json`: what control asks of compute.

    sizes               pixels a side at which the kept weights are evaluated once the run is complete. They change
                        nothing about the run and so are no part of its spec: a later order may ask for others
    checkpoint_seconds  of training between two checkpoints, at least (0: one after every step); no part of the spec
                        either
    accumulate_factor   into how many parts each batch of the recipe is cut because it does not fit into memory; so many
                        times more are accumulated. The effective batch, and with it the spec and the key, stay
    """

    key: str
    study: str
    cell: str
    factors: dict[str, str] = {}
    spec: RunSpec
    code: Code
    tracking: Tracking = Tracking()
    sizes: Seq[int] = ()
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    accumulate_factor: int = Field(default=1, ge=1)

    @property
    def experiment(self) -> Experiment:
        """The experiment as it is to be trained."""
        train, factor = self.spec.experiment.train, self.accumulate_factor
        cut = {"batch_size": train.batch_size // factor, "accumulate": train.accumulate * factor}
        return self.spec.experiment.model_copy(update={"train": train.model_copy(update=cut)})


class Hardware(Value):
    """Where a run ran. `threads` are torch's intra-op threads, per device; they decide the last bits on the CPU."""

    host: str
    device: str
    device_name: str
    threads: int
    devices: int = Field(default=1, ge=1)


class RunRecord(Value):
    """`record.json`: how a run ended.

    status              `complete`; `diverged` (a non-finite loss: a result, not repeated); `failed` (repeated by
                        the next `sklab sweep`)
    last, best          metrics by name at the last epoch and at the epoch of lowest val_error; errors in %
    best_epoch          counted from 1; 0 when no epoch was finished
    params, macs        parameters; multiply-accumulates of one forward pass of one image
    wall_seconds        from the start of `train` to its end; `train_seconds` in training steps only. Both count what
                        earlier attempts did up to the checkpoint that the last one went on from, and nothing else
    samples_per_second  training images per second of `train_seconds`
    peak_memory_mb      of the process (CPU) or of the device (GPU), in 10^6 bytes; the largest of several
    skipped_images      left out of both splits because they can't be decoded (`data.skip_corrupt`)
    started, ended      of the attempt, and `first_step` of its first training step: UTC, ISO 8601
    attempt             number of the attempt that ended so, from 1
    resumed_from        optimizer steps of earlier attempts that it went on from (0: it began anew)
    accumulate_factor   as in the order
    """

    key: str
    study: str
    cell: str
    factors: dict[str, str] = {}
    spec: RunSpec
    code: Code
    status: Status
    failure: FailureClass | None = None
    reason: str = ""
    traceback: str = ""
    last: dict[str, float] = {}
    best: dict[str, float] = {}
    best_epoch: int = 0
    epochs: int = 0
    params: int = Field(default=0, ge=0)
    macs: int = Field(default=0, ge=0)
    wall_seconds: float = 0.0
    train_seconds: float = 0.0
    samples_per_second: float = 0.0
    peak_memory_mb: float = 0.0
    skipped_images: int = Field(default=0, ge=0)
    hardware: Hardware | None = None
    versions: dict[str, str] = {}
    started: str = ""
    ended: str = ""
    first_step: str = ""
    attempt: int = Field(default=1, ge=1)
    resumed_from: int = Field(default=0, ge=0)
    accumulate_factor: int = Field(default=1, ge=1)

    @classmethod
    def of(cls, order: RunOrder, **fields: Any) -> RunRecord:
        """A record of the run that `order` asks for."""
        names = ("key", "study", "cell", "factors", "spec", "code", "accumulate_factor")
        return cls(**{name: getattr(order, name) for name in names}, **fields)

    @property
    def final(self) -> bool:
        """Whether the run is over for good: a failed one is tried again, a diverged one is a result."""
        return self.status != "failed"

    def value(self, metric: Metric) -> float | None:
        """The number a study is about, at the epoch its rule names; None when the record lacks it."""
        return (self.last if metric.epoch == "last" else self.best).get(metric.name)


class Evaluation(Value):
    """`evaluation-<size>.json`: a run's weights on its validation images at `image_size` pixels a side; errors in %."""

    key: str
    data: AnyData
    image_size: int
    images: int
    val_error: float
    val_loss: float
    device: str
    torch: str


class Reused(Value):
    """`reused.json`: the run was copied from `study`, a folder beside the own one, by the sklab that `code` says."""

    study: str
    key: str
    code: Code


@dataclass(frozen=True)
class RunFolder:
    """`runs/<key>`: the order, the record and the files of the current attempt; earlier ones under `attempts/`.

    The checkpoints are the run's, not the attempt's: each attempt goes on from the newest.
    """

    path: Path

    @property
    def order_file(self) -> Path:
        return self.path / "run.json"

    @property
    def record_file(self) -> Path:
        return self.path / "record.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def weights_file(self) -> Path:
        """The weights that the last epoch was evaluated with, of a complete run; runs of sklab 0.1.0 have none."""
        return self.path / "weights.pt"

    @property
    def attention_file(self) -> Path:
        """The attention of the SK units in the last epoch's evaluation; a network without any leaves none."""
        return self.path / "attention.json"

    @property
    def analysis_file(self) -> Path:
        """What `sklab analyze` found."""
        return self.path / "analysis.json"

    def evaluation_file(self, size: int) -> Path:
        return self.path / f"evaluation-{size}.json"

    def read_evaluation(self, size: int) -> Evaluation | None:
        """The evaluation at `size`; None when there is none, or none that can be read, which is then made again."""
        try:
            return Evaluation.model_validate_json(self.evaluation_file(size).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def lacking(self, record: RunRecord | None, sizes: Iterable[int]) -> tuple[int, ...]:
        """Those of `sizes` that the run could be evaluated at and was not: none before it is complete."""
        if record is None or record.status != "complete":
            return ()
        return tuple(size for size in sizes if self.read_evaluation(size) is None)

    @property
    def reused_file(self) -> Path:
        """There only when the run was taken over from another study."""
        return self.path / "reused.json"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie until the run is over."""
        return self.path / "checkpoints"

    @property
    def reached(self) -> int:
        """The optimizer step of the newest checkpoint, which stands in its name; 0 without any."""
        return max((int(file.name.partition("-")[0]) for file in self.checkpoints.glob("[0-9]*-*.ckpt")), default=0)

    @property
    def heartbeat_file(self) -> Path:
        """An empty file, touched as the steps of the attempt go by; none before the first."""
        return self.path / "heartbeat"

    @property
    def attempts(self) -> Path:
        return self.path / "attempts"

    def read_order(self) -> RunOrder:
        """What control asked for. Raises DamagedRecordError when `run.json` is no order."""
        try:
            return RunOrder.model_validate_json(self.order_file.read_bytes())
        except (OSError, ValidationError) as error:
            raise DamagedRecordError(f"{self.order_file}: not a run order ({error}); delete the folder") from error

    def read_record(self) -> RunRecord | None:
        """The record, or None when the run has not ended. A torn file is set aside with a warning.

        Raises DamagedRecordError for a whole file that this version can't read: it may be somebody's result.
        """
        try:
            return RunRecord.model_validate_json(self.record_file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            if not _is_torn(error):
                remedy = "use the version that wrote it, or move its folder away to train the run again"
                raise DamagedRecordError(f"{self.record_file}: {error}\n{remedy}") from error
            self._set_record_aside()
            return None

    def read_attention(self) -> AttentionSummary | None:
        """The attention of the final evaluation, or None where there is no file. Raises DamagedRecordError."""
        return _read_optional(self.attention_file, AttentionSummary)

    def read_analysis(self) -> Analysis | None:
        """What `sklab analyze` found, or None where there is no file. Raises DamagedRecordError."""
        return _read_optional(self.analysis_file, Analysis)

    def _set_record_aside(self) -> None:
        aside = self.record_file.with_suffix(".damaged")
        self.record_file.replace(aside)
        warnings.warn(f"{self.record_file} was torn; set aside as {aside.name}", stacklevel=4)

    def write_order(self, order: RunOrder) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.order_file, order.model_dump_json(indent=1))

    def write_record(self, record: RunRecord) -> None:
        write_whole(self.record_file, record.model_dump_json(indent=1))

    @property
    def attempt(self) -> int:
        """Number of the current attempt, from 1."""
        return 1 + (sum(1 for _ in self.attempts.iterdir()) if self.attempts.is_dir() else 0)

    def begin_attempt(self) -> None:
        """Move what an earlier attempt left into `attempts/<its number>/`; its weights are dropped, and so is what was
        read off them."""
        read_off = (*self.path.glob("evaluation-*.json"), self.attention_file, self.analysis_file, self.reused_file)
        for file in (self.weights_file, self.heartbeat_file, *read_off):
            file.unlink(missing_ok=True)
        left = [file for file in (self.log_file, self.metrics_file, self.record_file) if file.exists()]
        if not left:
            return
        past = self.attempts / f"{self.attempt:03d}"
        past.mkdir(parents=True)
        for file in left:
            file.rename(past / file.name)


@dataclass(frozen=True)
class StudyFolder:
    """`results/<study>`."""

    path: Path

    @property
    def sweep_file(self) -> Path:
        return self.path / "sweep.yaml"

    @property
    def index_file(self) -> Path:
        return self.path / "study.log"

    @property
    def lock_file(self) -> Path:
        return self.path / ".lock"

    def run(self, key: str) -> RunFolder:
        return RunFolder(self.path / "runs" / key)

    def write_sweep(self, sweep: Sweep) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.sweep_file, yaml.dump(sweep.model_dump(mode="json"), Dumper=_dumper, sort_keys=False))

    def read_sweep(self) -> Sweep:
        """The study's sweep as resolved. Raises DamagedRecordError when there is none to read."""
        try:
            return Sweep.model_validate(yaml.load(self.sweep_file.read_bytes(), Loader=_loader))  # noqa: S506
        except FileNotFoundError as error:
            others = sorted(file.parent.name for file in self.path.parent.glob("*/sweep.yaml"))
            known = f"; studies there: {', '.join(others)}" if others else ""
            raise DamagedRecordError(f"{self.path} is no study: it has no sweep.yaml{known}") from error
        except (yaml.YAMLError, ValidationError) as error:
            raise DamagedRecordError(f"{self.sweep_file} can't be read: {error}") from error

    def records(self, keys: Iterable[str] | None = None) -> dict[str, RunRecord]:
        """Every ended run by key, in the order of the keys; only those of `keys` when given."""
        runs = self.path / "runs"
        wanted = keys if keys is not None else (sorted(run.name for run in runs.iterdir()) if runs.is_dir() else [])
        with collector_paused():
            found = ((key, self.run(key).read_record()) for key in wanted)
            return {key: record for key, record in found if record is not None}

    def reused(self, keys: Iterable[str]) -> dict[str, Reused]:
        """Where those runs of `keys` that were taken over come from. Raises DamagedRecordError."""
        remedy = "delete it; the run beside it stays, without the name of its origin"
        found = ((key, _read_optional(self.run(key).reused_file, Reused, remedy)) for key in keys)
        return {key: reused for key, reused in found if reused is not None}

    def evaluations(self, keys: Iterable[str], sizes: Iterable[int]) -> dict[str, dict[int, Evaluation]]:
        """The evaluations at `sizes` that the runs of `keys` have, by key and size."""
        wanted = tuple(sizes)
        found = {key: {size: self.run(key).read_evaluation(size) for size in wanted} for key in keys}
        return {key: {size: one for size, one in of_run.items() if one} for key, of_run in found.items()}


def find_run(name: str, results: Path) -> RunFolder:
    """The run that `name` means: its folder, `STUDY/key`, or the key of a run in any study under `results`.

    Raises SklabError when there is none, or several.
    """
    study, _, key = name.rpartition("/")
    named = Path(name), Path(study) / "runs" / key, results / study / "runs" / key
    found = [path for path in dict.fromkeys(named) if (path / "run.json").is_file()]
    if not found and not study:
        found = sorted(order.parent for order in results.glob(f"*/runs/{glob.escape(key)}/run.json"))
    if len(found) != 1:
        several = f"several: {', '.join(map(str, found))}" if found else f"none under {results}"
        raise SklabError(f"run {name!r}: found {several}; allowed: a run's folder, STUDY/key or a key")
    return RunFolder(found[0])


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector from going through thousands of records again and again: they have no cycles, and
    it takes as long as the reading."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


# The C versions are ten times faster on a study of thousands of cells and just as safe.
_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_ANALYZE = "delete it; `sklab analyze` tells of kept weights anew"


def _read_optional(file: Path, kind: type[V], remedy: str = _ANALYZE) -> V | None:
    try:
        return kind.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise DamagedRecordError(f"{file} can't be read as {kind.__name__}: {error}\n{remedy}") from error


def _is_torn(error: ValidationError) -> bool:
    """Whether a file is no JSON at all."""
    return error.errors()[0]["type"] == "json_invalid"


def write_whole(file: Path, content: str | bytes | memoryview) -> None:
    """Write `file` so that a reader, and a machine that dies now, sees all of it or what was there before."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with aside.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def now() -> str:
    """This moment in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
