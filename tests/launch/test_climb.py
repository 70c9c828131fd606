"""The climb to the number of runs at a time, over any course of their common speed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.launch.local.packing import RISE, Climb

MOST = st.integers(1, 300)
SPEED = st.floats(0.01, 1e7)


def climbed(most: int, speed_of) -> tuple[Climb, list[int]]:
    """The settled climb, and the numbers that were tried."""
    climb, tried = Climb(most), []
    while not climb.settled:
        tried.append(climb.count)
        climb = climb.after(climb.count, speed_of(climb.count))
    return climb, tried


@given(MOST, st.data())
def test_it_tries_each_number_once_and_ends_at_the_last_that_was_worth_it(most, data):
    speeds: dict[int, float] = {}

    def speed_of(count: int) -> float:
        return speeds.setdefault(count, data.draw(SPEED))

    climb, tried = climbed(most, speed_of)
    assert tried == sorted(set(tried))
    assert all(later == min(2 * sooner, most) for sooner, later in pairwise(tried))
    rises = [speeds[later] >= RISE * speeds[sooner] for sooner, later in pairwise(tried)]
    assert all(rises[:-1]), "it goes no further after a step that did not pay"
    stayed_down = bool(rises) and not rises[-1]
    assert climb.count == climb.proven == (tried[-2] if stayed_down else tried[-1])
    assert climb.speed == speeds[climb.count]
    assert stayed_down or climb.count == most, "it ends below the most only where a step did not pay"


@given(MOST, st.integers(1, 300), SPEED)
def test_runs_that_share_a_device_of_so_much_room_end_within_a_doubling_of_it(most, room, alone):
    """`room` runs fill the device; more share what it does."""
    climb, _ = climbed(most, lambda count: alone * min(count, room))
    assert min(most, room) / 2 < climb.count <= most
    assert climb.count < 2 * room


@pytest.mark.parametrize(
    ("gain", "count"), [(1.14, 1), (1.15, 16), (2.0, 16), (0.5, 1), (float("nan"), 1), (float("inf"), 16)]
)
def test_twice_as_many_must_do_fifteen_percent_more(gain, count):
    speed = {1: 100.0, 2: 100.0 * gain, 4: 1e5, 8: 1e6, 16: 1e7}
    if gain == float("inf"):
        speed |= {4: gain, 8: gain, 16: gain}
    assert climbed(16, speed.__getitem__)[0].count == count


def test_the_last_step_may_be_less_than_a_doubling():
    assert climbed(6, lambda count: 100.0 * count)[1] == [1, 2, 4, 6]


def test_a_single_core_is_settled_by_the_first_measurement():
    assert climbed(1, lambda _: 5.0)[1] == [1]


@given(MOST, st.lists(SPEED, max_size=5), st.integers(1, 600), SPEED)
def test_late_words_change_nothing(most, speeds, count, speed):
    climb = Climb(most)
    for each in speeds:
        climb = climb.after(climb.count, each)
    if climb.settled or count != climb.count:
        assert climb.after(count, speed) is climb


@given(MOST, st.lists(SPEED, max_size=8), st.integers(-1, 300))
def test_memory_bounds_it_wherever_it_is(most, speeds, room):
    climb = Climb(most)
    for each in speeds:
        climb = climb.after(climb.count, each)
    bound = climb.within(room)
    assert 1 <= bound.proven <= bound.count <= max(1, min(room, most))
    assert bound.settled or bound.count > climb.proven or climb.speed == 0.0
    while not bound.settled:
        bound = bound.after(bound.count, 1e9)
        assert bound.count <= max(1, min(room, most))
    assert climb.within(most) == climb
