"""Lightning, as all of this room takes it: without libraries that it and torchmetrics would load on their way.

They are for metrics and loggers that nobody here uses. Half of the time of starting goes into them, and one that can't
be loaded, such as a torchvision that does not fit this torch, would end every run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, requires, version

import torch  # noqa: F401 - with all that is its own


def optional_dependencies(*libraries: str) -> tuple[str, ...]:
    """The packages that `libraries` load where they are installed, and do without where they are not."""
    asked = [text for library in libraries for text in requires(library) or ()]
    needed = {_name(text) for text in asked if "extra ==" not in text}
    return tuple(sorted({_name(text) for text in asked} - needed))


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].replace("-", "_")


@contextmanager
def packages_hidden(*packages: str) -> Iterator[None]:
    """Meanwhile Lightning and torchmetrics find `packages` not installed, except those loaded before.

    Afterwards everybody finds them again. The import fails should their way to ask what is installed change.
    """
    from lightning_utilities.core import imports

    asked, absent = vars(imports), {name for name in packages if name not in sys.modules}
    before = asked.get("_version", version)

    def version_of(name: str) -> str:
        if name.replace("-", "_") in absent:
            raise PackageNotFoundError(name)
        return str(before(name))

    asked["_version"] = version_of
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: Python's own mark of what can't be had
    try:
        yield
    finally:
        asked["_version"] = before
        for name in absent:
            del sys.modules[name]


_OPTIONAL = optional_dependencies("lightning", "torchmetrics")
with suppress(ImportError), packages_hidden(*_OPTIONAL):  # else all is loaded below
    import lightning.pytorch  # noqa: F401

from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

__all__ = [
    "Callback",
    "CheckpointIO",
    "ClusterEnvironment",
    "DDPStrategy",
    "LightningEnvironment",
    "LightningModule",
    "OptimizerLRSchedulerConfig",
    "SIGTERMException",
    "Strategy",
    "Trainer",
]
