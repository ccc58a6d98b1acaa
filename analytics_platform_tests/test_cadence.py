"""When reports run and what they cover: known dates, and for every cadence that periods tile the calendar."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.cadence import (
    Cadence,
    Comparison,
    Frequency,
    Next,
    Period,
    before,
    comparison,
    containing,
    due_periods,
    is_period,
    last_complete,
    next_run,
    period_of,
    upcoming,
)

DAILY, WOW = Cadence(Frequency.DAILY), Cadence(Frequency.WOW_DAILY)
MONDAYS, THURSDAYS = Cadence(Frequency.WEEKLY), Cadence(Frequency.WEEKLY, weekday=3)
DAY = timedelta(days=1)
day = date.fromisoformat


def monthly(d: int, frequency: Frequency = Frequency.MONTHLY) -> Cadence:
    return Cadence(frequency, day=d)


def period(text: str) -> Period:
    first, _, last = text.partition("..")
    return Period(day(first), day(last or first))


# ------------------------------------------------------------------------------------------------------ known dates


@pytest.mark.parametrize(
    ("last_end", "cadence", "today", "run"),
    [
        # Never run: the nearest run from yesterday on. 2026-11-18 is a Wednesday.
        (None, DAILY, "2026-11-19", "2026-11-18"),
        (None, WOW, "2026-11-19", "2026-11-18"),
        (None, MONDAYS, "2026-11-16", "2026-11-16"),  # today
        (None, MONDAYS, "2026-11-17", "2026-11-16"),  # yesterday
        (None, MONDAYS, "2026-11-18", "2026-11-23"),
        (None, monthly(18), "2026-11-19", "2026-11-18"),
        (None, monthly(19), "2026-11-19", "2026-11-19"),
        (None, monthly(17), "2026-11-19", "2026-12-17"),  # already past
        (None, monthly(1), "2026-12-31", "2027-01-01"),
        (None, monthly(31), "2026-02-28", "2026-02-28"),
        (None, monthly(31), "2026-03-01", "2026-02-28"),
        (None, monthly(31), "2026-03-02", "2026-03-31"),
        (None, monthly(29), "2028-02-29", "2028-02-29"),
        # After a period: today does not matter.
        ("2026-11-17", DAILY, "2026-11-19", "2026-11-18"),
        ("2026-11-17", WOW, "2027-11-19", "2026-11-18"),
        ("2026-11-15", MONDAYS, "2026-11-16", "2026-11-23"),  # neither the same Monday again nor one left out
        ("2026-11-22", MONDAYS, "2026-11-16", "2026-11-30"),
        ("2026-11-15", THURSDAYS, "2026-11-16", "2026-11-19"),  # after a change from Mondays
        ("2016-03-31", monthly(1), "2016-04-05", "2016-05-01"),
        ("2016-01-31", monthly(1), "2016-04-05", "2016-03-01"),
        ("2015-01-31", monthly(1), "2016-04-05", "2015-03-01"),
        ("2015-11-30", monthly(1), "2016-04-05", "2016-01-01"),
        ("2026-01-30", monthly(31), "2026-02-01", "2026-02-28"),
        ("2026-02-27", monthly(31), "2026-03-01", "2026-03-31"),  # no drift to the 28th
        ("2026-03-30", monthly(31), "2026-04-01", "2026-04-30"),
        ("2028-01-29", monthly(30), "2028-02-01", "2028-02-29"),
        ("2028-02-28", monthly(30), "2028-03-01", "2028-03-30"),
        ("2026-03-31", monthly(15), "2026-04-20", "2026-05-15"),  # after a change from the 1st
    ],
)
def test_the_next_run(last_end: str | None, cadence: Cadence, today: str, run: str) -> None:
    assert next_run(day(last_end) if last_end else None, cadence, day(today)) == day(run)


@pytest.mark.parametrize(
    ("run", "cadence", "expected"),
    [
        ("2026-11-18", DAILY, "2026-11-18"),
        ("2026-11-18", WOW, "2026-11-18"),
        ("2026-11-16", MONDAYS, "2026-11-09..2026-11-15"),
        ("2026-11-19", THURSDAYS, "2026-11-12..2026-11-18"),
        ("2026-03-01", monthly(1), "2026-02-01..2026-02-28"),
        ("2027-01-15", monthly(15, Frequency.YOY_MONTHLY), "2026-12-15..2027-01-14"),
        ("2026-02-28", monthly(31), "2026-01-31..2026-02-27"),
        ("2026-03-31", monthly(31), "2026-02-28..2026-03-30"),
        ("2026-03-29", monthly(29), "2026-02-28..2026-03-28"),
        ("2028-03-29", monthly(29), "2028-02-29..2028-03-28"),
    ],
)
def test_the_period_of_a_run(run: str, cadence: Cadence, expected: str) -> None:
    assert period_of(day(run), cadence) == period(expected)


@pytest.mark.parametrize(
    ("cadence", "of", "label", "previous", "last_year"),
    [
        (DAILY, "2026-11-18", "DoD", "2026-11-17", "2025-11-18"),
        (DAILY, "2028-02-29", "DoD", "2028-02-28", "2027-02-28"),
        (DAILY, "2028-03-01", "DoD", "2028-02-29", "2027-03-01"),
        (WOW, "2026-11-18", "WoW", "2026-11-11", "2025-11-18"),
        (WOW, "2028-02-29", "WoW", "2028-02-22", "2027-02-28"),
        (MONDAYS, "2026-11-09..2026-11-15", "WoW", "2026-11-02..2026-11-08", "2025-11-10..2025-11-16"),
        (THURSDAYS, "2028-02-24..2028-03-01", "WoW", "2028-02-17..2028-02-23", "2027-02-25..2027-03-03"),
        (monthly(1), "2026-03-01..2026-03-31", "MoM", "2026-02-01..2026-02-28", "2025-03-01..2025-03-31"),
        (monthly(1), "2028-02-01..2028-02-29", "MoM", "2028-01-01..2028-01-31", "2027-02-01..2027-02-28"),
        (monthly(31), "2026-02-28..2026-03-30", "MoM", "2026-01-31..2026-02-27", "2025-02-28..2025-03-30"),
        (monthly(29), "2028-02-29..2028-03-28", "MoM", "2028-01-29..2028-02-28", "2027-02-28..2027-03-28"),
        (
            *(monthly(1, Frequency.YOY_MONTHLY), "2028-02-01..2028-02-29", "YoY"),
            *("2027-02-01..2027-02-28", "2027-02-01..2027-02-28"),
        ),
    ],
)
def test_what_a_period_is_compared_with(cadence: Cadence, of: str, label: str, previous: str, last_year: str) -> None:
    assert comparison(period(of), cadence) == Comparison(label, period(previous), period(last_year))


def test_due_when_its_day_has_come_and_its_period_is_over() -> None:
    ended = day("2026-11-17")
    on_the_day, after = (upcoming(ended, DAILY, day(d)) for d in ("2026-11-18", "2026-11-19"))
    assert on_the_day == Next(day("2026-11-18"), period("2026-11-18"), due=False, overdue=False)
    assert (after.due, after.overdue) == (True, False)
    assert upcoming(ended, DAILY, day("2026-11-20")).overdue

    week = period("2026-11-16..2026-11-22")
    waits = [upcoming(day("2026-11-15"), MONDAYS, day("2026-11-22") + k * DAY) for k in range(4)]
    assert [(n.period, n.due, n.overdue) for n in waits] == [
        (week, False, False),
        (week, True, False),
        (week, True, False),
        (week, True, True),
    ]
    assert [upcoming(day("2026-10-31"), monthly(1), day(f"2026-12-0{k}")).overdue for k in (1, 2, 3)] == [0, 0, 1]


def test_the_backlog_is_every_due_period_oldest_first() -> None:
    assert due_periods(day("2026-11-15"), DAILY, day("2026-11-19")) == [
        period("2026-11-16"),
        period("2026-11-17"),
        period("2026-11-18"),
    ]
    assert due_periods(day("2026-11-18"), DAILY, day("2026-11-19")) == []
    assert due_periods(None, DAILY, day("2026-11-19")) == [period("2026-11-18")]
    assert due_periods(None, MONDAYS, day("2026-11-17")) == [period("2026-11-09..2026-11-15")]
    assert due_periods(None, MONDAYS, day("2026-11-18")) == []
    assert due_periods(day("2026-01-30"), monthly(31), day("2026-04-30")) == [
        period("2026-01-31..2026-02-27"),
        period("2026-02-28..2026-03-30"),
        period("2026-03-31..2026-04-29"),
    ]


@pytest.mark.parametrize(
    ("cadence", "today", "latest"),
    [
        (DAILY, "2026-11-19", "2026-11-18"),
        (MONDAYS, "2026-11-22", "2026-11-09..2026-11-15"),
        (MONDAYS, "2026-11-23", "2026-11-16..2026-11-22"),
        (monthly(1), "2026-03-01", "2026-02-01..2026-02-28"),
        (monthly(31), "2026-02-27", "2025-12-31..2026-01-30"),
        (monthly(31), "2026-02-28", "2026-01-31..2026-02-27"),
    ],
)
def test_the_latest_period_that_is_over(cadence: Cadence, today: str, latest: str) -> None:
    assert last_complete(cadence, day(today)) == period(latest)


def test_a_period_of_another_cadence_is_refused_by_name() -> None:
    refused = r"2026-11-01\.\.2026-11-30 is no period of a report that is monthly with day 15"
    with pytest.raises(ValueError, match=refused):
        comparison(period("2026-11-01..2026-11-30"), monthly(15))
    with pytest.raises(ValueError, match=r"is no period of a report that is weekly with weekday 3 \(0 = Monday\)"):
        before(period("2026-11-09..2026-11-15"), THURSDAYS)
    with pytest.raises(ValueError, match="is no period of a report that is daily"):
        comparison(period("2026-11-09..2026-11-15"), DAILY)
    with pytest.raises(ValueError, match="2026-11-17 is no run of a report that is weekly"):
        period_of(day("2026-11-17"), MONDAYS)
    with pytest.raises(ValueError, match="2026-02-27 is no run of a report that is yoy_monthly with day 31"):
        period_of(day("2026-02-27"), monthly(31, Frequency.YOY_MONTHLY))


# ---------------------------------------------------------------------------------------------------- every cadence

_CADENCES = st.one_of(
    st.sampled_from((DAILY, WOW)),
    st.builds(Cadence, st.just(Frequency.WEEKLY), weekday=st.integers(0, 6)),
    st.builds(
        Cadence, st.sampled_from((Frequency.MONTHLY, Frequency.YOY_MONTHLY)), day=st.integers(1, 31) | st.just(31)
    ),
)
_DAYS = st.dates(day("1999-01-01"), day("2041-01-01"))
_checked = settings(derandomize=True, database=None, deadline=None, max_examples=300)


@_checked
@given(cadence=_CADENCES, start=_DAYS)
def test_periods_tile_the_calendar(cadence: Cadence, start: date) -> None:
    current = containing(start, cadence)
    assert current.first <= start <= current.last
    for _ in range(30):
        run = next_run(before(current, cadence), cadence, start)
        assert period_of(run, cadence) == current
        following = period_of(next_run(current.last, cadence, start), cadence)
        assert following.first == current.last + DAY
        current = following


@_checked
@given(cadence=_CADENCES, start=_DAYS)
def test_a_period_is_the_one_in_which_each_of_its_days_lies(cadence: Cadence, start: date) -> None:
    current = containing(start, cadence)
    assert {containing(d, cadence) for d in current.days} == {current}
    assert is_period(current, cadence)
    assert not is_period(Period(current.first, current.last + DAY), cadence)
    assert not is_period(Period(current.first - DAY, current.last), cadence)
    assert before(current, cadence) == containing(current.first - DAY, cadence).last


@_checked
@given(cadence=_CADENCES, today=_DAYS)
def test_the_latest_period_is_over_and_the_next_is_not(cadence: Cadence, today: date) -> None:
    latest = last_complete(cadence, today)
    assert is_period(latest, cadence)
    assert latest.last < today <= period_of(next_run(latest.last, cadence, today), cadence).last
    assert due_periods(before(latest, cadence), cadence, today) == [latest]


@_checked
@given(cadence=_CADENCES, last_end=_DAYS)
def test_runs_go_forward_from_whatever_day_the_last_period_ended_on(cadence: Cadence, last_end: date) -> None:
    run = next_run(last_end, cadence, last_end)
    assert run > last_end
    after = period_of(run, cadence)
    assert after.last > last_end
    assert next_run(after.last, cadence, last_end) > run


@_checked
@given(cadence=_CADENCES, today=_DAYS, since=st.none() | st.integers(0, 800))
def test_due_and_overdue_are_one_rule(cadence: Cadence, today: date, since: int | None) -> None:
    found = upcoming(None if since is None else today - since * DAY, cadence, today)
    assert found.period == period_of(found.run, cadence)
    assert found.due == (found.run <= today and found.period.last < today)
    assert found.overdue == ((today - found.run).days >= 2)
    assert found.due or not found.overdue


@_checked
@given(cadence=_CADENCES, start=_DAYS, pauses=st.lists(st.integers(0, 45), min_size=1, max_size=40))
def test_an_irregular_scheduler_visits_each_period_once_in_order(
    cadence: Cadence, start: date, pauses: list[int]
) -> None:
    """It ticks after pauses of any number of days and works off one period a tick, and at the end what is left."""
    today, last_end = start, before(containing(start, cadence), cadence)
    visited: list[Period] = []
    for pause in pauses:
        today += pause * DAY
        coming = upcoming(last_end, cadence, today)
        backlog = due_periods(last_end, cadence, today)
        assert coming.due == bool(backlog)
        if coming.due:
            assert backlog[0] == coming.period
            visited.append(coming.period)
            last_end = coming.period.last
    visited += due_periods(last_end, cadence, today)
    expected, current = [], containing(start, cadence)
    while current.last < today:
        expected.append(current)
        current = containing(current.last + DAY, cadence)
    assert visited == expected


@_checked
@given(cadence=_CADENCES, start=_DAYS)
def test_what_a_period_is_compared_with_are_periods_before_it(cadence: Cadence, start: date) -> None:
    current = containing(start, cadence)
    found = comparison(current, cadence)
    assert is_period(found.previous, cadence)
    assert is_period(found.last_year, cadence)
    assert found.previous.last < current.first
    assert found.last_year <= found.previous
    assert (current.first - found.last_year.first).days in range(363, 369)
    if cadence.frequency is Frequency.WEEKLY:
        assert found.last_year.first.weekday() == current.first.weekday()
