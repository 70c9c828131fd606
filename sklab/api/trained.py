"""What a finished run's weights and data set give a program: its network, and the true classes of its images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sklab.data.loaders import open_loaders
from sklab.errors import SklabError
from sklab.store.run_folder import RunFolder
from sklab.store.states import how_it_ended
from sklab.training.evaluate import complete_record, ensure_trained_on, kept_network

_CPU = torch.device("cpu")


def network(run: RunFolder) -> nn.Module:
    """The network of a complete run with its kept weights, on the CPU and in eval mode. Torch's random numbers stay as
    they were. Raises SklabError where it can't be had."""
    order, record = run.read_order(), run.read_record()
    name = f"{order.cell}, seed {order.spec.seed}"
    if record is None or record.status != "complete":
        raise SklabError(f"{name}: no trained network; the run is {how_it_ended(record) if record else 'not ended'}")
    if not run.weights_file.exists():
        why = "they were deleted, or not copied with the study"
        remedy = f"bring them back, or move {run.path} away and run the sweep again"
        raise SklabError(f"{name}: no weights ({run.weights_file}): {why}; {remedy}")
    with torch.random.fork_rng(devices=[]):
        return kept_network(run, record, _CPU)


def true_classes(run: RunFolder) -> NDArray[np.str_]:
    """The class of each validation image of a complete run, [N], from its data set. Raises SklabError where that is
    missing or has changed."""
    record = complete_record(run)
    data, recipe = run.read_order().spec.trained.data, record.spec.experiment.train
    loaders = open_loaders(data, recipe, record.spec.seed, _CPU)
    ensure_trained_on(record, loaders)
    return np.array(loaders.classes)[loaders.val_labels]
