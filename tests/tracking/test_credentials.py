"""The key and the server are found where wandb itself finds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklab.tracking import settings as places

HOSTS = ["api.forge.coreweave.com", "api.wandb.ai", "wandb.example.org:8080"]
KEYS = ["a" * 40, "b" * 40, "c" * 40]


def wandb_finds(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Server, key and mode as wandb's own code finds them."""
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import wbauth

    monkeypatch.setattr(wandb_setup, "_singleton", None)
    own = wandb_setup._WandbSetup(os.getpid())
    monkeypatch.setattr(wandb_setup, "_singleton", own)
    auth = wbauth.authenticate_session(host=own.settings.base_url, source="", prompt=False, update_session=False)
    own.asyncer.join()
    return own.settings.base_url, auth.api_key if auth else "", own.settings.mode


def section(**values: str) -> str:
    return "[default]\n" + "".join(f"{name} = {value}\n" for name, value in values.items() if value)


maybe_host = st.sampled_from(["", *HOSTS])
maybe_key = st.sampled_from(["", *KEYS])
maybe_mode = st.sampled_from(["", "online", "offline", "disabled"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    named=maybe_host, user_host=maybe_host, own_host=maybe_host, env_key=maybe_key, user_key=maybe_key,
    netrc_keys=st.dictionaries(st.sampled_from(HOSTS), st.sampled_from(KEYS)), env_mode=maybe_mode, own_mode=maybe_mode,
)  # fmt: skip
def test_same_as_wandb(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str, user_host: str, own_host: str, env_key: str,
    user_key: str, netrc_keys: dict[str, str], env_mode: str, own_mode: str,
) -> None:  # fmt: skip
    home = tmp_path / "home"
    for folder in (home / "wandb", home / ".config/wandb"):
        folder.mkdir(parents=True, exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setenv("WANDB_SILENT", "true")
        for name, value in (("BASE_URL", named and f"https://{named}"), ("API_KEY", env_key), ("MODE", env_mode)):
            patch.setenv(f"WANDB_{name}", value) if value else patch.delenv(f"WANDB_{name}", raising=False)
        (home / "wandb/settings").write_text(section(base_url=own_host and f"https://{own_host}", mode=own_mode))
        user_url = user_host and f"https://{user_host}"
        (home / ".config/wandb/settings").write_text(section(base_url=user_url, api_key=user_key))
        (home / ".netrc").write_text("".join(f"machine {h} login user password {k}\n" for h, k in netrc_keys.items()))
        server, key, online = wandb_finds(patch)
        found = places.server(os.environ), places.api_key(os.environ), places.asked({}, os.environ)[0]
    assert found == (server, key, env_mode or own_mode)
    assert online == (found[2] or "online")


def test_netrc_elsewhere_and_broken_files(tmp_path: Path) -> None:
    netrc = tmp_path / "secrets"
    netrc.write_text("default login user password " + KEYS[0])
    assert places.api_key({"NETRC": str(netrc)}) == KEYS[0]
    netrc.write_text("machine")
    config = tmp_path / "config"
    config.mkdir()
    (config / "settings").write_bytes(b"\xff[default\n")
    environ = {"NETRC": str(netrc), "WANDB_CONFIG_DIR": str(config)}
    assert places.api_key(environ) == ""
    assert places.server(environ) == places.DEFAULT_SERVER


@pytest.mark.parametrize(("asked", "meant"), [("dryrun", "offline"), ("run", "online"), ("offline", "offline")])
def test_old_names_of_modes(asked: str, meant: str) -> None:
    assert places.asked({}, {"WANDB_MODE": asked})[0] == meant
