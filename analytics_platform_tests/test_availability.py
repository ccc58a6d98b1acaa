"""What is said of data that is missing, word for word; days of 23 and 25 hours; sources with few events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.availability import (
    Answer,
    HourlyCounts,
    Observed,
    Policy,
    missing,
    opens,
    parse_policy,
)
from analytics_platform.cadence import Period
from analytics_platform.metrics.windows import day_start, day_window

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
DAY = date(2026, 11, 18)  # a Wednesday of 24 hours in Berlin
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
ONE_DAY, HOUR, WEEK = timedelta(days=1), timedelta(hours=1), timedelta(weeks=1)
_checked = settings(derandomize=True, database=None, deadline=None, max_examples=200)


def utc(local: str, zone: ZoneInfo = BERLIN) -> datetime:
    """The instant of that local time, as naive UTC."""
    return datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)


def flat(day: date, each: int = 300, *, empty: Sequence[int] = ()) -> HourlyCounts:
    """A day in Berlin with the same number of events each hour, but none in those (counted from its first)."""
    window = day_window(day, BERLIN)
    return HourlyCounts(day, tuple(0 if k in empty else each for k in range((window.end - window.start) // HOUR)))


def usual(day: date) -> tuple[HourlyCounts, ...]:
    """The same weekday of the four weeks before, with 300 events an hour."""
    return tuple(flat(day - k * WEEK) for k in range(1, 5))


def seen(
    *counted: HourlyCounts,
    last: str | None = "2026-11-18 23:59:59",
    history: tuple[HourlyCounts, ...] | None = None,
    zone: ZoneInfo = BERLIN,
) -> Observed:
    """What is there of message_actions for those days; unless told, four weeks with 300 events an hour before."""
    before = {c.day: usual(c.day) if history is None else history for c in counted}
    return Observed("message_actions", utc(last, zone) if last else None, counted, before)


def said(observed: Observed, policy: Policy | None = None, *, late: timedelta = HOUR, zone: ZoneInfo = BERLIN) -> str:
    """What is missing so long after the end of the days observed."""
    period = Period(observed.days[0].day, observed.days[-1].day)
    now = day_start(period.last + ONE_DAY, zone).replace(tzinfo=UTC) + late
    return str(Answer(missing(policy or Policy(), period, observed, now, zone)))


def test_a_whole_day_is_ready() -> None:
    assert said(seen(flat(DAY))) == ""
    assert Answer(()).ready
    assert not Answer(("feed_actions: no events",)).ready
    two = Answer(("feed_actions: no events", "message_actions: hour 3 empty"))
    assert str(two) == "feed_actions: no events; message_actions: hour 3 empty"


def test_watermark_first_then_the_empty_hours() -> None:
    observed = seen(flat(DAY, empty=(21, 22)), last="2026-11-18 23:12")
    assert said(observed) == "message_actions: last event 23:12, 48 min short; hours 21, 22 empty"


@pytest.mark.parametrize(
    ("last", "grace", "expected"),
    [
        ("2026-11-18 23:30", "-30m", ""),
        ("2026-11-18 23:29:59", "-30m", "last event 23:29, 31 min short"),
        ("2026-11-19 00:00", "0m", ""),
        ("2026-11-18 23:59:59.999999", "0m", "last event 23:59, 1 min short"),
        ("2026-11-19 00:04", "5m", "last event 2026-11-19 00:04, 1 min short"),
        ("2026-11-19 00:05", "5m", ""),
        ("2026-11-18 20:55", "-2h", "last event 20:55, 3 h 5 min short"),
        ("2026-11-18 20:00", "-2h", "last event 20:00, 4 h short"),
        ("2026-11-17 23:12", "-30m", "last event 2026-11-17 23:12, 24 h 48 min short"),
        ("2026-11-15 20:12", "-30m", "last event 2026-11-15 20:12, 3 d 3 h short"),
        ("2026-11-16 00:00", "-30m", "last event 2026-11-16 00:00, 3 d short"),
        ("2026-11-18 03:00", "-24h", ""),  # of a source with a few events a day
    ],
)
def test_the_last_event(last: str, grace: str, expected: str) -> None:
    found = said(seen(flat(DAY), last=last), parse_policy(f"grace={grace}"))
    assert found == (expected and f"message_actions: {expected}")


def test_no_event_ever_is_all_there_is_to_say() -> None:
    assert said(seen(flat(DAY, 0), last=None)) == "message_actions: no events"


def test_a_day_without_events_names_itself_and_no_hours() -> None:
    observed = seen(flat(DAY, 0), last="2026-11-17 23:59")
    text = "message_actions: last event 2026-11-17 23:59, 24 h 1 min short; 2026-11-18 has no events"
    assert said(observed) == text
    assert said(replace(observed, usual={})) == text  # with nothing to compare with, too


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        ((5,), "hour 5 empty"),
        ((21, 22), "hours 21, 22 empty"),
        ((3, 4, 5, 6, 7), "hours 3-7 empty"),
        ((0, 2, 3, 4, 22, 23), "hours 0, 2-4, 22, 23 empty"),
        (tuple(range(1, 24)), "hours 1-23 empty; 300 events on 2026-11-18, usually 7,200 (Wednesdays); "),
    ],
)
def test_empty_hours(empty: tuple[int, ...], expected: str) -> None:
    assert said(seen(flat(DAY, empty=empty))).startswith(f"message_actions: {expected}")


def test_in_a_longer_period_every_finding_has_its_date() -> None:
    week = [flat(DAY - k * ONE_DAY) for k in range(6, -1, -1)]
    week[1], week[3] = flat(week[1].day, 0), flat(week[3].day, 20)
    week[6] = flat(DAY, empty=(21, 22))
    observed = seen(*week, last="2026-11-18 23:12")
    assert said(observed) == (
        "message_actions: last event 2026-11-18 23:12, 48 min short; 2026-11-13 has no events; "
        "480 events on 2026-11-15, usually 7,200 (Sundays); at least 3,600 are expected; "
        "2026-11-18 hours 21, 22 empty"
    )
    assert said(observed, parse_policy("hours=off volume=0")) == (
        "message_actions: last event 2026-11-18 23:12, 48 min short"
    )


def test_the_latency_is_waited_for_and_nothing_else_is_judged_before() -> None:
    policy, observed = parse_policy("latency=1h"), seen(flat(DAY, empty=(21, 22)), last="2026-11-18 23:12")
    assert said(observed, policy, late=HOUR - timedelta(seconds=1)) == (
        "message_actions: waits until 01:00 (latency 1 h)"
    )
    assert "last event" in said(observed, policy, late=HOUR)
    assert said(observed, parse_policy("latency=90m"), late=HOUR).endswith("waits until 01:30 (latency 1 h 30 min)")
    assert said(observed, parse_policy("latency=2d"), late=HOUR).endswith("waits until 2026-11-21 00:00 (latency 2 d)")
    assert said(observed, late=-HOUR) == "message_actions: waits until 00:00"
    two = seen(flat(DAY - ONE_DAY), flat(DAY))
    assert said(two, policy, late=HOUR / 2).endswith("waits until 2026-11-19 01:00 (latency 1 h)")
    opened = opens(policy, Period(DAY, DAY), BERLIN)
    assert opened == datetime(2026, 11, 19, 0, 0, tzinfo=UTC)


def test_hours_in_which_a_source_may_be_silent() -> None:
    observed = seen(flat(DAY, empty=(1, 2, 3, 4, 22, 23)), last="2026-11-18 21:40")
    assert said(observed) == "message_actions: last event 21:40, 2 h 20 min short; hours 1-4, 22, 23 empty"
    assert said(observed, parse_policy("empty_hours=2-4")) == (
        "message_actions: last event 21:40, 2 h 20 min short; hours 1, 22, 23 empty"
    )
    # The day is over for a source when it falls silent as it may.
    assert said(observed, parse_policy("empty_hours=22-4")) == ""
    early = replace(observed, last_event=utc("2026-11-18 21:20"))
    assert said(early, parse_policy("empty_hours=22-4")) == "message_actions: last event 21:20, 40 min short"
    silent = seen(flat(DAY, 0), last="2026-11-17 23:59")
    assert said(silent, parse_policy("empty_hours=0-23")) == ""


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((50, 50, 50, 50), "message_actions: hour 3 empty"),
        ((49, 49, 49, 4000), ""),  # the median, not the mean
        ((49, 51), "message_actions: hour 3 empty"),
        ((49, 50), ""),
        ((1000,), "message_actions: hour 3 empty"),  # one day is no habit: a fifth of the day's own mean of 287
    ],
)
def test_an_empty_hour_is_evidence_where_events_were_to_be_expected(rates: tuple[int, ...], expected: str) -> None:
    history = tuple(
        HourlyCounts(DAY - (k + 1) * WEEK, tuple(rate if h == 3 else 100 for h in range(24)))
        for k, rate in enumerate(rates)
    )
    assert said(seen(flat(DAY, empty=(3,)), history=history), parse_policy("volume=0")) == expected


@pytest.mark.parametrize(("each", "expected"), [(261, "message_actions: hour 3 empty"), (260, "")])
def test_without_usual_days_a_fifth_of_the_days_own_mean_is_expected(each: int, expected: str) -> None:
    assert said(seen(flat(DAY, each, empty=(3,)), history=())) == expected


@pytest.mark.parametrize(
    ("totals", "total", "expected"),
    [
        ((13_000, 13_100, 12_900, 2), 1_204, "1,204 events on 2026-11-18, usually 12,950 (Wednesdays); at least 6,475"),
        ((13_000, 13_000), 1_204, "1,204 events on 2026-11-18, usually 13,000 (Wednesdays); at least 6,500"),
        ((13_000, 13_000), 6_500, ""),
        ((13_000, 13_001), 6_500, "6,500 events on 2026-11-18, usually 13,000 (Wednesdays); at least 6,501"),
        ((13_000,), 1, ""),  # one day is no habit
        ((), 1, ""),
        ((10, 10), 1, ""),  # chance: one of 10 comes about once in 2,000 days
        ((20, 20), 7, ""),
        ((20, 20), 6, "6 events on 2026-11-18, usually 20 (Wednesdays); at least 7"),
    ],
)
def test_volume(totals: tuple[int, ...], total: int, expected: str) -> None:
    history = tuple(HourlyCounts(DAY - (k + 1) * WEEK, (n, *[0] * 23)) for k, n in enumerate(totals))
    observed = seen(HourlyCounts(DAY, (total, *[0] * 23)), history=history)
    assert said(observed, parse_policy("hours=off")) == (expected and f"message_actions: {expected} are expected")
    assert said(observed, parse_policy("hours=off volume=0")) == ""


def test_a_source_with_few_events_is_not_held_up_by_chance() -> None:
    policy = parse_policy("grace=-24h")
    few = tuple(HourlyCounts(DAY - k * WEEK, (0,) * 9 + (2, 1) + (0,) * 13) for k in range(1, 5))
    assert said(seen(HourlyCounts(DAY, (0,) * 15 + (1,) + (0,) * 8), history=few), policy) == ""
    assert said(seen(flat(DAY, 0), history=few), policy) == ""
    five = tuple(HourlyCounts(c.day, (5, *[0] * 23)) for c in few)
    assert said(seen(flat(DAY, 0), history=five), policy) == "message_actions: 2026-11-18 has no events"
    assert said(seen(flat(DAY, 0), history=five), parse_policy("grace=-24h empty_hours=0")) == ""
    assert said(seen(flat(DAY, 0), history=five), parse_policy("grace=-24h hours=off volume=0")) == ""


@pytest.mark.parametrize(
    ("day", "empty", "expected"),
    [
        # 02:00 to 03:00 does not exist: the third hour of the day is 3 o'clock.
        (SPRING, (2,), "hour 3 empty"),
        (SPRING, (1, 2), "hours 1, 3 empty"),
        (SPRING, (1, 2, 3), "hours 1-4 empty"),
        (SPRING, (22,), "hour 23 empty"),
        # 02:00 to 03:00 comes twice: the fourth hour of the day is 2 o'clock again.
        (AUTUMN, (2, 3), "hour 2 empty"),
        (AUTUMN, (2,), "hour 2 (first) empty"),
        (AUTUMN, (3,), "hour 2 (second) empty"),
        (AUTUMN, (1, 2, 3, 4), "hours 1-3 empty"),
        (AUTUMN, (0, 1, 3, 4, 5, 6), "hours 0, 1, 2 (second), 3-5 empty"),
        (AUTUMN, (24,), "hour 23 empty"),
    ],
)
def test_hours_are_those_on_the_clock(day: date, empty: tuple[int, ...], expected: str) -> None:
    observed = seen(flat(day, 400, empty=empty), last=f"{day} 23:59")
    assert said(observed) == f"message_actions: {expected}"
    assert said(replace(observed, usual={})) == f"message_actions: {expected}"


def test_the_hour_that_exists_once_is_compared_with_its_like() -> None:
    night = HourlyCounts(AUTUMN, (300, 300, 40, 0, 0, *[300] * 20))  # hour 2 twice, then hour 3
    known = tuple(HourlyCounts(AUTUMN - k * WEEK, (300, 300, 20, 100, *[300] * 20)) for k in (1, 2))
    history = {AUTUMN: known}
    assert said(replace(seen(night, last="2026-10-25 23:59"), usual=history)) == "message_actions: hour 3 empty"
    # The week after, the long day is one of the usual ones; the week after spring's, hour 2 is known of the others.
    after = AUTUMN + WEEK
    long = HourlyCounts(AUTUMN, (300, 300, 60, 40, 300, *[300] * 20))
    for twice, expected in ((50, "message_actions: hour 2 empty"), (49, "")):
        other = HourlyCounts(AUTUMN - WEEK, (300, 300, twice, *[300] * 21))
        observed = replace(seen(flat(after, empty=(2,)), last=f"{after} 23:59"), usual={after: (long, other)})
        assert said(observed) == expected
    after = SPRING + WEEK
    short = flat(SPRING)
    observed = replace(
        seen(flat(after, empty=(2,)), last=f"{after} 23:59"), usual={after: (short, flat(SPRING - WEEK))}
    )
    assert said(observed) == "message_actions: hour 2 empty"  # known of one day only: the day's own mean


def test_the_end_of_the_day_is_the_zones() -> None:
    observed = seen(flat(DAY, empty=(22,)), last="2026-11-18 23:12", zone=KOLKATA)
    assert observed.last_event == datetime.fromisoformat("2026-11-18 17:42")
    assert said(observed, zone=KOLKATA) == "message_actions: last event 23:12, 48 min short; hour 22 empty"
    assert said(observed, parse_policy("latency=2h"), zone=KOLKATA).endswith("waits until 02:00 (latency 2 h)")


_COUNTS = st.lists(st.sampled_from((0, 0, 1, 4, 30, 500)), min_size=24, max_size=24).map(tuple)


@_checked
@given(counts=_COUNTS, history=st.lists(_COUNTS, max_size=4), silent=st.frozensets(st.integers(0, 23)))
def test_what_may_be_silent_is_never_missed_and_what_is_named_is_empty(
    counts: tuple[int, ...], history: list[tuple[int, ...]], silent: frozenset[int]
) -> None:
    known = tuple(HourlyCounts(DAY - (k + 1) * WEEK, c) for k, c in enumerate(history) if sum(c))
    observed = seen(HourlyCounts(DAY, counts), history=known)
    # Hours one by one, so that no range hides any.
    for hour in range(24):
        others = frozenset(range(24)) - {hour}
        alone = said(observed, Policy(volume=0, empty_hours=silent | others, grace=-ONE_DAY))
        if hour in silent or counts[hour]:
            assert alone == ""
        elif alone and sum(counts):
            assert alone == f"message_actions: hour {hour} empty"
    assert said(observed, Policy(volume=0, hours=False)) == ""


@_checked
@given(counts=_COUNTS, late=st.integers(0, 5000))
def test_the_sentence_stays_the_same_while_nothing_happens(counts: tuple[int, ...], late: int) -> None:
    observed = seen(HourlyCounts(DAY, counts), last="2026-11-18 22:12")
    assert said(observed, late=late * timedelta(minutes=1)) == said(observed, late=timedelta(0))
