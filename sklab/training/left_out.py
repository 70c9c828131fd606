"""Leaves packages out that a library would load on its way, for parts of it that nobody here uses."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires, version


def optional(*libraries: str) -> tuple[str, ...]:
    """The packages that `libraries` load where they are installed, and do without where they are not."""
    asked = [text for library in libraries for text in requires(library) or ()]
    needed = {_name(text) for text in asked if "extra ==" not in text}
    return tuple(sorted({_name(text) for text in asked} - needed))


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].replace("-", "_")


@contextmanager
def left_out(*packages: str) -> Iterator[None]:
    """To what Lightning and torchmetrics load meanwhile, `packages` are not installed; those loaded before stay.

    Afterwards whoever wants them gets them. Should their way to ask what is installed change, the import fails.
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
