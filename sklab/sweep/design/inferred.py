"""What the data decide, stated in an experiment that leaves it out: the number of classes and the image size, and the
network's numbers of classes and of input channels."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from pydantic import ValidationError

from sklab.data.look.inferred import inferred
from sklab.errors import SklabError
from sklab.spec.data import data_sets
from sklab.spec.own.parts import class_named

Tree = dict[str, Any]
_OF_MODEL = {"num_classes": "num_classes", "in_channels": "channels"}  # by key of the network, the data's


def with_inferred(tree: Mapping[str, Any], stated: Container[object]) -> Tree:
    """The tree of an experiment with what its data decide. `stated` are the keys of the network that the user states;
    others, such as those of a network by its name, give way. A tree with faults, which are told later, stays without.

    Raises SklabError where the number of classes is left out and can't be read.
    """
    if "data" not in tree:
        return dict(tree)
    data, model = with_inferred_data(tree["data"]), tree.get("model")
    whole = {**tree, "data": data}
    if not (isinstance(data, Mapping) and isinstance(model, Mapping)):
        return whole
    return {**whole, "model": {**model, **{key: value for key, value in _of_data(data).items() if key not in stated}}}


def with_inferred_data(data: Any) -> Any:
    """The settings of a data set with what its files decide; anything else as it is. Raises as `with_inferred`."""
    if not (isinstance(data, Mapping) and data.get("name") in data_sets()):
        return data
    try:
        return {**data, **inferred(data)}
    except ValidationError:
        return {**data} if "num_classes" in data else {**data, "num_classes": 2}  # it is not the fault to tell
    except SklabError as error:
        raise SklabError(f"num_classes is left out, and can't be read from the data: {error}") from error


def _of_data(data: Mapping[str, Any]) -> Tree:
    kind = class_named("data_set", data.get("name"))
    if kind is None:
        return {}
    fields = kind.model_fields
    values = {key: data.get(name, fields[name].get_default()) for key, name in _OF_MODEL.items()}
    return {key: value for key, value in values.items() if type(value) is int}
