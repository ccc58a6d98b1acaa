"""Counting the hours of local days, and what is asked of the events to judge a period.

Belongs here: questions put to a real engine and their number. Does not: the judgement (`test_availability.py`), that
both engines agree (`queries/`).
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.availability import (
    HourlyCounts,
    Observed,
    Policy,
    hourly_counts,
    missing,
    observe,
    opens,
    tally,
)
from analytics_platform.cadence import Period
from analytics_platform.metrics.events import METRIC_TABLES
from analytics_platform.metrics.windows import day_start, day_window, days
from analytics_platform.queries import Query
from analytics_platform_tests.metrics.product import Events, feed, message
from analytics_platform_tests.queries.duck import DuckDB

BERLIN, KOLKATA, LORD_HOWE = (ZoneInfo(n) for n in ("Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"))
DAY = date(2026, 11, 18)
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
ONE_DAY, HOUR, WEEK = timedelta(days=1), timedelta(hours=1), timedelta(weeks=1)


def utc(local: str) -> datetime:
    """The instant of that time in Berlin, as naive UTC."""
    return datetime.fromisoformat(local).replace(tzinfo=BERLIN).astimezone(UTC).replace(tzinfo=None)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with DuckDB(()) as found:
        yield found


class Counting:
    """A reader that remembers what it was asked."""

    def __init__(self, engine: DuckDB) -> None:
        self.engine, self.asked = engine, list[Query]()

    def rows(self, query: Query) -> list[dict[str, object]]:
        """The engine's answer."""
        self.asked.append(query)
        return self.engine.rows(query)

    @property
    def names(self) -> list[str]:
        """What was asked since this was last asked."""
        found = [q.name for q in self.asked]
        self.asked.clear()
        return found


Hold = Callable[[Events], Counting]


@pytest.fixture
def hold(engine: DuckDB) -> Hold:
    """A function: a reader of an engine that holds just those events."""

    def make(events: Events) -> Counting:
        engine.clear()
        for table in METRIC_TABLES:
            engine.put(f"events.{table.name}", events.of(table))
        return Counting(engine)

    return make


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (ZoneInfo("UTC"), DAY, 24),
        (BERLIN, DAY, 24),
        (BERLIN, SPRING, 23),
        (BERLIN, AUTUMN, 25),
        (KOLKATA, DAY, 24),
        (ZoneInfo("Asia/Kathmandu"), DAY, 24),
        (ZoneInfo("America/Havana"), date(2026, 11, 1), 25),  # midnight twice
        (LORD_HOWE, date(2026, 4, 5), 25),  # 24.5 hours: the last is half of one
        (LORD_HOWE, date(2026, 10, 4), 24),  # 23.5 hours
    ],
)
def test_each_event_is_counted_in_its_hour_of_the_local_day(hold: Hold, zone: ZoneInfo, day: date, hours: int) -> None:
    window, moment = day_window(day, zone), timedelta(microseconds=1)
    begins = [window.start + k * HOUR for k in range(hours)]
    inside = [t for k, b in enumerate(begins) for t in [b] * k + [min(b + HOUR, window.end) - moment]]
    around = [window.start - moment, window.end, window.start - HOUR, window.end + HOUR]
    reader = hold(Events(feed=[feed(1, t) for t in (*inside, *around)]))
    assert tally(reader.rows(hourly_counts("feed_actions", window)), day, zone).counts == tuple(range(1, hours + 1))
    counted = observe(reader, "feed_actions", Period(day - ONE_DAY, day + ONE_DAY), zone, {})
    assert [c.day for c in counted.days] == list(days(day - ONE_DAY, day + ONE_DAY))
    assert counted.days[1].counts == tuple(range(1, hours + 1))
    assert sum(c.total for c in counted.days) == len(inside) + len(around)
    assert counted.last_event == window.end + HOUR


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(
    zone=st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")),
    first=st.dates(date(2017, 1, 1), date(2027, 1, 1)),
    count=st.integers(1, 5),
    shape=st.lists(st.tuples(st.integers(-20, 200), st.integers(0, 9)), max_size=20),
)
def test_rows_of_any_hours_are_tallied_once(zone: str, first: date, count: int, shape: list[tuple[int, int]]) -> None:
    where, span = ZoneInfo(zone), list(days(first, first + (count - 1) * ONE_DAY))
    windows = [day_window(day, where) for day in span]
    assert all(a.end == b.start for a, b in pairwise(windows))
    rows: list[Mapping[str, object]] = [
        {"hour_start": windows[0].start + k * HOUR, "events": events} for k, events in shape
    ]
    inside = [n for k, n in shape if windows[0].start <= windows[0].start + k * HOUR < windows[-1].end]
    assert sum(tally(rows, day, where).total for day in span) == sum(inside)


