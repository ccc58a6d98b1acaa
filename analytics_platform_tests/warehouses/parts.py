"""Windows of a day as parts of results.event_reports.

Belongs here: making and storing them, what is stored. Does not: assertions.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pyarrow as pa

from analytics_platform.metrics.tables import EVENT_REPORTS
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import Warehouse
from analytics_platform_tests.warehouses.made import results_of
from analytics_platform_tests.warehouses.rows import DAY, at


def window(hour: int) -> dict[str, datetime]:
    """The hour of the day that begins then, as the part that it is."""
    return {"window_start": at(DAY, hour), "window_end": at(DAY, hour) + timedelta(hours=1)}


def rows_of(hour: int, rows: int, version: str = "first") -> pa.Table:
    """Rows of that window, all of that version."""
    return results_of(EVENT_REPORTS, DAY, rows, **window(hour), visitor=version)


def store(warehouse: Warehouse, hour: int, rows: int, version: str = "first") -> int:
    """Replace the window by so many rows of that version."""
    return warehouse.store_part(EVENT_REPORTS, DAY, window(hour), rows_of(hour, rows, version))


def store_hours(warehouse: Warehouse, turns: int, first: int) -> int:
    """Replace `turns` times the window that begins at `first`, each time by one row more. The last number of rows."""
    for turn in range(turns):
        store(warehouse, first, turn + 1, f"{turn}")
    return turns


def stored(warehouse: Warehouse) -> Mapping[int, tuple[object, object]]:
    """By the hour at which a window begins: rows, and the version if they are all of one."""
    text = (
        "SELECT window_start, count(*) AS n, min(visitor) AS low, max(visitor) AS high "
        f"FROM results.{EVENT_REPORTS.name} GROUP BY window_start ORDER BY window_start"
    )
    found: dict[int, tuple[object, object]] = {}
    for row in warehouse.rows(Query("stored", text)):
        assert isinstance(row["window_start"], datetime)
        found[row["window_start"].hour] = (row["n"], row["low"] if row["low"] == row["high"] else None)
    return found


def entry(warehouse: Warehouse) -> list[object]:
    """What the ledger of computed days says of the day: its number of rows."""
    text = "SELECT rows FROM results.computed_days WHERE table_name = $table AND event_date = $day"
    return [row["rows"] for row in warehouse.rows(Query("entry", text, {"table": EVENT_REPORTS.name, "day": DAY}))]
