"""What a study is called that is not quite the one of a file: the same again each time, and no other study's name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from sklab.spec.study.sweep import LONGEST_NAME

_OTHER_SIGNS = re.compile(r"[^A-Za-z0-9._-]+")
_DIGITS = 8  # of a digest


def extended(study: str, ending: str) -> str:
    """`study` with `ending`; one that is no name then, or too long, is made one, with a digest of all of it."""
    whole = f"{study}{ending}"
    name = _OTHER_SIGNS.sub("_", whole)
    if name == whole and len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]
    return f"{name[: LONGEST_NAME - _DIGITS - 1]}-{digest}"


def with_settings(study: str, settings: Mapping[str, str]) -> str:
    """The study of these settings, YAML text by dotted path: `kernels` with train.lr=0.2 is `kernels-train.lr-0.2`."""
    return extended(study, "".join(f"-{path}-{settings[path].strip()}" for path in sorted(settings)))
