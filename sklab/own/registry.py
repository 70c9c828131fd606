"""The decorators by which a file of the user's own code says what it defines, and what they keep of it.

A decorator returns what it decorates unchanged. Outside of sklab, as in a test of the file itself, it does nothing
else.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from sklab.errors import SklabError

Kind = Literal["family", "data_set", "metric", "optimizer", "augmentation"]
Better = Literal["lower", "higher"]
Made = TypeVar("Made", bound=Callable[..., Any])


class _Given(NamedTuple):
    """What sklab gives to the code of a kind: the first arguments by their place, others by their names; what is left
    are its settings. `returned` says in words what comes back."""

    by_place: tuple[str, ...]
    by_name: tuple[str, ...]
    returned: str


GIVEN: Mapping[Kind, _Given] = {
    "family": _Given((), ("num_classes", "in_channels"), "a torch module"),
    "data_set": _Given(("split",), (), "images and labels"),
    "metric": _Given(("scores", "targets"), (), "a number"),
    "optimizer": _Given(("parameters",), ("lr", "weight_decay"), "a torch optimizer"),
    "augmentation": _Given(("image", "generator"), (), "an image"),
}
NOUNS: Mapping[Kind, str] = {
    "family": "family of networks",
    "data_set": "data set",
    "metric": "metric",
    "optimizer": "optimizer",
    "augmentation": "augmentation",
}


@dataclass(frozen=True, eq=False)
class Own:
    """One thing of a user's file.

    call    what is called: a function or a class
    stated  what its decorator says of it beside the name
    """

    kind: Kind
    name: str
    call: Callable[..., Any]
    stated: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, inspect.Parameter]:
        """The arguments of `call` that an experiment sets, by name. Raises SklabError where `call` does not take what
        sklab gives to its kind."""
        parameters = list(_signature(self.call).values())
        given, nameless = GIVEN[self.kind], (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        rest = {each.name: each for each in parameters[len(given.by_place) :]}
        missing = [*given.by_place[len(parameters) :], *(name for name in given.by_name if name not in rest)]
        if missing or any(each.kind in nameless for each in parameters):
            takes = ", ".join((*given.by_place, *given.by_name))
            why = f"takes {takes}, and its settings by their names"
            raise SklabError(f"{self}: found {inspect.signature(self.call)}; allowed: it {why}, without * and **")
        return {name: each for name, each in rest.items() if name not in given.by_name}

    def __str__(self) -> str:
        return f"{NOUNS[self.kind]} {self.name!r}"


def _signature(call: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(call, eval_str=True).parameters
    except NameError:  # an annotation names what is imported for type checkers only
        return inspect.signature(call).parameters


_collecting: list[dict[tuple[Kind, str], Own]] = []
_reserved: dict[Kind, Callable[[], Iterable[str]]] = {}


def reserve(kind: Kind, names: Callable[[], Iterable[str]]) -> None:
    """State the names that come with sklab, which own code may not take."""
    _reserved[kind] = names


@contextmanager
def collected() -> Iterator[Mapping[tuple[Kind, str], Own]]:
    """What the decorators say within the context, by kind and name."""
    found: dict[tuple[Kind, str], Own] = {}
    _collecting.append(found)
    try:
        yield found
    finally:
        _collecting.pop()


def _added(own: Own) -> None:
    if not _collecting:
        return
    found = _collecting[-1]
    if (own.kind, own.name) in found:
        raise SklabError(f"{own} is defined twice; each name stands for one thing")
    if own.name in set(_reserved[own.kind]() if own.kind in _reserved else ()):
        raise SklabError(f"{own} comes with sklab; give yours another name")
    if not own.name.isidentifier():
        raise SklabError(f"{own}: allowed in a name: letters, digits and _, with no digit first")
    own.settings  # noqa: B018 - a faulty signature is told at once
    found[own.kind, own.name] = own


def _decorator(kind: Kind, name: str, **stated: Any) -> Callable[[Made], Made]:
    def decorate(call: Made) -> Made:
        _added(Own(kind, name, call, stated))
        return call

    return decorate


def family(name: str) -> Callable[[Made], Made]:
    """A family of networks, `model: {family: name}`: a function or class `(num_classes, in_channels, settings...)` that
    makes a torch module. Its settings, with their defaults, are the other keys of `model:`."""
    return _decorator("family", name)


def data_set(
    name: str,
    *,
    classes: Sequence[str],
    image_size: int,
    channels: int = 3,
    mean: float | Sequence[float] = 0.5,
    std: float | Sequence[float] = 0.5,
) -> Callable[[Made], Made]:
    """A data set, `data: {name: name}`: a function `(split, settings...)` that gives images and labels of a split.

    `split` is `train` or `val`, or what `data.test` names. Images are uint8 [N, channels, image_size, image_size],
    labels are numbers [N] that count `classes` from 0; or a sequence, such as a torch Dataset, of pairs of an image and
    its label. `mean` and `std` normalise pixels from 0 to 1, for each channel or for all.
    """
    means, stds = (_for_each(channels, values) for values in (mean, std))
    return _decorator(
        "data_set",
        name,
        classes=tuple(map(str, classes)),
        image_size=image_size,
        channels=channels,
        mean=means,
        std=stds,
    )


def _for_each(channels: int, values: float | Sequence[float]) -> tuple[float, ...]:
    return (float(values),) * channels if isinstance(values, int | float) else tuple(map(float, values))


def metric(name: str, *, better: Better, unit: str = "") -> Callable[[Made], Made]:
    """A metric, `metric: val_name`: a function `(scores, targets)` of logits float32 [N, K] and labels int64 [N] of all
    validation images that gives a number. `better` is the direction of better values; unit `%` multiplies by 100."""
    if better not in ("lower", "higher"):
        raise SklabError(f"metric {name!r}: better: found {better!r}; allowed: 'lower', 'higher'")
    return _decorator("metric", name, better=better, unit=unit, lowest=-math.inf, highest=math.inf)


def optimizer(name: str) -> Callable[[Made], Made]:
    """An optimiser, `train: {optimizer: name}`: a function or class `(parameters, lr, weight_decay, settings...)` that
    makes a torch optimizer; `parameters` are torch's groups of parameters. Its settings stand beside `name:` in
    `optimizer: {name: ...}`."""
    return _decorator("optimizer", name)


def augmentation(name: str) -> Callable[[Made], Made]:
    """A random change of a training image, `train: {augment: {own: name}}`: a function `(image, generator,
    settings...)` of an image uint8 [C, H, W] on the CPU and a torch generator, from which it draws all its chance; it
    gives an image of the same shape. Its settings stand beside `name:` in `own: {name: ...}`."""
    return _decorator("augmentation", name)
