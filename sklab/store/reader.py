"""Reading records, thousands of them in one go."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from sklab.spec.run import Experiment
from sklab.store.files import unseal, unseal_text
from sklab.store.records import RunRecord


class RecordReader:
    """Reads records from JSON. A record with the same experiment as the one before it (another seed of the cell) shares
    that object: validating it anew would take half of the time and most of the memory."""

    def __init__(self) -> None:
        self._tree: Any = None
        self._experiment: Experiment | None = None

    def read(self, text: bytes) -> RunRecord:
        """The record in `text`. Raises ValidationError where there is none."""
        try:
            tree = from_json(text)
            edited = not unseal(tree)
            experiment = tree["spec"]["experiment"]
            if experiment == self._tree:
                tree["spec"]["experiment"] = self._experiment
            record = RunRecord.model_validate({**tree, "edited": edited})
        except (ValueError, TypeError, KeyError, AttributeError):
            return RunRecord.model_validate_json(unseal_text(text)[0])  # raises the error that names the fault
        self._tree, self._experiment = experiment, record.spec.experiment
        return record
