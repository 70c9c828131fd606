"""Files of tensors: safetensors, read and written, and what torch.save wrote, read. Nothing in a file is executed.

Equal tensors and metadata make equal bytes, so that a file's checksum can name them.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from sklab.errors import SklabError
from sklab.store.files import opened

_ALIGNED = 8  # bytes; the length of the header is a number of so many, and so is a multiple of it
ENDINGS = (".safetensors", ".pt", ".pth")
_NESTED = ("state_dict", "model", "model_ema")  # where the checkpoints of training programs keep the network


def tensor_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file. The library writes the entries of the metadata in any order; here they are
    sorted."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(whole, {"format": "pt"})  # what other readers look for
    start = _ALIGNED + int.from_bytes(content[:_ALIGNED], "little")
    header = json.loads(content[_ALIGNED:start])
    header["__metadata__"] |= dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return len(text).to_bytes(_ALIGNED, "little") + text + content[start:]


def metadata_in(content: bytes) -> dict[str, str]:
    """The metadata in the `content` of a safetensors file, which was read before."""
    header = json.loads(content[_ALIGNED : _ALIGNED + int.from_bytes(content[:_ALIGNED], "little")])
    metadata: dict[str, str] = header.get("__metadata__") or {}
    return metadata


def read_file(path: Path) -> bytes:
    """The content of a file of weights. Raises SklabError for one that is missing or can't be read."""
    try:
        with opened(path) as stream:
            return stream.read()
    except OSError as error:
        raise SklabError(f"{path}: can't be read ({error.strerror or error})") from None


def tensors_in(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a network by name, on the CPU: in the order of the file, those of safetensors by name.

    `content` is that of the file at `path`. `.safetensors`, and `.pt` or `.pth`: a state dict, or a mapping with one
    under `state_dict`, `model` or `model_ema`. Raises SklabError for a file that is damaged or of another kind, and for
    one that holds more than tensors and plain values.
    """
    if path.suffix not in ENDINGS:
        raise SklabError(f"{path}: is no file of weights; allowed: names that end with {', '.join(ENDINGS)}")
    tensors = _state_dict(_safe(content, path) if path.suffix == ".safetensors" else _saved(content, path))
    if not tensors:
        nested = ", ".join(_NESTED)
        raise SklabError(f"{path}: holds no network; allowed: tensors by name, or such a mapping as {nested}")
    return tensors


def _safe(content: bytes, path: Path) -> Any:
    try:
        return dict(sorted(safetensors.torch.load(content).items()))  # it gives them in any order
    except Exception as error:  # a broken file raises almost anything
        raise SklabError(f"{path}: is damaged or no safetensors file ({_in_short(error)})") from None


def _saved(content: bytes, path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickles of another protocol are read or refused, either is clear
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file raises almost anything
        raise SklabError(
            f"{path}: is damaged, not of torch.save, or holds more than tensors and plain values, which would be code "
            f"to execute ({_in_short(error)}); allowed: a network's state_dict()"
        ) from None


def _in_short(error: Exception) -> str:
    said = "".join(str(error).splitlines()[:1]).partition(". ")[0]
    return said if " " in said else type(error).__name__  # of some only a number is said


def _state_dict(held: Any) -> dict[str, Tensor]:
    """The state dict in what a file holds; empty where there is none."""
    if not isinstance(held, Mapping):
        return {}
    for name in _NESTED:
        if isinstance(held.get(name), Mapping):
            return _state_dict(held[name])
    whole = all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in held.items())
    return dict(held) if whole else {}
