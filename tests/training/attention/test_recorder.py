"""`attention.json`: what a run's final evaluation says of its SK units, against plain sums over single images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklab.analysis.attention.trends import pooled
from sklab.data.loaders import open_loaders
from sklab.models.convert import to_sk
from sklab.models.zoo import build, create_model
from sklab.spec.analysis import UnitSummary
from sklab.store.run_folder import RunFolder
from sklab.training.attention import recorder as attention
from sklab.training.attention.recorder import Recorder, sk_convolutions
from sklab.training.attention.summary import chosen_images, moments, scale_bins, slopes, table
from sklab.training.run import train

CPU = torch.device("cpu")


@pytest.mark.parametrize("recipe", [{}, {"ema_decay": 0.5, "memory_format": "channels_last"}])
def test_it_holds_the_means_of_the_kept_weights_by_class_and_scale(toy_order, tmp_path, recipe):
    order, folder = toy_order(train=recipe), RunFolder(tmp_path)
    assert train(order, folder, CPU).status == "complete"
    summary = folder.read_attention()
    assert summary is not None

    experiment = order.spec.experiment
    network = build(experiment.model).eval()
    network.load_state_dict(torch.load(folder.weights_file, weights_only=True))
    network = network.to(memory_format=torch.channels_last) if "memory_format" in recipe else network  # type: ignore[call-overload]
    loaders = open_loaders(experiment.data, experiment.train, 0, CPU)
    seen: dict[str, list[torch.Tensor]] = {"SK_2_1": [], "SK_3_1": []}
    for name, outputs in seen.items():
        unit = network.get_submodule(f"units.{name}.sk.attention")
        unit.register_forward_hook(lambda _m, _i, output, outputs=outputs: outputs.append(output))
    with torch.no_grad():
        for images, _ in loaders.val:
            network(images)
    scale, labels = loaders.val_extras["scale"].astype(float), loaders.val_labels
    assert [unit.name for unit in summary.units] == list(seen)
    for unit in summary.units:
        weights = torch.cat(seen[unit.name]).double().numpy()
        shares = weights.mean(2)
        assert (unit.kernels, unit.channels) == ((3, 5), weights.shape[2])
        assert unit.slope == pytest.approx(
            [np.polyfit(scale, shares[:, m], 1)[0] for m in range(2)], rel=1e-3, abs=1e-7
        )
        for label in range(10):
            for place, edges in enumerate(zip(summary.scale_edges, summary.scale_edges[1:], strict=False)):
                last = place == len(summary.scale_edges) - 2
                inside = (scale >= edges[0] - 1e-5) & ((scale < edges[1]) | last) & (labels == label)
                assert summary.counts[label][place] == inside.sum()
                for branch in range(2):
                    mean, spread = unit.mean[branch][label][place], unit.spread[branch][label][place]
                    if not inside.any():
                        assert (mean, spread) == (None, None)
                        continue
                    assert mean == pytest.approx(shares[inside, branch].mean(), rel=1e-5)
                    assert spread == pytest.approx(shares[inside, branch].std(), rel=1e-3, abs=1e-7)
        for sample in summary.samples:
            assert np.array(sample.weights[unit.name]) == pytest.approx(weights[sample.image], rel=1e-5)
            assert sample.label == labels[sample.image]
    assert [sample.scale for sample in summary.samples] == pytest.approx(np.sort(scale)[[0, 15, 31]], rel=1e-5)


def test_the_same_run_leaves_the_same_bytes(toy_order, tmp_path):
    files = []
    for name in "ab":
        (tmp_path / name).mkdir()
        folder = RunFolder(tmp_path / name)
        train(toy_order(), folder, CPU)
        files.append(folder.attention_file.read_bytes())
    assert files[0] == files[1]
    assert json.loads(files[0])["images"] == 32


def test_a_compiled_network_whose_hooks_are_not_called_is_seen_once_more(toy_order, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    train(toy_order(), RunFolder(tmp_path / "a"), CPU)
    takes = []

    def deaf(self: Recorder) -> Recorder:
        takes.append(self)
        return self if len(takes) == 1 else entered(self)

    entered = Recorder.__enter__
    monkeypatch.setattr(Recorder, "__enter__", deaf)
    train(toy_order(), RunFolder(tmp_path / "b"), CPU)
    assert len(takes) == 2
    assert (tmp_path / "a/attention.json").read_bytes() == (tmp_path / "b/attention.json").read_bytes()


def test_without_sk_attention_there_is_no_file(toy_order, tmp_path):
    record = train(toy_order(model={"attention": "none"}), RunFolder(tmp_path), CPU)
    assert record.status == "complete"
    assert not RunFolder(tmp_path).attention_file.exists()


@pytest.mark.parametrize("broken", ["summarise", "write_whole", "chosen_images", "unit_of"])
def test_nothing_that_goes_wrong_in_it_fails_the_run(toy_order, tmp_path, monkeypatch, capfd, broken):
    def fails(*_: object) -> None:
        raise RuntimeError("no more room")

    monkeypatch.setattr(attention, broken, fails)
    record = train(toy_order(), RunFolder(tmp_path), CPU)
    assert record.status == "complete"
    assert RunFolder(tmp_path).read_attention() is None
    assert "no more room" in capfd.readouterr().err


def test_a_fault_while_batches_pass_ends_the_recording_only(toy_order, tmp_path, monkeypatch, capfd):
    def fails(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(Recorder, "_keep", fails)
    assert train(toy_order(), RunFolder(tmp_path), CPU).status == "complete"
    assert not RunFolder(tmp_path).attention_file.exists()
    assert "no memory left" in capfd.readouterr().err


def test_a_new_attempt_does_not_inherit_it(tmp_path):
    folder = RunFolder(tmp_path)
    for file in (folder.attention_file, folder.analysis_file, folder.weights_file):
        file.write_text("{}")
    folder.begin_attempt()
    assert not list(tmp_path.iterdir())


def test_units_are_named_in_light_and_in_converted_networks():
    light = create_model("mobilenetv1_sk", width=0.25, num_classes=2)
    assert list(sk_convolutions(light))[:3] == ["SK_2_1", "SK_3_1", "SK_3_2"]
    shuffled = list(sk_convolutions(create_model("shufflenetv2_x0_5_sk", num_classes=2)))
    assert shuffled[:3] == ["units.SK_2_1.left.0", "units.SK_2_1.right.1", "SK_2_2"]
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.BatchNorm2d(8), nn.ReLU())
    branches = [{"kernel": 3}, {"kernel": 3, "dilation": 3}, {"kernel": 5}]
    network = to_sk(plain, "0", branches, min_dim=4).eval()
    with Recorder(network, [1, 4]) as recorder, torch.no_grad():
        for batch in torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)).split(2):
            network(batch)
    [unit] = recorder.units
    assert (unit.name, unit.kernels, unit.channels) == ("0", (3, 7, 5), 8)
    assert recorder.means("0").shape == (5, 3)
    for place in (1, 4):
        assert recorder.weights("0", place).mean(1) == pytest.approx(recorder.means("0")[place])
    network(torch.rand(2, 3, 8, 8))
    assert recorder.images == 5, "nothing is recorded outside the block"


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_means_over_bins_add_up_to_the_mean_over_all(data):
    images, classes, bins = (data.draw(st.integers(1, most)) for most in (40, 4, 3))
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    shares = random.dirichlet([1, 1, 1], images)
    labels, places = random.integers(classes, size=images), random.integers(bins, size=images)
    mean, spread = moments(shares, labels * bins + places, classes * bins)
    counts = np.bincount(labels * bins + places, minlength=classes * bins).reshape(classes, bins)
    rows = tuple(table(branch.reshape(classes, bins)) for branch in mean.T)
    unit = UnitSummary(name="u", kernels=(3, 5, 7), channels=4, mean=rows, spread=rows)
    assert pooled(unit, counts, "nothing") == pytest.approx(shares.mean(0), rel=1e-4)
    per_class = pooled(unit, counts, "class")
    per_bin = pooled(unit, counts, "bin")
    for label in range(classes):
        if (labels == label).any():
            assert per_class[:, label] == pytest.approx(shares[labels == label].mean(0), rel=1e-4)
        else:
            assert np.isnan(per_class[:, label]).all()
    for place in np.unique(places):
        assert per_bin[:, place] == pytest.approx(shares[places == place].mean(0), rel=1e-4)
    squares = np.nansum(counts.ravel()[:, None] * (spread**2 + mean**2), axis=0) / images
    assert squares == pytest.approx((shares**2).mean(0))


def test_bins_slopes_and_samples_without_a_scale():
    assert scale_bins(None)[0].size == 0
    assert scale_bins(np.full(3, 2.0))[0].size == 0
    assert slopes(np.ones((3, 2)), None) == ()
    edges, bins = scale_bins(np.array([1.0, 3.0, 2.0, 1.39, 1.41]))
    assert edges == pytest.approx([1.0, 1.4, 1.8, 2.2, 2.6, 3.0])
    assert list(bins) == [0, 4, 2, 0, 1]
    assert chosen_images(10, None, 3) == (0, 4, 9)
    assert chosen_images(4, np.array([3.0, 1.0, 2.0, 5.0], np.float32), 3) == (1, 2, 3)
    assert chosen_images(1, None, 3) == (0,)
