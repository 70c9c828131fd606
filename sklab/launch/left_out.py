"""Leaves packages out that a library would load on its way, for parts of it that nobody here uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version


@contextmanager
def left_out(*packages: str) -> Iterator[None]:
    """To what Lightning and torchmetrics load meanwhile, `packages` are not installed; those loaded before stay.

    Afterwards whoever wants them gets them. Should their way to ask what is installed change, the import fails.
    """
    from lightning_utilities.core import imports

    asked, absent = vars(imports), {name for name in packages if name not in sys.modules}
    before = asked.get("_version", version)

    def version_of(name: str) -> str:
        if name in absent:
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
