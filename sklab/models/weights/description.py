"""What a file of weights says of itself: the network, and how its images are to be prepared.

It stands in the file's metadata, name by name as text, as safetensors and ONNX keep it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sklab.errors import SklabError
from sklab.spec.own.parts import AnyModel
from sklab.spec.values import Seq, Value
from sklab.store.files import first_fault

_TEXTS = frozenset({"run", "sklab"})  # all other entries are JSON


class Description(Value):
    """The network of a file of weights, and what is known of it.

    model       its settings; they build a network that takes the tensors as they are named in the file
    mean, std   the pixels (0 to 1) of its input are normalised with these, per channel
    image_size  pixels a side of the images that it was trained on
    classes     names of its outputs, in order; empty where they are not known
    run         key of the run that trained it
    val_error   its error in %, on the validation images of that run
    sklab       the version that wrote the file
    """

    model: AnyModel
    mean: Seq[float]
    std: Seq[float]
    image_size: int
    classes: Seq[str] = ()
    run: str = ""
    val_error: float | None = None
    sklab: str = ""

    def metadata(self) -> dict[str, str]:
        """The entries as text: canonical JSON, so that equal descriptions are equal texts."""
        tree = self.model_dump(mode="json")
        return {name: entry if name in _TEXTS else _canonical(entry) for name, entry in tree.items()}


def described(metadata: Mapping[str, str], file: str) -> Description | None:
    """The description in the metadata of `file`; None where it has none. Raises SklabError for one that can't be
    read."""
    if "sklab" not in metadata or "model" not in metadata:
        return None
    try:
        entries = {name: _entry(name, metadata[name]) for name in Description.model_fields if name in metadata}
        return Description.model_validate(entries)
    except ValidationError as error:
        raise SklabError(f"{file}: its description of the network can't be read ({first_fault(error)})") from None
    except ValueError as error:
        raise SklabError(f"{file}: its description of the network can't be read ({error})") from None


def _entry(name: str, text: str) -> Any:
    return text if name in _TEXTS else json.loads(text)


def _canonical(entry: Any) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))
