import json

import pytest

from sklab.errors import DamagedRecordError
from sklab.store.looks import keep_look, looks_file, read_looks


def test_looks_are_kept_in_their_order_and_the_same_seeds_once(tmp_path):
    assert read_looks(tmp_path) == ()
    for seeds in ((0, 1, 2), (0, 1, 2), tuple(range(6)), (0, 1, 2), (0, 1, 3)):
        keep_look(tmp_path, seeds)
    assert read_looks(tmp_path) == ((0, 1, 2), (0, 1, 2, 3, 4, 5))
    assert [file.name for file in tmp_path.iterdir()] == ["looks.json"]


def test_the_same_seeds_again_do_not_write_the_file(tmp_path):
    keep_look(tmp_path, (0, 1, 2))
    before = looks_file(tmp_path).stat().st_mtime_ns, looks_file(tmp_path).stat().st_ino
    keep_look(tmp_path, (0, 1, 2))
    assert before == (looks_file(tmp_path).stat().st_mtime_ns, looks_file(tmp_path).stat().st_ino)


def changed(text):
    return json.dumps({**json.loads(text), "seeds": [[0]]})


@pytest.mark.parametrize("damage", [lambda text: text[:10], changed, lambda text: '{"seeds": "three"}'])
def test_a_damaged_file_is_told_and_stays(tmp_path, damage):
    keep_look(tmp_path, (0, 1, 2))
    looks_file(tmp_path).write_text(damage(looks_file(tmp_path).read_text()))
    damaged = looks_file(tmp_path).read_bytes()
    for act in (lambda: read_looks(tmp_path), lambda: keep_look(tmp_path, tuple(range(6)))):
        with pytest.raises(DamagedRecordError, match=r"looks\.json.*delete it"):
            act()
    assert looks_file(tmp_path).read_bytes() == damaged
