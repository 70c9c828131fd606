"""`images.json`: what is packed comes out again, and what is not the run's is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.spec.study.sweep import Metric
from sklab.store.measured.images import ImageScores, Outcomes, Packed, numbered, read_images, sources_text, write_images
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder

LAST, BEST = Metric(), Metric(epoch="best")
WRONG = np.arange(20) % 4 == 0  # 5 of 20 images
FEWER = np.arange(20) % 5 == 0  # 4 of 20
SOURCES = np.array([7, 7, 3, 9, 3] * 4)
Written = Callable[..., tuple[RunFolder, RunRecord]]

losses = st.floats(0, 1e9, width=32)


@given(st.lists(st.tuples(st.booleans(), losses), min_size=1, max_size=70))
def test_packed_images_come_out_again(images):
    wrong, loss = np.array([wrong for wrong, _ in images]), np.array([loss for _, loss in images])
    out = Packed.of(Outcomes(wrong, loss)).outcomes(len(images))
    assert np.array_equal(out.wrong, wrong)
    within = np.where(loss < 2.0**-24, 0, np.minimum(loss, 256.0))
    assert np.allclose(out.loss, within, rtol=0.05)
    assert np.allclose(Packed.of(out).outcomes(len(images)).loss, out.loss, rtol=1e-12)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_numbers_of_sources_say_who_belongs_together_and_nothing_else(sources):
    numbers = numbered(sources)
    same = np.equal.outer(sources, sources)
    assert np.array_equal(np.equal.outer(numbers, numbers), same)
    assert [*dict.fromkeys(numbers.tolist())] == [*range(len(set(sources)))]
    assert (sources_text(sources) == "") == (len(set(sources)) == len(sources))


@pytest.fixture
def written(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Written:
    """A run of 20 images, the best of its two epochs the first."""

    def make(name: str = "run", seed: int = 0) -> tuple[RunFolder, RunRecord]:
        order, folder = toy_order(seed=seed), RunFolder(tmp_path / name)
        folder.write_order(order)
        last, best = (Packed.of(Outcomes(wrong, np.linspace(0, 3, 20))) for wrong in (WRONG, FEWER))
        scores = ImageScores(key=order.key, images=20, last=last, best=best, sources=sources_text(SOURCES))
        write_images(folder, scores)
        metrics = {"last": {"val_error": 25.0}, "best": {"val_error": 20.0}, "best_epoch": 1, "epochs": 2}
        record = RunRecord.of(order, status="complete", val_images=20, files=folder.checksums(), **metrics)
        folder.write_record(record)
        return folder, record

    return make


def test_the_images_are_those_of_the_epoch_that_the_metric_names(written):
    for metric, wrong in ((LAST, WRONG), (BEST, FEWER)):
        outcomes, sources = read_images(*written(), metric)
        assert np.array_equal(outcomes.wrong, wrong)
        assert np.array_equal(sources, numbered(SOURCES))
        assert outcomes.of(metric).mean() == 100 * wrong.mean()
    loss = Metric(name="val_loss")
    assert outcomes.of(loss).mean() == pytest.approx(1.5, rel=0.02)


def test_a_folder_of_an_older_version_has_none(written):
    folder, record = written()
    folder.images_file.unlink()
    assert read_images(folder, record, LAST) is None


def test_what_is_not_the_runs_is_none(written):
    folder, record = written()
    other, other_record = written("other", seed=1)
    mixed_up = record.model_copy(update={"files": other_record.files})
    folder.images_file.write_bytes(other.images_file.read_bytes())
    assert read_images(folder, record, LAST) is None
    assert read_images(folder, mixed_up, LAST) is None, "named, but of another key"


def test_figures_that_do_not_fit_to_the_image_are_none(written):
    folder, record = written()
    for change in ({"last": {"val_error": 30.0}}, {"val_images": 21}, {"last": {}}):
        assert read_images(folder, record.model_copy(update=change), LAST) is None


def test_no_damage_is_taken_for_images_and_none_is_unpacked_without_end(written):
    folder, record = written()
    whole = folder.images_file.read_bytes()
    bomb = sources_text(np.zeros(10_000_000, dtype=np.int64))
    huge = Packed(wrong=bomb, loss=bomb)
    write_images(folder, ImageScores(key=record.key, images=20, last=huge))
    contents = [whole[:at] for at in range(0, len(whole), 31)]
    contents += [bytes([*whole[:at], whole[at] ^ 2, *whole[at + 1 :]]) for at in range(0, len(whole), 17)]
    contents += [folder.images_file.read_bytes(), b"{}", b"[[[", b"null"]
    for content in contents:
        folder.images_file.write_bytes(content)
        named = record.model_copy(update={"files": folder.checksums()})
        assert read_images(folder, record, LAST) is None
        assert read_images(folder, named, LAST) is None or content == whole
