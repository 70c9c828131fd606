"""Where the W&B client looks for its server and API key, found without importing it (a second, and it may be absent).

The places and their order are those of wandb 0.31: environment, settings files (the folder's own, then the
user's), netrc, and `api.forge.coreweave.com` when no server is named.
"""

from __future__ import annotations

import configparser
import netrc
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_SERVER = "https://api.forge.coreweave.com"
# Names under which wandb also looks for a server's key in the netrc file.
_ALSO_KNOWN_AS = {
    "api.forge.coreweave.com": ("api.wandb.ai",),
    "forge.coreweave.com": ("api.forge.coreweave.com", "api.wandb.ai"),
}


def server(environ: Mapping[str, str]) -> str:
    """URL of the W&B server, without a slash at its end."""
    return (environ.get("WANDB_BASE_URL") or _settings(environ).get("base_url") or DEFAULT_SERVER).rstrip("/")


def api_key(environ: Mapping[str, str]) -> str:
    """The API key for `server(environ)`; "" when none is configured."""
    settings = _settings(environ)
    return environ.get("WANDB_API_KEY") or _netrc_key(environ, server(environ)) or settings.get("api_key", "")


def mode(environ: Mapping[str, str]) -> str:
    """What the user asked for by WANDB_MODE or `wandb offline`: online, offline, disabled or "" for nothing."""
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
    known = (entries.authenticators(name) for name in (host, *_ALSO_KNOWN_AS.get(host, ())))
    return next((entry[2] or "" for entry in known if entry), "")


def _netrc_file(environ: Mapping[str, str]) -> Path:
    if environ.get("NETRC"):
        return Path(environ["NETRC"]).expanduser()
    usual, windows = (_home(environ) / name for name in (".netrc", "_netrc"))
    return windows if windows.exists() and not usual.exists() else usual


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
