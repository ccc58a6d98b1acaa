"""The rules that stored rows obey: sums, missing values, volumes, facts against events. Each finds what it is for."""

from datetime import date, timedelta
from typing import Any

import pytest

from analytics_platform.metrics.catalog import METRICS, Count, Distinct, Ratio, Source
from analytics_platform.metrics.facts import imbalance, mismatches
from analytics_platform.metrics.slices import null_violations, sum_violations, unusual_volumes
from analytics_platform_tests.metrics.oracle import Oracle
from analytics_platform_tests.metrics.test_daily_slices import BERLIN, DAY, HOSTILE

ENTRIES = (
    Count("views", Source.FEED, "", "action = 'view'"),
    Count("all", Source.FEED, ""),
    Distinct("users", ""),
    Ratio("per_user", "views", "users", ""),
)


def row(dimension: str | None, value: str | None, *numbers: float | None, day: date = DAY) -> dict[str, Any]:
    """One row of slices with the figures of ENTRIES in order."""
    names = [m.name for m in ENTRIES]
    return {"event_date": day, "dimension": dimension, "dimension_value": value} | dict(
        zip(names, numbers, strict=True)
    )


TOTAL = row("total", "total", 10, 12, 3, 10 / 3)


@pytest.mark.parametrize("events", HOSTILE.values(), ids=HOSTILE.keys())
def test_right_rows_break_no_rule(events: Any) -> None:
    rows = list(Oracle(events.feed, events.messages, BERLIN).daily_slices(DAY).values())
    assert sum_violations(rows) == []
    assert null_violations(rows) == []


def test_slices_that_do_not_add_up_are_named_with_both_numbers() -> None:
    rows = [
        row("os", "iOS", 4, 6, 1, 4.0),
        row("os", "Android", 6, 6, 2, 3.0),
        row("age", "20", 10, 13, 2, 5.0),
        TOTAL,
    ]
    assert sum_violations(rows[:2] + rows[3:], ENTRIES) == []
    assert sum_violations(rows, ENTRIES) == [
        "age: all adds up to 13, the total is 12",
        "age: users adds up to 2, the total is 3",
    ]


def test_a_missing_total_and_a_missing_slice_are_found() -> None:
    assert sum_violations([row("os", "iOS", 10, 12, 3, 10 / 3)], ENTRIES) == ["the day has no total row"]
    assert sum_violations([], ENTRIES) == ["the day has no total row"]
    halved = [row("os", "iOS", 10, 12, 2, 5.0), TOTAL]
    assert sum_violations(halved, ENTRIES) == ["os: users adds up to 2, the total is 3"]
    doubled = [row("os", "iOS", 10, 12, 3, None), row("os", "iOS", 10, 12, 3, None), TOTAL]
    assert len(sum_violations(doubled, ENTRIES)) == 3


def test_a_missing_number_counts_as_nothing_in_a_sum_and_is_named_by_the_other_rule() -> None:
    rows = [row("os", "iOS", None, 12, 3, None), TOTAL]
    assert sum_violations(rows, ENTRIES) == ["os: views adds up to 0, the total is 10"]
    assert null_violations(rows, ENTRIES) == ["os iOS: views is missing"]


def test_missing_values_are_named_and_an_empty_ratio_is_not() -> None:
    rows = [
        row("os", None, 1, 1, 1, 1.0),
        row("os", "", 1, 1, 1, 1.0),
        row(None, "iOS", 1, 1, 1, 1.0),
        row("os", "unknown", 0, 0, 0, None),
    ]
    assert null_violations(rows, ENTRIES) == [
        "os: a row without a value",
        "os: a row without a value",
        "None: a row without a value",
    ]


def test_volumes_are_compared_with_the_same_weekday_only_where_it_is_known() -> None:
    week = timedelta(days=7)
    totals = [
        row("total", "total", 0, 100, 1, 0.0, day=DAY - week),
        row("total", "total", 999, 150, 1, 0.0, day=DAY),  # exactly at the tolerance; views are not judged
        row("total", "total", 0, 151, 1, 0.0, day=DAY + week),
        row("total", "total", 0, 75, 1, 0.0, day=DAY + 2 * week),
        row("total", "total", 0, 5, 1, 0.0, day=DAY + timedelta(days=1)),
    ]
    asked = [DAY - week, DAY, DAY + week, DAY + 2 * week, DAY + timedelta(days=1), DAY + 9 * week]
    assert unusual_volumes(totals, asked, 0.5, ENTRIES) == {
        DAY: [],
        DAY + week: [],
        DAY + 2 * week: ["all is 75, a week before 151"],
    }


def test_volumes_where_a_week_ago_was_empty_or_today_is() -> None:
    before, now = row("total", "total", 0, 0, 0, None, day=DAY - timedelta(days=7)), row("total", "total", 1, 1, 1, 1.0)
    assert unusual_volumes([before, now], [DAY], 0.5, ENTRIES) == {DAY: ["all is 1, a week before 0"]}
    nothing = row("total", "total", 0, 0, 0, None)
    assert unusual_volumes([before, nothing], [DAY], 0.5, ENTRIES) == {DAY: []}
    busy = row("total", "total", 0, 10, 1, None, day=DAY - timedelta(days=7))
    assert unusual_volumes([busy, nothing], [DAY], 0.5, ENTRIES) == {DAY: ["all is 0, a week before 10"]}


def test_facts_that_differ_from_the_events_are_named_with_both_numbers() -> None:
    assert mismatches({"views": 3, "likes": 1, "more": 9}, {"views": 3, "likes": 1}) == []
    assert mismatches({"views": 2, "likes": None}, {"views": 3, "likes": 1}) == [
        "views is 2 in facts/user_day and 3 in the events",
        "likes is None in facts/user_day and 1 in the events",
    ]


def test_messages_sent_and_received_that_differ_are_named() -> None:
    stored = {m.name: 5 for m in METRICS}
    assert imbalance(stored) == []
    assert imbalance(stored | {"views": 1, "users_sent": 1}) == []
    assert imbalance(stored | {"messages_sent": 4}) == ["messages_received is 5, messages_sent is 4"]
    assert imbalance(stored, ENTRIES) == []
