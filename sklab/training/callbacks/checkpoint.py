"""Checkpoints of a run: written whole, checked before use, the newest two kept."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sklab.store.files import write_whole
from sklab.store.records import RunOrder
from sklab.store.versions import dependencies, installed
from sklab.training.determinism import arithmetic, gpu_names
from sklab.training.lean_lightning import CheckpointIO
from sklab.training.replay.steps import is_replayed

_log = logging.getLogger(__name__)

_FORMAT = 1  # raise when checkpoints of before can't be gone on from
_KEPT = 2
_SUFFIX = ".ckpt"
_DIGITS = 9


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint to go on from, after `step` optimizer steps and `wall_seconds` of earlier attempts; the `changes` of
    origin up to here, between any two of its attempts."""

    file: Path
    step: int
    wall_seconds: float
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """The origin of a checkpoint. Only a run with the same `must` can use it; differences in `may` change the last
    bits."""

    must: Mapping[str, str]
    may: Mapping[str, str]


def origin(order: RunOrder, device: torch.device) -> Origin:
    """The origin of the checkpoints that this process writes for `order`."""
    experiment, data = order.spec.experiment, order.fingerprint
    decided_by = {**dependencies(experiment), **({"data": f"{data.listing} {data.sample}"} if data else {})}
    made_by = {"format": str(_FORMAT), "sklab": order.code.version, **installed(("torch", "lightning", "numpy"))}
    asked = {"key": order.key, "accumulate_factor": str(order.accumulate_factor), "device": device.type}
    if is_replayed(order.experiment, device):
        asked["steps"] = "replayed"  # other checkpoints than those of Lightning's loop
    if order.keep_best:
        asked["best"] = "kept"  # others lack the weights of the best epoch
    here = {"commit": order.code.commit, "threads": str(torch.get_num_threads())}
    return Origin(must={**asked, **made_by, **decided_by}, may={**here, **_gpu(device, experiment.train.devices)})


def _gpu(device: torch.device, devices: int) -> dict[str, str]:
    how = arithmetic(device)
    return {"GPU": gpu_names(device, devices), "cuDNN": how.cudnn} if how else {}


class Checkpoints(CheckpointIO):
    """The checkpoints in `folder`, each named `<step>-<SHA-256 of its content>.ckpt`; `changes` of origin, up to the
    attempt that writes them, are kept in them."""

    def __init__(self, folder: Path, origin: Origin, changes: Iterable[str] = ()) -> None:
        self._folder, self._origin, self._changes = folder, origin, list(changes)

    def newest(self) -> ResumePoint | None:
        """The newest checkpoint that this run can go on from. All others found on the way are set aside, with a
        warning in the log: torn ones, and those of another run, version or kind of device."""
        for file in self._files():
            try:
                held = self.load_checkpoint(file)
                changes = dict.fromkeys((*held.get("changes", ()), *self._changed(held["origin"])))
                return ResumePoint(file, held["global_step"], held["wall_seconds"], tuple(changes))
            except Exception as error:  # a broken file raises almost anything
                _log.warning("%s can't be used, set aside: %s", file, error)
                file.rename(file.with_suffix(".damaged"))
        return None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write it as the one at `path`, a step's number. A disk that can't take it costs a warning, not the run."""
        content = io.BytesIO()
        origin = {"must": dict(self._origin.must), "may": dict(self._origin.may)}
        torch.save({**checkpoint, "origin": origin, "changes": self._changes}, content)
        name = f"{Path(path).name}-{hashlib.sha256(content.getbuffer()).hexdigest()}{_SUFFIX}"
        try:
            self._folder.mkdir(exist_ok=True)
            write_whole(self._folder / name, content.getbuffer())
            for old in self._files()[_KEPT:]:
                self.remove_checkpoint(old)
        except OSError as error:
            _log.warning("no checkpoint at step %s, training goes on: %s", Path(path).name, error)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = "cpu",
        weights_only: bool | None = True,  # noqa: ARG002 - whatever Lightning asks for, nothing else is loaded
    ) -> dict[str, Any]:
        """The checkpoint in the file `path`. Raises ValueError for one that is not what was written."""
        content = Path(path).read_bytes()
        if hashlib.sha256(content).hexdigest() != Path(path).stem.partition("-")[2]:
            raise ValueError("its content does not have the checksum in its name")
        held: dict[str, Any] = torch.load(io.BytesIO(content), map_location=map_location, weights_only=True)
        return held

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the folder with all that an ended run needs no more."""
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                file.unlink()
            self._folder.rmdir()

    def _files(self) -> list[Path]:
        """The newest first."""
        return sorted(self._folder.glob(f"[0-9]*-*{_SUFFIX}"), key=lambda file: file.name[:_DIGITS], reverse=True)

    def _changed(self, theirs: Mapping[str, Mapping[str, str]]) -> list[str]:
        """The differences that only move the last bits, with a warning for each. Raises ValueError for a checkpoint of
        a foreign run."""
        foreign = list(_differences(theirs["must"], self._origin.must))
        if foreign:
            raise ValueError(f"it is foreign: {', '.join(foreign)}")
        changes = list(_differences(theirs["may"], self._origin.may))
        for difference in changes:
            _log.warning("going on from a checkpoint with another origin, the last bits may differ: %s", difference)
        return changes


def step_name(step: int) -> str:
    """The name that Lightning gives the checkpoint at `step`; names sort as steps do."""
    return f"{step:0{_DIGITS}d}"


def _differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[str]:
    return (
        f"{name} {theirs.get(name)} there, {ours.get(name)} here"
        for name in {**theirs, **ours}
        if theirs.get(name) != ours.get(name)
    )
