"""Daily frames: ratios and growth where there is nothing to divide by, and the eight days of a feed frame."""

import math
from datetime import date, timedelta

import pytest

from analytics_platform.metrics.frames import FeedDay, FeedFrame, growth, ratio
from analytics_platform_tests.metrics.product import dates

DAYS = dates(date(2026, 2, 25), 8)


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        (1, 4, 0.25),
        (0, 4, 0.0),
        (-1, 4, -0.25),
        (0, 0, None),
        (5, 0, None),
        (5, 0.0, None),
        (None, 4, None),
        (5, None, None),
        (None, None, None),
    ],
)
def test_ratio(numerator: float | None, denominator: float | None, expected: float | None) -> None:
    assert ratio(numerator, denominator) == expected


@pytest.mark.parametrize(
    ("value", "base", "expected"),
    [
        (150, 100, 0.5),
        (50, 100, -0.5),
        (100, 100, 0.0),
        (0, 100, -1.0),
        (100, 0, None),
        (0, 0, None),
        (None, 100, None),
        (100, None, None),
    ],
)
def test_growth(value: float | None, base: float | None, expected: float | None) -> None:
    assert growth(value, base) == expected


def test_growth_is_taken_from_unrounded_numbers() -> None:
    found = growth(0.21344, 0.20996)
    assert found is not None
    assert math.isclose(found, 0.0165745856, rel_tol=1e-8)


def test_ctr_is_missing_without_views_and_unrounded_with_them() -> None:
    assert FeedDay(DAYS[0], dau=1, views=3, likes=1).ctr == 1 / 3
    assert FeedDay(DAYS[0], dau=1, views=0, likes=2).ctr is None
    assert FeedDay(DAYS[0], dau=0, views=0, likes=0).ctr is None
    assert FeedDay(DAYS[0]).ctr is None
    assert FeedDay(DAYS[0], views=10).ctr is None


def test_a_frame_knows_its_days() -> None:
    frame = FeedFrame(tuple(FeedDay(day, dau=k) for k, day in enumerate(DAYS)))
    assert (frame.today.day, frame.yesterday.day, frame.week_ago.day) == (DAYS[7], DAYS[6], DAYS[0])
    assert frame.week_ago.day.weekday() == frame.today.day.weekday()
    assert [d.day for d in frame.charted] == DAYS[1:]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        DAYS[:7],
        [*DAYS, DAYS[-1] + timedelta(days=1)],
        DAYS[::-1],
        [*DAYS[:3], DAYS[2], *DAYS[4:]],
        [*DAYS[:7], DAYS[7] + timedelta(days=1)],
    ],
    ids=["none", "seven", "nine", "backwards", "one twice", "a hole"],
)
def test_a_frame_of_other_days_is_refused(wrong: list[date]) -> None:
    with pytest.raises(ValueError, match="eight consecutive days, the report day last"):
        FeedFrame(tuple(FeedDay(day) for day in wrong))
