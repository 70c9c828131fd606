"""Wrong gradients are noticed."""

import math

import pytest
import torch
import torch.nn.functional as F

from sklab.models import numerics
from sklab.models.numerics import Verdict, check, check_convolution
from sklab.models.zoo import Signature, convolutions
from sklab.spec.networks import network

# Wrong on torch 2.13 on CPU in bf16 with channels_last, right in each of the other three ways.
DILATED = Signature(
    32, 32, kernel=(3, 3), stride=(1, 1), padding=(2, 2), dilation=(2, 2), groups=8, height=32, width=32
)
SMALL = Signature(4, 4, kernel=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=2, height=8, width=8)
WAYS = [(dtype, layout) for dtype in ("fp32", "bf16") for layout in ("contiguous", "channels_last")]


FAULTY = (
    torch.__version__.startswith("2.13.")
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and not torch.cpu._is_amx_tile_supported()
)


@pytest.mark.skipif(not FAULTY, reason="this machine is none of those that have it: torch 2.13 on AVX-512 without AMX")
def test_the_known_fault_is_found():
    verdict = check_convolution(DILATED, "bf16", "channels_last", "cpu")
    assert not verdict.ok
    assert not verdict.weight_grad_error < 1
    assert max(verdict.forward_error, verdict.input_grad_error) < 0.003


@pytest.mark.parametrize("way", [way for way in WAYS if way != ("bf16", "channels_last")])
def test_other_ways_to_compute_it_are_right(way):
    assert check_convolution(DILATED, *way, "cpu").ok


class _Broken(torch.autograd.Function):
    """A convolution with something wrong in one of its three results."""

    @staticmethod
    def forward(ctx, image, weight, settings, spoil):
        ctx.save_for_backward(image, weight)
        ctx.settings, ctx.spoil = settings, spoil
        return spoil("output", F_CONV2D(image, weight, None, *settings))

    @staticmethod
    def backward(ctx, slope):
        image, weight = ctx.saved_tensors
        with torch.enable_grad():
            leaves = image.detach().requires_grad_(), weight.detach().requires_grad_()
            output = F_CONV2D(*leaves, None, *ctx.settings)
        image_grad, weight_grad = torch.autograd.grad(output, leaves, slope)
        return ctx.spoil("input", image_grad), ctx.spoil("weight", weight_grad), None, None


