"""`images.json` of a real run: what its evaluation made of each image, however often the run was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attempts import CPU, PLAIN, attempt, died
from hypothesis import given
from hypothesis import strategies as st

from sklab.data.cache import load_splits
from sklab.data.loaders import open_loaders
from sklab.spec.run import RunSpec
from sklab.spec.study.sweep import Metric
from sklab.store.measured.images import Outcomes, read_images
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.training.evaluate import kept_network
from sklab.training.metrics.scores import Kept, Scores

Made = Callable[..., tuple[RunOrder, RunFolder]]
BUMPY = {**PLAIN, "epochs": 4, "lr": 0.5, "schedule": "step", "step_at": (3,)}


def images_of(folder: RunFolder, record: RunRecord, epoch: Any) -> Outcomes:
    found = read_images(folder, record, Metric(epoch=epoch))
    assert found is not None
    return found[0]


def one_by_one(folder: RunFolder, record: RunRecord) -> tuple[np.ndarray, np.ndarray]:
    """What the kept weights make of each image, asked one by one."""
    experiment, network = record.spec.experiment, kept_network(folder, record, CPU)
    loaders = open_loaders(experiment.data, experiment.train, record.spec.seed, CPU)
    with torch.inference_mode():
        logits = torch.cat([network(image[None]) for images, _ in loaders.val for image in images])
    labels = torch.from_numpy(loaders.val_labels)
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (logits.argmax(1) != labels).numpy(), losses.numpy()


def test_a_run_keeps_what_it_made_of_each_image(made: Made):
    order, folder = made("run", BUMPY)
    record = attempt(order, folder)
    wrong, losses = one_by_one(folder, record)
    last = images_of(folder, record, "last")
    assert np.array_equal(last.wrong, wrong)
    assert np.allclose(last.loss, losses, rtol=0.06, atol=1e-6)
    for epoch, figures in (("last", record.last), ("best", record.best)):
        outcomes = images_of(folder, record, epoch)
        assert 100 * int(outcomes.wrong.sum()) / record.val_images == figures["val_error"]
        assert outcomes.loss.mean() == pytest.approx(figures["val_loss"], rel=0.02)


def test_images_come_with_their_sources(toy_order, tmp_path):
    order, folder = toy_order(train={"epochs": 1}), RunFolder(tmp_path / "run")
    tree = order.spec.model_dump()
    tree["experiment"]["data"]["val_size"] = 1000
    order = order.model_copy(update={"spec": RunSpec.model_validate(tree)})
    folder.write_order(order)
    record = attempt(order, folder)
    found = read_images(folder, record, Metric())
    assert found is not None
    expected = load_splits(order.experiment.data).val.extras["source"]
    assert found[1] is not None
    assert np.array_equal(np.equal.outer(found[1], found[1]), np.equal.outer(expected, expected))
    assert folder.images_file.stat().st_size < 3 * 1000


def test_a_run_that_died_many_times_keeps_what_one_keeps_that_never_did(made: Made, dies):
    order, calm = made("calm", BUMPY)
    record = attempt(order, calm)
    order, folder = made("disturbed", BUMPY)
    for point in ({"batch": 3}, {"evaluation": 1}, {"batch": 5}):
        dies(**point)
        died(order, folder)
    dies()
    again = attempt(order, folder)
    assert again.resumed_from > 0
    assert again.last == record.last
    assert folder.images_file.read_bytes() == calm.images_file.read_bytes()


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 2**31), st.sampled_from([torch.float32, torch.bfloat16]))
def test_keeping_images_changes_no_bit_of_the_scores(count, classes, seed, precision):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator).mul(9).to(precision)
    labels = torch.randint(classes, (count,), generator=generator)
    kept, plain, expected = Scores("cpu", Kept(count)), Scores("cpu"), torch.zeros(())
    for part in (slice(0, count // 2), slice(count // 2, count)):
        if labels[part].numel():
            for scores in (kept, plain):
                scores.add(logits[part], labels[part])
            expected += F.cross_entropy(logits[part].float(), labels[part], reduction="sum")
    assert torch.equal(kept.loss, plain.loss)
    assert torch.equal(kept.loss, expected / count)
    assert float(kept.error) == 100 * int(kept.outcomes.wrong.sum()) / count
    assert np.array_equal(kept.outcomes.wrong, (logits.float().argmax(1) != labels).numpy())
    assert len(plain.outcomes.wrong) == 0
