"""The metrics that a run can have: one table, with all that is known of each before anything is trained.

A figure of an evaluation is named `val_...` in records, in `metrics.csv` and in sweep files. Beside those that come
with sklab are those of the user's own code (`sklab.own`), which resolved sweeps and orders state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from sklab.errors import SklabError
from sklab.own import files, registry
from sklab.spec.names import did_you_mean
from sklab.spec.own.parts import Hash
from sklab.spec.values import Value

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
    code       hash of the file that defines it; "" for one that comes with sklab
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
    code: str = ""

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


class OwnMetric(Value):
    """What is written down of a metric of the user's own: the direction of better values, the unit and the hash of the
    file that defines it."""

    better: Direction
    unit: str
    code: Hash


class _Metrics(Mapping[str, Measure]):
    """The metrics by name: those that come with sklab, then those of the user's own that were declared."""

    def __init__(self, shipped: Mapping[str, Measure]) -> None:
        self._shipped, self._own = shipped, dict[str, Measure]()

    def __getitem__(self, name: str) -> Measure:
        return self._shipped[name] if name in self._shipped else self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._shipped, *self._own))

    def __len__(self) -> int:
        return len(self._shipped) + len(self._own)

    def declare(self, name: str, stated: OwnMetric) -> None:
        """State a metric of the user's own; what comes with sklab stays as it is."""
        self._own[name] = Measure(
            name.removeprefix(PREFIX).replace("_", " "),
            stated.better,
            stated.unit,
            lowest=-math.inf,
            highest=math.inf,
            digits=2 if stated.unit == "%" else 4,
            code=stated.code,
        )

    @property
    def shipped(self) -> tuple[str, ...]:
        """The names of those that come with sklab."""
        return tuple(self._shipped)


def _by_torchmetrics(noun: str, better: Direction = "higher", unit: str = "%") -> Measure:
    lowest, highest = (0.0, 100.0) if unit == "%" else (-1.0, 1.0)
    return Measure(noun, better, unit, lowest, highest, digits=2 if unit == "%" else 4)


# Those that are called as torchmetrics calls its function `multiclass_...`, with its defaults: means over the classes.
# The direction is that of torchmetrics where it states one.
BY_TORCHMETRICS: Mapping[str, Measure] = {
    "val_auroc": _by_torchmetrics("AUROC"),
    "val_average_precision": _by_torchmetrics("average precision"),
    "val_cohen_kappa": _by_torchmetrics("Cohen's kappa", unit=""),
    "val_hamming_distance": _by_torchmetrics("Hamming distance", "lower"),
    "val_hinge_loss": Measure("hinge loss", unit="", highest=math.inf, digits=4),
    "val_jaccard_index": _by_torchmetrics("Jaccard index"),
    "val_matthews_corrcoef": _by_torchmetrics("Matthews correlation", unit=""),
    "val_negative_predictive_value": _by_torchmetrics("negative predictive value"),
    "val_precision": _by_torchmetrics("precision"),
    "val_recall": _by_torchmetrics("recall"),
    "val_specificity": _by_torchmetrics("specificity"),
}
PREFIX = "val_"
_SHIPPED: Mapping[str, Measure] = {
    TOP1_ERROR: Measure("error", per_image=True, further=False),
    "val_loss": Measure("loss", unit="", lowest=-math.inf, highest=math.inf, digits=4, per_image=True, further=False),
    "val_top5_error": Measure("top-5 error", classes=6),
    "val_balanced_error": Measure("balanced error"),
    "val_macro_f1": Measure("macro-F1", better="higher"),
    "val_ece": Measure("calibration error"),
    **BY_TORCHMETRICS,
}
METRICS = _Metrics(_SHIPPED)
registry.reserve("metric", lambda: [name.removeprefix(PREFIX) for name in _SHIPPED])


def own_metrics(names: Iterable[str]) -> dict[str, OwnMetric]:
    """What is to be written down of those of these metrics that are the user's own."""
    measures = {name: METRICS[name] for name in names}
    return {
        name: OwnMetric(better=measure.better, unit=measure.unit, code=measure.code)
        for name, measure in measures.items()
        if measure.code
    }


def declare_in(raw: Any) -> Any:
    """Declare the metrics of the user's own that `raw`, a sweep or an order before it is checked, states under
    `own_metrics`; gives `raw` back."""
    stated = raw.get("own_metrics") if isinstance(raw, Mapping) else None
    for name, one in stated.items() if isinstance(stated, Mapping) else ():
        METRICS.declare(str(name), OwnMetric.model_validate(one))
    return raw


def _declare_named(name: str) -> None:
    """Declare the metric as the user's file defines it, where it does. Raises PydanticCustomError where that can't be
    executed."""
    try:
        own = files.find("metric", name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    except SklabError as error:
        raise PydanticCustomError("own_code", "{text}", {"text": str(error)}) from error
    if own:
        stated = OwnMetric(better=own.stated["better"], unit=own.stated["unit"], code=files.hash_of_current())
        METRICS.declare(name, stated)


def _known(name: str) -> str:
    if name not in METRICS.shipped:  # declared anew: the file may be another one than that of a study that was read
        try:
            _declare_named(name)
        except PydanticCustomError:
            if name not in METRICS:
                raise
    if name not in METRICS:
        context = {"expected": ", ".join(METRICS), "found": repr(name), "hint": did_you_mean(name, METRICS)}
        raise PydanticCustomError("unknown_metric", "unknown metric {found}; known: {expected}", context)
    return name


MetricName = Annotated[str, AfterValidator(_known)]
