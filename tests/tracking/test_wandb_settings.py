"""What goes to W&B: the command line before the environment before wandb's files; nothing is ignored in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklab.errors import SklabError
from sklab.tracking.settings import KEYS, asked, unused

TEXTS = ["project", "entity", "group", "name", "notes"]
maybe = st.fixed_dictionaries({}, optional={key: st.sampled_from(["a", "b c"]) for key in TEXTS})


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=maybe, variables=maybe, files=maybe)
def test_the_line_comes_before_the_variable_and_that_before_the_file(
    tmp_path: Path, line: dict[str, str], variables: dict[str, str], files: dict[str, str]
) -> None:
    config = tmp_path / "settings"
    config.write_text("[default]\n" + "".join(f"{KEYS[key][1]} = {value}\n" for key, value in files.items()))
    environ = {KEYS[key][0]: value for key, value in variables.items()} | {"WANDB_CONFIG_DIR": str(tmp_path)}
    _, tracking = asked(line, environ)
    wanted = {**files, **variables, **line}
    assert {key: getattr(tracking, key) for key in wanted} == wanted
    assert unused(environ) == ""


def test_lists_and_switches() -> None:
    given = {"tags": "a, b", "artifacts": "weights,table", "system": "on", "mode": "offline"}
    mode, tracking = asked(given, {})
    assert (mode, tracking.tags, tracking.artifacts, tracking.system) == (
        "offline", ("a", "b"), ("weights", "table"), True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("projct", "x", "did you mean 'project'"), ("mode", "on", "allowed: online, offline, disabled"),
        ("name", "{cel}", "allowed: text with {study}"), ("name", "{", "allowed: text with"),
        ("artifacts", "all", "allowed: weights, table"), ("system", "yes", "allowed: on, off"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_told_with_what_is(key: str, value: str, told: str) -> None:
    with pytest.raises(SklabError, match=told):
        asked({key: value}, {})


def test_variables_without_effect_are_told_in_one_line() -> None:
    environ = {name: "x" for name in os.environ if not name.startswith("WANDB_")}
    told = unused({**environ, "WANDB_DIR": "x", "WANDB_RUN_ID": "x", "WANDB_PROJCT": "x", "WANDB_HTTP_PROXY": "x"})
    assert told.startswith("W&B: WANDB_DIR, WANDB_PROJCT, WANDB_RUN_ID: no effect here")
    assert "\n" not in told
