"""What a text tells of people and machines, taken out: host and user names, folders, W&B entities."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ACCOUNTS = ("root", "user", "nobody")  # of nobody in particular
_QUOTED = re.compile(r"""(["'])((?:/|~/|[A-Za-z]:[\\/])[^"'\n]*)\1""")
_BARE = re.compile(r"""(?<![\w/:.<])((?:~/|/(?=[\w.~-])|[A-Za-z]:[\\/](?=\w))[^\s"'<>|,;()\[\]{}]*)""")
_WHOLE = re.compile(r"(?:/|~/|[A-Za-z]:[\\/])[^\n]*")
_FILE_URL = re.compile(r"file://[^\s\"'<>]*")
_HOME = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\]([\w.-]+)")
_ENTITY = re.compile(r"(wandb\.ai/)[\w.-]+")
_PERSONAL = ("entity", "user", "username")  # keys of JSON whose text is dropped


class Scrubber:
    """Replaces what is private in texts. A host becomes `host-1`, `host-2`, the same one everywhere; of an absolute
    path its last part is left; a user name becomes `user`."""

    def __init__(self, hosts: Iterable[str]) -> None:
        own = socket.gethostname()
        known = sorted({*hosts, own, own.partition(".")[0]} - {"", "localhost"})
        self._names = {name: f"host-{number}" for number, name in enumerate(known, start=1)}
        self._names |= {name: "user" for name in (_user(),) if name and name not in _ACCOUNTS}
        self._entity = os.environ.get("WANDB_ENTITY", "")
        if self._entity:
            self._names[self._entity] = "entity"
        longest_first = sorted(self._names, key=len, reverse=True)
        self._any = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")

    def text(self, text: str) -> str:
        """`text` without what is private."""
        for name in set(_HOME.findall(text)) - set(_ACCOUNTS):
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "user", text)
        text = _ENTITY.sub(r"\1entity", _FILE_URL.sub("file", text))
        if _WHOLE.fullmatch(text):
            text = _last_part(text)
        text = _QUOTED.sub(lambda found: f"{found[1]}{_last_part(found[2])}{found[1]}", text)
        text = _BARE.sub(lambda found: _last_part(found[1]), text)
        return self._any.sub(lambda found: self._names[found[0]], text)

    def tree(self, value: Any) -> Any:
        """A JSON value with its texts scrubbed; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(entry) for entry in value]
        if isinstance(value, dict):
            return {
                key: "" if key in _PERSONAL and isinstance(entry, str) else self.tree(entry)
                for key, entry in value.items()
            }
        return value


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return Path.home().name


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or "root"
