"""Online, offline or off: decided within five seconds, without wandb, and said in one line."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback_wandb import KEY, LoopbackServer

from sklab.tracking import mode
from sklab.tracking.mode import choose, sync_command

STUDY = Path("results/kernels")


def with_key(url: str) -> dict[str, str]:
    return {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url, "HOME": os.environ["HOME"]}


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def refused_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_online_with_a_key_that_the_server_takes(server: LoopbackServer) -> None:
    choice = choose("", STUDY)
    assert choice.tracking.mode == "online"
    assert choice.notice == f"W&B: online at {server.url}, project sklab"
    assert server.operations == ["Viewer"]


def test_project_of_the_environment(server: LoopbackServer) -> None:
    assert choose("", STUDY, {**os.environ, "WANDB_PROJECT": "mine"}).tracking.project == "mine"


def test_offline_without_a_key(server: LoopbackServer) -> None:
    choice = choose("", STUDY, {"WANDB_BASE_URL": server.url, "HOME": os.environ["HOME"]})
    assert choice.tracking.mode == "offline"
    assert "no API key" in choice.notice
    assert choice.notice.endswith(sync_command(STUDY))
    assert server.connections == 0


@pytest.mark.parametrize(("asked", "got"), [("offline", "offline"), ("disabled", "disabled"), ("online", "online")])
def test_what_the_user_asked_for(server: LoopbackServer, asked: str, got: str) -> None:
    assert choose("", STUDY, {**os.environ, "WANDB_MODE": asked}).tracking.mode == got
    assert server.connections == (got == "online")


def test_off_by_the_flag_asks_nobody(server: LoopbackServer) -> None:
    choice = choose("--no-wandb", STUDY)
    assert (choice.tracking.mode, choice.notice) == ("disabled", "W&B: off (--no-wandb)")
    assert server.connections == 0


def test_off_where_wandb_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    choice = choose("", STUDY)
    assert (choice.tracking.mode, choice.notice) == ("disabled", "W&B: off (wandb is not installed)")


def test_refused_key(server: LoopbackServer) -> None:
    choice = choose("", STUDY, {**with_key(server.url), "WANDB_API_KEY": "wrong" * 8})
    assert choice.tracking.mode == "offline"
    assert f"key refused by {server.url}" in choice.notice
    assert "wrong" not in choice.notice


def test_key_that_belongs_to_nobody(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_Viewer", lambda _: {"viewer": None})
    assert "key refused" in choose("", STUDY).notice


def test_server_that_is_none(server: LoopbackServer) -> None:
    server.dead = True
    assert "can't be reached" in choose("", STUDY).notice
    server.dead = False
    assert "does not answer like" in choose("", STUDY, with_key("ftp://127.0.0.1/")).notice


def test_refused_port_is_known_at_once() -> None:
    choice = choose("", STUDY, with_key(refused_port()))
    assert choice.tracking.mode == "offline"
    assert "can't be reached: [Errno 111] Connection refused" in choice.notice


def test_black_hole_costs_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mode.DEADLINE < 5
    monkeypatch.setattr(mode, "DEADLINE", 0.2)
    with black_hole() as url:
        choice = choose("", STUDY, with_key(url))
    assert choice.tracking.mode == "offline"
    assert (
        f"{url} did not answer within 0.2 s" in choice.notice or f"{url} can't be reached: timed out" in choice.notice
    )


def test_name_look_up_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts of sockets do not cover it; the deadline does."""
    monkeypatch.setattr(mode, "DEADLINE", 0.2)
    with black_hole() as url, socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as silent:
        silent.settimeout(60.0)
        monkeypatch.setattr(mode.urllib.request, "urlopen", lambda *_, **__: silent.recv(1))
        choice = choose("", STUDY, with_key("http://nowhere.invalid"))
    assert "did not answer within 0.2 s" in choice.notice
