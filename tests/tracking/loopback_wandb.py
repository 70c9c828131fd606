"""A W&B server on the loopback interface: the few calls that the client makes, and what it was told by them."""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4


@dataclass
class ServedRun:
    """A run as the server knows it; `history` are its rows, `files` its uploads by name."""

    group: str = ""
    job_type: str = ""
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None


class LoopbackServer:
    """Use as a context. `connections` counts every TCP connection; `dead` makes it hang up on all it is asked."""

    def __init__(self, key: str = KEY) -> None:
        self.key, self.dead, self.connections = key, False, 0
        self.runs: dict[str, ServedRun] = defaultdict(ServedRun)
        self.views: dict[str, dict[str, Any]] = {}  # by id, as they were saved last
        self.operations: list[str] = []
        self.reports = 0  # what wandb sends about itself
        self._http = _Http(self)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> LoopbackServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        self.operations.append(operation)
        reply = getattr(self, f"_{operation}", None)
        return reply(variables) if reply else {}

    def _Viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}

    def _UpsertBucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[variables["name"]]
        run.group = variables["groupName"] or run.group
        run.job_type = variables["jobType"] or run.job_type
        run.name = variables["displayName"] or run.name
        run.config = {name: entry["value"] for name, entry in json.loads(variables["config"] or "{}").items()}
        project = {"id": "2", "name": variables["project"], "entity": {"id": "3", "name": "me"}}
        bucket = {"id": "4", "name": variables["name"], "displayName": run.name, "config": "{}", "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _RunResumeStatus(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"model": {"id": "2", "name": variables["project"], "entity": {"id": "3", "name": "me"}, "bucket": None}}

    def _CreateRunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        address = f"{self.url}/upload/{variables['run']}"
        files = [{"name": name, "uploadUrl": f"{address}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "4", "uploadHeaders": [], "files": files}}

    def _ArtifactType(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _CreateArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        sequence = {"id": "6", "latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": "5", "state": "COMMITTED", "artifactSequence": sequence}}}

    def _ProjectInternalId(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"id": "2", "internalId": "internal-2"}}

    def _FindView(self, variables: dict[str, Any]) -> dict[str, Any]:
        wanted = (variables["viewType"], variables["viewName"])
        found = [view for view in self.views.values() if (view["type"], view["name"]) == wanted]
        return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}

    def _upsertView(self, variables: dict[str, Any]) -> dict[str, Any]:
        view = {**variables, "id": variables["id"] or _id(f"View:{variables['name']}")}
        inserted = view["id"] not in self.views
        self.views[view["id"]] = view
        return {"upsertView": {"view": {"id": view["id"], "name": view["name"]}, "inserted": inserted}}

    def stream(self, run_id: str, told: dict[str, Any]) -> None:
        run = self.runs[run_id]
        for name, chunk in told.get("files", {}).items():
            lines = [json.loads(line) for line in chunk["content"] if name.endswith((".json", ".jsonl"))]
            if name == "wandb-history.jsonl":
                run.history[chunk["offset"] :] = lines
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if told.get("complete"):
            run.exit_code = told["exitcode"]


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: LoopbackServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.owner.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client's process may end in the middle of a call."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        owner, body = self.server.owner, self._body()
        owner.reports += "/otel/" in self.path
        if owner.dead:
            self.close_connection = True
        elif self.headers.get("Authorization") != _basic(owner.key):
            self._reply({"errors": [{"message": "user is not logged in"}]}, 401)
        elif self.path == "/graphql":
            asked = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])[1]
            self._reply({"data": owner.answer(operation, asked.get("variables") or {})})
        else:
            if self.path.endswith("/file_stream"):
                owner.stream(self.path.split("/")[-2], json.loads(body))
            self._reply({})

    def do_PUT(self) -> None:
        run_id, name = self.path.removeprefix("/upload/").split("/", 1)
        self.server.owner.runs[run_id].files[name] = self._body()
        self._reply({})

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _chunk(self) -> bytes:
        chunk = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return chunk

    def _reply(self, answer: object, code: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _id(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"api:{key}".encode()).decode()
