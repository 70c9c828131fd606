"""A network with its weights as an ONNX file, whose outputs were compared with the network's."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from sklab.errors import SklabError
from sklab.models.zoo import make_strided

INPUT, OUTPUT = "images", "logits"
_PACKAGES = ("onnx", "onnx.reference", "onnxscript")
_INSTALL = "pip install 'sklab[onnx]'"
_IMAGES = 2  # fewer, and torch takes the number for a constant
# Of the largest output. Other orders of the same float32 sums differ by 1e-6 of it, a wrong operator by about 1.
_TOLERATED = 1e-3


def graph_file(network: nn.Module, shape: Sequence[int], metadata: Mapping[str, str]) -> bytes:
    """The content of an ONNX file that computes what `network` does in eval mode.

    Its input `images` is float32 [N, *shape] with any N, normalised as for the network; its output `logits` is
    float32 [N, num_classes]. It passes ONNX's own check, and ONNX's reference implementation gave the network's
    outputs for two images of noise. `network` is on the CPU and stays as it is.

    Raises SklabError, with the remedy, where the packages are missing, and where ONNX can't express the network.
    """
    onnx = _import()
    plain = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    make_strided(plain)
    images = torch.randn(_IMAGES, *shape, generator=torch.Generator().manual_seed(0))
    model = _translated(plain, images)
    onnx.helper.set_model_props(model, dict(metadata))
    content: bytes = model.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    _ensure_same(onnx, content, network, images)
    return content


def _import() -> Any:
    """The package onnx, once all that the translation needs is there."""
    try:
        onnx, *_ = (import_module(name) for name in _PACKAGES)
        return onnx
    except ImportError as error:
        raise SklabError(f"an ONNX file needs the package {error.name}, which can't be imported; {_INSTALL}") from error


def _translated(network: nn.Module, images: Tensor) -> Any:
    """The network as ONNX's own message, with its number of images left open."""
    shapes = ({0: torch.export.Dim("N")},)
    try:
        with _quiet():
            program = torch.onnx.export(
                network, (images,), input_names=[INPUT], output_names=[OUTPUT], dynamic_shapes=shapes, verbose=False
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[-1]
        raise SklabError(f"ONNX can't express this network: {reason}") from error
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of packages that nobody asked for, and numpy of numbers that overflow as in torch."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def _ensure_same(onnx: Any, content: bytes, network: nn.Module, images: Tensor) -> None:
    """Raise SklabError where the file does not compute what the network does."""
    evaluator = onnx.reference.ReferenceEvaluator(onnx.load_from_string(content))
    with _quiet(), torch.inference_mode():
        found, expected = torch.from_numpy(evaluator.run(None, {INPUT: images.numpy()})[0]), network(images)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= _TOLERATED:  # a NaN is not
        raise SklabError(f"as ONNX, the outputs differ by {difference:.2g} of the largest; nothing was written")
