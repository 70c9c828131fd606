"""How GPUs and cores are cut into slots, and which slot is next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.errors import SklabError
from sklab.launch import slots
from sklab.launch.local.gpus import choose_gpus
from sklab.launch.slots import Slot, find_slots, given_slot, halved, next_slot, runs_per_gpu, shared

GPUS, RUNS, CORES = st.integers(1, 9), st.integers(1, 6), st.integers(1, 256)


def gpus(count: int) -> list[tuple[str, str]]:
    return [(str(index), "H200") for index in range(count)]


def cut(cores: int, *arguments: object, **more: object) -> tuple[Slot, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        return find_slots(*arguments, **more)


@given(GPUS, RUNS, CORES)
def test_every_gpu_has_as_many_slots_and_no_core_is_given_twice(count, runs, cores):
    found = cut(cores, gpus=gpus(count), per_gpu=runs)
    assert Counter(slot.gpu for slot in found) == {str(index): runs for index in range(count)}
    assert all(slot.threads >= 1 for slot in found)
    assert sum(slot.threads for slot in found) <= max(cores, len(found))
    assert set(found) == set(shared(cut(cores, gpus=gpus(count), per_gpu="auto"), runs))


@given(GPUS, RUNS, CORES, st.data())
def test_fewer_slots_are_spread_over_the_gpus(count, runs, cores, data):
    number = data.draw(st.integers(1, count * runs))
    taken = Counter(slot.gpu for slot in cut(cores, number, gpus=gpus(count), per_gpu=runs))
    assert sum(taken.values()) == number
    assert max(taken.values()) - min(taken.values()) <= (len(taken) == count)


@given(GPUS, RUNS, st.integers(0, 3))
def test_halving_ends_at_one_slot_per_gpu(count, runs, times):
    found = cut(8, gpus=gpus(count), per_gpu=runs)
    for _ in range(times):
        found = halved(found)
    assert Counter(slot.gpu for slot in found) == {str(index): max(1, runs // 2**times) for index in range(count)}


@given(GPUS, RUNS)
def test_slots_are_filled_gpu_by_gpu_in_turn(count, runs):
    found, taken = cut(64, gpus=gpus(count), per_gpu=runs), []
    for number in range(len(found)):
        taken.append(next_slot(found, taken))
        used = Counter(slot.gpu for slot in taken)
        assert max(used.values()) == number // count + 1
    assert Counter(taken) == Counter(found)


def test_a_run_from_before_the_slots_were_shared_still_counts_on_its_gpu():
    alone = cut(8, gpus=gpus(2))
    now = shared(alone, 2)
    assert [slot.threads for slot in now] == [2] * 4
    first = next_slot(now, alone)
    second = next_slot(now, (*alone, first))
    assert {first.gpu, second.gpu} == {"0", "1"}


@pytest.mark.parametrize(("text", "found"), [("1", 1), ("12", 12), ("auto", "auto")])
def test_runs_per_gpu_are_a_number_or_auto(text, found):
    assert runs_per_gpu(text) == found


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "all", ""])
def test_anything_else_is_refused(text):
    with pytest.raises(SklabError, match=r"--per-gpu: found .*; allowed: 1 to 1000, or auto"):
        runs_per_gpu(text)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"gpus": [], "per_gpu": 2}, "--per-gpu: found 2; there is no GPU here"),
        ({"gpus": [], "per_gpu": "auto"}, "--per-gpu: found auto; there is no GPU here"),
        ({"gpus": gpus(4), "per_gpu": 2, "devices": 2}, "--per-gpu: found 2; allowed: 1, .* train on 2 GPUs each"),
        ({"gpus": gpus(4), "per_gpu": "auto", "devices": 2}, "--per-gpu: found auto; allowed: 1"),
        ({"gpus": gpus(4), "per_gpu": "auto", "count": 2}, "--slots: not together with --per-gpu auto"),
        ({"gpus": gpus(2), "per_gpu": 3, "count": 7}, "--slots: found 7; allowed: 1 to 6, 3 per GPU"),
        ({"gpus": gpus(2), "devices": 3}, r"train\.devices: found 3; allowed: 1 to 2"),
    ],
)
def test_what_can_not_be_shared_is_refused(how, told):
    with pytest.raises(SklabError, match=told):
        cut(8, **how)


class TestGpusThatAreMeant:
    """None is replaced by the CPU without a word."""

    def test_a_driver_that_has_some_and_a_tool_that_shows_none_end_the_command(self, nvidia_smi):
        nvidia_smi.driver_has("0000:3b:00.0")
        nvidia_smi.says(end="echo 'Driver/library version mismatch' >&2\nexit 18")
        told = "no GPU can be used: nvidia-smi ended with exit code 18: Driver/library version mismatch; .* --cpu"
        with pytest.raises(SklabError, match=told):
            find_slots()
        with pytest.raises(SklabError, match=told):
            choose_gpus(None, print)

    def test_a_machine_without_any_has_cpu_slots(self, nvidia_smi):
        assert {slot.gpu for slot in find_slots()} == {None}

    def test_those_that_are_left_are_used_and_the_loss_is_told(self, nvidia_smi, capsys):
        nvidia_smi.says("1, GPU-1, 0, 80000, 0, H100", end="echo 'GPU 0 is lost'\nexit 15")
        assert [slot.gpu for slot in find_slots()] == ["1"]
        line = "not every GPU can be used: nvidia-smi ended with exit code 15: GPU 0 is lost"
        assert line in capsys.readouterr().err
        told: list[str] = []
        assert choose_gpus(None, told.append) == [("1", "H100")]
        assert told == [line]

    def test_a_run_of_a_cluster_gets_the_gpus_that_were_left_visible_to_it(self, nvidia_smi):
        nvidia_smi.has_gpus(6)
        nvidia_smi.visible("2,5")
        assert given_slot(2, 4) == Slot("2,5", "H100", 4)
        assert given_slot(0.5, 4) == Slot("2,5", "H100", 4)
        assert given_slot(0, 4).gpu is None
        with pytest.raises(SklabError, match=r"GPUs of .*: this run was to have 3; 2 can be used$"):
            given_slot(3, 4)
        nvidia_smi.says(end="exit 9")
        with pytest.raises(SklabError, match=r"to have 0\.5; none can be used: nvidia-smi ended with exit code 9$"):
            given_slot(0.5, 4)


def test_the_cpu_is_cut_in_even_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", list)
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [slot.threads for slot in find_slots(4)] == [4, 4, 4, 4]
    assert [slot.threads for slot in find_slots()] == [2] * 8
    with pytest.raises(SklabError, match="allowed: 1 to 16"):
        find_slots(17)


def test_every_gpu_is_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", lambda: [("0", "H200"), ("3", "H200")])
    assert [slot.gpu for slot in find_slots()] == ["0", "3"]
    assert [slot.gpu for slot in find_slots(1)] == ["0"]
    with pytest.raises(SklabError, match="one per GPU"):
        find_slots(3)


def test_a_slot_holds_as_many_gpus_as_a_run_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", lambda: [(str(index), "H200") for index in range(5)])
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [(slot.gpu, slot.threads) for slot in find_slots(devices=2)] == [("0,1", 8), ("2,3", 8)]
    assert [slot.gpu for slot in find_slots(1, devices=3)] == ["0,1,2"]
    with pytest.raises(SklabError, match=r"--slots: found 3; allowed: 1 to 2, one per 2 GPUs"):
        find_slots(3, devices=2)
    with pytest.raises(SklabError, match=r"train\.devices: found 6; allowed: 1 to 5, the GPUs.*--set train\.devices=5"):
        find_slots(devices=6)


def test_without_gpus_devices_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "find_gpus", list)
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [slot.threads for slot in find_slots(devices=4)] == [4] * 4
    assert [slot.threads for slot in find_slots(devices=32)] == [16]
    with pytest.raises(SklabError, match=r"allowed: 1 to 4, one per 4 cores"):
        find_slots(5, devices=4)
