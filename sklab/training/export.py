"""The network of a finished run as a file for other programs, which says itself what it is."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from sklab.data.fingerprint import inventory
from sklab.data.formats.own import classes_of
from sklab.data.kept import load_undecoded
from sklab.errors import DamagedRecordError, SklabError
from sklab.models.weights.description import Description
from sklab.models.weights.files import tensor_file
from sklab.models.weights.graph import graph_file
from sklab.models.weights.timm_names import in_timm, timm_name
from sklab.spec.data import surely_differ
from sklab.spec.own.parts import OwnData
from sklab.spec.values import Value
from sklab.store.files import checksum, write_whole
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.versions import this_code
from sklab.training.evaluate import complete_record, kept_network

_ENDINGS = {"safetensors": ".safetensors", "onnx": ".onnx", "timm": ".timm.safetensors"}
_LONGEST = 120  # letters of a file name before its ending


class Exported(Value):
    """An exported file: its SHA-256, its size in bytes, and what it says of itself."""

    file: str
    sha256: str
    bytes: int
    description: Description


def export(folder: RunFolder, kind: str, out: Path | None) -> Exported:
    """Write the network of the run in `folder`, with its kept weights, to `out`, or to a file in the current folder
    that is named after study, cell and seed.

    The file appears whole or not at all. Raises SklabError when the run is not complete, when its weights are missing
    or not those that it wrote, when the network can't be expressed in this form, and when the file is there already.
    """
    record = complete_record(folder)
    file = out or Path(default_name(folder.read_order(), kind))
    if file.exists():
        raise SklabError(f"{file} is there already and stays as it is; move it away, or give another name with --out")
    network = kept_network(folder, record, torch.device("cpu"))
    description = describe(folder, record)
    content = _CONTENTS[kind](network, description)
    write_whole(file, content)
    return Exported(file=str(file), sha256=checksum(content), bytes=len(content), description=description)


def default_name(order: RunOrder, kind: str) -> str:
    """`study-cell-seed0.safetensors`; signs that a file's name had better not have become a dash."""
    name = re.sub(r"[^\w.+,=-]+", "-", f"{order.study}-{order.cell}")[:_LONGEST].strip("-.")
    return f"{name}-seed{order.spec.seed}{_ENDINGS[kind]}"


def describe(folder: RunFolder, record: RunRecord) -> Description:
    """What is known of the run's network."""
    data, channels = record.spec.experiment.data, record.spec.experiment.model.in_channels
    return Description(
        model=record.spec.experiment.model.fresh,
        mean=data.mean if len(data.mean) == channels else data.mean * channels,
        std=data.std if len(data.std) == channels else data.std * channels,
        image_size=data.image_size,
        classes=_classes(folder, record),
        run=record.key,
        val_error=record.last.get("val_error"),
        sklab=this_code().version,
    )


def _classes(folder: RunFolder, record: RunRecord) -> tuple[str, ...]:
    """The names of the classes: from what the run recorded of its attention, else from own code, else from its data if
    they are there as they were; nothing where none is."""
    with suppress(DamagedRecordError):
        if attention := folder.read_attention():
            return attention.classes
    data = folder.read_order().spec.trained.data
    with suppress(SklabError):
        if isinstance(data, OwnData):
            return classes_of(data)
        if data.drawn or data.places:  # others might be downloaded
            splits = load_undecoded(data)
            held = None if data.drawn else inventory(data, splits).fingerprint
            return () if surely_differ(record.fingerprint, held) else splits.classes
    return ()


def _safetensors(network: nn.Module, description: Description) -> bytes:
    return tensor_file(network.state_dict(), description.metadata())


def _onnx(network: nn.Module, description: Description) -> bytes:
    size = description.image_size
    return graph_file(network, (description.model.in_channels, size, size), description.metadata())


def _timm(network: nn.Module, description: Description) -> bytes:
    metadata = description.metadata()
    name, _ = timm_name(description.model), metadata.pop("model")  # its tensors have other names
    tensors = in_timm(description.model, network.state_dict())
    return tensor_file(tensors, {**metadata, "architecture": name})


_CONTENTS = {"safetensors": _safetensors, "onnx": _onnx, "timm": _timm}
