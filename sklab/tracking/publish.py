"""Brings a study to W&B as a workspace and a report, or writes down what would be sent.

Both are views to W&B, which are found by name. The names are drawn once and kept in the study's folder before anything
is sent, so that the same folder, wherever it is copied to, always means the same two views.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic_core import from_json

from sklab.errors import DamagedRecordError, SklabError
from sklab.report.build import build
from sklab.store.files import content, write_whole
from sklab.store.study_folder import StudyFolder
from sklab.tracking.client import Client, in_short
from sklab.tracking.mode import require_connection
from sklab.tracking.settings import of_study
from sklab.tracking.summary import Place, log_to_run, summary_id, unit_rows
from sklab.tracking.sync import exclude_offline_summaries

if TYPE_CHECKING:
    import wandb

INSTALL = "pip install 'wandb-workspaces>=0.4.13,<0.5'"

_FIND = """
query FindView($entityName: String, $projectName: String, $viewType: String, $viewName: String) {
    project(name: $projectName, entityName: $entityName) {
        allViews(viewType: $viewType, viewName: $viewName) { edges { node { id name } } }
    }
}
"""


@dataclass(frozen=True)
class View:
    """A workspace or a report as W&B files it: `kind` of ours, `type` and `name` of W&B's, `spec` as JSON."""

    kind: str
    type: str
    name: str
    title: str
    spec: str


@dataclass(frozen=True)
class Published:
    """The address of a view, and whether it is new."""

    kind: str
    url: str
    created: bool


def publish(study: StudyFolder, environ: Mapping[str, str] = os.environ) -> list[Published]:
    """Rebuild the report of `study`, upload its summary run, then create or update its workspace and W&B report.

    What was changed by hand in the two is replaced. Raises SklabError with the remedy when wandb-workspaces is missing,
    there is no key or no server (within 5 s), or the server refuses; nothing is lost, the same command goes on.
    """
    require_installed()
    sweep, names = study.read_sweep(), _names(study)
    require_connection("a dashboard", environ)
    build(study.path)
    tracking = of_study(study, environ).model_copy(update={"mode": "online"})
    place = log_to_run(study.path / "table.csv", sweep.study, tracking, study.path)
    if not place.entity:
        raise SklabError("W&B: the server did not take the study's summary run; the same command tries again")
    exclude_offline_summaries(study)
    with _as_sklab_error(), Client(tracking, study.path).api() as api:
        return [_save(api, place, view) for view in _views(study, place, names)]


def write_specs(study: StudyFolder, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Write what `publish` would send as JSON into the study's folder `wandb`, asking no server."""
    require_installed()
    build(study.path)
    names = _names(study)
    folder = study.path / "wandb"
    folder.mkdir(exist_ok=True)
    files = []
    tracking, name = of_study(study, environ), study.read_sweep().study
    place = Place("", tracking.project, summary_id(name, study.path), tracking.group or name)
    for view in _views(study, place, names):
        files.append(folder / f"{view.kind}.json")
        write_whole(files[-1], json.dumps(json.loads(view.spec), indent=1) + "\n")
    return files


def require_installed() -> None:
    """Raise SklabError with the line that installs it when wandb-workspaces is missing."""
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise SklabError(f"W&B dashboards need wandb-workspaces: {error}; install it: {INSTALL}") from error


def _views(study: StudyFolder, place: Place, names: Mapping[str, str]) -> list[View]:
    from sklab.tracking import views

    sweep = study.read_sweep()
    markdown = (study.path / "report.md").read_text(encoding="utf-8")
    workspace = views.workspace(sweep, place, markdown, attention=bool(unit_rows(study.path)))
    report = views.report(sweep, place, markdown)
    return [
        View("workspace", "project-view", f"nw-{names['workspace']}-v", sweep.study, _spec(workspace)),
        View("report", "runs", names["report"], sweep.study, _spec(report)),
    ]


def _spec(view: Any) -> str:
    return str(view._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def _names(study: StudyFolder) -> dict[str, str]:
    """The names of the study's views, drawn and kept when there are none yet. Raises DamagedRecordError."""
    file = study.path / "dashboard.json"
    if not file.exists():
        write_whole(file, json.dumps({kind: secrets.token_hex(6)[:11] for kind in ("workspace", "report")}) + "\n")
    try:
        names = from_json(content(file))
        return {kind: str(names[kind]) for kind in ("workspace", "report")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DamagedRecordError(f"{file} holds no names of views; delete it for new ones") from error


def _save(api: wandb.Api, place: Place, view: View) -> Published:
    from wandb_workspaces._graphql import execute_graphql
    from wandb_workspaces.reports.v2 import gql

    project = {"entityName": place.entity, "projectName": place.project}
    answer = execute_graphql(api, _FIND, {**project, "viewType": view.type, "viewName": view.name})
    edges = ((answer.get("project") or {}).get("allViews") or {}).get("edges") or []
    ids = [edge["node"]["id"] for edge in edges if edge["node"]["name"] == view.name]
    sent = {"name": view.name, "type": view.type, "displayName": view.title, "description": "", "spec": view.spec}
    saved = execute_graphql(api, gql.upsert_view, {**project, **sent, "id": ids[0] if ids else None})
    return Published(view.kind, _url(api, place, view, saved["upsertView"]["view"]["id"]), not ids)


def _url(api: wandb.Api, place: Place, view: View, view_id: str) -> str:
    from wandb_workspaces._graphql import get_app_url

    project = f"{get_app_url(api).rstrip('/')}/{quote(place.entity)}/{quote(place.project)}"
    if view.kind == "workspace":
        return f"{project}?nw={view.name.removeprefix('nw-').removesuffix('-v')}"
    return f"{project}/reports/{quote(view.title)}--{view_id.rstrip('=')}"


@contextmanager
def _as_sklab_error() -> Iterator[None]:
    """Turn wandb's exceptions into errors that a user can mend."""
    try:
        yield
    except SklabError:
        raise
    except Exception as error:  # wandb has no common base for what its transports raise
        message = f"W&B: the dashboard was not saved: {in_short(error)}; the same command tries again"
        raise SklabError(message) from error
