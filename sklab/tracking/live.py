"""A run's live metrics: Lightning's WandbLogger over a W&B run that can neither delay the training nor fail it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.tracking.client import Client, in_short, run_id

if TYPE_CHECKING:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

_log = logging.getLogger(__name__)

_CLOSING_TIME = 1.0  # seconds that wandb's threads get to notice that its service process is gone


def open_logger(order: RunOrder, folder: Path) -> WandbLogger | None:
    """The logger of the run in `folder`, at once: its W&B run opens in the background. None when the mode is disabled.

    Group is the study, job type the cell, config the resolved spec with the run's key and factors. Without wandb
    installed there is a warning and no logger. The caller must `close` the logger.
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
    from lightning.pytorch.loggers import WandbLogger

    described = _described(order, folder)
    run = LiveRun(Client(order.tracking, folder), described)
    names = {"id": run.id, "name": described["name"], "project": order.tracking.project}
    return WandbLogger(experiment=cast("wandb.Run", run), save_dir=folder, **names)


def close(logger: WandbLogger | None, failed: bool, deadline_s: float = 10.0) -> None:
    """End the logger's W&B run as finished or failed, in at most `deadline_s` seconds whatever the network does.

    What could not be uploaded stays in the run's folder, for `wandb sync`.
    """
    if logger is not None:
        cast(LiveRun, logger.experiment).finish(failed, deadline_s)


class LiveRun:
    """A W&B run in the hands of a thread that opens it, logs to it and finishes it.

    It stands where Lightning expects a `wandb.Run`. No call waits for wandb, save `finish`, and none raises.
    """

    def __init__(self, client: Client, described: dict[str, Any]) -> None:
        self.id: str = described["id"]
        self._client, self._described = client, described
        self._exit_code = 0
        self._rows: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="sklab-wandb")
        self._thread.start()

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a row to the run's history."""
        self._rows.put(row)

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
                # The horizontal axis of every chart, as WandbLogger sets it for runs that it opens itself.
                run.define_metric("trainer/global_step")
                run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
                for row in iter(self._rows.get, None):
                    run.log(dict(row))
                run.finish(self._exit_code)
        except Exception as error:  # whatever wandb raises is no reason to lose a training
            _log.warning("W&B: tracking of this run stopped: %s", in_short(error))


def _described(order: RunOrder, folder: Path) -> dict[str, Any]:
    """The name and the grouping of the run, as arguments of `wandb.init`."""
    spec = order.spec.model_dump(mode="json")
    return {
        "id": run_id(f"{order.key}-{RunFolder(folder).attempt}", folder),
        "name": f"{order.cell} s{order.spec.seed}",
        "group": order.study,
        "job_type": order.cell,
        "config": {**spec, "key": order.key, "factors": order.factors},
    }
