"""Decides, once per study and within five seconds, where the runs' metrics go: online, offline or nowhere.

wandb itself blocks for 101 s in every run when the server can't be reached, so the server is asked first. Nothing
here prompts, and wandb is not imported (a second, and it may be absent).
"""

from __future__ import annotations

import base64
import http.client
import importlib.util
import json
import os
import queue
import shlex
import shutil
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sklab.errors import SklabError
from sklab.store.records import Tracking
from sklab.store.study_folder import StudyFolder
from sklab.tracking.settings import api_key, asked, server

DEADLINE = 4.5  # seconds for name look-up, connection and answer together
_WHO_AM_I = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()


@dataclass(frozen=True)
class Choice:
    """Where the study's metrics go, and the message about it."""

    tracking: Tracking
    notice: str


def choose(
    why_not: str, folder: Path, environ: Mapping[str, str] = os.environ, given: Mapping[str, str] | None = None
) -> Choice:
    """Online when a key is configured and the server takes it, offline otherwise, disabled where there is a reason
    `why_not` ("" for none), as on the command line.

    `folder` is the study's; the notice of an offline study tells how to upload what will lie there. `given` are the
    settings of the command line. Returns within 5 s, whatever the network does, and never raises for it; raises
    SklabError for settings that are not allowed.
    """
    mode, tracking = asked(given or {}, environ)
    if reason := why_not or _why_disabled(mode):
        return Choice(tracking.model_copy(update={"mode": "disabled"}), f"W&B: off ({reason})")
    if reason := _why_offline(mode, environ):
        notice = f"W&B: offline ({reason}); to upload the runs later: {sync_command(folder)}"
        return Choice(tracking.model_copy(update={"mode": "offline"}), notice)
    project = "/".join(filter(None, (tracking.entity, tracking.project)))
    notice = f"W&B: online at {server(environ)}, project {project}"
    return Choice(tracking.model_copy(update={"mode": "online"}), notice)


def sync_command(folder: Path) -> str:
    """The shell command that uploads every offline run of the study in `folder` that was not uploaded before."""
    sklab = "sklab" if shutil.which("sklab") else shlex.quote(str(Path(sys.executable).with_name("sklab")))
    return f"{sklab} wandb sync {StudyFolder(folder).argument}"


def no_connection(environ: Mapping[str, str] = os.environ) -> str:
    """Why nothing can be sent to the server at this moment, known within 5 s; "" when it can."""
    key = api_key(environ)
    if not key:
        return "no API key is configured, `wandb login` sets one"
    return _refusal_within(DEADLINE, server(environ), key)


def require_connection(purpose: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raise SklabError, within 5 s and with the remedy, when nothing can be sent to the server for `purpose`."""
    if reason := no_connection(environ):
        remedy = "WANDB_BASE_URL names another server and WANDB_API_KEY another key; the same command tries again"
        raise SklabError(f"W&B: {purpose} needs the server: {reason}; {remedy}")


def _why_disabled(mode: str) -> str:
    if mode == "disabled":
        return "mode disabled is set"
    return "" if importlib.util.find_spec("wandb") else "wandb is not installed"


def _why_offline(mode: str, environ: Mapping[str, str]) -> str:
    return "mode offline is set" if mode == "offline" else no_connection(environ)


def _refusal_within(seconds: float, server: str, key: str) -> str:
    """`_refusal`, but never later than `seconds`: nothing else can interrupt a name look-up that hangs."""
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(_refusal(server, key, seconds)), daemon=True).start()
    try:
        return answer.get(timeout=seconds)
    except queue.Empty:
        return f"{server} did not answer within {seconds:g} s"


def _refusal(server: str, key: str, timeout: float) -> str:
    """Why `server` can't be used with `key`; "" when it can."""
    try:
        viewer = _viewer(server, key, timeout)
    except urllib.error.HTTPError as error:
        with error:
            return _key_refused(server) if error.code in (401, 403) else f"{server} answered HTTP {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return f"{server} can't be reached: {getattr(error, 'reason', error)}"
    except (ValueError, LookupError, TypeError):
        return f"{server} does not answer like a W&B server"
    return "" if viewer else _key_refused(server)


def _key_refused(server: str) -> str:
    return f"key refused by {server}"


def _viewer(server: str, key: str, timeout: float) -> Any:
    """Whom `server` takes the owner of `key` for; None for nobody."""
    if urlsplit(server).scheme not in ("http", "https"):
        raise ValueError(server)
    request = urllib.request.Request(f"{server}/graphql", _WHO_AM_I, {"Content-Type": "application/json"})  # noqa: S310
    basic = base64.b64encode(f"api:{key}".encode()).decode()
    # Not an ordinary header: those are sent along when the server redirects elsewhere.
    request.add_unredirected_header("Authorization", f"Basic {basic}")
    with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
        return json.load(response)["data"]["viewer"]
