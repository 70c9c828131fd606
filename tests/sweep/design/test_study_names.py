"""What a study is called that is not quite the one of its file."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sklab.spec.names import study_with_ending, study_with_settings
from sklab.spec.study.sweep import StudyName
from sklab.sweep.design.toy import toy
from sklab.sweep.files.load import load_single, load_sweep

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", fullmatch=True)


@given(names, st.dictionaries(st.text(min_size=1), st.text(), min_size=1))
def test_every_name_is_one_of_a_study_and_the_order_of_settings_is_none_of_it(study, settings):
    name = study_with_settings(study, settings)
    assert TypeAdapter(StudyName).validate_python(name) == name
    assert study_with_settings(study, dict(reversed(settings.items()))) == name


@given(names, names)
def test_no_two_studies_have_toys_of_one_name(one, other):
    assert (study_with_ending(one, "-toy") == study_with_ending(other, "-toy")) == (one == other)


@pytest.mark.parametrize(
    ("overrides", "study"),
    [
        ({}, "sweep"),
        ({"train.epochs": "2"}, "sweep"),  # as in the file
        ({"train.epochs": " 2"}, "sweep"),
        ({"data.title": "digits"}, "sweep"),  # makes no other runs
        ({"train.epochs": "3"}, "sweep-train.epochs-3"),
        ({"train.lr": "0.1", "train.epochs": "3"}, "sweep-train.epochs-3-train.lr-0.1"),
    ],
)
def test_other_settings_are_a_study_of_their_own(toy_files, overrides, study):
    assert load_sweep(toy_files / "sweep.yaml", overrides=overrides).study == study
    assert load_single(toy_files / "toy.yaml", overrides=overrides).study == study.replace("sweep", "toy")


def test_a_value_that_can_be_no_name_is_told_apart_all_the_same(toy_files):
    given = ["[{kernel: 3}]", "[{kernel: 5}]", "[{kernel: 3}, {kernel: 5}]"]
    studies = {load_single(toy_files / "toy.yaml", overrides={"model.branches": text}).study for text in given}
    assert len(studies) == 3
    assert all(name.startswith("toy-model.branches-_kernel_") for name in studies)


def test_a_start_has_the_name_of_its_content_wherever_the_file_lies(toy_files, tmp_path):
    for place in (tmp_path / "here.pt", tmp_path / "there.pt"):
        place.write_bytes(b"weights")
        loaded = load_single(toy_files / "toy.yaml", overrides={"model.init": str(place)})
        assert loaded.study == f"toy-model.init-{hashlib.sha256(b'weights').hexdigest()[:8]}"


def test_where_images_lie_makes_no_other_study(toy_files):
    folders = "data: {name: image_folder, num_classes: 10, image_size: 64, resize: 72"
    for root in ("}", ", root: /somewhere}"):
        rest = "model: {base: sknet_small, in_channels: 3}\ntrain: {epochs: 1, batch_size: 4, lr: 0.1}\n"
        (toy_files / "mine.yaml").write_text(f"{folders}{root}\n{rest}")
        assert load_single(toy_files / "mine.yaml", overrides={"data.root": "/elsewhere"}).study == "mine"


def test_another_experiment_and_other_settings_and_a_toy_come_together(toy_files):
    (toy_files / "second.yaml").write_text((toy_files / "toy.yaml").read_text())
    sweep = load_sweep(
        toy_files / "sweep.yaml", experiment=toy_files / "second.yaml", overrides={"train.warmup_epochs": "1"}
    )
    assert toy(sweep).study == "sweep-second-train.warmup_epochs-1-toy"
