"""The metrics that a run can have: one table, with all that is known of each before anything is trained.

A figure of an evaluation is named `val_...` in records, in `metrics.csv` and in sweep files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from sklab.spec.names import did_you_mean

Direction = Literal["lower", "higher"]

TOP1_ERROR = "val_error"


@dataclass(frozen=True)
class Measure:
    """One metric.

    noun       what it is called in a sentence
    better     the direction of better values
    unit       `%`, or "" for a number without one
    lowest, highest
               the limits of its values
    digits     decimals that it is printed with
    per_image  whether it is a mean over images, so that it can be told image by image
    further    whether a run computes it only where it is asked for
    classes    the fewest classes with which it says anything
    """

    noun: str
    better: Direction = "lower"
    unit: str = "%"
    lowest: float = 0.0
    highest: float = 100.0
    digits: int = 2
    per_image: bool = False
    further: bool = True
    classes: int = 2

    @property
    def sign(self) -> int:
        """What a value is multiplied by so that lower is better."""
        return 1 if self.better == "lower" else -1

    @property
    def worse(self) -> Direction:
        """The direction of worse values."""
        return "higher" if self.better == "lower" else "lower"

    @property
    def best(self) -> str:
        """`lowest` or `highest`: what the best of several values is."""
        return "lowest" if self.better == "lower" else "highest"

    @property
    def title(self) -> str:
        """The metric in words, as in `validation error`."""
        return f"validation {self.noun}"

    @property
    def heading(self) -> str:
        """The metric with its unit, as in `validation error (%)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


METRICS: Mapping[str, Measure] = {
    TOP1_ERROR: Measure("error", per_image=True, further=False),
    "val_loss": Measure("loss", unit="", lowest=-math.inf, highest=math.inf, digits=4, per_image=True, further=False),
    "val_top5_error": Measure("top-5 error", classes=6),
    "val_balanced_error": Measure("balanced error"),
    "val_macro_f1": Measure("macro-F1", better="higher"),
    "val_ece": Measure("calibration error"),
}


def _known(name: str) -> str:
    if name not in METRICS:
        context = {"expected": ", ".join(METRICS), "found": repr(name), "hint": did_you_mean(name, METRICS)}
        raise PydanticCustomError("unknown_metric", "unknown metric {found}; known: {expected}", context)
    return name


MetricName = Annotated[str, AfterValidator(_known)]
