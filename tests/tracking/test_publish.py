"""A study becomes a W&B workspace and a W&B report: the words of ours, again and again the same two."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import example_study
import pytest
import studies
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from loopback_wandb import KEY, LoopbackServer
from services import service_processes

from sklab.cli import main
from sklab.errors import DamagedRecordError, SklabError
from sklab.store.records import Code, RunOrder
from sklab.store.study_folder import StudyFolder
from sklab.tracking import publish as module
from sklab.tracking.client import run_id
from sklab.tracking.publish import publish, write_specs
from sklab.tracking.summary import unit_rows
from sklab.tracking.sync import pending

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # of wandb-workspaces 0.4.13


def unit(name: str, kernels: list[int], mean: list[Any]) -> dict[str, Any]:
    """An SK unit in `attention.json`."""
    return {"name": name, "kernels": kernels, "channels": 4, "mean": mean, "spread": mean}


UNITS = [
    unit("SK_1_1", [3, 5], [[[0.75, None]], [[0.25, None]]]),
    unit("SK_2_1", [3, 5], [[[0.25, None]], [[0.75, None]]]),
]


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its records; one cell's runs have left their attention."""
    sweep, records = example_study.kernels()
    folder = studies.write_study(tmp_path_factory.mktemp("made") / "kernels", sweep, records)
    leave_attention(folder, "K3+K5 SK", [record for record in records.values() if record.cell == "K3+K5 SK"])
    return folder


@pytest.fixture
def study(_made: Path, tmp_path: Path) -> StudyFolder:
    shutil.copytree(_made, tmp_path / "kernels")
    return StudyFolder(tmp_path / "kernels")


def leave_attention(folder: Path, cell: str, records: list[Any]) -> None:
    for record in records:
        run = StudyFolder(folder).run(record.key)
        run.write_order(RunOrder(key=record.key, study="kernels", cell=cell, spec=record.spec, code=Code(version="0")))
        told = {"key": record.key, "images": 4, "classes": ["0"], "counts": [[4, 0]], "units": UNITS, "samples": []}
        (run.path / "attention.json").write_text(json.dumps(told))


