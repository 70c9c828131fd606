"""The parts of a recipe by themselves: scores, averages, the optimiser, mixup."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sklab.data.changes.mixing import mixup_draw
from sklab.models.numerics import LAYOUTS
from sklab.models.zoo import build
from sklab.spec.networks import SETTINGS, network
from sklab.spec.train import TrainSpec
from sklab.training.metrics.scores import Scores
from sklab.training.recipe import (
    Average,
    align_gradients,
    batch_loss,
    drawn_mixture,
    make_optimizer,
)

RECIPE = TrainSpec(epochs=1, batch_size=8, lr=0.1)


def test_an_error_is_the_share_of_wrong_images_in_double_precision():
    scores, labels = Scores("cpu"), torch.zeros(250, dtype=torch.int64)
    for wrong in (42, 51, 43, 36):
        scores.add(F.one_hot((torch.arange(250) < wrong).long(), 2).float(), labels)
    scores.over_devices()
    assert (float(scores.error), scores.seen) == (17.2, 1000)


def test_the_average_starts_at_the_first_update_and_leaves_the_network_alone():
    model = nn.BatchNorm1d(3)
    average = Average(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(5.0)
    before = copy.deepcopy(model.state_dict())
    average.update()
    assert torch.equal(average.network.weight, torch.full((3,), 5.0))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    model(torch.randn(4, 3))
    average.update()
    assert average.network.num_batches_tracked == 1


@pytest.mark.parametrize("layout", LAYOUTS.values())
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_average_is_that_of_each_tensor_alone_to_the_last_bit(layout, precision):
    torch.manual_seed(1)
    model = build(network("sknet_small")).to(precision).to(memory_format=layout)
    average = Average(model, 0.9)
    expected = [tensor.clone() for tensor in model.state_dict().values()]
    for step in range(3):
        for tensor in model.state_dict().values():
            tensor.add_(torch.randn(tensor.shape).to(tensor.dtype))
        for mean, now in zip(expected, model.state_dict().values(), strict=True):
            mean.lerp_(now, 1 - 0.9) if step and mean.is_floating_point() else mean.copy_(now)
        average.update()
    assert all(map(torch.equal, average.network.state_dict().values(), expected))


def test_a_tensor_with_two_names_is_averaged_once():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    average = Average(model, 0.75)
    for value in (4.0, 8.0):
        nn.init.constant_(model[0].weight, value)
        average.update()
    assert torch.equal(average.network(torch.eye(2)), torch.full((2, 2), 5.0 * 5.0 * 2))


@pytest.mark.parametrize(
    ("device", "precision", "fused"),
    [("cuda", "fp32", True), ("cuda", "bf16", True), ("cuda", "fp16", None), ("cpu", "fp32", None)],
)
def test_the_optimizer_is_one_kernel_on_cuda_but_not_in_fp16(device, precision, fused):
    model = nn.Linear(2, 2, device="meta")
    with FakeTensorMode(), torch.no_grad():  # tensors without numbers may lie on a device that is not there
        model.weight = nn.Parameter(torch.empty(2, 2, device=device), requires_grad=False)
    for spared, optimizer in product((True, False), ("sgd", "adamw")):
        changes = {"precision": precision, "decay_norm_and_bias": spared, "optimizer": optimizer}
        made = make_optimizer(model, RECIPE.model_copy(update=changes))
        assert {group["fused"] for group in made.param_groups} == {fused}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixup_blends_images_and_labels_alike(smoothing):
    torch.manual_seed(0)
    model, recipe = (
        nn.Sequential(nn.Flatten(), nn.Linear(16, 5)),
        RECIPE.model_copy(update={"mixup": 0.8, "label_smoothing": smoothing}),
    )
    images, labels = torch.randn(8, 1, 4, 4), torch.randint(0, 5, (8,))
    share, partners = mixup_draw(0.8, 8, 3, 1, 2)
    soft = F.one_hot(labels, 5) * (1 - smoothing) + smoothing / 5
    mixed_images = share * images + (1 - share) * images[list(partners)]
    mixed_labels = share * soft + (1 - share) * soft[list(partners)]
    expected = -(mixed_labels * model(mixed_images).log_softmax(1)).sum(1).mean()
    state = torch.get_rng_state()
    ours, others = (
        batch_loss(model, (images, labels), recipe, drawn_mixture(recipe, images, (3, 1, batch))) for batch in (2, 3)
    )
    assert torch.allclose(ours, expected)
    assert not torch.allclose(others, expected)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_not_decayed_are_norm_layers_and_biases(name):
    with torch.device("meta"):
        model = build(network(name))
    recipe = RECIPE.model_copy(update={"decay_norm_and_bias": False})
    decayed, spared = ({id(each) for each in group["params"]} for group in make_optimizer(model, recipe).param_groups)
    expected = {
        id(parameter)
        for module in model.modules()
        for kind, parameter in module.named_parameters(recurse=False)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) or kind == "bias"
    }
    assert spared == expected
    assert decayed == {id(parameter) for parameter in model.parameters()} - expected
    assert len(make_optimizer(model, RECIPE).param_groups) == 1


@pytest.mark.parametrize("all_decay", [True, False])
def test_decay_shrinks_what_is_decayed(all_decay):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    recipe = RECIPE.model_copy(update={"decay_norm_and_bias": all_decay, "weight_decay": 0.5})
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, recipe).step()
    for now, then in zip(model.parameters(), before, strict=True):
        share = 1 - 0.1 * 0.5 if all_decay or now.ndim > 1 else 1.0
        assert torch.allclose(now, share * then)


def test_adamw_steps_by_its_means_and_decays_beside_them():
    recipe = RECIPE.model_copy(
        update={
            "optimizer": "adamw",
            "betas": (0.8, 0.9),
            "eps": 0.1,
            "weight_decay": 0.5,
            "decay_norm_and_bias": False,
        }
    )
    model = nn.Linear(3, 2).double()
    optimizer = make_optimizer(model, recipe)
    weight, bias = (parameter.detach().clone() for parameter in model.parameters())
    means = [torch.zeros_like(each) for each in (weight, weight, bias, bias)]
    for step in range(1, 4):
        gradients = [torch.randn_like(parameter) for parameter in model.parameters()]
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
        for at, (tensor, gradient, decay) in enumerate(zip((weight, bias), gradients, (0.5, 0.0), strict=True)):
            first, second = means[2 * at : 2 * at + 2]
            first.mul_(0.8).add_(0.2 * gradient)
            second.mul_(0.9).add_(0.1 * gradient**2)
            moved = (first / (1 - 0.8**step)) / ((second / (1 - 0.9**step)).sqrt() + 0.1)
            tensor.sub_(0.1 * (moved + decay * tensor))
    for parameter, expected in zip(model.parameters(), (weight, bias), strict=True):
        assert torch.allclose(parameter, expected, rtol=1e-9)


def test_a_gradient_gets_the_strides_of_its_weight():
    weight = nn.Parameter(torch.zeros(2, 1, 100))
    torch.bmm(torch.rand(2, 10, 100), weight.transpose(1, 2)).sum().backward()
    gradient = weight.grad
    assert gradient is not None
    assert gradient.stride() != weight.stride()
    align_gradients([weight, nn.Parameter(torch.zeros(3))])
    assert weight.grad.stride() == weight.stride()
    assert torch.equal(weight.grad, gradient)
