"""The folder of a run.

`record.json` is the truth about a run. It appears whole (written aside, flushed, put in place) or not at all,
so a run without one has not ended and a run with one is never repeated unless it failed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from sklab.errors import DamagedRecordError
from sklab.own.files import keep_copies
from sklab.spec.analysis import Analysis, AttentionSummary
from sklab.spec.jobs import PULSE_FILE, Pulse
from sklab.store.files import checksum, content, is_torn, read_kept, read_optional, sealed, why_unreadable, write_whole
from sklab.store.measured.scores import Evaluation, FurtherMetrics
from sklab.store.reader import RecordReader
from sklab.store.records import RunOrder, RunRecord

_ANALYZE = "delete it; `sklab analyze` tells of kept weights anew"
_UNSURE = "its numbers may be somebody's, not the run's"
_MOST_SEEN = 256 * 2**20  # bytes of attention or analysis, which grow with the number of classes


@dataclass(frozen=True)
class RunFolder:
    """`runs/<key>`: the order, the record and the files of the current attempt; earlier ones under `attempts/`.

    The checkpoints belong to the run, not to an attempt: each attempt goes on from the newest one.
    """

    path: Path

    @property
    def order_file(self) -> Path:
        """The order of the run; written anew for each attempt."""
        return self.path / "run.json"

    @property
    def record_file(self) -> Path:
        """The record of how the current attempt ended; missing until then."""
        return self.path / "record.json"

    @property
    def metrics_file(self) -> Path:
        """One row for each epoch of the current attempt."""
        return self.path / "metrics.csv"

    @property
    def steps_file(self) -> Path:
        """Loss and learning rate of the current attempt within its epochs; older versions left none."""
        return self.path / "steps.csv"

    @property
    def weights_file(self) -> Path:
        """The weights with which the last epoch of a complete run was evaluated."""
        return self.path / "weights.pt"

    @property
    def best_weights_file(self) -> Path:
        """Those of the epoch of lowest val_error, where they were asked for and that is not the last one."""
        return self.path / "best.pt"

    @property
    def test_file(self) -> Path:
        """The evaluation of the kept weights on the test split (`store.dated`)."""
        return self.path / "test.json"

    @property
    def attention_file(self) -> Path:
        """The attention of the SK units in the last epoch's evaluation; there is none for a network without SK
        units."""
        return self.path / "attention.json"

    @property
    def images_file(self) -> Path:
        """What the run made of each validation image (`store.measured.images`); older versions left none."""
        return self.path / "images.json"

    @property
    def analysis_file(self) -> Path:
        """The result of `sklab analyze`."""
        return self.path / "analysis.json"

    def evaluation_file(self, size: int) -> Path:
        """The evaluation of the kept weights at `size` pixels a side."""
        return self.path / f"evaluation-{size}.json"

    def read_evaluation(self, size: int) -> Evaluation | None:
        """The evaluation at `size`; None when there is none, or when it is unreadable or of other weights than the
        record names: it is then made again."""
        evaluation = read_kept(self.evaluation_file(size), Evaluation)
        return evaluation if evaluation and self._names(self.weights_file, evaluation.weights) else None

    def missing_sizes(self, record: RunRecord | None, sizes: Iterable[int]) -> tuple[int, ...]:
        """The `sizes` at which a complete run has not been evaluated; none for other runs."""
        if record is None or record.status != "complete":
            return ()
        return tuple(size for size in sizes if self.read_evaluation(size) is None)

    @property
    def metrics_evaluated_file(self) -> Path:
        """The further metrics of the kept weights that the run itself did not compute."""
        return self.path / "metrics.json"

    def _read_further(self, record: RunRecord) -> FurtherMetrics | None:
        """What is in that file; None when there is none, or when it is unreadable or of other weights than the record
        names: it is then made again."""
        found = read_kept(self.metrics_evaluated_file, FurtherMetrics)
        if found is None or found.key != record.key:
            return None
        named = ((self.weights_file, found.weights), (self.best_weights_file, found.best_weights))
        return found if all(digest in ("", record.files.get(file.name, "")) for file, digest in named) else None

    def missing_metrics(self, record: RunRecord | None, metrics: Iterable[str]) -> tuple[str, ...]:
        """The `metrics` that a complete run has not been evaluated by and can be: at its last epoch, or its best where
        these weights were kept."""
        metrics = tuple(metrics)
        if not metrics or record is None or record.status != "complete":
            return ()
        epochs = [record.last]
        if record.best_epoch == record.epochs or self.best_weights_file.exists():
            epochs.append(record.best)
        return tuple(
            name for name in metrics if not record.has_by_same_code(name) or any(name not in epoch for epoch in epochs)
        )

    def lacks_figures(self, record: RunRecord | None, sizes: Iterable[int], metrics: Iterable[str]) -> bool:
        """Whether a complete run has not been evaluated at all of these `sizes` and by all of these `metrics`."""
        return bool(self.missing_sizes(record, sizes) or self.missing_metrics(record, metrics))

    @property
    def reused_file(self) -> Path:
        """The origin of a run that was taken over from another study; missing for other runs."""
        return self.path / "reused.json"

    @property
    def prune_file(self) -> Path:
        """The runner's request to end as pruned: the reason, in one line. Missing without a request."""
        return self.path / "prune.txt"

    @property
    def log_file(self) -> Path:
        """All that the current attempt's process has printed."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, until the run has ended for good."""
        return self.path / "checkpoints"

    @property
    def checkpoint_step(self) -> int:
        """The optimizer step of the newest checkpoint, from its name; 0 without a checkpoint."""
        return max((int(file.name.partition("-")[0]) for file in self.checkpoints.glob("[0-9]*-*.ckpt")), default=0)

    @property
    def lock_file(self) -> Path:
        """Locked by the process that trains the run; a second process waits for it."""
        return self.path / ".lock"

    @property
    def job_file(self) -> Path:
        """The number of the Slurm job that trains the run."""
        return self.path / "job.json"

    @property
    def is_queued(self) -> bool:
        """Whether the run is with a cluster, as far as the last runner knew: its job may still write here."""
        return self.job_file.exists()

    @property
    def heartbeat_file(self) -> Path:
        """An empty file, touched as the attempt makes steps; missing before the first step and beside a record."""
        return self.path / "heartbeat"

    def read_pulse(self) -> Pulse | None:
        """The run's last pulse; None before the first one, after its end, and for a pulse of an earlier attempt."""
        file = self.path / PULSE_FILE
        with suppress(OSError, ValidationError):
            if file.stat().st_mtime >= self.order_file.stat().st_mtime:
                return Pulse.model_validate_json(content(file))
        return None

    @property
    def attempts(self) -> Path:
        """A folder for each earlier attempt, from `001` on."""
        return self.path / "attempts"

    def read_order(self) -> RunOrder:
        """The order in `run.json`. Raises DamagedRecordError when it can't be read as one."""
        try:
            return RunOrder.model_validate_json(content(self.order_file))
        except (OSError, ValidationError) as error:
            message = f"{self.order_file}: not a run order ({why_unreadable(error)}); delete the folder"
            raise DamagedRecordError(message) from error

    def read_record(self, reader: RecordReader | None = None) -> RunRecord | None:
        """The record, or None when the run has not ended. A torn file is set aside with a warning; a file
        that was changed after it was written gives a warning.

        Raises DamagedRecordError for a whole file that this version can't read, and for one that can't be read at all:
        it may be somebody's result.

        Metrics that were computed later (`metrics.json`) stand in it like its own.
        """
        try:
            record = (reader or RecordReader()).read(content(self.record_file))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._damaged(error, "mend it") from error
        except ValidationError as error:
            if not is_torn(error):
                raise self._damaged(error, "use the version that wrote it") from error
            self._set_record_aside()
            return None
        if record.edited:
            warnings.warn(f"{self.record_file} was changed after the run had written it: {_UNSURE}", stacklevel=3)
        further = self._read_further(record)
        return record.with_metrics(further) if further else record

    def _damaged(self, error: OSError | ValidationError, remedy: str) -> DamagedRecordError:
        again = "or move its folder away to train the run again"
        return DamagedRecordError(f"{self.record_file}: {why_unreadable(error)}; {remedy}, {again}")

    def read_attention(self) -> AttentionSummary | None:
        """The attention of the final evaluation, or None where there is no file. Raises DamagedRecordError."""
        summary = read_optional(self.attention_file, AttentionSummary, _ANALYZE, _MOST_SEEN)
        if summary and not self._names(self.attention_file, checksum(content(self.attention_file, _MOST_SEEN))):
            raise DamagedRecordError(f"{self.attention_file} is not what the run has written; {_ANALYZE}")
        return summary

    def read_analysis(self) -> Analysis | None:
        """The result of `sklab analyze`, or None where there is no file. Raises DamagedRecordError."""
        analysis = read_optional(self.analysis_file, Analysis, _ANALYZE, _MOST_SEEN)
        if analysis and not self._names(self.weights_file, analysis.weights):
            raise DamagedRecordError(f"{self.analysis_file} is of other weights than the run's; {_ANALYZE}")
        return analysis

    def checksums(self) -> dict[str, str]:
        """SHA-256, by file name, of those files of the attempt that its record names."""
        kept = (self.weights_file, self.best_weights_file, self.attention_file, self.images_file)
        return {file.name: checksum(file.read_bytes()) for file in kept if file.exists()}

    def _names(self, file: Path, digest: str) -> bool:
        """Whether the record names `digest` as the checksum of `file`; also True if a version without checksums wrote
        one of the two."""
        try:
            named = from_json(content(self.record_file))["files"][file.name]
        except (OSError, ValueError, TypeError, KeyError):
            return True
        return digest in ("", named)

    def _set_record_aside(self) -> None:
        """Rename the torn record and warn. Without write access there is only the warning, every time."""
        aside = self.record_file.with_suffix(".damaged")
        try:
            self.record_file.replace(aside)
            done = f"set aside as {aside.name}"
        except OSError as error:
            done = f"it can't be set aside ({error.strerror})"
        warnings.warn(f"{self.record_file} is torn, its run counts as not ended; {done}", stacklevel=4)

    def ask_to_prune(self, why: str) -> None:
        """Ask the current attempt to end as pruned; the next attempt ignores the request."""
        write_whole(self.prune_file, why)

    def write_order(self, order: RunOrder) -> None:
        """Write the order into the folder, which is made if it is missing, and beside it the files of own code that it
        needs."""
        self.path.mkdir(parents=True, exist_ok=True)
        keep_copies(self.path, order.codes)
        write_whole(self.order_file, order.model_dump_json(indent=1))

    def write_record(self, record: RunRecord) -> None:
        """Write the record, which ends the current attempt."""
        write_whole(self.record_file, sealed(record))
        self.heartbeat_file.unlink(missing_ok=True)  # after the record: the watchdog always sees one of the two

    @property
    def attempt(self) -> int:
        """Number of the current attempt, from 1."""
        return 1 + (sum(1 for _ in self.attempts.iterdir()) if self.attempts.is_dir() else 0)

    def begin_attempt(self) -> None:
        """Move the files of the last attempt into `attempts/<its number>/`. Its weights, and the files that were
        computed from them, are deleted."""
        evaluations = [file for file in self.path.iterdir() if file.name.startswith("evaluation-")]
        from_weights = (*evaluations, self.attention_file, self.images_file, self.analysis_file, self.reused_file)
        from_weights += (self.best_weights_file, self.test_file, self.metrics_evaluated_file)
        for file in (self.weights_file, self.heartbeat_file, self.prune_file, *from_weights):
            file.unlink(missing_ok=True)
        ours = (self.log_file, self.metrics_file, self.steps_file, self.record_file)
        files = [file for file in ours if file.exists()]
        if not files:
            return
        past = self.attempts / f"{self.attempt:03d}"
        past.mkdir(parents=True)
        for file in files:
            file.rename(past / file.name)
