"""A sweep whose data are missing is refused before any run begins."""

import sys

import pytest
from pictures import folder
from PIL import ExifTags, Image

from sklab.cli import main
from sklab.errors import SklabError
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.sweep.files.load import load_sweep
from sklab.sweep.run.preflight import ensure_sound


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
    assert "the data of this sweep can't be used as it asks; nothing was trained:" in told
    assert "/no/such/place: no such folder (data.root = '/no/such/place'); it must hold train/ and val/" in told
    assert not (folder_sweep / "results" / "sweep" / "runs").exists()


def test_the_doctor_tells_it_too(folder_sweep, capsys):
    assert main(["doctor", "sweep.yaml"]) == 2
    told = capsys.readouterr()
    assert "dilation 2" in told.out
    assert "/no/such/place: no such folder" in told.err


@pytest.fixture
def torn(folder_sweep):
    """The sweep over 132 images, with a torn one that is not among the 64 of its split that are opened; the file."""
    root = folder(folder_sweep / "set", train=65, val=1)
    (root / "train" / "dog" / "notes.heic").write_bytes(b"")
    toy = folder_sweep / "toy.yaml"
    toy.write_text(toy.read_text().replace("/no/such/place", str(root)).replace("num_classes: 10", "num_classes: 2"))
    file = root / "train" / "cat" / "1.png"  # the second
    file.write_bytes(b"")
    return file


def test_the_doctor_says_how_many_images_it_opened_and_opens_all_if_asked(torn, capsys):
    changes = ("--set", "model.num_classes=2", "--set", "train.batch_size=2")
    assert main(["doctor", "sweep.yaml", *changes]) == 0
    told = capsys.readouterr().out
    assert "66 of 132 images were opened; `sklab doctor SWEEP --all` opens every one" in told
    assert "/train: passed over: 1 .heic" in told
    assert main(["doctor", "sweep.yaml", "--all", *changes]) == 2
    assert f"{torn}: not a readable image" in capsys.readouterr().err


def test_the_doctor_opens_images_of_a_sweep_only(capsys):
    assert main(["doctor", "--all"]) == 2
    assert "sklab doctor SWEEP --all" in capsys.readouterr().err


def test_what_there_is_to_say_about_the_data_is_said_before_the_first_run(torn, capsys):
    torn.write_bytes((torn.parent / "0.png").read_bytes())
    changes = ("--set", "model.num_classes=2", "--set", "train.epochs=1", "--seeds", "1")
    assert main(["sweep", "sweep.yaml", "--slots", "1", *changes]) == 0
    told = capsys.readouterr().err
    assert "/train: passed over: 1 .heic" in told
    assert told.index("66 of 132 images were opened") < told.index("val_error")


def test_the_plan_tells_it_too_without_opening_an_image(torn, capsys):
    image = Image.open(torn.parent / "0.png")
    image.getexif()[ExifTags.Base.Orientation] = 6
    image.save(torn.parent / "0.png", exif=image.getexif())
    assert main(["plan", "sweep.yaml", "--set", "model.num_classes=2", "--set", "train.batch_size=131"]) == 0
    told = capsys.readouterr().out
    assert f"data set image_folder: {torn.parents[1]}: passed over: 1 .heic" in told
    assert "1 of the 66 images opened carry an EXIF orientation: it is ignored" in told
    small = "train.batch_size = 131 but the train split has 130 images; allowed: 2 to 130"
    assert f"the sweep will be refused: data set image_folder: {small}" in told


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


def test_without_torchvision_a_recipe_that_needs_it_is_refused_with_the_remedy(toy_files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    here = InlineLauncher(Slot(None, "cpu", 1))
    ensure_sound(load_sweep(toy_files / "sweep.yaml"), here, tmp_path, print)
    sweep = load_sweep(toy_files / "sweep.yaml", overrides={"train.augment.policy": "randaugment"})
    assert not sweep.invalid, "it can be trained where torchvision is"
    with pytest.raises(SklabError) as caught:
        ensure_sound(sweep, here, tmp_path, print)
    assert str(caught.value).splitlines() == [
        "the data of this sweep can't be used as it asks; nothing was trained:",
        "  train.augment.policy = randaugment is torchvision's: torchvision is not installed; "
        "pip install 'sklab[torchvision]'",
    ]
