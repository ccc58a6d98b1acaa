"""The arithmetic of a pace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_platform.channels.telegram_pacing import MemorySlots
from analytics_platform.pace import Limit, earliest

_ASKED = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 12)), max_size=60)


@given(asked=_ASKED, spacing=st.sampled_from([0.0, 0.25, 1.03]), seconds=st.sampled_from([1.03, 7.0]))
def test_no_window_ever_holds_more_than_its_limit(
    asked: list[tuple[float, int]], spacing: float, seconds: float
) -> None:
    limit = 10
    taken: list[tuple[float, int]] = []
    sent: list[tuple[float, int]] = []
    now = 0.0
    for pause, weight in asked:
        now += pause
        at, taken = earliest(taken, 0.0, now, weight, spacing=spacing, window=(limit, seconds))
        assert at >= now
        assert not sent or at >= sent[-1][0] + spacing * sent[-1][1]
        sent.append((at, weight))

    for at, weight in sent:
        within = sum(count for moment, count in sent if at - seconds + 1e-6 < moment <= at)
        # What is more than the limit by itself goes alone.
        assert within <= max(limit, weight)
    assert all(moment + max(seconds, spacing * weight) > now for moment, weight in taken)


def test_nothing_goes_before_the_moment_it_is_free() -> None:
    assert earliest([], 9.0, 4.0, 1) == (9.0, [(9.0, 1)])
    assert earliest([(9.0, 2)], 0.0, 4.0, 1, spacing=1.5) == (12.0, [(9.0, 2), (12.0, 1)])


def test_as_soon_as_there_is_room_and_no_later() -> None:
    taken = [(0.0, 10), (1.0, 10)]
    assert earliest(taken, 0.0, 2.0, 1, window=(20, 60.0)) == (60.0, [*taken, (60.0, 1)])
    assert earliest(taken, 0.0, 2.0, 11, window=(20, 60.0)) == (61.0, [*taken, (61.0, 11)])
    assert earliest(taken, 0.0, 60.0, 1, window=(20, 60.0))[0] == 60.0
    assert earliest(taken, 0.0, 2.0, 99, window=(20, 60.0))[0] == 61.0


def test_slots_in_memory() -> None:
    now = 0.0
    slots = MemorySlots(lambda: now)
    assert slots.reserve(1, Limit("1", 1.0)).seconds == 0
    assert slots.reserve(3, Limit("1", 1.0)).seconds == 1  # at second 1, three seconds long
    assert slots.reserve(1, Limit("2", 1.0)).seconds == 0  # another chat need not wait
    now = 2.0
    assert slots.reserve(1, Limit("1", 1.0)).seconds == 2
    slots.hold("1", 10)
    slots.hold("1", 1)  # an earlier and longer one stays
    assert slots.reserve(1, Limit("1", 1.0)).seconds == pytest.approx(10)
