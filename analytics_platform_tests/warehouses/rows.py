"""Small events and queries for the warehouse's tests, and a warehouse in a folder.

Belongs here: making inputs. Does not: assertions.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, EventTable, arrow_schema
from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import EventLoad, Warehouse
from analytics_platform.warehouses.duckdb import DuckDBWarehouse

UTC = ZoneInfo("UTC")
DAY = date(2026, 11, 20)


def at(day: date, hour: int = 12, minute: int = 0) -> datetime:
    """Naive UTC, as event tables store times."""
    return datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001


def batch(table: EventTable, times: Sequence[datetime], **columns: Any) -> pa.RecordBatch:
    """One row per time; the other columns are one value each, ids 1 unless named."""
    row = {"user_id": 1, "post_id": 1, "receiver_id": 1, "action": "view", "os": "iOS"} | columns
    return pa.RecordBatch.from_pylist([{**row, "time": time} for time in times], schema=arrow_schema(table))


def feed(times: Sequence[datetime], **columns: Any) -> EventLoad:
    """Feed events at those times."""
    return EventLoad(FEED_ACTIONS, [batch(FEED_ACTIONS, times, **columns)])


def messages(times: Sequence[datetime], **columns: Any) -> EventLoad:
    """Messages at those times."""
    return EventLoad(MESSAGE_ACTIONS, [batch(MESSAGE_ACTIONS, times, **columns)])


def figures(day: date, dau: int, rows: int = 1) -> Query:
    """`rows` rows for results.feed_daily, each with that dau."""
    sql = (
        "SELECT CAST($day AS DATE) AS event_date, CAST($dau AS BIGINT) AS dau, "
        "range AS views, 0 AS likes, CAST(NULL AS DOUBLE) AS ctr FROM range($rows)"
    )
    own = sql.replace("range AS views", "number AS views").replace("FROM range($rows)", "FROM numbers($rows)")
    return Query("figures", sql, {"day": day, "dau": dau, "rows": rows}, own)


def stored(warehouse: Warehouse, day: date) -> list[object]:
    """`dau` of each row that results.feed_daily has of that day."""
    query = Query("stored", f"SELECT dau FROM results.{FEED_DAILY.name} WHERE event_date = $day", {"day": day})
    return [row["dau"] for row in warehouse.rows(query)]


def times_of(warehouse: Warehouse, table: EventTable = FEED_ACTIONS) -> list[object]:
    """The times of an event table as they lie in the file, unsorted by the query."""
    return [row["time"] for row in warehouse.rows(Query("times", f"SELECT time FROM events.{table.name}"))]


def open_in(folder: Path, lock_timeout_seconds: float = 20.0, **more: Any) -> DuckDBWarehouse:
    """A warehouse whose files are in that folder."""
    return DuckDBWarehouse(
        events=folder / "events.duckdb",
        results=folder / "results.duckdb",
        scratch=folder / "tmp",
        config={"threads": "1", "memory_limit": "256MB"},
        lock_timeout_seconds=lock_timeout_seconds,
        **more,
    )


def hours(day: date, wanted: Iterable[int]) -> list[datetime]:
    """Those hours of that day, UTC; 24 and more reach into the days after."""
    return [at(day, 0) + timedelta(hours=hour) for hour in wanted]
