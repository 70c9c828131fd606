"""The final table becomes a W&B table in a summary run, in bounded time and without failing the sweep."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
from loopback_wandb import KEY, LoopbackServer
from offline_wandb import read_offline_run

from sklab.store.records import Tracking
from sklab.tracking import summary
from sklab.tracking.summary import log_table, log_to_run

TABLE = 'cell,n,error,note\n"3x3, 5x5",3,21.5,best\n\'+SK,3,,\n'
EXPECTED = {
    "columns": ["cell", "n", "error", "note"],
    "data": [["3x3, 5x5", 3.0, 21.5, "best"], ["+SK", 3.0, None, None]],
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "table.csv").write_text(TABLE, encoding="utf-8")
    return folder


def track(study: Path, mode: str) -> None:
    log_table(study / "table.csv", "kernels", Tracking(mode=mode), study)


def test_offline(server: LoopbackServer, study: Path) -> None:
    track(study, "offline")
    assert server.connections == 0
    run = read_offline_run(study)
    assert (run.group, run.job_type, run.name, run.exit_code) == ("kernels", "summary", "kernels summary", 0)
    table = next((study / "wandb").glob("offline-run-*/files/media/table/*.json"))
    assert json.loads(table.read_text()) == EXPECTED


def test_online_again_and_again_is_one_run(server: LoopbackServer, study: Path) -> None:
    for _ in range(2):
        log_to_run(study / "table.csv", "kernels", Tracking(mode="online"), study)
        (run,) = server.runs.values()
        assert (run.group, run.job_type, run.exit_code) == ("kernels", "summary", 0)
        assert json.loads(run.files[run.summary["table"]["path"]]) == EXPECTED


def test_the_report_goes_along_where_that_is_asked_for(study: Path) -> None:
    (study / "report.md").write_text("# kernels\n")
    log_to_run(study / "table.csv", "kernels", Tracking(mode="offline", group="g", artifacts=("table",)), study)
    run = read_offline_run(study)
    assert run.group == "g"
    assert run.artifacts["report-kernels"] == ["report.md", "table.csv"]


def test_disabled_does_nothing(study: Path) -> None:
    track(study, "disabled")
    assert [path.name for path in study.iterdir()] == ["table.csv"]


def test_missing_table_is_a_warning(study: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (study / "table.csv").unlink()
    track(study, "offline")
    assert "W&B: the table of kernels was not tracked" in capfd.readouterr().err


def test_deadline(
    server: LoopbackServer, study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(summary, "DEADLINE", 0.1)
    track(study, "online")
    assert "not tracked within 0.1 s" in caplog.text


@pytest.mark.slow
def test_server_that_says_nothing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is tracked offline, and nothing of wandb holds up the end of the process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        start = time.perf_counter()
        track(study, "online")
    assert time.perf_counter() - start < 60.0
    assert read_offline_run(study).exit_code == 0
