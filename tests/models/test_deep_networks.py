"""One network of each kind gives the same outputs however it is run: compiled, exported, in other types and layouts."""

import io

import pytest
import torch
from torch import nn

from sklab.models.convert import to_sk
from sklab.models.zoo import create_model

SMALL = {
    "resnext": lambda: create_model("resnext_small"),
    "senet": lambda: create_model("senet_small"),
    "sknet": lambda: create_model("sknet_small"),
    "converted": lambda: to_sk(create_model("resnext_small"), min_dim=8),
}
BIG = ["resnext50", "senet50", "sknet50"]


@pytest.fixture(params=SMALL)
def network(request):
    torch.manual_seed(0)
    return trained(SMALL[request.param]()).eval()


@pytest.fixture
def images():
    return torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def trained(model):
    """Running statistics and norms away from their start, without which eval mode would hide them."""
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm1d)):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.1)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return model


def relative(ours, theirs):
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


@torch.no_grad()
def test_half_a_batch_and_half_a_batch_are_the_whole(network, images):
    halves = torch.cat([network(images[:2]), network(images[2:])])
    torch.testing.assert_close(halves, network(images), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_channels_last(network, images):
    expected = network(images)
    network.to(memory_format=torch.channels_last)
    ours = network(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bf16(network, images, layout):
    expected = network(images)
    network.to(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        ours = network(images.contiguous(memory_format=layout))
    assert ours.dtype == torch.bfloat16
    assert relative(ours, expected) < 0.03


@pytest.mark.slow
def test_exported(network, images):
    check_exported(network, images)


def test_sknet_exported(images):
    check_exported(trained(SMALL["sknet"]()).eval(), images)


@torch.no_grad()
def check_exported(network, images):
    """Saved, loaded, and run with batches of other sizes."""
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    saved = io.BytesIO()
    torch.export.save(program, saved)
    saved.seek(0)
    loaded = torch.export.load(saved).module()
    for count in (2, 4):
        torch.testing.assert_close(loaded(images[:count]), network(images[:count]), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore")  # of torch's compiler about itself
def test_compiled_in_both_directions(kind, backend, images):
    """Logits and gradients of a compiled network in training mode are those of the eager one, in one graph."""
    results = []
    for compiles in (False, True):
        torch.manual_seed(0)
        model = SMALL[kind]().double()
        torch._dynamo.reset()
        run = torch.compile(model, backend=backend, fullgraph=True) if compiles else model
        logits = run(images.double())
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in model.parameters())])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.filterwarnings("ignore")
def test_onnx(kind, images, tmp_path):
    from onnx.reference import ReferenceEvaluator

    torch.manual_seed(0)
    model = trained(SMALL[kind]()).eval()
    path = str(tmp_path / "network.onnx")
    torch.onnx.export(model, (images,), path, input_names=["images"], verbose=False)
    (ours,) = ReferenceEvaluator(path).run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(ours), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", BIG)
def test_big_networks(name):
    torch.manual_seed(0)
    model = trained(create_model(name, num_classes=10)).eval()
    images = torch.randn(4, 3, 64, 64)
    expected = model(images)
    torch.testing.assert_close(torch.cat([model(images[:2]), model(images[2:])]), expected, rtol=1e-4, atol=1e-4)
    exported = torch.export.export(model, (images,)).module()
    torch.testing.assert_close(exported(images), expected, rtol=1e-4, atol=1e-4)
    model.to(memory_format=torch.channels_last)
    ours = model(images.contiguous(memory_format=torch.channels_last))
    assert relative(ours, expected) < 1e-4
