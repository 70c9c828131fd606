"""Decides, once per study and within five seconds, where the runs' metrics go: online, offline or nowhere.

wandb itself blocks for 101 s in every run when the server can't be reached, so the server is asked first. Nothing
here prompts, and wandb is not imported (a second, and it may be absent). The places where it looks for server and API
key, and their order, are those of wandb 0.31: environment, settings files (the folder's own, then the user's), netrc,
and `api.forge.coreweave.com` when no server is named.
"""

from __future__ import annotations

import base64
import configparser
import http.client
import importlib.util
import json
import netrc
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

DEADLINE = 4.5  # seconds for name look-up, connection and answer together
_WHO_AM_I = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()
DEFAULT_SERVER = "https://api.forge.coreweave.com"
# Names under which wandb also looks for a server's key in the netrc file.
_ALSO_KNOWN_AS = {
    "api.forge.coreweave.com": ("api.wandb.ai",),
    "forge.coreweave.com": ("api.forge.coreweave.com", "api.wandb.ai"),
}


@dataclass(frozen=True)
class Choice:
    """Where the study's metrics go, and the message about it."""

    tracking: Tracking
    notice: str


def choose(no_wandb: bool, folder: Path, environ: Mapping[str, str] = os.environ) -> Choice:
    """Online when a key is configured and the server takes it, offline otherwise, disabled when asked.

    `folder` is the study's; the notice of an offline study tells how to upload what will lie there.
    Returns within 5 s, whatever the network does, and never raises for it.
    """
    project = project_name(environ)
    asked = asked_mode(environ)
    if reason := _why_disabled(no_wandb, asked):
        return Choice(Tracking(mode="disabled", project=project), f"W&B: off ({reason})")
    if reason := _why_offline(asked, environ):
        notice = f"W&B: offline ({reason}); to upload the runs later: {sync_command(folder)}"
        return Choice(Tracking(mode="offline", project=project), notice)
    notice = f"W&B: online at {server(environ)}, project {project}"
    return Choice(Tracking(mode="online", project=project), notice)


def project_name(environ: Mapping[str, str]) -> str:
    """The W&B project that studies go to."""
    return environ.get("WANDB_PROJECT") or Tracking().project


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


def _why_disabled(no_wandb: bool, asked: str) -> str:
    if no_wandb:
        return "--no-wandb"
    if asked == "disabled":
        return "mode disabled is set"
    return "" if importlib.util.find_spec("wandb") else "wandb is not installed"


def _why_offline(asked: str, environ: Mapping[str, str]) -> str:
    return "mode offline is set" if asked == "offline" else no_connection(environ)


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


def server(environ: Mapping[str, str]) -> str:
    """URL of the W&B server, without a slash at its end."""
    return (environ.get("WANDB_BASE_URL") or _settings(environ).get("base_url") or DEFAULT_SERVER).rstrip("/")


def api_key(environ: Mapping[str, str]) -> str:
    """The API key for `server(environ)`; "" when none is configured."""
    settings = _settings(environ)
    return environ.get("WANDB_API_KEY") or _netrc_key(environ, server(environ)) or settings.get("api_key", "")


def asked_mode(environ: Mapping[str, str]) -> str:
    """The mode set by WANDB_MODE or `wandb offline`: online, offline, disabled or "" for none."""
    asked = environ.get("WANDB_MODE") or _settings(environ).get("mode", "")
    return {"dryrun": "offline", "run": "online"}.get(asked, asked)


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The `[default]` section of the settings files; a file that can't be read counts as empty, as in wandb."""
    user = environ.get("WANDB_CONFIG_DIR") or _home(environ) / ".config" / "wandb"
    own = Path(".wandb") if Path(".wandb").exists() else Path("wandb")
    found: dict[str, str] = {}
    for folder in (Path(user).expanduser(), own):
        parser = configparser.ConfigParser()
        try:
            parser.read(folder / "settings")
            found |= dict(parser.items("default"))
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
    return found


def _netrc_key(environ: Mapping[str, str], url: str) -> str:
    host = urlsplit(url).netloc
    try:
        entries = netrc.netrc(_netrc_file(environ))
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        return ""
    matches = (entries.authenticators(name) for name in (host, *_ALSO_KNOWN_AS.get(host, ())))
    return next((entry[2] or "" for entry in matches if entry), "")


def _netrc_file(environ: Mapping[str, str]) -> Path:
    if environ.get("NETRC"):
        return Path(environ["NETRC"]).expanduser()
    usual, windows = (_home(environ) / name for name in (".netrc", "_netrc"))
    return windows if windows.exists() and not usual.exists() else usual


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