F_CONV2D = F.conv2d
SPOILS = {
    "nan": lambda tensor: tensor.index_fill(0, torch.tensor([0]), math.nan),
    "inf": lambda tensor: tensor.index_fill(0, torch.tensor([0]), math.inf),
    "zero": torch.zeros_like,
    "one channel lost": lambda tensor: tensor.index_fill(1, torch.tensor([0]), 0),
    "five percent off": lambda tensor: tensor * 1.05,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("result", ["output", "weight", "input"])
def test_a_wrong_result_is_never_right(monkeypatch, result, spoil, way):
    def wrong(name, tensor):
        return SPOILS[spoil](tensor) if name == result else tensor

    def convolution(image, weight, bias, *settings):
        if image.dtype == torch.float64:
            return F_CONV2D(image, weight, bias, *settings)
        return _Broken.apply(image, weight, settings, wrong)

    monkeypatch.setattr(F, "conv2d", convolution)
    verdict = check_convolution(SMALL, *way, "cpu")
    assert not verdict.ok
    errors = {"output": verdict.forward_error, "weight": verdict.weight_grad_error, "input": verdict.input_grad_error}
    for name, error in errors.items():
        tolerated = error <= numerics.TOLERANCES[way[0]]
        assert tolerated == (name != result), f"{name}: {error}"


def test_a_fault_that_comes_and_goes_is_remembered(monkeypatch):
    tries = iter([1.0, 2.0])

    def convolution(image, *rest):
        factor = 1.0 if image.dtype == torch.float64 else next(tries)
        return F_CONV2D(image, *rest) * factor

    monkeypatch.setattr(F, "conv2d", convolution)
    assert not check_convolution(DILATED, "fp32", "contiguous", "cpu").ok


def test_a_verdict_says_what_is_wrong():
    verdict = Verdict(DILATED, "bf16", "channels_last", "cpu", 0.0017, math.nan, 0.0016, 8, 0.02)
    assert not verdict.ok
    text = str(verdict)
    assert "WRONG in bf16 channels_last on cpu, batch 8" in text
    assert "tolerated 0.02" in text
    assert "dilation 2, groups 8" in text
    assert "weight gradient nan" in text


@pytest.mark.parametrize("batch", [2, 40])
@pytest.mark.parametrize("way", WAYS[:2])
def test_a_kernel_that_is_wrong_for_one_image_of_a_large_batch_is_found_there(monkeypatch, way, batch):
    def convolution(image, *rest):
        output = F_CONV2D(image, *rest)
        if image.dtype == torch.float64 or len(image) < 32:
            return output
        return output * torch.ones(len(image), 1, 1, 1).index_fill(0, torch.tensor([37]), 1.5)

    monkeypatch.setattr(F, "conv2d", convolution)
    verdict = check_convolution(SMALL, *way, "cpu", batch)
    assert verdict.ok == (batch == 2)
    assert batch == 2 or min(verdict.forward_error, verdict.input_grad_error) > 0.05


def test_float64_computes_a_large_batch_in_slices(monkeypatch):
    computed = []

    def convolution(image, *rest):
        computed.append((image.dtype, len(image)))
        return F_CONV2D(image, *rest)

    monkeypatch.setattr(F, "conv2d", convolution)
    assert check_convolution(SMALL, "fp32", "contiguous", "cpu", 40).ok
    assert [size for kind, size in computed if kind == torch.float32] == [40, 40]
    assert [size for kind, size in computed[-3:]] == [16, 16, 8]


def test_a_batch_that_does_not_fit_into_memory_is_halved_as_a_run_does(monkeypatch):
    def convolution(image, *rest):
        if len(image) > 3 and image.device.type != "meta":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return F_CONV2D(image, *rest)

    monkeypatch.setattr(F, "conv2d", convolution)
    verdict = check_convolution(SMALL, "fp32", "contiguous", "cpu", 25)
    assert (verdict.ok, verdict.batch) == (True, 3)


def test_no_memory_for_two_images_is_no_verdict(monkeypatch):
    def convolution(image, *rest):
        if image.device.type != "meta":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return F_CONV2D(image, *rest)

    monkeypatch.setattr(F, "conv2d", convolution)
    with pytest.raises(torch.OutOfMemoryError):
        check_convolution(SMALL, "fp32", "contiguous", "cpu", 8)


@pytest.mark.parametrize(("precision", "tolerated"), [("tf32", 5e-3), ("ieee", 1e-4)])
def test_fp32_on_a_gpu_has_the_tolerance_of_tf32_while_that_is_on(monkeypatch, precision, tolerated):
    monkeypatch.setattr(numerics, "_errors", lambda *_: [1e-3, 1e-3, 1e-3])
    held = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
    try:
        on_gpu = check_convolution(SMALL, "fp32", "contiguous", "cuda")
        on_cpu = check_convolution(SMALL, "fp32", "contiguous", "cpu")
    finally:
        torch.backends.cudnn.conv.fp32_precision = held  # type: ignore[attr-defined]
    assert (on_gpu.tolerated, on_gpu.ok) == (tolerated, precision == "tf32")
    assert (on_cpu.tolerated, on_cpu.ok) == (1e-4, False)


@pytest.mark.parametrize("way", WAYS)
def test_every_distinct_convolution_of_the_networks_is_checked_once(way):
    specs = [(network("sknet_small"), 32), (network("resnext_small"), 32), (network("sknet_small"), 32)]
    verdicts = check(specs, *way, "cpu")
    assert [verdict.signature for verdict in verdicts] == list(convolutions(network("sknet_small"), 32))
    assert all(verdict.ok for verdict in verdicts), [str(verdict) for verdict in verdicts if not verdict.ok]
