"""Loads into ClickHouse, where UTC days are exchanged, give what DuckDB's transactions give, in every zone."""

import random
import threading
import time
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics.events import METRIC_TABLES, EventTable
from analytics_platform.metrics.windows import Window, day_window, local_day
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import EventLoad, Warehouse, WarehouseBusyError
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.rows import DAY, UTC, at, batch, feed, hours, open_in, times_of

MICROSECOND = timedelta(microseconds=1)
TEXTS = {"country": "O'Brien", "city": "unknown", "source": "ads"}
LEDGER = Query("ledger", "SELECT table_name, event_date, rows FROM events.loaded_days")
# Where the clocks change around that day, by an hour or half of one, at midnight or later; and odd offsets.
CLOCKS = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/Santiago", date(2026, 9, 6)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Asia/Kathmandu", date(2026, 3, 29)),
    ("Pacific/Kiritimati", date(2026, 1, 1)),
    ("UTC", date(2026, 3, 29)),
]


@pytest.fixture
def warehouse(clickhouse: ClickHouse) -> ClickHouseWarehouse:
    """Nothing is prepared: `load` does it."""
    return open_at(clickhouse.empty_database())


def everything(warehouse: Warehouse, around: date) -> dict[str, list[str]]:
    """Every cell of the events of some weeks as they are handed on, and the ledger."""
    window = Window(at(around, 0) - timedelta(days=20), at(around, 0) + timedelta(days=20))
    found = {
        table.name: sorted(repr(row) for b in warehouse.event_batches(table, window) for row in b.to_pylist())
        for table in METRIC_TABLES
    }
    return {**found, "ledger": sorted(repr(tuple(row.values())) for row in warehouse.rows(LEDGER))}


def some(random: random.Random, table: EventTable, days: Iterable[date], zone: ZoneInfo) -> EventLoad:
    """Events of those local days, in any order, their first and last moments among them."""
    times: list[datetime] = []
    for day in days:
        window = day_window(day, zone)
        length = (window.end - window.start) // MICROSECOND
        times += [window.start, window.end - MICROSECOND]
        times += [window.start + random.randrange(length) * MICROSECOND for _ in range(random.randrange(6))]
    random.shuffle(times)
    halves = (times[: len(times) // 2], times[len(times) // 2 :])
    return EventLoad(table, [batch(table, half, user_id=random.randrange(2**32), **TEXTS) for half in halves])


@pytest.mark.parametrize(("zone", "day"), CLOCKS)
def test_any_sequence_of_loads_leaves_every_cell_as_in_duckdb(
    warehouse: ClickHouseWarehouse, tmp_path: Path, zone: str, day: date
) -> None:
    clock, embedded = ZoneInfo(zone), open_in(tmp_path)
    for seed in range(6):
        chance = random.Random(f"{zone} {seed}")
        days = [day + timedelta(days=k) for k in chance.sample(range(-3, 4), chance.randrange(1, 5))]
        tables = chance.choice([METRIC_TABLES, METRIC_TABLES[:1], METRIC_TABLES[1:]])
        append = chance.random() < 0.3
        loads = [some(chance, table, days, clock) for table in tables]
        told = [w.load(loads, clock, append=append) for w in (embedded, warehouse)]
        assert told[1] == told[0], seed
        assert everything(warehouse, day) == everything(embedded, day), seed


def test_one_load_may_bring_days_far_apart(warehouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first, last = datetime(1970, 1, 1, 5), datetime(2099, 12, 31, 5)  # noqa: DTZ001 - naive UTC
    embedded = open_in(tmp_path)
    for append in (False, True, False):
        for each in (embedded, warehouse):
            each.load([feed([first, at(DAY), last, last + timedelta(hours=1)])], berlin, append=append)
        assert sorted(map(str, times_of(warehouse))) == sorted(map(str, times_of(embedded)))
        assert sorted(map(repr, warehouse.rows(LEDGER))) == sorted(map(repr, embedded.rows(LEDGER)))


def test_a_load_of_another_zone_takes_its_own_days_only(warehouse: ClickHouseWarehouse) -> None:
    quarters = [at(DAY, 0) + timedelta(minutes=15 * k) for k in range(-96, 3 * 96)]
    warehouse.load([feed(quarters)], UTC)
    for zone in ("Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati"):
        clock = ZoneInfo(zone)
        start = day_window(DAY, clock).start
        [loaded] = warehouse.load([feed([start + timedelta(hours=3)])], clock)
        assert (loaded.days, loaded.rows) == ((DAY,), 1)
        left = times_of(warehouse)
        quarters = [q for q in quarters if local_day(q, clock) != DAY]
        assert len(left) == len({t for t in left if isinstance(t, datetime) and local_day(t, clock) != DAY}) + 1
        quarters.append(start + timedelta(hours=3))
        assert sorted(map(str, left)) == sorted(map(str, quarters))


def test_two_loads_that_share_a_utc_day_do_not_lose_each_others_events(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse
) -> None:
    # Two local days of Berlin, one UTC day between them: each load keeps the other's half of it as it finds it.
    berlin = ZoneInfo("Europe/Berlin")
    other_day = DAY + timedelta(days=1)
    warehouse.load([feed([at(DAY, 22), at(DAY, 23)], user_id=1)], berlin)  # either is an hour of another local day
    other = open_at(clickhouse.url("tests"))
    other.prepare()
    clickhouse.delay("DISTINCT toDate.time. AS day", seconds=60)
    failures: list[BaseException] = []

    def slow() -> None:
        try:
            warehouse.load([feed([at(DAY, 22)], user_id=2)], berlin)
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            failures.append(error)

    thread = threading.Thread(target=slow)
    thread.start()
    while not any("/dates_" in request.query_id for request in clickhouse.log()):
        assert thread.is_alive(), failures
        time.sleep(0.02)
    other.load([feed([at(DAY, 23)], user_id=3)], berlin)
    clickhouse.release()
    thread.join(60)

    [error] = failures
    assert isinstance(error, WarehouseBusyError)
    assert "another process loads feed_actions of the same days" in str(error)
    users = Query("users", "SELECT user_id FROM events.feed_actions ORDER BY time")
    assert [row["user_id"] for row in other.rows(users)] == [1, 3]
    warehouse.load([feed([at(DAY, 22)], user_id=2)], berlin)
    assert [row["user_id"] for row in other.rows(users)] == [2, 3]
    assert set(other_days(other)) == {DAY, other_day}


def other_days(warehouse: Warehouse) -> list[object]:
    return [row["event_date"] for row in warehouse.rows(LEDGER)]


def test_appending_from_several_threads_at_once_adds_everything(
    clickhouse: ClickHouse, warehouse: ClickHouseWarehouse
) -> None:
    warehouse.prepare()
    url = clickhouse.url("tests")

    def add(user: int) -> None:
        own = open_at(url)
        for turn in range(5):
            own.load([feed(hours(DAY, [turn, turn + 20]), user_id=user)], ZoneInfo("Europe/Berlin"), append=True)

    threads = [threading.Thread(target=add, args=(user,)) for user in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counted = Query("n", "SELECT user_id, count(*) AS n FROM events.feed_actions GROUP BY user_id ORDER BY user_id")
    assert [tuple(row.values()) for row in warehouse.rows(counted)] == [(0, 10), (1, 10), (2, 10)]
