"""What an evaluation counts, batch by batch, and the metrics that need all logits at once.

These are computed by torchmetrics, which comes with Lightning. The rules for a class that no image has: the balanced
error, AUROC and the average precision are means over the classes that images have; macro-F1 and torchmetrics' other
means over those that an image has or was given, as in scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sklab.errors import SklabError
from sklab.own.files import called, own
from sklab.spec.study.metrics import BY_TORCHMETRICS, METRICS, PREFIX
from sklab.store.measured.images import Outcomes
from sklab.training.devices import gathered, total

BINS = 15  # of confidence, equally wide
_BELOW_ONE = 1 - 2**-24  # the largest single below 1, which the last bin does not contain


class Kept(NamedTuple):
    """What an evaluation keeps of single images: at most `images` of them and, where the names of further `metrics`
    are given, their logits over so many `classes`."""

    images: int = 0
    classes: int = 0
    metrics: tuple[str, ...] = ()


NOTHING = Kept()


class Scores:
    """Sums over an evaluation, kept on the device so that no batch waits for them.

    loss    mean cross-entropy so far
    error   top-1 error so far, in %, of double precision: equal counts are to give equal differences
    seen    images so far

    Where `kept` says how many images there are, each is kept by itself as well, in the order in which they are added;
    and where it names further metrics, so are the logits.
    """

    def __init__(self, device: torch.device | str, kept: Kept = NOTHING) -> None:
        images, logits = kept.images, kept.images if kept.metrics else 0
        self._loss = torch.zeros((), device=device)
        self._wrong = torch.zeros((), dtype=torch.int64, device=device)
        self._seen = torch.zeros_like(self._wrong)
        self._losses = torch.zeros(images, device=device)
        self._wrong_ones = torch.zeros(images, dtype=torch.bool, device=device)
        self._names, self._logits = kept.metrics, torch.zeros(logits, kept.classes, device=device)
        self._labels = torch.zeros(logits, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits [B, classes] of any float type, labels int64 [B]."""
        logits = logits.float()
        log_p, wrong = F.log_softmax(logits, 1), logits.argmax(1) != labels
        self._loss += F.nll_loss(log_p, labels, reduction="sum")
        self._wrong += wrong.sum()
        if len(self._losses):
            # The places are counted on the device, so that replays of this go through the images, too.
            places = self._seen + torch.arange(len(labels), device=labels.device)
            self._losses.index_copy_(0, places, F.nll_loss(log_p, labels, reduction="none"))
            self._wrong_ones.index_copy_(0, places, wrong)
            if self._names:
                self._logits.index_copy_(0, places, logits)
                self._labels.index_copy_(0, places, labels)
        self._seen += len(labels)

    def clear(self) -> None:
        """Begin anew."""
        for each in (self._loss, self._wrong, self._seen):
            each.zero_()

    def over_devices(self) -> None:
        """Make these the sums over all devices of the run, and the images those of all. Every device must call it."""
        self._loss, self._wrong, self._seen = (
            torch.as_tensor(total(each)) for each in (self._loss, self._wrong, self._seen)
        )
        each = (self._losses, self._wrong_ones, self._logits, self._labels)
        parts = gathered(tuple(tensor.cpu() for tensor in each))
        self._losses, self._wrong_ones, self._logits, self._labels = (
            torch.cat(part) for part in zip(*parts, strict=True)
        )

    @property
    def loss(self) -> Tensor:
        return self._loss / self._seen

    @property
    def error(self) -> Tensor:
        return 100.0 * self._wrong.double() / self._seen

    @property
    def seen(self) -> int:
        return int(self._seen)

    @property
    def further(self) -> dict[str, float]:
        """The further metrics by name, in %."""
        if not self._names:
            return {}
        return further(self._names, self._logits[: self.seen].cpu(), self._labels[: self.seen].cpu())

    @property
    def outcomes(self) -> Outcomes:
        """The images one by one."""
        return Outcomes(self._wrong_ones.cpu().numpy(), self._losses.cpu().double().numpy())


