"""Lightning's loggers by name: what each needs, where it writes, and how a run begins and ends there.

Each run has one place, by its cell and its seed; what an earlier attempt left there goes when the next begins. This
module is cheap to import: Lightning and the libraries are loaded when a logger opens.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sklab.errors import SklabError
from sklab.spec.names import meant
from sklab.store.records import RunOrder
from sklab.store.study_folder import StudyFolder
from sklab.tracking.client import run_id

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger

# The library of each logger, and what pip installs for it. The first is W&B, which runs log to by themselves.
LIBRARIES = {
    "wandb": ("wandb", "wandb"),
    "tensorboard": ("tensorboard", "sklab[tensorboard]"),
    "mlflow": ("mlflow", "sklab[mlflow]"),
    "csv": ("lightning", "lightning"),
}
# A server that says nothing is given up within seconds; nothing is told to the makers of the library.
_MLFLOW = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
_RUN_TAG = "sklab.run"
_UNSAFE = re.compile(r"[^\w +=,.()\[\]-]|^\.+")  # in the name of a folder
_DIGITS = 8


class Mirrored(Protocol):
    """A run in a logger. Any call may raise whatever the library raises, and wait as long as it likes."""

    def log(self, row: Mapping[str, float], step: int) -> None: ...

    def finish(self, failed: bool, last: Mapping[str, float]) -> None:
        """End it; `last` are the numbers of its last epoch."""


def logger_names(text: str) -> tuple[str, ...]:
    """The loggers of `--log`. Raises SklabError for an unknown one, and for one whose library is missing."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in LIBRARIES:
            allowed = f"{', '.join(LIBRARIES)}{meant(name, LIBRARIES)}"
            raise SklabError(f"--log: unknown logger {name!r}; allowed: {allowed}")
    for name in names:
        library, package = LIBRARIES[name]
        if name != "wandb" and not _is_installed(library):  # without wandb, a line says that it is off
            raise SklabError(f"--log {name}: {library} is not installed; install it: pip install '{package}'")
    return names


def _is_installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ValueError:  # loaded, and nobody knows from where
        return False


def opened(name: str, study: StudyFolder, order: RunOrder) -> Mirrored:
    """The place of the run in the logger called `name`, empty."""
    return _OPEN[name](study, order)


def folder_name(cell: str) -> str:
    """The name of a cell's folder: the cell, or what is allowed of it with a digest."""
    name = _UNSAFE.sub("_", cell)
    return name if name == cell else f"{name}-{hashlib.sha256(cell.encode()).hexdigest()[:_DIGITS]}"


def _open_tensorboard(study: StudyFolder, order: RunOrder) -> Mirrored:
    from lightning.pytorch.loggers import TensorBoardLogger

    where = _emptied(study.path / "tensorboard", order, "events.out.tfevents.*", "hparams.yaml")
    return _TensorBoard(TensorBoardLogger(**where, default_hp_metric=False), _parameters(order))


def _open_csv(study: StudyFolder, order: RunOrder) -> Mirrored:
    from lightning.pytorch.loggers import CSVLogger

    where = _emptied(study.path / "csv", order, "metrics.csv", "hparams.yaml")
    logger = CSVLogger(**where, flush_logs_every_n_steps=1)
    logger.log_hyperparams(_parameters(order))
    return _Logged(logger)


def _emptied(root: Path, order: RunOrder, *files: str) -> dict[str, Any]:
    """The run's folder, without its earlier `files`, in the words of Lightning's loggers."""
    where = {"save_dir": str(root), "name": folder_name(order.cell), "version": str(order.spec.seed)}
    for pattern in files:
        for file in (root / where["name"] / where["version"]).glob(pattern):
            file.unlink(missing_ok=True)
    return where


def _open_mlflow(study: StudyFolder, order: RunOrder) -> Mirrored:
    for variable, value in _MLFLOW.items():
        os.environ.setdefault(variable, value)
    from lightning.pytorch.loggers import MLFlowLogger

    place = study.path.absolute() / "mlflow"
    address, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
    if not address:
        place.mkdir(parents=True, exist_ok=True)
        address, artifacts = f"sqlite:///{place / 'mlflow.db'}", (place / "artifacts").as_uri()
    tags = {"study": order.study, "cell": order.cell, "seed": str(order.spec.seed), "key": order.key}
    logger = MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME") or order.study,
        run_name=f"{order.cell} seed {order.spec.seed}",
        tracking_uri=address,
        artifact_location=artifacts,
        tags={**tags, _RUN_TAG: run_id(order.key, study.run(order.key).path)},
    )
    _delete_earlier(logger)
    logger.log_hyperparams(_parameters(order))
    return _Logged(logger)


def _delete_earlier(logger: MLFlowLogger) -> None:
    """Delete what earlier attempts of the run have left; MLflow keeps such runs in its trash."""
    store: Any = logger.experiment
    same = f"tags.`{_RUN_TAG}` = '{(logger.tags or {})[_RUN_TAG]}'"
    for run in store.search_runs([logger.experiment_id], same):
        if run.info.run_id != logger.run_id:
            store.delete_run(run.info.run_id)


class _Logged:
    """A run in a logger of Lightning's."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def log(self, row: Mapping[str, float], step: int) -> None:
        self._logger.log_metrics(dict(row), step)
        self._logger.save()

    def finish(self, failed: bool, last: Mapping[str, float]) -> None:  # noqa: ARG002
        self._logger.finalize("failed" if failed else "success")


class _TensorBoard(_Logged):
    def __init__(self, logger: TensorBoardLogger, parameters: dict[str, Any]) -> None:
        super().__init__(logger)
        self._board, self._parameters = logger, parameters

    def finish(self, failed: bool, last: Mapping[str, float]) -> None:
        """With the parameters beside the results, for the page HPARAMS."""
        if last and not failed:
            self._board.log_hyperparams(self._parameters, {f"last/{name}": value for name, value in last.items()})
        super().finish(failed, last)


_OPEN: dict[str, Callable[[StudyFolder, RunOrder], Mirrored]] = {
    "tensorboard": _open_tensorboard,
    "mlflow": _open_mlflow,
    "csv": _open_csv,
}


def _parameters(order: RunOrder) -> dict[str, Any]:
    """The cell, the seed, the factors and the recipe, one level deep."""
    named = {"cell": order.cell, "seed": order.spec.seed, **order.factors}
    return {**named, **_flat(order.spec.experiment.model_dump(mode="json"))}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": _plain(value)}
    return flat


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
