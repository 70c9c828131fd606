"""A run's live metrics: a W&B run that can neither delay the training nor fail it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.tracking.client import Client, in_short, run_id
from sklab.tracking.sync import exclude_offline

if TYPE_CHECKING:
    import wandb

_log = logging.getLogger(__name__)

STEP = "trainer/global_step"  # the horizontal axis of every chart, as Lightning's WandbLogger calls it
_CLOSING_TIME = 1.0  # seconds that wandb's threads get to notice that its service process is gone
_DEADLINE, _DEADLINE_WITH_WEIGHTS = 10.0, 60.0  # seconds for the last upload


def open_live(order: RunOrder, folder: Path) -> LiveRun | None:
    """The W&B run of the run in `folder`, at once: it opens in the background. None when the mode is disabled.

    Every attempt has the same W&B run and sends all of the curve, so that it replaces what an earlier one has sent.
    Group is the study unless another was asked for, job type the cell, config the resolved spec with the run's key and
    factors. Without wandb installed there is a warning and no W&B run. The caller must `close` it.
    """
    if order.tracking.mode == "disabled":
        return None
    try:
        import wandb  # noqa: F401
    except ImportError:
        _log.warning("W&B: wandb is not installed, this run is not tracked; install it or pass --no-wandb")
        return None
    except Exception as error:  # whatever a library that does not fit raises
        _log.warning("W&B: wandb can't be loaded, this run is not tracked: %s", in_short(error))
        return None
    exclude_offline(folder)
    weights = Weights(order, folder) if "weights" in order.tracking.artifacts else None
    return LiveRun(Client(order.tracking, folder), _described(order, folder), weights)


def close(live: LiveRun | None, failed: bool, deadline_s: float | None = None) -> None:
    """End the W&B run as finished or failed, in at most `deadline_s` seconds (10, or 60 where weights are uploaded)
    whatever the network does.

    What could not be uploaded stays in the run's folder, for `wandb sync`.
    """
    if live is not None:
        live.finish(failed, deadline_s or (_DEADLINE_WITH_WEIGHTS if live.weights else _DEADLINE))


class Weights:
    """The weights that a complete run has kept, as an artifact."""

    def __init__(self, order: RunOrder, folder: Path) -> None:
        self._name, self._folder = f"weights-{order.key}", RunFolder(folder)
        self._about = {"study": order.study, "cell": order.cell, "seed": order.spec.seed, "key": order.key}

    def log_to(self, run: wandb.Run) -> None:
        """Hand the files over as they are, without a copy."""
        import wandb

        artifact = wandb.Artifact(self._name, type="model", metadata=self._about)
        for file in (self._folder.weights_file, self._folder.best_weights_file):
            if file.exists():
                artifact.add_file(str(file), policy="immutable", skip_cache=True)
        run.log_artifact(artifact)


class LiveRun:
    """A W&B run in the hands of a thread that opens it, logs to it and finishes it.

    No call waits for wandb, save `finish`, and none raises.
    """

    def __init__(self, client: Client, described: dict[str, Any], weights: Weights | None = None) -> None:
        self.weights = weights
        self._client, self._described = client, described
        self._exit_code = 0
        self._rows: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="sklab-wandb")
        self._thread.start()

    def log(self, row: Mapping[str, float], step: int) -> None:
        """Add a row to the run's history, after so many optimizer steps."""
        self._rows.put({**row, STEP: step})

    def finish(self, failed: bool, deadline_s: float) -> None:
        """Wait up to `deadline_s` seconds for what was logged; then end wandb's process. The rest stays on disk."""
        self._exit_code = int(failed)
        self._rows.put(None)
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            _log.warning("W&B: not finished within %g s; upload the rest with `wandb sync`", deadline_s)
            self._client.kill()
            self._thread.join(_CLOSING_TIME)

    def _serve(self) -> None:
        try:
            with self._client.open(**self._described) as run:
                run.define_metric(STEP)
                run.define_metric("*", step_metric=STEP, step_sync=True)
                for row in iter(self._rows.get, None):
                    run.log(dict(row))
                if self.weights and not self._exit_code:
                    self.weights.log_to(run)
                run.finish(self._exit_code)
        except Exception as error:  # whatever wandb raises is no reason to lose a training
            _log.warning("W&B: tracking of this run stopped: %s", in_short(error))


def _described(order: RunOrder, folder: Path) -> dict[str, Any]:
    """The name and the grouping of the run, as arguments of `wandb.init`."""
    spec, tracking = order.spec.model_dump(mode="json"), order.tracking
    return {
        "id": run_id(order.key, folder),
        "name": tracking.name.format(study=order.study, cell=order.cell, seed=order.spec.seed, key=order.key),
        "group": tracking.group or order.study,
        "job_type": order.cell,
        "config": {**spec, "key": order.key, "study": order.study, "factors": order.factors},
    }
