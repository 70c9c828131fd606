"""Which GPUs are taken where some are used by somebody else."""

from __future__ import annotations

import pytest

from sklab.errors import SklabError
from sklab.launch.local import gpus
from sklab.launch.local.gpus import choose_gpus
from sklab.system.nvidia import GpuUse, Seen

FREE = GpuUse("0", "H200", 600.0, 150_000.0, 0.0)
USED = GpuUse("1", "H200", 32_000.0, 150_000.0, 97.0, ("4711 (python3)", "4712 (train)"))
HIDDEN = GpuUse("2", "H200", 9_000.0, 150_000.0, 0.0)  # by a process outside the container
UNTOLD = GpuUse("3", "H200 MIG 1g.18gb", None, None, None)


@pytest.fixture
def choose(monkeypatch):
    monkeypatch.setattr(gpus, "_AGAIN", 0.0)

    def call(named, *there):
        told = []
        monkeypatch.setattr(gpus, "see_use", lambda: Seen(there, "" if there else "the cable is out"))
        return [index for index, _ in choose_gpus(named, told.append)], told

    return call


def test_all_free_gpus_are_taken_without_a_word(choose):
    assert choose(None, FREE, UNTOLD) == (["0", "3"], [])
    assert choose(None) == ([], [])


def test_a_gpu_in_use_is_left_out_and_told_with_its_users_and_the_way_to_take_it(choose):
    taken, told = choose(None, FREE, USED, HIDDEN)
    assert taken == ["0"]
    assert told == [
        "GPU 1 is used by somebody else: 32.0 of 150.0 GB, process 4711 (python3), 4712 (train); "
        "left out (--gpus 0,1,2 takes it all the same)",
        "GPU 2 is used by somebody else: 9.0 of 150.0 GB, no process that can be seen from here; "
        "left out (--gpus 0,1,2 takes it all the same)",
    ]


def test_what_a_command_that_was_just_stopped_has_left_is_nobody_elses(monkeypatch):
    looks = iter([Seen((FREE, USED)), Seen((FREE, GpuUse("1", "H200", 600.0, 150_000.0, 0.0)))])
    told: list[str] = []
    monkeypatch.setattr(gpus, "_AGAIN", 0.0)
    monkeypatch.setattr(gpus, "see_use", lambda: next(looks))
    assert choose_gpus(None, told.append) == [("0", "H200"), ("1", "H200")]
    assert told == []


def test_without_a_free_gpu_nothing_is_started(choose):
    with pytest.raises(SklabError, match=r"every GPU is used by somebody else \(GPU 1: .*4711.*for example --gpus 1"):
        choose(None, USED, HIDDEN)


def test_a_gpu_that_is_named_is_taken_in_that_order_and_its_use_told(choose):
    taken, told = choose("1, 0", FREE, USED, HIDDEN)
    assert taken == ["1", "0"]
    assert len(told) == 1
    assert told[0].endswith("taken all the same")


@pytest.mark.parametrize("named", ["7", "0,7", "0,0", "", "0;1"])
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(choose, named):
    with pytest.raises(SklabError, match=rf"--gpus: found {named}; allowed: each once of 0 \(H200\), 1 \(H200\)"):
        choose(named, FREE, USED)


def test_naming_a_gpu_where_there_is_none_is_refused(choose):
    with pytest.raises(SklabError, match="--gpus: found 0; there is no GPU here: the cable is out"):
        choose("0")