def test_history_is_asked_once_and_only_days_with_events_are_kept(hold: Hold) -> None:
    noon = [utc(f"{DAY - k * WEEK} 12:00") for k in range(6)]
    messages = [message(1, 2, t + k * timedelta(minutes=1)) for w, t in enumerate(noon) for k in range(w + 1) if w != 2]
    reader = hold(Events(messages=messages))
    history: dict[tuple[str, date], HourlyCounts] = {}
    period = Period(DAY, DAY)
    first = observe(reader, "message_actions", period, BERLIN, history)
    assert reader.names == ["hourly_counts"] * 5 + ["last_event"]
    assert [(c.day, c.total) for c in first.usual[DAY]] == [(DAY - k * WEEK, k + 1) for k in (1, 3, 4)]
    assert set(history) == {("message_actions", DAY - k * WEEK) for k in (1, 3, 4)}
    assert first.days[0].counts == (0,) * 12 + (1,) + (0,) * 11
    assert first.last_event == noon[0]
    # The day itself, and the one that had nothing and may still be loaded.
    assert observe(reader, "message_actions", period, BERLIN, history) == first
    assert reader.names == ["hourly_counts"] * 2 + ["last_event"]
    # Another table has its own history.
    assert observe(reader, "feed_actions", period, BERLIN, history) == Observed(
        "feed_actions", None, (HourlyCounts(DAY, (0,) * 24),), {DAY: ()}
    )


def test_days_of_the_period_are_the_usual_ones_of_later_days(hold: Hold) -> None:
    start = date(2026, 10, 1)
    empty = date(2026, 10, 8)
    filled = [day for day in days(start, date(2026, 10, 31)) if day != empty]
    times = [utc(f"{day} {hour:02}:30") for day in filled for hour in (0, 12, 23)]
    reader = hold(Events(feed=[feed(1, t) for t in times]))
    history: dict[tuple[str, date], HourlyCounts] = {}
    found = observe(reader, "feed_actions", Period(start, date(2026, 10, 31)), BERLIN, history)
    # Consecutive days are one question: the period, and the four weeks before.
    assert reader.names == ["hourly_counts", "hourly_counts", "last_event"]
    assert [c.total for c in found.days] == [0 if c.day == empty else 3 for c in found.days]
    without = {empty + k * WEEK for k in (1, 2, 3)}
    assert [len(found.usual[c.day]) for c in found.days] == [
        k // 7 - (start + k * ONE_DAY in without) for k in range(31)
    ]
    assert not history


@pytest.mark.parametrize(("back", "asked"), [(0, 1), (1, 2), (20, 3), (500, 4), (None, 4)])
def test_the_last_event_is_found_however_long_ago(hold: Hold, back: int | None, asked: int) -> None:
    last = None if back is None else utc(f"{DAY - back * ONE_DAY} 10:00")
    reader = hold(Events(feed=[feed(1, last - k * ONE_DAY) for k in (0, 600)] if last else []))
    assert observe(reader, "feed_actions", Period(DAY, DAY), BERLIN, {}).last_event == last
    assert reader.names.count("last_event") == asked


def test_events_of_the_next_day_move_the_last_event(hold: Hold) -> None:
    reader = hold(Events(feed=[feed(1, utc("2026-11-18 10:00")), feed(1, utc("2026-11-19 00:10"))]))
    assert observe(reader, "feed_actions", Period(DAY, DAY), BERLIN, {}).last_event == utc("2026-11-19 00:10")


def test_from_events_to_the_sentence(hold: Hold) -> None:
    """Half-hour zone, five Wednesdays; of the last one the evening is missing."""
    times = [
        day_start(DAY - week * WEEK, KOLKATA) + minute * timedelta(minutes=1)
        for week in range(5)
        for minute in range(24 * 60)
        if week or minute < 20 * 60
    ]
    reader = hold(Events(feed=[feed(1, t) for t in times]))
    period, now = Period(DAY, DAY), opens(Policy(), Period(DAY, DAY), KOLKATA)
    observed = observe(reader, "feed_actions", period, KOLKATA, {})
    assert missing(Policy(), period, observed, now, KOLKATA) == (
        "feed_actions: last event 19:59, 4 h 1 min short; hours 20-23 empty",
    )
