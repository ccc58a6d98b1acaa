"""Scales that neither hide nor exaggerate, and labels that make way for each other."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_platform.charts import scales
from analytics_platform.language import Language

figures = st.lists(st.none() | st.floats(1e-6, 1e13) | st.just(0.0), max_size=31)


@given(figures, st.integers(2, 5))
def test_an_axis_holds_all_values_and_never_blows_up_a_wobble(values: list[float | None], most: int) -> None:
    axis = scales.axis(values, most=most, share=True)
    there = scales.known(values)
    assert all(axis.low <= value <= axis.high for value in there)
    assert axis.high - axis.low >= scales.LEAST_SPAN * max(there, default=1) * 0.999
    assert axis.torn == (axis.low > 0)
    assert axis.torn == bool(there and max(there) > 0 and min(there) >= max(there) / 2)
    assert len(axis.ticks) <= most
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


@given(st.integers(1, 10**13), st.integers(0, 10**13))
def test_counts_have_at_least_one_number_that_its_short_form_says_exactly(one: int, other: int) -> None:
    axis = scales.axis([one, other], whole=True)
    assert axis.ticks
    assert all(tick.is_integer() for tick in axis.ticks)
    shown = [Language("en").compact(tick) for tick in axis.ticks]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize(
    ("values", "ticks", "torn"),
    [
        ([18_811, 18_706, 17_702], (16_000, 18_000, 20_000), True),
        ([18_811, 18_706, 913], (0, 10_000), False),
        ([1, 0, 1], (0, 1), False),
        ([0, 0], (0,), False),
        ([None, None], (), False),
        ([0.2084, 0.2127, 0.2062], (0.2, 0.225), True),
    ],
)
def test_ticks_are_round(values: list[float | None], ticks: tuple[float, ...], torn: bool) -> None:
    share = 0 < max(scales.known(values), default=0) < 1
    axis = scales.axis(values, whole=not share, share=share)
    assert axis.ticks == pytest.approx(ticks)
    assert axis.torn == torn


def test_zero_is_at_the_bottom_when_asked_for() -> None:
    axis = scales.axis([1000, 990, None], zero=True)
    assert (axis.low, axis.torn, axis.ticks[0]) == (0, False, 0)
    assert [scales.falls(values) for values in ([1000, 499], [1000, 500], [0], [], [None])] == [True] + [False] * 4


def test_a_wobble_of_one_percent_is_a_twentieth_of_the_height_at_most() -> None:
    axis = scales.axis([1000, 990, 1000])
    assert axis.part(1000) - axis.part(990) < 0.05
    assert axis.part(990) > 0.3  # and hangs in the middle


@given(st.lists(figures, max_size=9), st.integers(1, 4))
def test_every_line_has_one_scale_and_no_scale_is_empty(lines: list[list[float | None]], most: int) -> None:
    groups = scales.together(lines, most)
    assert sorted(itertools.chain(*groups)) == list(range(len(lines)))
    assert len(groups) <= most
    assert all(groups)


def test_lines_of_similar_height_share_a_scale() -> None:
    assert scales.together([[20_000], [18_000], [2_000]]) == [[0, 1], [2]]
    assert scales.together([[640], [16_000], [946], [529], [371], [222]]) == [[1], [2, 0, 3, 4, 5]]
    assert scales.together([[0.2], [0.21], [0.19]]) == [[1, 0, 2]]
    assert scales.together([[None], [0.0]]) == [[0, 1]]


@given(st.lists(st.floats(0, 100), max_size=12), st.floats(0.1, 30))
def test_labels_are_apart_in_order_and_within_their_room(wanted: list[float], gap: float) -> None:
    placed = scales.apart(wanted, gap, 0, 100)
    assert len(placed) == len(wanted)
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in placed)
    room = min(gap, 100 / (len(wanted) - 1)) if len(wanted) > 1 else gap
    assert all(b - a >= room - 1e-6 for a, b in itertools.pairwise(sorted(placed)))
    for (one, at), (other, there) in itertools.combinations(zip(wanted, placed, strict=True), 2):
        assert one == other or (one < other) == (at < there)


def test_labels_with_room_stay_where_they_are() -> None:
    assert scales.apart([80, 10, 50], 9, 0, 100) == [80, 10, 50]
    assert scales.apart([50, 50, 50], 10, 0, 100) == [40, 50, 60]
    assert scales.apart([99, 99], 10, 0, 100) == [90, 100]