def specs(study: StudyFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """The workspace and the report, as `--dry-run` writes them."""
    workspace, report = write_specs(study)
    return json.loads(workspace.read_text()), json.loads(report.read_text())


def grids(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (block["metadata"] for block in report["blocks"] if block["type"] == "panel-grid")


def filtered(runs: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["key"]["name"], one["op"], one["value"]) for one in runs["filters"]["filters"]]


def test_what_would_be_sent_is_written_without_any_network(server: LoopbackServer, study: StudyFolder) -> None:
    workspace, _ = specs(study)
    assert server.connections == 0
    assert not service_processes()
    section = workspace["section"]
    shown = {
        part["name"]: [(panel["viewType"], panel["config"]) for panel in part["panels"]]
        for part in section["panelBankConfig"]["sections"]
    }
    sections = ["Error by cell", "Learning curves by cell", "Factors", "Attention by unit", "Table", "Further figures"]
    assert list(shown) == sections
    (figure, told), (bars, bar), *_ = shown["Error by cell"]
    assert (figure, told["mediaKeys"]) == ("Media Browser", ["figures/error"])
    assert (bars, bar["metrics"], bar["groupBy"], bar["groupArea"]) == (
        "Bar Chart", ["summary_metrics.val_error"], "jobType", "stderr",
    )  # fmt: skip
    assert [config.get("metrics") for _, config in shown["Learning curves by cell"]] == [
        ["val_error"], ["train_loss"], None,
    ]  # fmt: skip
    ((_, factors),) = shown["Factors"]
    assert [column["accessor"] for column in factors["columns"]] == [
        "config:factors.value.kernels", "config:factors.value.SK", "summary:val_error",
    ]  # fmt: skip
    ((_, attention),) = shown["Attention by unit"]
    assert attention["fieldSettings"] == {"label": "cell and unit", "value": "kernel"}
    (runs,) = section["runSets"]
    assert filtered(runs) == [("group", "=", "kernels"), ("state", "!=", "failed"), ("state", "!=", "crashed")]
    assert "config:factors.value.kernels" in runs["runFeed"]["columnOrder"]


def test_the_report_has_the_words_of_ours(study: StudyFolder) -> None:
    _, report = specs(study)
    ours = (study.path / "report.md").read_text(encoding="utf-8")
    drawn = re.findall(r"!\[.*\]\(figures/(\w+)\.svg\)", ours)
    ours = re.sub(r"(?<!!)\[([^]]*)\]\([^)]*\)", r"\1", ours)  # links of ours lead nowhere there
    texts = [block["content"] for block in report["blocks"] if block["type"] == "markdown-block"]
    assert all(text in ours for text in texts)
    headings = [block["children"][0]["text"] for block in report["blocks"] if block["type"] == "heading"]
    assert headings == [line[3:] for line in ours.splitlines() if line.startswith("## ")]
    left_out = ours
    for text in texts:
        left_out = left_out.replace(text, "", 1)
    kept, runs = left_out.split("## Runs")
    assert [line for line in kept.splitlines() if line and not line.startswith(("#", "!["))] == []
    assert "| record | log |" in runs
    assert not [text for text in texts if "](" in text]
    *figures, table = grids(report)
    assert [grid["panelBankSectionConfig"]["panels"][0]["config"]["mediaKeys"] for grid in figures] == [
        [f"figures/{name}"] for name in drawn
    ]
    assert {tuple(filtered(grid["runSets"][0])) for grid in figures} == {
        (("name", "=", run_id("kernels-summary", study.path)),)
    }
    assert "summary:val_error" in table["runSets"][0]["runFeed"]["columnOrder"]


@pytest.mark.slow
def test_hostile_names_and_a_study_without_any_result(tmp_path: Path) -> None:
    specs(StudyFolder(studies.write_study(tmp_path / "hostile", *example_study.hostile())))
    workspace, _ = specs(StudyFolder(studies.write_study(tmp_path / "empty", studies.make_sweep(), {})))
    names = [section["name"] for section in workspace["section"]["panelBankConfig"]["sections"]]
    assert names == ["Error by cell", "Learning curves by cell", "Factors", "Table"]


def test_again_updates_and_never_duplicates(server: LoopbackServer, study: StudyFolder, tmp_path: Path) -> None:
    earlier = study.path / "wandb" / "offline-run-1-summary" / "run-summary.wandb"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b":W&B, an older table")
    first = publish(study)
    assert pending(study) == []
    assert [(view.kind, view.created) for view in first] == [("workspace", True), ("report", True)]
    moved = tmp_path / "copied to" / "kernels"
    moved.parent.mkdir()
    study.path.rename(moved)
    ids = list(server.views)
    server.views[ids[1]]["displayName"] = "renamed by hand"
    again = publish(StudyFolder(moved))
    assert [(view.kind, view.created) for view in again] == [("workspace", False), ("report", False)]
    assert [view.url for view in again] == [view.url for view in first]
    assert list(server.views) == ids
    assert [view["displayName"] for view in server.views.values()] == ["kernels", "kernels"]
    assert {view["entityName"] for view in server.views.values()} == {"me"}
    report = json.loads(server.views[ids[1]]["spec"])
    assert {grid["runSets"][0]["project"]["id"] for grid in grids(report)} == {"internal-2"}
    run = next(run for run in server.runs.values() if run.job_type == "summary")
    figures = {name.split("/")[-1].split("_0_")[0] for name in run.files if name.startswith("media/html/figures/")}
    assert figures == {file.stem for file in (moved / "figures").glob("*.svg")}
    logged = json.loads(run.files[run.summary["attention"]["path"]])
    assert logged["data"] == [
        ["K3+K5 SK SK_1_1", "K3+K5 SK", "SK_1_1", 3, 3.5], ["K3+K5 SK SK_2_1", "K3+K5 SK", "SK_2_1", 3, 4.5],
    ]  # fmt: skip


