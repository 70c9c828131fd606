import json

import pytest

from sklab.errors import DamagedRecordError
from sklab.store.looks import NO_LOOKS, Look, looks_file, read_looks
from sklab.store.looks import keep_look as keep

THREE, SIX = Look(seeds=(0, 1, 2)), Look(seeds=tuple(range(6)))
MORE = Look(seeds=(0, 1, 2), baseline=(3, 4, 5))


def keep_look(folder, look, most_seeds=None):
    keep(folder, look, most_seeds)


def test_looks_are_kept_in_their_order_and_the_same_seeds_once(tmp_path):
    assert read_looks(tmp_path) == NO_LOOKS
    for look in (THREE, THREE, MORE, SIX, THREE, Look(seeds=(0, 1, 3))):
        keep_look(tmp_path, look)
    assert read_looks(tmp_path).looks == (THREE, MORE, SIX)
    assert [file.name for file in tmp_path.iterdir()] == ["looks.json"]


def test_the_plan_is_that_of_the_first_look(tmp_path):
    keep_look(tmp_path, THREE, 10)
    keep_look(tmp_path, SIX, 20)
    assert read_looks(tmp_path).most_seeds == 10


def test_a_plan_that_is_made_after_a_look_is_none(tmp_path):
    keep_look(tmp_path, THREE)
    keep_look(tmp_path, SIX, 10)
    assert read_looks(tmp_path).most_seeds is None


def test_the_same_seeds_again_do_not_write_the_file(tmp_path):
    keep_look(tmp_path, THREE)
    before = looks_file(tmp_path).stat().st_mtime_ns, looks_file(tmp_path).stat().st_ino
    keep_look(tmp_path, THREE)
    assert before == (looks_file(tmp_path).stat().st_mtime_ns, looks_file(tmp_path).stat().st_ino)


def changed(text):
    return json.dumps({**json.loads(text), "most_seeds": 9})


@pytest.mark.parametrize("damage", [lambda text: text[:10], changed, lambda text: '{"looks": "three"}'])
def test_a_damaged_file_is_told_and_stays(tmp_path, damage):
    keep_look(tmp_path, THREE)
    looks_file(tmp_path).write_text(damage(looks_file(tmp_path).read_text()))
    damaged = looks_file(tmp_path).read_bytes()
    for act in (lambda: read_looks(tmp_path), lambda: keep_look(tmp_path, SIX)):
        with pytest.raises(DamagedRecordError, match=r"looks\.json.*delete it"):
            act()
    assert looks_file(tmp_path).read_bytes() == damaged
