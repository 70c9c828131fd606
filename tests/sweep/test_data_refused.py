"""A sweep whose data are missing is refused before any run begins."""

import pytest

from sklab.cli import main


@pytest.fixture
def folder_sweep(toy_files, monkeypatch):
    toy = toy_files / "toy.yaml"
    data = "data: {name: image_folder, root: /no/such/place, num_classes: 10, image_size: 32, resize: 32}\n"
    model, train = toy.read_text().splitlines()[1:]
    toy.write_text(data + model.replace("base: sknet_small", "base: sknet_small, in_channels: 3") + "\n" + train + "\n")
    monkeypatch.chdir(toy_files)
    return toy_files


def test_a_sweep_over_a_missing_folder_starts_nothing(folder_sweep, capsys):
    assert main(["sweep", "sweep.yaml", "--slots", "1"]) == 2
    told = capsys.readouterr().err
    assert "the data of this sweep can't be used; nothing was trained:" in told
    assert "/no/such/place: no such folder (data.root = '/no/such/place'); it must hold train/ and val/" in told
    assert not (folder_sweep / "results" / "sweep" / "runs").exists()


def test_the_doctor_tells_it_too(folder_sweep, capsys):
    assert main(["doctor", "sweep.yaml"]) == 2
    told = capsys.readouterr()
    assert "dilation 2" in told.out
    assert "/no/such/place: no such folder" in told.err


def test_a_batch_that_the_data_can_not_fill_is_told_before_the_first_run(toy_files, capsys, monkeypatch):
    monkeypatch.chdir(toy_files)
    assert main(["sweep", "sweep.yaml", "--slots", "1", "--set", "train.batch_size=65"]) == 2
    assert "train.batch_size = 65 but the train split has 64 images; allowed: 2 to 64" in capsys.readouterr().err
    assert not (toy_files / "results" / "sweep" / "runs").exists()


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("train.accumulate=5", "train.accumulate = 5 but an epoch has 4 batches of train.batch_size = 16"),
        ("train.augment.random_resized_crop=[0.5, 1.0]", "random_resized_crop = [0.5, 1.0] is for image files"),
    ],
)
def test_so_is_whatever_else_the_data_can_not_serve(toy_files, capsys, monkeypatch, level, told):
    monkeypatch.chdir(toy_files)
    assert main(["sweep", "sweep.yaml", "--slots", "1", "--set", "train.batch_size=16", "--set", level]) == 2
    assert told in capsys.readouterr().err
    assert not (toy_files / "results" / "sweep" / "runs").exists()
