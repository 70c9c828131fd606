"""The process of a run, forked from a server process that has torch loaded already.

A fork from the preloaded server costs milliseconds where a fresh interpreter costs seconds. The server never
touches CUDA, so each run may choose its own device.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from types import ModuleType

from sklab.launch.base import Job
from sklab.launch.slots import Slot
from sklab.launch.worker import work  # imports torch in the child only

_PRELOAD = ["sklab.launch.preload"]


def start(job: Job, slot: Slot) -> ForkServerProcess:
    """Do `job` in a process of its own, which dies with this one; the first call starts the server as well."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    process = context.Process(target=work, args=(job, slot), name=f"sklab-{job.folder.name}")
    with _no_main_module():
        process.start()
    return process


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Else every process would import the main module of this one anew: the command's, Ray's or a user's script."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
