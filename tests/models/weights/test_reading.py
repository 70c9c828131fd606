"""Files of tensors are read whole or refused in one sentence; nothing in them is executed."""

import collections
import pickle

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from sklab.errors import SklabError
from sklab.models.weights.files import read_file, tensors_in


def read_tensors(path):
    return tensors_in(read_file(path), path)


def tensors():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    return network.state_dict()


def same(read, written):
    return list(read) == list(written) and all(torch.equal(read[name], written[name]) for name in written)


def test_a_state_dict_is_read_in_its_order(tmp_path):
    written = tensors()
    for name in ("weights.pt", "weights.pth"):
        torch.save(written, tmp_path / name)
        assert same(read_tensors(tmp_path / name), written)


def test_a_file_of_an_old_torch_is_read(tmp_path):
    torch.save(tensors(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert list(read_tensors(tmp_path / "old.pth")) == list(tensors())


def test_safetensors_are_read(tmp_path):
    written = tensors()
    safetensors.torch.save_file(written, tmp_path / "weights.safetensors")
    read = read_tensors(tmp_path / "weights.safetensors")
    assert set(read) == set(written)
    assert all(torch.equal(read[name], written[name]) for name in written)


@pytest.mark.parametrize("place", ["state_dict", "model", "model_ema"])
def test_the_network_of_a_checkpoint_is_found(tmp_path, place):
    written = tensors()
    torch.save({"epoch": 90, place: written, "optimizer": {"lr": 0.1}}, tmp_path / "checkpoint.pt")
    assert same(read_tensors(tmp_path / "checkpoint.pt"), written)


class Planted:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("held", [Planted(), {"a": Planted()}, collections.Counter, [1, 2]])
@pytest.mark.parametrize("save", [torch.save, lambda held, file: file.write_bytes(pickle.dumps(held))])
def test_an_object_is_refused_and_not_executed(tmp_path, capsys, held, save):
    save(held, tmp_path / "object.pt")
    with pytest.raises(SklabError, match=r"object.pt: (is damaged, not of torch.save, or holds more|holds no network)"):
        read_tensors(tmp_path / "object.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("held", [torch.ones(3), {"epoch": 3}, {"weights": tensors()}, {}, {"state_dict": {}}])
def test_a_file_without_a_network_is_refused(tmp_path, held):
    torch.save(held, tmp_path / "other.pt")
    with pytest.raises(SklabError, match=r"other.pt: holds no network; allowed: tensors by name"):
        read_tensors(tmp_path / "other.pt")


@pytest.mark.parametrize("name", ["pointer.safetensors", "pointer.pt"])
def test_a_pointer_to_a_large_file_is_refused(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 102541\n")
    with pytest.raises(SklabError, match=f"{name}: is damaged"):
        read_tensors(tmp_path / name)


def test_a_missing_file_a_folder_and_another_kind_of_file_are_refused(tmp_path):
    with pytest.raises(SklabError, match=r"none.pt: can't be read \(No such file"):
        read_tensors(tmp_path / "none.pt")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(SklabError, match=r"folder.pt: can't be read \(no regular file"):
        read_tensors(tmp_path / "folder.pt")
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(SklabError, match=r"weights.h5: is no file of weights; allowed: .* \.safetensors, \.pt, \.pth"):
        read_tensors(tmp_path / "weights.h5")


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_was_cut_off_is_refused(tmp_path, data):
    name = data.draw(st.sampled_from(["weights.pt", "weights.safetensors"]))
    (safetensors.torch.save_file if name.endswith("safetensors") else torch.save)(tensors(), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(SklabError, match=f"{name}: is damaged"):
        read_tensors(tmp_path / name)
