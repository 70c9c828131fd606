"""Every kind of attention in every family that takes it: one contract for all of them."""

from __future__ import annotations

import copy
import io
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from sklab.models.convert import to_sk
from sklab.models.numerics import check
from sklab.models.receptive import effective, theoretical
from sklab.models.zoo import build, convolutions, cost, create_model
from sklab.spec.model import Gate, Mixer, ModelSpec, family_spec
from sklab.spec.networks import network
from sklab.spec.run import Experiment
from sklab.training.attention.recorder import Recorder, sk_convolutions

MIXERS, GATES = get_args(Mixer), get_args(Gate)
SK = [{"kernel": 3}, {"kernel": 3, "dilation": 2}]
SMALL: dict[str, dict[str, Any]] = {
    "sknet_small": {"depths": [1, 2], "reduction": 4},
    "shufflenetv2_x0_5_sk": {"depths": [1, 1], "widths": [16, 32], "last_width": 16, "stem_width": 8, "min_dim": 4},
    "mobilenetv1_sk": {"width": 0.25, "min_dim": 4},
    "mobilenetv2_sk": {"width": 0.25, "min_dim": 4},
}
CASES = [(name, kind) for name in SMALL for kind in (*MIXERS, *GATES)] + [("sknet_small", "bam")]
CONVERTED = [("converted", kind) for kind in MIXERS]
RECORDED = ("sk", "splat")
# Compiling or exporting a MobileNet takes up to a minute.
SHUFFLED = [case for case in CASES if case[0].startswith("shufflenet")]
COMPILED = [*((name, kind) for name, kind in CASES if name == "sknet_small"), *CONVERTED, SHUFFLED[-1]]


def spec_of(name: str, kind: str, **settings: Any) -> ModelSpec:
    return network(name, **SMALL[name], in_channels=1, num_classes=4, branches=SK, attention=kind, **settings)


def made(name: str, kind: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "converted":
        plain = create_model("resnext_small", in_channels=1, num_classes=4)
        return to_sk(plain, branches=SK, attention=kind, min_dim=4)  # type: ignore[arg-type]
    return build(spec_of(name, kind))


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "kind"), CASES + CONVERTED)
def test_it_trains_all_of_its_parameters(name: str, kind: str) -> None:
    model = made(name, kind)
    logits = model(images())
    assert logits.shape == (4, 4)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_it_is_counted_as_it_is_built(name: str, kind: str) -> None:
    """On the meta device, which has shapes and no numbers."""
    spec, model = spec_of(name, kind), made(name, kind)
    assert cost(spec, 32).params == sum(parameter.numel() for parameter in model.parameters())
    counted = cost(spec, 32).macs
    layers = [part for part in model.modules() if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d)]
    macs = []
    for layer in layers:
        layer.register_forward_hook(lambda one, _given, output: macs.append(output.numel() * one.weight[0].numel()))
    model.eval()(images(1))
    assert counted == sum(macs)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_seed_decides_the_weights_and_they_load_where_they_were_kept(name: str, kind: str) -> None:
    one, two = made(name, kind), made(name, kind)
    assert all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())
    other = build(spec_of(name, kind))
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other.eval()(images()), one.eval()(images()), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_specification_survives_a_file(name: str, kind: str) -> None:
    spec = spec_of(name, kind)
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec
    assert spec.built()["attention"] == kind


@pytest.mark.parametrize(("name", "kind"), CASES + CONVERTED)
def test_what_is_recorded_sums_to_one_and_depends_on_the_image(name: str, kind: str) -> None:
    """Nothing is recorded of kinds without such weights."""
    model = made(name, kind).eval()
    with torch.no_grad(), Recorder(model) as recorder:
        model(images())
    assert bool(recorder.units) == (kind in RECORDED)
    for unit in recorder.units:
        shares = recorder.means(unit.name)
        assert shares.shape == (4, 2)
        assert shares.sum(1) == pytest.approx(1, abs=1e-6)
        assert unit.kernels == (3, 5)
    if recorder.units:
        assert any(recorder.means(unit.name).std(0).max() > 0 for unit in recorder.units)


def test_weights_that_share_nothing_are_not_recorded() -> None:
    assert sk_convolutions(build(spec_of("sknet_small", "sk")))
    assert not sk_convolutions(build(spec_of("sknet_small", "sk", select_act="sigmoid")))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_its_receptive_fields_are_measured(name: str, kind: str) -> None:
    model = made(name, kind).eval()
    (path,) = (path for path, _ in model.named_modules() if path.endswith("units.SK_3_1"))
    side = theoretical(model, images(1), {"end": path})["end"]
    field = effective(model, images(2), {"end": path})["end"]
    assert side > 3
    assert field.shape == (32, 32)
    assert field.max() > 0


