"""The figures of funnels: counted by hand, at borders of weeks and windows, and in the documented words."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from statistics import median
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.funnels.conversion import By, Conversions, Group, Row, conversions, lines, week_of, wilson
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Entry
from analytics_platform_tests.funnels.people import DAY, LANGUAGE, NOW, OTHER

BERLIN, SANTIAGO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Santiago")
WINDOW = 30 * DAY


def figures(rows: Sequence[Row], by: By | None = None, zone: ZoneInfo = BERLIN, as_of: datetime = NOW) -> Conversions:
    return conversions(rows, zone=zone, as_of=as_of, attribution=WINDOW, by=by)


def row(days_ago: float, bought_after: float | None = None, funnel: FunnelType = LANGUAGE, test: int | None = 1) -> Row:
    return Row(funnel, test, NOW - days_ago * DAY, None if bought_after is None else int(bought_after * 86_400))


def only(found: Conversions) -> Group:
    (group,) = found.groups
    return group


def test_the_documented_lines() -> None:
    rows = [*(row(40) for _ in range(7)), *(row(40, 1) for _ in range(3)), row(40, funnel=OTHER)]
    assert lines(figures(rows)) == [
        "Funnel conversions",
        "------------------",
        "language: entries=10, purchased=3, conversion=30.00%",
        "non_language: entries=1, purchased=0, conversion=0.00%",
    ]


def test_no_entries_are_one_line() -> None:
    assert lines(figures([])) == ["No funnel entries found for the given period."]


def test_the_lines_name_weeks_and_tests() -> None:
    rows = [row(40, 1, test=7), row(40, test=None), row(1, test=7)]
    assert lines(figures(rows, by="test"), "By test") == [
        "By test",
        "-------",
        "language, test unknown: entries=1, purchased=0, conversion=0.00%",
        "language, test 7: entries=2, purchased=1, conversion=50.00%",
    ]
    assert lines(figures(rows, by="week"))[2:] == [
        "language, week of 2026-10-05: entries=2, purchased=1, conversion=50.00%",
        "language, week of 2026-11-16: entries=1, purchased=0, conversion=0.00%",
    ]


def test_customers_are_no_entries_and_are_told_beside_them() -> None:
    customer = Row(LANGUAGE, 1, NOW - DAY, None, already_customer=True)
    group = only(figures([customer, customer, row(1)]))
    assert (group.entries, group.customers, group.purchased) == (1, 2, 0)
    assert lines(figures([customer, row(1)]))[-1] == "language: already customers=1"


def test_with_customers_alone_nothing_is_divided_by_nothing() -> None:
    found = figures([Row(LANGUAGE, 1, NOW - DAY, None, already_customer=True)])
    group = only(found)
    assert (group.conversion, group.interval, group.median_days) == (None, None, None)
    assert lines(found)[2] == "language: entries=0, purchased=0, conversion=0.00%"


def test_the_median_is_of_seconds_and_exact() -> None:
    assert only(figures([row(40, 1), row(40, 2), row(40, 29), row(40)])).median_days == 2
    assert only(figures([row(40, 1), row(40, 2)])).median_days == 1.5
    assert only(figures([Row(LANGUAGE, 1, NOW - DAY, 0)])).median_days == 0


def test_a_purchase_after_the_moment_of_the_report_does_not_count_yet() -> None:
    bought = row(10, 3)
    assert only(figures([bought], as_of=NOW - 8 * DAY)).purchased == 0
    assert only(figures([bought], as_of=NOW - 7 * DAY)).purchased == 0
    assert only(figures([bought], as_of=NOW - 7 * DAY + timedelta(seconds=1))).purchased == 1


def test_entries_after_the_moment_of_the_report_do_not_count() -> None:
    assert figures([row(1)], as_of=NOW - 2 * DAY).groups == ()
    assert figures([row(1)], as_of=NOW - DAY).groups == ()
    assert only(figures([row(1)], as_of=NOW - DAY + timedelta(seconds=1))).entries == 1


@pytest.mark.parametrize("part", [0, 1, 400_000, 999_999])
@pytest.mark.parametrize("bought_part", [0, 1, 999_999])
def test_a_purchase_at_midnight_is_of_the_new_day_in_whichever_part_of_a_second_somebody_entered(
    part: int, bought_part: int
) -> None:
    entered, midnight = NOW.replace(microsecond=part), NOW.replace(hour=0) + DAY
    for bought, before in ((midnight, False), (midnight - timedelta(seconds=1), True)):
        at = bought.replace(microsecond=bought_part)
        found = Row.of(Entry(1, "a@x.y", LANGUAGE, 1, 1, entered, purchased_at=at))
        assert found.bought_before(midnight) is before
        assert only(figures([found], as_of=midnight)).purchased == before


def test_a_purchase_within_the_second_of_the_entry_took_no_time() -> None:
    entered = NOW.replace(microsecond=100)
    bought = Entry(1, "a@x.y", LANGUAGE, 1, 1, entered, purchased_at=entered + timedelta(microseconds=1))
    assert Row.of(bought).seconds_to_purchase == 0


def test_a_funnel_of_nobody_can_be_told_beside_the_others() -> None:
    found = figures([row(1)]).covering([OTHER, LANGUAGE])
    assert [(group.funnel, group.entries, group.conversion) for group in found.groups] == [
        (LANGUAGE, 1, 0),
        (OTHER, 0, None),
    ]
    assert [group.anybody for group in found.groups] == [True, False]
    assert found.covering([LANGUAGE]) == found


def test_entries_within_their_window_are_open() -> None:
    blink = timedelta(microseconds=1)
    rows = [
        Row(LANGUAGE, 1, NOW - WINDOW, None),
        Row(LANGUAGE, 1, NOW - WINDOW + blink, None),
        row(5, 1),
        Row(LANGUAGE, 1, NOW - DAY, None, already_customer=True),
    ]
    group = only(figures(rows))
    assert (group.entries, group.open, group.young) == (3, 1, True)
    assert not only(figures(rows[:1])).young


def test_a_week_is_young_until_its_last_entry_would_be_old() -> None:
    monday = datetime(2026, 10, 19, tzinfo=BERLIN).astimezone(UTC)
    bought = [Row(LANGUAGE, 1, monday, 0)]
    end = monday + 7 * DAY + WINDOW + timedelta(hours=1)  # that Sunday had 25 hours
    assert only(figures(bought, "week", as_of=end - timedelta(seconds=1))).young
    assert not only(figures(bought, "week", as_of=end)).young


@pytest.mark.parametrize(
    ("moment", "zone", "monday"),
    [
        ("2026-10-25T22:59:59+00:00", BERLIN, date(2026, 10, 19)),  # the clocks changed that Sunday
        ("2026-10-25T23:00:00+00:00", BERLIN, date(2026, 10, 26)),
        ("2026-03-29T21:59:59+00:00", BERLIN, date(2026, 3, 23)),
        ("2026-03-29T22:00:00+00:00", BERLIN, date(2026, 3, 30)),
        ("2026-12-31T23:30:00+00:00", BERLIN, date(2026, 12, 28)),  # Friday, 1 January
        ("2027-01-03T22:59:59+00:00", BERLIN, date(2026, 12, 28)),
        ("2027-01-03T23:00:00+00:00", BERLIN, date(2027, 1, 4)),
        ("2026-11-23T02:59:59+00:00", SANTIAGO, date(2026, 11, 16)),
    ],
)
def test_weeks_begin_on_local_mondays(moment: str, zone: ZoneInfo, monday: date) -> None:
    at = datetime.fromisoformat(moment)
    assert week_of(at, zone) == monday
    assert only(figures([Row(LANGUAGE, 1, at, 5)], "week", zone, as_of=at + DAY)).week == monday


def test_weeks_and_tests_add_up_to_the_funnel() -> None:
    random = Random(8)
    rows = [
        Row(
            random.choice((LANGUAGE, OTHER)),
            random.choice((None, 1, 2, 3)),
            NOW - timedelta(seconds=random.randrange(60 * 86_400)),
            random.choice((None, None, random.randrange(30 * 86_400))),
            random.random() < 0.1,
        )
        for _ in range(500)
    ]
    rows = [Row(r.funnel, r.test_id, r.entered_at, None, True) if r.already_customer else r for r in rows]
    ways: tuple[By, ...] = ("week", "test")
    for total in figures(rows).groups:
        ours = [r for r in rows if r.funnel is total.funnel and not r.already_customer]
        bought = [
            r.seconds_to_purchase
            for r in ours
            if r.seconds_to_purchase is not None and r.entered_at + timedelta(seconds=r.seconds_to_purchase) <= NOW
        ]
        assert (total.entries, total.purchased, total.median_seconds) == (len(ours), len(bought), median(bought))
        for by in ways:
            parts = figures(rows, by).of(total.funnel)
            for name in ("entries", "purchased", "open", "customers"):
                assert sum(getattr(part, name) for part in parts) == getattr(total, name)
            keys = [(part.week or NOW.date(), part.test_id or -1) for part in parts]
            assert keys == sorted(keys)


# Newcombe (1998), table I, method 3.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_the_interval_stays_between_nothing_and_all() -> None:
    assert wilson(0, 0) is None
    for trials in (1, 7, 1_000_000):
        none, every = wilson(0, trials), wilson(trials, trials)
        assert none
        assert every
        assert none[0] == 0.0 < none[1] < 1.0
        assert 0.0 < every[0] < every[1] == 1.0


def test_a_row_comes_from_the_ledger_or_from_the_warehouse() -> None:
    entered = datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
    bought = Entry(3, "a@x.y", OTHER, 1, 9, entered, purchased_at=entered + timedelta(hours=2, microseconds=5))
    assert Row.of(bought) == Row(OTHER, 9, entered, 7_200)
    customer = Entry(4, "a@x.y", LANGUAGE, None, None, entered, customer_since=entered - DAY)
    assert Row.of(customer) == Row(LANGUAGE, None, entered, None, already_customer=True)
    stored = {
        "entry_id": 3,
        "funnel_type": "non_language",
        "test_id": 9,
        "entered_at": entered.replace(tzinfo=None),
        "seconds_to_purchase": 7_200,
        "already_customer": False,
    }
    assert Row.read(stored) == Row.of(bought)
