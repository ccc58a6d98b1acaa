"""Entries as columns: every value in its place, in the order of the ledger, from a stream that is read once."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from analytics_platform.funnels.conversion import Row
from analytics_platform.funnels.publishing import published_day
from analytics_platform.funnels.records import Entry
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS, result_schema
from analytics_platform_tests.funnels.people import DAY, LANGUAGE, OTHER

AT = datetime(2026, 11, 20, 9, 30, 0, 600_000, tzinfo=UTC)
TODAY = date(2026, 11, 20)


def people(count: int) -> Iterator[Entry]:
    """In the order of their ids: every third has bought, every fifth had before, every seventh test is unknown."""
    for k in range(count):
        entered = AT + timedelta(milliseconds=k)
        bought = entered + k * DAY / 7 if k % 3 == 0 else None
        since = AT - DAY if k % 5 == 1 and not bought else None
        test = None if k % 7 == 0 else k
        yield Entry(10 + k, f"p{k}@example.org", (LANGUAGE, OTHER)[k % 2], k, test, entered, bought, since)


@pytest.mark.parametrize("count", [1, 5_000, 12_345])
def test_rows_are_the_entries_in_their_order(count: int) -> None:
    day = published_day(people(count), TODAY)
    assert day.table.schema == result_schema(FUNNEL_CONVERSIONS)
    assert list(day.ids) == [entry.id for entry in people(count)] == day.table.column("entry_id").to_pylist()
    found = day.table.to_pylist()
    assert [Row.read(row) for row in found] == [Row.of(entry) for entry in people(count)]
    assert {row["event_date"] for row in found} == {TODAY}


def test_a_day_without_entries_is_a_table_without_rows() -> None:
    day = published_day(iter(()), TODAY)
    assert (day.table.num_rows, list(day.ids)) == (0, [])
    assert day.table.schema == result_schema(FUNNEL_CONVERSIONS)


def test_no_address_gets_into_the_table() -> None:
    assert "example.org" not in str(published_day(people(50), TODAY).table.to_pylist())


def test_memory_holds_the_columns_and_not_the_entries() -> None:
    """Arrow's own memory is 50 bytes an entry; objects for all of them would be over ten times as much."""
    tracemalloc.start()
    day = published_day(people(40_000), TODAY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert day.table.nbytes < 40_000 * 70
    assert peak < 40_000 * 150
