"""What the server process loads once so that every run forked from it starts with it. Must not touch CUDA."""

import contextlib
import gc
import multiprocessing.popen_forkserver  # noqa: F401 - reads what the runner sends to a process
import os

# NumPy's BLAS would take every core for every run. Its threads are settled when it is loaded, torch's run by run.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from sklab.spec.data import data_sets, data_spec
from sklab.spec.model import families, family_module
from sklab.store.files import collector_paused
from sklab.system.processes import use_large_pages
from sklab.tracking.client import load_wandb

with collector_paused():  # nothing of it goes away again
    import sklab.launch.abreast
    import sklab.launch.worker
    import sklab.training.evaluate
    import sklab.training.jobs
    import sklab.training.run  # noqa: F401

    for name in data_sets():
        data_spec(name)
    for name in families():
        family_module(name)
    with contextlib.suppress(Exception):  # without wandb, or with one that can't be loaded, runs are not tracked
        load_wandb()

gc.freeze()  # a collection in a run would touch, and so copy, all that it shares with the server
use_large_pages()
