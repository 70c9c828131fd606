"""What a user has set for W&B: on the command line, in the environment or in wandb's own files, in this order.

The places where wandb looks for server and API key, and their order, are those of wandb 0.31: environment, settings
files (the folder's own, then the user's), netrc, and `api.forge.coreweave.com` when no server is named. wandb is not
imported (a second, and it may be absent).
"""

from __future__ import annotations

import configparser
import netrc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from sklab.errors import SklabError
from sklab.spec.names import meant
from sklab.store.records import Artifact, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

DEFAULT_SERVER = "https://api.forge.coreweave.com"
# Names under which wandb also looks for a server's key in the netrc file.
_ALSO_KNOWN_AS = {
    "api.forge.coreweave.com": ("api.wandb.ai",),
    "forge.coreweave.com": ("api.forge.coreweave.com", "api.wandb.ai"),
}

# Each key of `--wandb key=value`, with its variable and its name in wandb's files; "" for none.
KEYS = {
    "mode": ("WANDB_MODE", "mode"),
    "project": ("WANDB_PROJECT", "project"),
    "entity": ("WANDB_ENTITY", "entity"),
    "group": ("WANDB_RUN_GROUP", "run_group"),
    "name": ("WANDB_NAME", "run_name"),
    "tags": ("WANDB_TAGS", "run_tags"),
    "notes": ("WANDB_NOTES", "run_notes"),
    "artifacts": ("", ""),
    "system": ("", ""),
}
_MODES = ("online", "offline", "disabled")
_OLD_MODES = {"dryrun": "offline", "run": "online"}
_IN_NAMES = ("study", "cell", "seed", "key")
# What wandb reads in every run, or sklab in its place; not all of it is a setting of wandb's.
_READ = {"API_KEY", "BASE_URL", "CONFIG_DIR", "HTTP_TIMEOUT", "FILE_PUSHER_TIMEOUT", "APP_URL", "USER_EMAIL", "SERVICE"}
# What every run has its own of, or what `tracking.client` decides, beside the settings that stand there.
_OURS = {
    "DIR", "ROOT_DIR", "CACHE_DIR", "DATA_DIR", "ARTIFACT_DIR", "RUN_ID", "RESUME", "RESUME_FROM", "FORK_FROM",
    "JOB_TYPE", "RUN_JOB_TYPE", "RUN_NAME", "RUN_NOTES", "RUN_TAGS", "SWEEP_ID", "SWEEP_PARAM_PATH", "CONFIG_PATHS",
    "ERROR_REPORTING", "X_DISABLE_STATS", "X_DISABLE_MACHINE_INFO", "DESCRIPTION",
}  # fmt: skip


def asked(given: Mapping[str, str], environ: Mapping[str, str]) -> tuple[str, Tracking]:
    """The mode that a user wants ("" for none), and all else that goes to W&B. Raises SklabError for an unknown key,
    with the allowed ones, and for a value that is not allowed."""
    for key in given:
        if key not in KEYS:
            raise SklabError(f"--wandb: unknown key {key!r}; allowed: {', '.join(KEYS)}{meant(key, KEYS)}")
    files = _files(environ)
    found = {
        key: given[key] if key in given else environ.get(variable) or files.get(name, "")
        for key, (variable, name) in KEYS.items()
    }
    values = {key: found[key] for key in ("project", "entity", "group", "name", "notes") if found[key]}
    _ensure_a_pattern(found["name"])
    lists = {"tags": _listed(found["tags"]), "artifacts": _artifacts(found["artifacts"])}
    address = (environ.get("WANDB_BASE_URL") or files.get("base_url", "")).rstrip("/")
    tracking = Tracking.model_validate({**values, **lists, "server": address, "system": _is_on(found["system"])})
    return _mode(found["mode"], given), tracking


def of_study(study: StudyFolder, environ: Mapping[str, str]) -> Tracking:
    """What was set for the newest run of a study, but for the server, the project and the entity of the environment."""
    here = asked({}, environ)[1]
    orders = sorted(study.runs.glob("*/run.json"), key=lambda file: file.stat().st_mtime)
    newest = RunFolder(orders[-1].parent).read_order().tracking if orders else here
    named = {key: environ.get(KEYS[key][0]) for key in ("project", "entity")}
    return newest.model_copy(update={key: value for key, value in named.items() if value} | {"server": here.server})


def _mode(asked: str, given: Mapping[str, str]) -> str:
    """A variable with another mode counts as none, as in wandb."""
    if "mode" in given and asked not in _MODES:
        raise SklabError(f"--wandb mode: found {asked!r}; allowed: {', '.join(_MODES)}")
    return _OLD_MODES.get(asked, asked)


def _ensure_a_pattern(name: str) -> None:
    allowed = f"allowed: text with {', '.join(f'{{{each}}}' for each in _IN_NAMES)}"
    fields = {"study": "", "cell": "", "seed": 0, "key": ""}
    try:
        name.format(**fields)
    except (ValueError, LookupError, AttributeError) as error:
        raise SklabError(f"name of W&B runs: found {name!r}; {allowed}") from error


def _artifacts(text: str) -> tuple[str, ...]:
    allowed, listed = get_args(Artifact), _listed(text)
    if set(listed) - {*allowed}:
        raise SklabError(f"--wandb artifacts: found {text!r}; allowed: {', '.join(allowed)}, with a comma between")
    return listed


def _is_on(text: str) -> bool:
    if text not in ("", "on", "off"):
        raise SklabError(f"--wandb system: found {text!r}; allowed: on, off")
    return text == "on"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def unused(environ: Mapping[str, str]) -> str:
    """One line about the variables `WANDB_...` that have no effect here; "" when all have."""
    names = sorted(_without_effect(environ))
    if not names:
        return ""
    return f"W&B: {', '.join(names)}: no effect here: each run has its own, or sklab decides (docs/loggers.md)"


def _without_effect(environ: Mapping[str, str]) -> Iterator[str]:
    from sklab.tracking.client import SETTINGS

    ours = _OURS | {name.upper() for name in SETTINGS}
    read = _READ | {variable.removeprefix("WANDB_") for variable, _ in KEYS.values()}
    names = {name.removeprefix("WANDB_").replace("_X_", "X_"): name for name in environ if name.startswith("WANDB_")}
    rest = names.keys() - ours - read
    known = _settings_of_wandb() if rest else set()
    return (names[name] for name in names if name in ours or (name in rest and name not in known))


def _settings_of_wandb() -> set[str]:
    """The names of wandb's settings, in capital letters; all of them can be set by a variable."""
    try:
        import wandb
    except Exception:  # no wandb, or one that can't be loaded: nothing is tracked, whatever is set
        return set()
    return {name.upper() for name in wandb.Settings.model_fields}


def server(environ: Mapping[str, str]) -> str:
    """URL of the W&B server, without a slash at its end."""
    return (environ.get("WANDB_BASE_URL") or _files(environ).get("base_url") or DEFAULT_SERVER).rstrip("/")


def api_key(environ: Mapping[str, str]) -> str:
    """The API key for `server(environ)`; "" when none is configured."""
    settings = _files(environ)
    return environ.get("WANDB_API_KEY") or _netrc_key(environ, server(environ)) or settings.get("api_key", "")


def _files(environ: Mapping[str, str]) -> dict[str, str]:
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
