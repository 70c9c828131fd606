"""Optional libraries, imported where they are needed; the remedy where they can't be."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from sklab.errors import SklabError

Library = Literal["timm", "torchvision"]

INSTALL: dict[Library, str] = {
    "timm": "pip install 'sklab[timm]'",
    "torchvision": "pip install 'sklab[torchvision]'",
}


def imported(library: Library, module: str = "") -> Any:
    """The library, or its module of that name. Raises SklabError, with the remedy, when it can't be imported."""
    try:
        whole = import_module(library)
        return import_module(f"{library}.{module}") if module else whole
    except ModuleNotFoundError as error:
        if error.name == library:
            raise SklabError(f"{library} is not installed; {INSTALL[library]}") from None
        raise SklabError(f"{library} lacks the package {error.name!r}; {INSTALL[library]}") from error
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch, or for a GPU this machine lacks
        raise SklabError(f"{library} is installed but can't be imported ({error}); {INSTALL[library]}") from error
