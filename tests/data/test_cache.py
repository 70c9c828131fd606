import os

import numpy as np
import pytest

from sklab.data import cache, kept
from sklab.data.sets import scaled_digits
from sklab.data.sets.scaled_digits import Spec

SPEC = Spec(train_size=40, val_size=20)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def assert_same(ours, theirs):
    for one, other in ((ours.train, theirs.train), (ours.val, theirs.val)):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
        assert one.extras.keys() == other.extras.keys()
        assert all(np.array_equal(one.extras[name], other.extras[name]) for name in one.extras)
    assert ours.classes == theirs.classes


def forbid_building(monkeypatch):
    monkeypatch.setattr(scaled_digits, "load", lambda _: pytest.fail("built although it was cached"))


def test_the_second_time_nothing_is_built(folder, monkeypatch):
    first = cache.load_splits(SPEC)
    assert len(list(folder.iterdir())) == 1
    forbid_building(monkeypatch)
    assert_same(cache.load_splits(SPEC), first)


def test_every_setting_has_its_own_file(folder):
    for spec in (SPEC, SPEC.model_copy(update={"seed": 1}), SPEC.model_copy(update={"version": 2})):
        cache.load_splits(spec)
    assert len(list(folder.iterdir())) == 3


def test_without_a_writable_cache_the_set_is_built_in_memory(folder):
    folder.write_text("a file where the folder would be")
    assert_same(cache.load_splits(SPEC), scaled_digits.load(SPEC))


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"no archive at all",
        lambda whole: whole[:20_000] + bytes([whole[20_000] ^ 1]) + whole[20_001:],
    ],
    ids=["empty", "half", "last byte", "other", "one bit"],
)
def test_a_damaged_file_is_built_anew(folder, monkeypatch, damage):
    first = cache.load_splits(SPEC)
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert_same(cache.load_splits(SPEC), first)
    forbid_building(monkeypatch)
    assert_same(cache.load_splits(SPEC), first)


def test_a_write_that_fails_leaves_nothing(folder, monkeypatch):
    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert_same(cache.load_splits(SPEC), scaled_digits.load(SPEC))
    assert list(folder.iterdir()) == []


def test_a_worker_that_builds_the_same_set_meanwhile_does_no_harm(folder, monkeypatch):
    build = scaled_digits.load

    def overtaken(spec):
        monkeypatch.setattr(scaled_digits, "load", build)
        cache.load_splits(spec)
        return build(spec)

    monkeypatch.setattr(scaled_digits, "load", overtaken)
    first = cache.load_splits(SPEC)
    assert [file.suffix for file in folder.iterdir()] == [".npz"]
    forbid_building(monkeypatch)
    assert_same(cache.load_splits(SPEC), first)


def test_a_process_of_the_same_number_elsewhere_that_builds_the_same_set_tears_nothing(folder, monkeypatch):
    """Two containers that share a cache: each starts to count its processes at 1."""
    write = np.savez
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def overtaken(stream, **arrays):
        monkeypatch.setattr(np, "savez", write)
        cache.load_splits(SPEC)
        stream.write(b"half")
        stream.flush()
        assert kept._read(next(folder.glob("*.npz"))), "theirs is whole while ours is being written"
        stream.seek(0)
        write(stream, **arrays)

    monkeypatch.setattr(np, "savez", overtaken)
    first = cache.load_splits(SPEC)
    assert [file.suffix for file in folder.iterdir()] == [".npz"]
    forbid_building(monkeypatch)
    assert_same(cache.load_splits(SPEC), first)


def test_who_reads_while_another_writes_sees_no_half_file(folder, monkeypatch):
    write = np.savez

    def watched(stream, **arrays):
        write(stream, **arrays)
        assert not list(folder.glob("*.npz"))

    monkeypatch.setattr(np, "savez", watched)
    cache.load_splits(SPEC)
    assert len(list(folder.glob("*.npz"))) == 1
