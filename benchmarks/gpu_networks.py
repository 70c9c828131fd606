"""Sections of gpu.py: the training step of SKNet-50 beside its peers, the price of determinism, the latency of one
image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from gpu_measure import NEEDS_CUDA, Bench, Row, attempt, cudnn_benchmark
from gpu_small import Small
from networks import NETWORKS
from sk_unit import StackedSK
from torch import Tensor, nn

from sklab.models.compiled import compiled
from sklab.models.counters import BatchCounters
from sklab.models.zoo import create_model
from sklab.spec.train import TrainSpec
from sklab.training.callbacks.latency import latency_ms, replay_latency_ms
from sklab.training.determinism import set_arithmetic
from sklab.training.recipe import autocast, batch_loss, make_optimizer

BATCH = 256
# The small rate keeps weights finite: products of NaN cost less power.
RECIPE = TrainSpec(epochs=1, batch_size=BATCH, lr=1e-3, precision="bf16", memory_format="channels_last")


def _plain() -> nn.Module:
    """Our network with each SK unit as stack, multiply and sum."""
    network = create_model("sknet50")
    for unit in network.get_submodule("units").children():
        unit.sk = StackedSK(unit.sk)  # type: ignore[arg-type]
    return network


OURS = "sklab"
PEERS: dict[str, Callable[[], nn.Module]] = {**NETWORKS, "stack, multiply, sum": _plain}


def network(bench: Bench) -> Iterator[Row]:
    """Compiling takes longest and comes last. A ratio above 1: ours is faster."""
    for mode in ("eager", "cudnn.benchmark", "compiled"):
        if mode == "cudnn.benchmark" and not bench.is_cuda:
            yield {"case": mode, "note": NEEDS_CUDA}
        elif mode == "compiled" and bench.tiny:
            yield {"case": mode, "note": "left out with --tiny: compiling takes minutes"}
        else:
            yield from _beside_peers(bench, mode)


def _beside_peers(bench: Bench, mode: str) -> Iterator[Row]:
    rates: dict[str, float] = {}
    for name, make in PEERS.items():
        row = attempt(f"{name}, {mode}", _network_row, bench, make, mode)
        if "images/s" in row:
            rates[name] = row["images/s"]
            row["ours / it"] = rates[OURS] / rates[name] if OURS in rates else None
        yield row
    ours, peers = rates.pop(OURS, None), rates
    if ours and peers:
        best = max(peers, key=lambda name: peers[name])
        yield {"case": f"sklab against the best peer ({best}), {mode}", "ours / it": ours / peers[best]}


def _network_row(bench: Bench, make: Callable[[], nn.Module], mode: str) -> Row:
    torch.manual_seed(0)
    try:
        model = make()
    except ImportError as error:
        return {"note": f"not installed: {error}"}
    torch._dynamo.reset()
    with cudnn_benchmark() if mode == "cudnn.benchmark" else nullcontext():
        step, batch = training_step(bench, model, compile=mode == "compiled")
        if bench.is_cuda:
            torch.cuda.reset_peak_memory_stats(bench.device)
        ms = bench.ms(step)
    peak = torch.cuda.max_memory_allocated(bench.device) / 1e9 if bench.is_cuda else NEEDS_CUDA
    return {"ms": ms, "images/s": 1000 * batch / ms, "peak memory, GB": peak}


def training_step(bench: Bench, model: nn.Module, *, compile: bool = False) -> tuple[Callable[[], None], int]:
    """A step as sklab's recipe takes it, on one fixed batch, and the size of this batch."""
    batch, size = bench.size(BATCH, 2), 224  # pytorchcv's network takes no other size
    model = model.train().to(bench.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = compiled(model) if compile else model
    images = torch.randn(batch, 3, size, size, device=bench.device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=bench.device)
    optimizer, counters = make_optimizer(model, RECIPE), BatchCounters(model)

    def step() -> None:
        optimizer.zero_grad()
        with counters.counted_at_once(), autocast(RECIPE, bench.device):
            loss = batch_loss(forward, (images, labels), RECIPE)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step, batch


def determinism(bench: Bench) -> Iterator[Row]:
    """A step with algorithms that give the same bits every time, and with any."""
    for case, measure in {"SKNet-50, eager": _large_ms, "sknet_small, recorded": _small_ms}.items():
        yield attempt(case, _price, bench, measure)
    if not bench.is_cuda:
        yield {"case": "the setting itself", "note": f"{NEEDS_CUDA}: on the CPU both columns are the same work"}


def _price(bench: Bench, measure: Callable[[Bench], float]) -> Row:
    ms = {}
    for deterministic in (True, False):
        set_arithmetic(bench.device, deterministic=deterministic)
        ms[deterministic] = measure(bench)
    return {"deterministic, ms": ms[True], "not, ms": ms[False], "ratio": ms[True] / ms[False]}


def _large_ms(bench: Bench) -> float:
    torch.manual_seed(0)
    return bench.ms(training_step(bench, create_model("sknet50"))[0])


def _small_ms(bench: Bench) -> float:
    return bench.ms(Small(bench).run(seed=0).advance)


def latency(bench: Bench) -> Iterator[Row]:
    """One image through a network in eval mode: launched operation by operation, and replayed."""
    for name, channels, size in (("sknet50", 3, bench.size(224, 64)), ("sknet_small", 1, 32)):
        for precision in ("fp32", "bf16"):
            recipe, image = RECIPE.model_copy(update={"precision": precision}), torch.randn(1, channels, size, size)
            yield attempt(f"{name}, {precision}", _latency, bench, name, recipe, image)


def _latency(bench: Bench, name: str, recipe: TrainSpec, image: Tensor) -> Row:
    torch.manual_seed(0)
    model, image = create_model(name).eval().to(bench.device), image.to(bench.device)
    eager = latency_ms(model, image, autocast(recipe, bench.device))
    replay = replay_latency_ms(model, image, autocast(recipe, bench.device))
    return {"launched, ms": eager, "replayed, ms": replay or NEEDS_CUDA}
