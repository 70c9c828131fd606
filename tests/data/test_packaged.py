"""Files inside other packages: found without importing these, and taken only with known bytes."""

from __future__ import annotations

import hashlib
import sys

import pytest

from sklab.data.check import check
from sklab.data.packaged import read_packaged
from sklab.data.sets import digits28, photo_patches
from sklab.errors import SklabError
from sklab.spec.train import TrainSpec

HELD = b"a photograph"
SHA256 = hashlib.sha256(HELD).hexdigest()
SETS = [photo_patches.Spec(train_size=20, val_size=10), digits28.Spec()]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that can't be imported, with one file."""
    folder = tmp_path / "holder"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "data" / "photo.png").write_bytes(HELD)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_file_is_read_and_its_package_is_not_imported(package):
    assert read_packaged("photos", "holder", "data/photo.png", SHA256) == HELD
    assert "holder" not in sys.modules


def test_a_package_that_is_missing_is_named_with_the_remedy():
    with pytest.raises(SklabError, match=r"photos needs gone_package, .* pip install 'sklab\[photos\]'$"):
        read_packaged("photos", "gone_package", "data/photo.png", SHA256)


def test_a_file_that_is_missing_is_named_with_the_remedy(package):
    (package / "data" / "photo.png").unlink()
    with pytest.raises(
        SklabError, match=r"holder/data/photo\.png: No such file .* --force-reinstall 'sklab\[photos\]'$"
    ):
        read_packaged("photos", "holder", "data/photo.png", SHA256)


def test_one_other_bit_is_refused(package):
    (package / "data" / "photo.png").write_bytes(bytes([HELD[0] ^ 1]) + HELD[1:])
    with pytest.raises(SklabError, match=rf"other bytes \(SHA-256 .* made of \({SHA256[:16]}…\); pip install --force"):
        read_packaged("photos", "holder", "data/photo.png", SHA256)


@pytest.mark.parametrize("spec", SETS, ids=lambda spec: spec.name)
def test_without_its_package_a_set_ends_before_any_run_in_one_sentence(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path))
    monkeypatch.setattr("sklab.data.packaged.find_spec", lambda _: None)
    recipe = TrainSpec(epochs=1, batch_size=10, lr=0.1)
    with pytest.raises(SklabError, match=rf"^data set {spec.name} needs \w+, which is not installed; pip install"):
        check(spec, [recipe])
