"""A file of trained weights is identified by its content, wherever it lies; where its checksum is known, nothing is
read."""

import hashlib
import os

import pytest
from pydantic import ValidationError

from sklab.spec.networks import network
from sklab.spec.run import Experiment, RunSpec, training_of
from sklab.spec.start import weights
from sklab.spec.start.weights import Weights


@pytest.fixture
def file(tmp_path):
    (tmp_path / "trained.pt").write_bytes(b"trained")
    return tmp_path / "trained.pt"


def experiment(init=None, **model):
    settings = network("sknet_small", **model).model_dump() | {"init": init}
    recipe = {"epochs": 1, "batch_size": 4, "lr": 0.1}
    return Experiment.model_validate({"data": {"name": "scaled_digits"}, "model": settings, "train": recipe})


def key(init):
    return RunSpec(experiment=experiment(init), seed=0).key


def test_a_path_becomes_the_file_and_its_checksum(file):
    assert Weights.model_validate(str(file)) == Weights(file=str(file), sha256=hashlib.sha256(b"trained").hexdigest())


def test_the_folder_of_a_run_stands_for_its_weights(file, tmp_path):
    file.rename(tmp_path / "weights.pt")
    assert Weights.model_validate(str(tmp_path)).file == str(tmp_path / "weights.pt")


def test_a_path_is_relative_to_the_folder_of_the_call_and_may_begin_at_home(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for written in ("trained.pt", "~/trained.pt"):
        assert Weights.model_validate(written).file == written
        assert Weights.model_validate(written).sha256 == Weights.model_validate(str(file)).sha256


def test_the_content_is_a_part_of_the_key_and_the_path_is_none(file, tmp_path):
    copied = tmp_path / "elsewhere" / "weights.pth"
    copied.parent.mkdir()
    copied.write_bytes(file.read_bytes())
    other = tmp_path / "other.pt"
    other.write_bytes(b"longer trained")
    assert key(str(file)) == key(str(copied))
    assert len({key(None), key(str(file)), key(str(other))}) == 3


def test_networks_that_start_from_the_same_content_are_one_training(file, tmp_path):
    copied = tmp_path / "copied.pt"
    copied.write_bytes(file.read_bytes())
    first, second = (experiment(str(each), min_dim=1, reduction=32) for each in (file, copied))
    assert training_of(first) == training_of(second)
    assert training_of(first) != training_of(experiment(None, min_dim=1, reduction=32))


def test_a_file_that_is_known_is_not_read(file):
    written = experiment(str(file)).model_dump_json()
    file.unlink()
    assert Experiment.model_validate_json(written).model.init == Weights.model_validate(
        {"file": str(file), "sha256": hashlib.sha256(b"trained").hexdigest()}
    )


def test_a_file_is_read_once_until_it_changes(file, monkeypatch):
    weights._checksum.cache_clear()
    first = weights.checksum_of(file)
    assert weights.checksum_of(file) == first
    assert weights._checksum.cache_info().misses == 1
    file.write_bytes(b"other!!")  # of the same length
    os.utime(file, ns=(1, 1))
    assert weights.checksum_of(file) == hashlib.sha256(b"other!!").hexdigest()


@pytest.mark.parametrize("given", ["none.pt", "", 3, {"file": "a.pt"}, {"file": "a.pt", "sha256": "abc"}])
def test_what_is_no_file_is_refused(given):
    with pytest.raises(ValidationError):
        Weights.model_validate(given)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(ValidationError, match=r"pipe.pt can't be read: no regular file"):
        Weights.model_validate(str(tmp_path / "pipe.pt"))
