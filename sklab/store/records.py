"""What is written about runs: orders, records and origins. `run_folder` says in which files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from sklab.spec.data import Fingerprint
from sklab.spec.own.parts import codes_in
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.start.weights import Started
from sklab.spec.study.metrics import METRICS, OwnMetric, declare_in
from sklab.spec.study.sweep import Epoch, Metric
from sklab.spec.values import Seq, Value
from sklab.store.hardware import Energy, Hardware
from sklab.store.measured.scores import FurtherMetrics

Status = Literal["complete", "diverged", "pruned", "failed"]
RunState = Literal["complete", "diverged", "pruned", "failed", "stopped", "unreadable", "running", "waiting"]
FailureClass = Literal["preempted", "stale", "oom", "device", "diverged", "data", "code", "killed"]


class Code(Value):
    """The sklab that made a run: its version, git commit ("" outside its own checkout) and whether the tree was
    dirty."""

    version: str
    commit: str = ""
    dirty: bool = False

    def same_as(self, other: Code) -> bool:
        """Whether both are certainly the same code. Trees with uncommitted changes may differ in these, and of code
        without a commit only the version is known."""
        return self == other and self.commit != "" and not self.dirty


Artifact = Literal["weights", "table"]


class Tracking(Value):
    """What goes to W&B, and where; no part of a run's spec. A run's job type is its cell.

    server           URL of the server ("": the one that wandb itself finds)
    project, entity  whose project ("": the entity of the key)
    group            "": the study's name
    name             of a run; {study}, {cell}, {seed} and {key} stand for its own
    system           whether wandb measures the machine as well
    artifacts        `weights` of complete runs, the study's `table` and report
    """

    mode: Literal["online", "offline", "disabled"] = "disabled"
    project: str = "sklab"
    entity: str = ""
    server: str = ""
    group: str = ""
    name: str = "{cell} s{seed}"
    tags: Seq[str] = ()
    notes: str = ""
    system: bool = False
    artifacts: Seq[Artifact] = ()


class RunOrder(Value):
    """`run.json`: what control asks of compute.

    sizes               pixels a side at which the kept weights are evaluated once the run is complete. They change
                        nothing about the run and so are no part of its spec: a later order may ask for others
    metrics             names of further metrics (`spec.study.metrics`) that each evaluation computes. No part of
                        the spec either: where they are missing, they are computed from the kept weights
    own_metrics         those of `metrics` that are of the user's own code
    checkpoint_seconds  of training between two checkpoints, at least (0: one after every step); no part of the spec
                        either
    accumulate_factor   parts that each batch of the recipe is cut into because it does not fit into memory; that many
                        times more are accumulated. The effective batch, the spec and the key stay the same
    fingerprint         of the data as they were when the study was started; the run ends if it finds others. None where
                        the settings alone decide the data, or where the runner could not look at them
    keep_best           whether the weights of the epoch of lowest val_error are kept as well, for the test split
    test                the rule for the epoch (of `Metric`) whose weights are to be evaluated on the test split, as all
                        runs of the study have ended; None before
    """

    key: str
    study: str
    cell: str
    factors: dict[str, str] = {}
    spec: RunSpec
    code: Code
    tracking: Tracking = Tracking()
    sizes: Seq[int] = ()
    metrics: Seq[str] = ()
    own_metrics: dict[str, OwnMetric] = {}
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    accumulate_factor: int = Field(default=1, ge=1)
    fingerprint: Fingerprint | None = None
    keep_best: bool = False
    test: Epoch | None = None

    @model_validator(mode="before")
    @classmethod
    def _declared(cls, raw: Any) -> Any:
        return declare_in(raw)

    @property
    def codes(self) -> frozenset[str]:
        """The hashes of the files of own code that the run needs."""
        return codes_in(self) | {stated.code for stated in self.own_metrics.values()}

    @property
    def experiment(self) -> Experiment:
        """The experiment as it is to be trained."""
        train, factor = self.spec.experiment.train, self.accumulate_factor
        cut = {"batch_size": train.batch_size // factor, "accumulate": train.accumulate * factor}
        return self.spec.trained.model_copy(update={"train": train.model_copy(update=cut)})


class RunRecord(Value):
    """`record.json`: how a run ended.

    status              `complete`; `diverged` (a non-finite loss: a result, not repeated); `pruned` (ended by the
                        runner of a search, as `reason` says; not repeated while that prunes); `failed` (repeated by the
                        next `sklab sweep`). What users are told is its `state`
    last, best          metrics by name at the last epoch and at the epoch of lowest val_error; errors in %
    previous            metrics by name at the epoch before the last; empty where there is none, as in older records
    best_epoch          counted from 1; 0 when no epoch was finished
    params, macs        parameters; multiply-accumulates of one forward pass of one image
    wall_seconds        from the start of `train` to its end; `train_seconds` in training steps only. Both count what
                        earlier attempts did up to the checkpoint that the last one went on from, and nothing else
    samples_per_second  training images per second in training steps; without the first epoch of each attempt, in which
                        it compiles and finds algorithms, where there are others (not so in older records)
    peak_memory_mb      of the process (CPU) or of the tensors on the device (GPU), in 10^6 bytes; the most of several
                        devices and of all attempts up to the checkpoint that the last one went on from
    peak_reserved_mb    the same of what torch reserved on the device; 0 on the CPU and in older records
    latency_ms          of one image through the evaluated network, a batch of one; 0: not measured, as in older records
    replay_latency_ms   the same as the replay of a CUDA graph; 0: not measured, as on the CPU and in older records
    skipped_images      left out of both splits because they can't be decoded (`data.skip_corrupt`)
    val_images          of the whole validation split, and `guessing_error`: the error in % of always naming its most
                        frequent class; 0: not known, as in older records
    started, ended      of the attempt, and `first_step` of its first training step: UTC, ISO 8601
    attempt             number of the attempt that ended so, from 1
    resumed_from        optimizer steps of earlier attempts that it went on from (0: it began anew)
    resumed_across      what differed between attempts that went on from each other's checkpoints, such as the GPU; the
                        last bits may then differ from those of a run that was never interrupted
    accumulate_factor   as in the order
    versions            of Python and of libraries, and of files of own code the SHA-256
    fingerprint         of the data that the run was trained on; None where the settings alone decide them, and in
                        records of versions that kept none
    own_metrics         which code has computed the metrics of the user's own
    start               how the network started from trained weights; None where it did not
    energy              of this attempt alone; None in older records
    files               SHA-256 of what lies beside the record, by name: weights, attention and images of a complete
                        run. None in older records
    edited              whether the record is not as it was written, by its seal (see `store.seal`); no part of the file
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
    previous: dict[str, float] = {}
    best_epoch: int = 0
    epochs: int = 0
    params: int = Field(default=0, ge=0)
    macs: int = Field(default=0, ge=0)
    wall_seconds: float = 0.0
    train_seconds: float = 0.0
    samples_per_second: float = 0.0
    peak_memory_mb: float = 0.0
    peak_reserved_mb: float = 0.0
    latency_ms: float = 0.0
    replay_latency_ms: float = 0.0
    skipped_images: int = Field(default=0, ge=0)
    val_images: int = Field(default=0, ge=0)
    guessing_error: float = Field(default=0.0, ge=0, le=100)
    hardware: Hardware | None = None
    versions: dict[str, str] = {}
    started: str = ""
    ended: str = ""
    first_step: str = ""
    attempt: int = Field(default=1, ge=1)
    resumed_from: int = Field(default=0, ge=0)
    resumed_across: Seq[str] = ()
    accumulate_factor: int = Field(default=1, ge=1)
    fingerprint: Fingerprint | None = None
    start: Started | None = None
    energy: Energy | None = None
    own_metrics: dict[str, OwnMetric] = {}
    files: dict[str, str] = {}
    edited: bool = Field(default=False, exclude=True)

    @classmethod
    def of(cls, order: RunOrder, **fields: Any) -> RunRecord:
        """A record of the run that `order` asks for."""
        names = ("key", "study", "cell", "factors", "spec", "code", "accumulate_factor", "own_metrics")
        return cls(**{name: getattr(order, name) for name in names}, **fields)

    @property
    def final(self) -> bool:
        """Whether the run is not tried again: unlike a failed one, and a pruned one once its study prunes no more."""
        return self.status != "failed"

    @property
    def data_unknown(self) -> bool:
        """Whether the images that the run was trained on are unknown: older versions kept no fingerprint."""
        return self.fingerprint is None and not self.spec.experiment.data.drawn

    @property
    def state(self) -> RunState:
        """The run's state, as in `sklab.store.states`. A run that was asked to end is stopped, not failed."""
        return "stopped" if self.failure == "preempted" else self.status

    def value(self, metric: Metric) -> float | None:
        """The metric at the epoch that it names; None when the record lacks it, or has it by other code of the user's
        own."""
        if not self.has_by_same_code(metric.name):
            return None
        return (self.last if metric.epoch == "last" else self.best).get(metric.name)

    def with_metrics(self, found: FurtherMetrics) -> RunRecord:
        """This record with those metrics of `found` that it lacks, and with those of the user's own, which may be by
        later code."""
        later = {name: stated for name, stated in found.own_metrics.items() if stated != self.own_metrics.get(name)}
        epochs = {
            name: {**theirs, **{each: value for each, value in ours.items() if each not in later or each not in theirs}}
            for name, ours, theirs in (("last", self.last, found.last), ("best", self.best, found.best))
        }
        return self.model_copy(update={**epochs, "own_metrics": {**self.own_metrics, **later}})

    def has_by_same_code(self, name: str) -> bool:
        """Whether the metric `name`, if the record has it, was computed as it is defined now."""
        stated = self.own_metrics.get(name)
        return stated is None or name not in METRICS or stated.code == METRICS[name].code

    def with_shared_experiment(self, experiment: Experiment) -> RunRecord:
        """This record with `experiment` in place of an equal one of its own: many records then share one object."""
        if self.spec.experiment != experiment:
            return self
        return self.model_copy(update={"spec": self.spec.model_copy(update={"experiment": experiment})})


class Reused(Value):
    """`reused.json`: the run was copied from `study`, a folder beside its own study, by the version `code` of sklab."""

    study: str
    key: str
    code: Code


def now() -> str:
    """This moment in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
