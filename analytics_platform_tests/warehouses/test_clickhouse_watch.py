"""Days of events that other programs change: noticed by looking, and what was computed from them is outdated."""

import threading
import time
from datetime import date, timedelta
from typing import Any

import pytest

from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.metrics.windows import day_start
from analytics_platform.queries import Query
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.metrics.product import Events, feed, message
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.clickhouse_sources import DAY, KINDS, ZONE, fill, make
from analytics_platform_tests.warehouses.rows import UTC, figures
from analytics_platform_tests.warehouses.rows import feed as own_feed

PLAIN = KINDS["as we would keep them"]
LAST = DAY + timedelta(days=40)


@pytest.fixture
def warehouse(clickhouse: ClickHouse) -> ClickHouseWarehouse:
    """Events in another database, none yet."""
    clickhouse.empty_database("theirs")
    found = open_at(clickhouse.empty_database(), events_database=clickhouse.name("theirs"), basis="Berlin")
    make(found.server, PLAIN, {}, clickhouse.name("theirs"))
    return found


def write(warehouse: ClickHouseWarehouse, *days: date, hour: int = 0, messages: bool = False) -> None:
    """An event at that hour of each of those local days, by the other program."""
    moments = [day_start(day, ZONE) + timedelta(hours=hour) for day in days]
    events = [message(1, 2, m) for m in moments] if messages else [feed(1, m) for m in moments]
    database = warehouse.sources["feed_actions"].database
    fill(warehouse.server, PLAIN, {}, Events([], events) if messages else Events(events, []), database)


def look(warehouse: ClickHouseWarehouse, first: date = DAY, last: date = LAST) -> set[date]:
    return set(warehouse.note_changes(first, last, ZONE))


def current(warehouse: ClickHouseWarehouse) -> set[date]:
    return set(warehouse.current_days(FEED_DAILY, DAY - timedelta(days=9), LAST))


def test_the_first_look_is_no_change_and_added_or_removed_events_are_one(warehouse: ClickHouseWarehouse) -> None:
    after = DAY + timedelta(days=1)
    write(warehouse, DAY, after)
    assert look(warehouse) == set()
    assert look(warehouse) == set()
    write(warehouse, after, hour=5)
    assert look(warehouse) == {after}
    assert look(warehouse) == set()
    write(warehouse, DAY, messages=True)
    write(warehouse, LAST)
    write(warehouse, LAST + timedelta(days=1))
    assert look(warehouse) == {DAY, LAST}
    database = warehouse.sources["feed_actions"].database
    warehouse.server.command(f"TRUNCATE TABLE {database}.feed_actions", name="truncate")
    assert look(warehouse, DAY, after) == {DAY, after}
    assert look(warehouse, after, DAY) == set()
    assert look(warehouse, LAST, LAST + timedelta(days=1)) == {LAST}, "a day looked at for the first time is none"


def test_a_day_is_counted_from_its_own_midnight_in_every_zone(warehouse: ClickHouseWarehouse) -> None:
    assert look(warehouse) == set()
    # The last moment of a day of 23 hours, and the first of the next.
    write(warehouse, DAY, hour=22)
    assert look(warehouse) == {DAY}
    write(warehouse, DAY, hour=23)
    assert look(warehouse) == {DAY + timedelta(days=1)}


def test_what_was_computed_from_a_changed_day_is_outdated_for_as_long_as_it_is_looked_back_to(
    warehouse: ClickHouseWarehouse,
) -> None:
    days = [DAY + timedelta(days=k) for k in (-1, 0, 1, 30, 31)]
    write(warehouse, *days)
    look(warehouse, days[0])
    for day in days:
        warehouse.replace_day(FEED_DAILY, day, figures(day, 1))
    assert current(warehouse) == set(days)
    assert look(warehouse, days[0]) == set()
    assert current(warehouse) == set(days)

    write(warehouse, DAY, hour=1)
    assert current(warehouse) == set(days), "nobody has looked"
    assert look(warehouse, days[0]) == {DAY}
    assert current(warehouse) == {days[0], days[-1]}
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 2))
    assert look(warehouse, days[0]) == set()
    assert current(warehouse) == {days[0], DAY, days[-1]}


def test_events_replaced_by_as_many_are_noticed_by_the_moment_they_were_written(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse
) -> None:
    database = warehouse.sources["feed_actions"].database
    table = f"{database}.feed_actions"
    add = f"ALTER TABLE {table} ADD COLUMN written Nullable(DateTime('Asia/Tokyo')) DEFAULT '2026-04-01 00:00:00'"
    warehouse.server.command(add, name="add")
    knowing = open_at(
        clickhouse.url("tests"), events_database=database, mapping={"feed_actions.inserted_at": "written"}
    )
    write(warehouse, DAY)
    assert (look(warehouse), look(knowing)) == (set(), {DAY}), "a moment that was not known is news"

    replaced = "INSERT INTO {t} SELECT * REPLACE (2 AS user_id, '2026-04-02 00:00:00' AS written) FROM {t}"
    warehouse.server.command(replaced.format(t=table), name="insert")
    warehouse.server.command(f"DELETE FROM {table} WHERE user_id = 1", name="delete")
    assert look(knowing) == {DAY}
    assert look(knowing) == set()
    moments = Query("m", "SELECT newest FROM events.loaded_days WHERE table_name = 'feed_actions' AND event_date = $d")
    [row] = knowing.rows(Query(moments.name, moments.sql, {"d": DAY}))
    assert str(row["newest"]) == "2026-04-01 15:00:00"


def test_without_that_moment_they_are_not_noticed(warehouse: ClickHouseWarehouse) -> None:
    write(warehouse, DAY)
    look(warehouse)
    table = f"{warehouse.sources['feed_actions'].database}.feed_actions"
    change = "UPDATE user_id = 2 WHERE true SETTINGS mutations_sync = 2"
    warehouse.server.command(f"ALTER TABLE {table} {change}", name="update")
    assert look(warehouse) == set()


def test_our_own_tables_cost_nothing(clickhouse: ClickHouse) -> None:
    own = open_at(clickhouse.empty_database())
    own.load([own_feed([day_start(DAY, UTC)])], UTC)
    clickhouse.clear()
    assert (own.note_changes(DAY, LAST, UTC), clickhouse.log()) == (set(), [])


@pytest.mark.parametrize("late", ["before it counts", "after it has counted"])
def test_events_that_come_while_somebody_looks_and_computes_are_not_missed(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse, late: str
) -> None:
    write(warehouse, DAY)
    look(warehouse)
    # While the look waits, the day is computed, and then an event comes that the figures lack.
    step = "days_feed_actions" if "before" in late else "known_days"
    clickhouse.delay("toStartOfFifteenMinutes.*feed_actions" if "before" in late else "rows, newest", seconds=60)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(look(warehouse)))
    thread.start()
    while not any(f"/{step}/" in request.query_id for request in clickhouse.log()):
        assert thread.is_alive()
        time.sleep(0.02)
    other = open_at(clickhouse.url("tests"), events_database=clickhouse.name("theirs"), basis="Berlin")
    other.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    write(other, DAY, hour=5)
    assert thread.is_alive(), "it has waited long enough"
    clickhouse.release()
    thread.join(60)

    assert found[0] | look(warehouse) == {DAY}
    assert DAY not in current(warehouse)
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert look(warehouse) == set()
    assert current(warehouse) == {DAY}
