"""What networks cost, kept: counting takes tenths of a second for each, and a search asks for its whole space at every
start."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sklab.files import write_whole
from sklab.machine import installed, this_code
from sklab.spec.run import Experiment

Counts = Sequence[tuple[int, int]]  # parameters and multiply-accumulates of one image


class Counted:
    """`count`, asked once for each distinct network; answers are kept under `results` for as long as versions and
    commit stay the same, and not at all by a tree with uncommitted changes: these may be about networks. Without `keep`
    only what was kept before is made use of."""

    def __init__(self, count: Callable[[list[Experiment]], Counts], results: Path, *, keep: bool = True) -> None:
        self._count, self._file, self._code = count, results / ".costs.json", this_code()
        self._keeps = keep and not self._code.dirty
        self._known: dict[str, tuple[int, int]] = {}
        with suppress(OSError, ValueError):
            self._known = {} if self._code.dirty else json.loads(self._file.read_bytes())

    def __call__(self, experiments: Sequence[Experiment]) -> Counts:
        """The costs of their networks, in their order."""
        asked = {self._name(experiment): experiment for experiment in experiments}
        new = {name: experiment for name, experiment in asked.items() if name not in self._known}
        if new:
            self._known |= dict(zip(new, self._count(list(new.values())), strict=True))
            self._keep()
        return [(params, macs) for params, macs in (self._known[self._name(each)] for each in experiments)]

    def _name(self, experiment: Experiment) -> str:
        model = experiment.model
        versions = " ".join(installed(model.libraries).values())
        network = f"{experiment.data.image_size} {model.model_dump_json()}"
        return f"{self._code.version} {self._code.commit} {versions} {network}"

    def _keep(self) -> None:
        if self._keeps:
            with suppress(OSError):  # they are counted again
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._file, json.dumps(self._known))