def _top5_error(logits: Tensor, labels: Tensor) -> Tensor:
    from torchmetrics.functional.classification import multiclass_accuracy

    return 1 - multiclass_accuracy(logits, labels, num_classes=logits.shape[1], average="micro", top_k=5)


def _balanced_error(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - the mean recall of the classes that images have (Brodersen et al., 2010)."""
    from torchmetrics.functional.classification import multiclass_recall

    recall = multiclass_recall(logits, labels, num_classes=logits.shape[1], average="none")
    return 1 - recall[torch.unique(labels)].double().mean()


def _macro_f1(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over classes of the harmonic mean of precision and recall."""
    from torchmetrics.functional.classification import multiclass_f1_score

    return multiclass_f1_score(logits, labels, num_classes=logits.shape[1], average="macro")


def _calibration_error(logits: Tensor, labels: Tensor) -> Tensor:
    """The expected calibration error (Guo et al., 2017, equation 3) over BINS bins of confidence."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    confidence = logits.softmax(1).clamp(max=_BELOW_ONE)
    return multiclass_calibration_error(confidence, labels, num_classes=logits.shape[1], n_bins=BINS, norm="l1")


def _one_against_rest(kind: str, logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of a binary metric over the classes that some images have and some have not, each against all others.
    Where there is none, no image can be ranked: as by guessing, 1/2."""
    from torchmetrics.functional import classification

    scores = logits.double().softmax(1)
    classes = [label for label in torch.unique(labels).tolist() if not bool((labels == label).all())]
    of_class = getattr(classification, f"binary_{kind}")
    each = [of_class(scores[:, label], (labels == label).long()).double() for label in classes]
    return torch.stack(each).mean() if each else torch.tensor(0.5, dtype=torch.float64)


def _by_torchmetrics(kind: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Torchmetrics' own function of this name, of probabilities: logits between 0 and 1 it would take for these. 0, as
    of guessing, where it divides 0 by 0: all images are of one class and are taken for it."""
    from torchmetrics.functional import classification

    compute = getattr(classification, f"multiclass_{kind}")
    found: Tensor = compute(logits.double().softmax(1), labels, num_classes=logits.shape[1])
    return found.nan_to_num(0.0)


def _by_own_code(name: str, scores: Tensor, targets: Tensor) -> float:
    """The user's metric. Raises SklabError for whatever its code raises, and where it gives no finite number."""
    code = METRICS[name].code
    of_user = own("metric", name.removeprefix(PREFIX), code)
    given = called(of_user, code, scores.clone(), targets.clone())
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        found = given if isinstance(given, float) else type(given).__name__
        raise SklabError(f"{of_user}: found {found}; allowed: a finite number")
    return value


_COMPUTED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "val_top5_error": _top5_error,
    "val_balanced_error": _balanced_error,
    "val_macro_f1": _macro_f1,
    "val_ece": _calibration_error,
    **{name: partial(_by_torchmetrics, name.removeprefix(PREFIX)) for name in BY_TORCHMETRICS},
    **{f"val_{kind}": partial(_one_against_rest, kind) for kind in ("auroc", "average_precision")},
}


def further(names: Sequence[str], logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The metrics `names`, in % where that is their unit, from the logits [N, classes] and labels int64 [N] of an
    evaluation on the CPU."""
    with _any_algorithm():
        return {name: _scale(name) * _value(name, logits, labels) for name in names}


def _scale(name: str) -> int:
    return 100 if METRICS[name].unit == "%" else 1


def _value(name: str, logits: Tensor, labels: Tensor) -> float:
    return float(_COMPUTED[name](logits, labels)) if name in _COMPUTED else _by_own_code(name, logits, labels)


def every(classes: int) -> tuple[str, ...]:
    """The names of all metrics that say something of so many classes."""
    return tuple(name for name in _COMPUTED if classes >= METRICS[name].classes)


@contextmanager
def _any_algorithm() -> Iterator[None]:
    """On the CPU every algorithm gives the same bits each time; those for GPUs, which torchmetrics would take, do so
    slowly."""
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
