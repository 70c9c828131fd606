"""The checks before a sweep as a job: `check.json` in, `result.json` out, on the device that the runs will get."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import torch

from sklab.data import preflight
from sklab.errors import SklabError
from sklab.models import numerics
from sklab.models.cost import cost
from sklab.spec.data import Inventory
from sklab.spec.jobs import CheckOrder, CheckResult, Finding
from sklab.store.files import content, write_whole


def check(folder: Path, device: torch.device, device_name: str) -> None:
    """Check every distinct convolution and data set that the order in `folder` asks about, and write what was found."""
    order = CheckOrder.model_validate_json(content(folder / "check.json"))
    inventories, notices, faults = _checked_data(order)
    unmade = tuple(dict.fromkeys(_network_faults(order)))
    result = CheckResult(
        device=device_name,
        torch=torch.__version__,
        findings=() if unmade else tuple(_findings(order, device)),
        network_faults=unmade,
        data_faults=faults,
        data_notices=notices,
        inventories=inventories,
    )
    write_whole(folder / "result.json", result.model_dump_json(indent=1))


def _findings(order: CheckOrder, device: torch.device) -> Iterator[Finding]:
    by_format = sorted(order.networks, key=lambda network: (network.precision, network.memory_format))
    for (precision, memory_format), networks in groupby(by_format, lambda each: (each.precision, each.memory_format)):
        sizes = [(network.model, network.image_size) for network in networks]
        for verdict in numerics.check(sizes, precision, memory_format, device.type):
            yield Finding(
                convolution=str(verdict.signature),
                precision=precision,
                memory_format=memory_format,
                ok=verdict.ok,
                forward_error=_finite(verdict.forward_error),
                weight_error=_finite(verdict.weight_grad_error),
                input_error=_finite(verdict.input_grad_error),
            )


def _network_faults(order: CheckOrder) -> Iterator[str]:
    for network in order.networks:
        try:
            cost(network.model, network.image_size)
        except SklabError as error:
            yield str(error)


def _checked_data(order: CheckOrder) -> tuple[tuple[Inventory | None, ...], tuple[str, ...], tuple[str, ...]]:
    """What each data set holds, what there is to say about them, and why some can't be used."""
    inventories: list[Inventory | None] = []
    notices: list[str] = []
    faults = []
    for asked in order.data:
        try:
            inventory, said = preflight.check(asked.data, asked.recipes, every_image=order.every_image)
            inventories.append(inventory)
            notices += said
        except SklabError as error:
            inventories.append(None)
            faults.append(str(error))
    return tuple(inventories), tuple(dict.fromkeys(notices)), tuple(faults)  # cells may share a set's files


def _finite(error: float) -> float:
    """`error`, or -1 for one that is no number: JSON has none for it."""
    return error if math.isfinite(error) else -1.0