@pytest.mark.slow
def test_a_view_that_was_deleted_is_made_again(server: LoopbackServer, study: StudyFolder) -> None:
    publish(study)
    del server.views[next(iter(server.views))]
    assert [view.created for view in publish(study)] == [True, False]


@pytest.mark.slow
def test_names_are_kept_before_anything_is_sent(
    server: LoopbackServer, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption right after the server has made a view does not make another one."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "_url", lambda *_: 1 / 0)
        with pytest.raises(SklabError, match="dashboard was not saved: ZeroDivisionError"):
            publish(study)
    assert len(server.views) == 1
    assert [view.created for view in publish(study)] == [False, True]


@pytest.mark.slow
def test_server_that_goes_away_meanwhile_is_an_error_within_seconds(
    server: LoopbackServer, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_FindView", lambda _: vars(server).update(dead=True) or {})
    start = time.perf_counter()
    with pytest.raises(SklabError, match=r"the dashboard was not saved: .*the same command tries again"):
        publish(study)
    assert time.perf_counter() - start < 120
    assert not service_processes()


def test_without_key_or_server_nothing_is_tried(
    server: LoopbackServer, study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert main(["wandb", "publish", str(study.path)]) == 2
    assert "no API key is configured, `wandb login` sets one" in capsys.readouterr().err
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert main(["wandb", "publish", str(study.path)]) == 2
    assert "WANDB_BASE_URL names another server" in capsys.readouterr().err
    assert server.connections == 0
    assert not (study.path / "report.html").exists()


def test_without_the_library_the_error_says_how_to_install_it(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    for more in ([], ["--dry-run"]):
        assert main(["wandb", "publish", str(study.path), *more]) == 2
        assert "pip install 'wandb-workspaces>=0.4.13,<0.5'" in capsys.readouterr().err
    assert '"wandb-workspaces>=0.4.13,<0.5"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "[]", '{"workspace": "x"}'])
def test_damaged_names_are_told(study: StudyFolder, text: str) -> None:
    (study.path / "dashboard.json").write_text(text)
    with pytest.raises(SklabError, match=r"dashboard\.json holds no names of views; delete it"):
        write_specs(study)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), min_size=1, max_size=6))
def test_expected_kernel_lies_between_the_windows(tmp_path_factory: pytest.TempPathFactory, bins: Any) -> None:
    counts = [n for _, n in bins]
    assume(any(counts))
    folder = tmp_path_factory.mktemp("study")
    mean = [[[share if n else None for share, n in bins]], [[1 - share if n else None for share, n in bins]]]
    record = studies.make_record("K3", 0, 10.0)
    leave_attention(folder, "K3", [record])
    file = folder / "runs" / record.key / "attention.json"
    units = [unit("SK_1_1", [3, 7], mean)]
    file.write_text(json.dumps({**json.loads(file.read_text()), "counts": [counts], "units": units}))
    [row] = unit_rows(folder)
    wanted = sum(n * (3 * share + 7 * (1 - share)) for share, n in bins) / sum(counts)
    assert row["kernel"] == pytest.approx(wanted)


@pytest.mark.slow
def test_every_command_of_the_page_runs_as_written(
    server: LoopbackServer, study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study.path.parent)
    shutil.copytree(study.path, "results/kernels")
    page = (ROOT / "docs" / "loggers.md").read_text(encoding="utf-8")
    commands = [shlex.split(line)[1:] for line in page.splitlines() if line.startswith("sklab wandb ")]
    assert {command[1] for command in commands} == {"publish", "sync"}
    for command in commands:
        assert main(command) == 0, capsys.readouterr().err
    assert {"results/kernels/wandb/workspace.json", "results/kernels/wandb/report.json"} <= {
        word.strip("`,;.") for word in page.split()
    }


def test_a_folder_that_is_no_study_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DamagedRecordError, match="nothing is no study"):
        write_specs(StudyFolder(tmp_path / "nothing"))
