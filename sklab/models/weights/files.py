"""Files of tensors: equal tensors and metadata make equal bytes, so that a file's checksum can name them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

_ALIGNED = 8  # bytes; the length of the header is a number of so many, and so is a multiple of it


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