def test_windows_on_maps_count_and_pooled_images_do_not() -> None:
    def side(kind: str) -> int:
        return theoretical(made("sknet_small", kind), images(4), {"end": "units.SK_3_1"})["end"]

    plain = side("none")
    assert all(side(kind) == plain for kind in ("mean", "static", "sk", "splat", "se", "eca"))
    assert side("cbam") == plain + 6 * (2 + 4)  # 7x7 on maps of half and a quarter of the side
    assert side("lsk") == plain + 6 * (2 + 4)
    assert side("bam") == plain + 2 * 8 * 2  # two 3x3 with D = 4 between the stages


@pytest.mark.parametrize(("name", "kind"), CASES + CONVERTED)
def test_channels_last_and_bf16_change_no_more_than_rounding(name: str, kind: str) -> None:
    model, x = made(name, kind).eval(), images()
    for _ in range(2):  # statistics away from their start
        with torch.no_grad():
            model.train()(x)
    model.eval()
    with torch.no_grad():
        expected = model(x)
        laid = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.testing.assert_close(
            laid(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-3, atol=1e-4
        )
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(x)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.double() - expected.double()).norm() < 0.1 * expected.double().norm()


@pytest.mark.parametrize("kind", ["bam", "cbam", "lsk"])
def test_its_own_convolutions_are_among_those_that_are_checked(kind: str) -> None:
    """Against float64, before a study trains anything: a window over maps, or BAM's dilated ones."""
    own = {*convolutions(spec_of("sknet_small", kind), 32)} - {*convolutions(spec_of("sknet_small", "none"), 32)}
    assert {(each.kernel[0], each.dilation[0]) for each in own} & {(7, 1), (3, 4)}
    assert all(verdict.ok for verdict in check([(spec_of("sknet_small", kind), 32)], "fp32", "channels_last", "cpu"))


@torch.no_grad()
@pytest.mark.parametrize("kind", [*MIXERS, *GATES, "bam"])
def test_a_batch_of_any_size_goes_through_the_exported_network(kind: str) -> None:
    check_exported("sknet_small", kind)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(("name", "kind"), SHUFFLED + CONVERTED)
def test_light_and_converted_networks_are_exported(name: str, kind: str) -> None:
    check_exported(name, kind)


def check_exported(name: str, kind: str) -> None:
    model, batch = made(name, kind).eval(), torch.export.Dim("batch", min=2)
    program = torch.export.export(model, (images(),), dynamic_shapes=({0: batch},))
    saved = io.BytesIO()
    torch.export.save(program, saved)
    saved.seek(0)
    loaded = torch.export.load(saved).module()
    for count in (2, 3):
        torch.testing.assert_close(loaded(images(count)), model(images(count)), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), COMPILED)
@pytest.mark.filterwarnings("ignore")  # of torch's compiler about itself
def test_compiled_in_both_directions(name: str, kind: str) -> None:
    """One graph, whose logits and gradients are those of the eager network."""
    results = []
    for compiles in (False, True):
        model = made(name, kind).double()
        torch._dynamo.reset()
        run = torch.compile(model, backend="aot_eager", fullgraph=True) if compiles else model
        logits = run(images().double())
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in model.parameters())])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", [*MIXERS])
def test_the_foreign_family_knows_the_kinds(kind: str) -> None:
    def foreign(**sk: Any) -> ModelSpec:
        settings = {"select": "*", "branches": SK, "attention": kind, **sk}
        return family_spec("foreign").model_validate({"library": "timm", "name": "net", "sk": settings})

    same = kind not in RECORDED
    assert (foreign(reduction=2).built() == foreign(min_dim=2).built()) == same


@pytest.mark.parametrize("kind", [*GATES, "bam"])
def test_to_sk_has_no_output_of_a_unit_to_gate(kind: Any) -> None:
    with pytest.raises(Exception, match=f"unknown attention '{kind}'; allowed: none, mean, static, sk, splat, lsk"):
        to_sk(create_model("resnext_small"), attention=kind)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attention": "static"}, True),
        ({"attention": "splat"}, True),
        ({"attention": "sk", "select_act": "sigmoid"}, False),
        ({"attention": "lsk"}, False),
        ({"attention": "cbam"}, False),
    ],
)
def test_a_softmax_over_one_branch_is_called_idle(settings: dict[str, Any], told: bool) -> None:
    from sklab.spec.fit import doubtful

    model = network("sknet_small", branches=[{"kernel": 3}], **settings)
    parts = {"data": {"name": "scaled_digits"}, "train": {"epochs": 1, "batch_size": 2, "lr": 0.1}}
    experiment = Experiment.model_validate({**parts, "model": model.model_dump()})
    assert any("attention over one branch" in line for line in doubtful(experiment)) == told


@pytest.mark.parametrize("kind", ["se", "bam", "cbam"])
def test_no_channel_is_left_of_too_large_an_r(kind: str) -> None:
    with pytest.raises(ValueError, match="r = 64 leaves no channel of out_width = 32"):
        network("sknet_small", attention=kind, reduction=64)
