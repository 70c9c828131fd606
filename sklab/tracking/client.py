"""The only place that starts the W&B client: light, quiet, its files below one folder, its service process shared by
the runs that this process trains in turn."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import socket
import subprocess
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklab.store.records import Tracking

if TYPE_CHECKING:
    import wandb

_log = logging.getLogger(__name__)

# What wandb itself would load in every run.
_LATE = (
    "requests",
    "wandb.apis.public",
    "wandb.sdk.launch.inputs.internal",
    "wandb.sdk.lib.gitlib",
    "wandb.sdk.lib.service.service_connection",
)

# The record of a run has the machine, the versions and the commit already, and its folder the output.
SETTINGS: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "symlink": False,
    "reinit": "create_new",  # a process may train several runs in turn
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 1.0,  # seconds of rows that a killed run may lose; 15 by default
    "init_timeout": 5.0,  # seconds until a run that the server does not take is an offline one; 90 by default
    "finish_timeout": 8.0,  # seconds for the last upload; without end by default
}
_API_TIMEOUT = 20  # seconds for one answer
_IMPATIENT: dict[str, Any] = {"x_graphql_retry_max": 2, "x_graphql_retry_wait_max_seconds": 1.0}


def run_id(name: str, folder: Path) -> str:
    """Id of the W&B run `name` of `folder`: the same every time, and another one elsewhere.

    W&B overwrites a run by another of the same id, and two machines may well work on the same study.
    """
    place = f"{socket.gethostname()}:{folder.resolve()}"
    return f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def in_short(error: Exception) -> str:
    """Kind and first line of what wandb raised; advice on its own settings follows there."""
    return traceback.format_exception_only(error)[-1].splitlines()[0]


class Client:
    """wandb for one run, whose files lie in `folder/wandb`, and the service process that wandb starts."""

    _starting = threading.Lock()
    _open: set[Client] = set()  # of this process; they share the service process

    def __init__(self, tracking: Tracking, folder: Path) -> None:
        self._tracking, self._folder = tracking, folder
        self._service: subprocess.Popen[bytes] | None = None

    @contextmanager
    def open(self, **described: Any) -> Iterator[wandb.Run]:
        """A new W&B run; `described` are arguments of `wandb.init`.

        A run that the server does not take is an offline one, with a warning. Leaving the context ends the service
        process; a run that was not finished then counts as failed. Raises wandb.Error or OSError when not even an
        offline run can be had.
        """
        with ExitStack() as stack:
            try:
                run = stack.enter_context(self._opened(self._tracking.mode, **described))
            except Exception as error:
                if self._tracking.mode != "online":
                    raise
                _log.warning("W&B: the server did not take this run, it is tracked offline: %s", in_short(error))
                run = stack.enter_context(self._opened("offline", **described))
            yield run

    def kill(self) -> None:
        """End the service process at once, unless others use it: wandb would wait for one that hangs forever."""
        self._open.discard(self)
        if self._service is not None and not self._open:
            self._service.kill()
            self._service.wait()

    @contextmanager
    def api(self) -> Iterator[wandb.Api]:
        """The client for everything but runs; a server that goes away raises an exception within seconds."""
        import wandb

        with self._started({**SETTINGS, **_IMPATIENT}):
            yield wandb.Api(timeout=_API_TIMEOUT)

    @contextmanager
    def _opened(self, mode: str, **described: Any) -> Iterator[wandb.Run]:
        import wandb

        settings = {**SETTINGS, **self._asked(), "mode": mode}
        with self._started(settings):
            yield wandb.init(dir=self._folder, settings=wandb.Settings(**settings), **described)

    def _asked(self) -> dict[str, Any]:
        """What the user has set, as wandb's settings."""
        asked = self._tracking
        named = {"base_url": asked.server, "entity": asked.entity, "run_notes": asked.notes, "run_tags": asked.tags}
        given = {name: value for name, value in named.items() if value}
        system = {"x_disable_stats": not asked.system, "x_disable_machine_info": not asked.system}
        return {**given, **system, "project": asked.project}

    @contextmanager
    def _started(self, settings: dict[str, Any]) -> Iterator[None]:
        """The service process, for as long as the context is open."""
        import wandb

        _disable_wandb_telemetry()
        self._keep_files_below_the_folder()
        try:
            with self._starting:
                self._open.add(self)
                started = wandb.setup(wandb.Settings(**settings)).assert_service()._proc
                self._service = started._process if started else None
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        """End the service process when nobody is left who uses it."""
        import wandb

        with self._starting:
            self._open.discard(self)
            if not self._open:
                # It raises, SystemExit among others, when the service process is gone already.
                with suppress(Exception, SystemExit):
                    wandb.teardown(exit_code=1)
                self.kill()

    def _keep_files_below_the_folder(self) -> None:
        """Logs and staged files go to the user's home directory unless the service process is told otherwise."""
        for name in ("cache", "data"):
            os.environ[f"WANDB_{name.upper()}_DIR"] = str(self._folder.absolute() / "wandb" / name)


def _disable_wandb_telemetry() -> None:
    """wandb reports on its own health, too; when the network dies that alone holds up a process's end for 20 s."""
    from wandb.analytics.opentelemetry import opentelemetry_proxy

    opentelemetry_proxy.disable()
    os.environ["WANDB_ERROR_REPORTING"] = "false"


def load_wandb() -> None:
    """Load wandb as a whole, once, in a process that runs are forked from."""
    for name in ("wandb", *_LATE):
        importlib.import_module(name)
