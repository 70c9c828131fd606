import hashlib

import numpy as np
import pytest
from pydantic import ValidationError

from sklab.data.sets.digits28 import Spec, load, load_test


def pixels(split):
    return {image.tobytes() for image in split.images}


def sha256(*splits):
    arrays = [array.astype(array.dtype.newbyteorder("<")) for split in splits for array in (split.images, split.labels)]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_the_bytes_and_the_split_are_the_same_on_every_machine():
    splits, spec = load(Spec(test="fifth")), Spec(test="fifth")
    assert (
        sha256(splits.train, splits.val, load_test(spec).images)
        == "1817a17c8871be505b42989c71b020336825da02ce8dc94243153458977f0b30"
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_digit_is_in_one_split_and_classes_are_shared_evenly(seed):
    spec = Spec(seed=seed, test="fifth")
    splits, test = load(spec), load_test(spec).images
    parts = (splits.train, splits.val, test)
    assert [len(part.labels) for part in parts] == [3000, 1000, 1000]
    assert spec.images[:2] == (3000, 1000)
    for part in parts:
        assert set(np.bincount(part.labels)) == {len(part.labels) // 10}
        assert part.images.shape[1:] == (1, 28, 28)
    assert len(set.union(*map(pixels, parts))) == sum(len(pixels(part)) for part in parts) == 5000


def test_validation_digits_are_the_same_with_and_without_a_third_split():
    plain, split = load(Spec()), load(Spec(test="fifth"))
    assert np.array_equal(plain.val.images, split.val.images)
    assert pixels(plain.train) == pixels(split.train) | pixels(load_test(Spec(test="fifth")).images)
    assert Spec().images[:2] == (4000, 1000)


def test_a_split_drawn_anew_is_another_one_unless_there_is_a_test():
    anew = Spec().split_anew(1)
    assert list(anew.why_one_split()) == []
    assert pixels(load(anew).val) != pixels(load(Spec()).val)
    assert Spec().split_anew(0) == Spec()
    assert list(Spec(test="fifth").why_one_split())


def test_the_normalisation_is_that_of_all_digits():
    splits = load(Spec())
    values = np.concatenate([splits.train.images, splits.val.images]) / 255
    assert values.mean() == pytest.approx(Spec.mean[0], abs=1e-4)
    assert values.std() == pytest.approx(Spec.std[0], abs=1e-4)


@pytest.mark.parametrize("wrong", [{"image_size": 32}, {"test": "half"}, {"seed": -1}, {"train_size": 10}])
def test_settings_that_can_not_be(wrong):
    with pytest.raises(ValidationError):
        Spec(**wrong)
