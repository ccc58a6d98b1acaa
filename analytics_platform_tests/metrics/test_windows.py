"""Local days as windows: days of 23, 24 and 25 hours, days without a midnight, gaps between computed days."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.metrics.facts import lookback
from analytics_platform.metrics.windows import Gap, Window, day_start, day_window, days, gaps, local_day

BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = timedelta(microseconds=1)
utc = datetime.fromisoformat  # naive, as windows are


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", date(2026, 3, 29), utc("2026-03-29"), 24),
        ("Europe/Berlin", date(2026, 3, 29), utc("2026-03-28 23:00"), 23),
        ("Europe/Berlin", date(2026, 10, 25), utc("2026-10-24 22:00"), 25),
        ("Asia/Kathmandu", date(2026, 1, 1), utc("2025-12-31 18:15"), 24),
        ("America/Sao_Paulo", date(2018, 11, 3), utc("2018-11-03 03:00"), 24),
        ("America/Sao_Paulo", date(2018, 11, 4), utc("2018-11-04 03:00"), 23),  # 00:00 does not exist
        ("America/Sao_Paulo", date(2018, 2, 17), utc("2018-02-17 02:00"), 25),  # 23:00 to 24:00 twice
        ("America/Sao_Paulo", date(2018, 2, 18), utc("2018-02-18 03:00"), 24),
        ("Africa/Cairo", date(2024, 4, 26), utc("2024-04-25 22:00"), 23),  # 00:00 does not exist
        ("Africa/Cairo", date(2024, 10, 31), utc("2024-10-30 21:00"), 25),
        ("America/Havana", date(2026, 11, 1), utc("2026-11-01 04:00"), 25),  # 00:00 comes twice: the first
        ("Asia/Pyongyang", date(2018, 5, 4), utc("2018-05-03 15:30"), 23.5),
        ("Australia/Lord_Howe", date(2026, 4, 5), utc("2026-04-04 13:00"), 24.5),
        ("Pacific/Apia", date(2011, 12, 30), utc("2011-12-30 10:00"), 0),  # the day that was left out
        ("Pacific/Apia", date(2011, 12, 31), utc("2011-12-30 10:00"), 24),
    ],
)
def test_a_day_starts_at_its_first_instant_and_ends_at_the_next_days(
    zone: str, day: date, start: datetime, hours: float
) -> None:
    assert day_window(day, ZoneInfo(zone)) == Window(start, start + timedelta(hours=hours))


_ZONES = st.sampled_from(
    (
        *("UTC", "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "America/Havana", "Asia/Kathmandu"),
        *("Asia/Beirut", "Australia/Lord_Howe", "America/Scoresbysund", "Atlantic/Azores", "Pacific/Chatham"),
    )
).map(ZoneInfo)


@settings(derandomize=True, database=None, deadline=None, max_examples=300)
@given(zone=_ZONES, moment=st.datetimes(utc("2012-01-01"), utc("2035-01-01")))
def test_every_instant_is_in_the_window_of_its_local_day(zone: ZoneInfo, moment: datetime) -> None:
    day = local_day(moment, zone)
    window = day_window(day, zone)
    assert window.start <= moment < window.end
    assert local_day(window.start, zone) == local_day(window.end - MOMENT, zone) == day
    assert local_day(window.start - MOMENT, zone) < day < local_day(window.end, zone)


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "America/Havana"])
def test_the_days_of_years_with_changes_at_midnight_join_without_gap_or_overlap(zone: str) -> None:
    windows = [day_window(day, ZoneInfo(zone)) for day in days(date(2016, 1, 1), date(2019, 12, 31))]
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert {(w.end - w.start) / timedelta(hours=1) for w in windows} <= {23, 24, 25}


def test_local_day_is_the_clocks_date() -> None:
    assert local_day(utc("2026-03-28 22:59:59.999999"), BERLIN) == date(2026, 3, 28)
    assert local_day(utc("2026-03-28 23:00"), BERLIN) == date(2026, 3, 29)


def test_days_are_both_ends_included_and_none_backwards() -> None:
    assert list(days(date(2026, 2, 27), date(2026, 3, 1))) == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]
    assert list(days(date(2026, 3, 1), date(2026, 3, 1))) == [date(2026, 3, 1)]
    assert list(days(date(2026, 3, 2), date(2026, 3, 1))) == []


def test_lookback_is_the_thirty_days_before() -> None:
    first, last = lookback(date(2026, 3, 31))
    assert (first, last) == (date(2026, 3, 1), date(2026, 3, 30))


def test_gaps_are_the_runs_of_missing_days_in_local_time() -> None:
    first, last = date(2026, 3, 26), date(2026, 4, 2)
    assert gaps(first, last, set(days(first, last))) == ()
    assert gaps(first, last, []) == (Gap(first, last),)
    assert Gap(first, last).window(BERLIN) == Window(day_start(first, BERLIN), day_start(date(2026, 4, 3), BERLIN))
    present = {date(2026, 3, 26), date(2026, 3, 28), date(2026, 3, 31), date(2026, 4, 2), date(2030, 1, 1)}
    assert [gap.window(BERLIN) for gap in gaps(first, last, present)] == [
        Window(utc("2026-03-26 23:00"), utc("2026-03-27 23:00")),
        Window(utc("2026-03-28 23:00"), utc("2026-03-30 22:00")),  # over the change: 23 + 24 hours
        Window(utc("2026-03-31 22:00"), utc("2026-04-01 22:00")),
    ]
    assert gaps(last, first, []) == ()


@settings(derandomize=True, database=None, deadline=None)
@given(present=st.sets(st.integers(0, 29)))
def test_gaps_and_present_days_are_the_whole_span_once(present: set[int]) -> None:
    first = date(2026, 3, 10)
    span = [first + timedelta(days=k) for k in range(30)]
    runs = gaps(first, span[-1], {span[k] for k in present})
    assert all(a.last < b.first - timedelta(days=1) for a, b in pairwise(runs))  # touching runs would be one
    for k, day in enumerate(span):
        inside = [r for r in runs if r.first <= day <= r.last]
        assert len(inside) == (k not in present)
