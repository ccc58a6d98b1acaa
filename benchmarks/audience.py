"""The audience of all days, and the bare scan of the columns it needs, on both engines.

Belongs here: these cases and the results they read, made once. Does not: events (`data.py`). ClickHouse is its embedded
engine, in this process, so that its CPU time is counted; it is filled anew by every process.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analytics_platform.metrics import app_queries, facts
from analytics_platform.metrics.audience import read_audience
from analytics_platform.metrics.tables import FIRST_SEEN, ResultTable, user_day_table
from analytics_platform.queries import Query
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from benchmarks.data import ENGINE, UTC_ZONE, Place
from benchmarks.measure import Job, Moment

if TYPE_CHECKING:
    from pathlib import Path

    from analytics_platform.warehouses.base import Row, Warehouse

_TABLES: tuple[ResultTable, ...] = (user_day_table(), FIRST_SEEN)
_SCAN = (
    "SELECT count(*) FILTER (WHERE feed_actions > 0 OR messages_sent > 0) AS active, sum(user_id) AS ids, "
    "max(event_date) AS newest FROM results.user_day WHERE event_date >= $first AND event_date <= $last"
)


@dataclass
class _Timed:
    """A warehouse that adds up the CPU seconds of each statement."""

    warehouse: "Warehouse"
    spent: dict[str, float] = field(default_factory=dict)

    @property
    def engine(self) -> str:
        return self.warehouse.engine

    def rows(self, query: Query) -> "Sequence[Row]":
        start = Moment.now().cpu
        found = self.warehouse.rows(query)
        self.spent[query.name] = self.spent.get(query.name, 0.0) + Moment.now().cpu - start
        return found


def make_results(place: Place) -> None:
    """facts/user_day and facts/first_seen of all days; nothing when they are there."""
    final = _file(place)
    if final.exists():
        return
    draft = final.with_suffix(".partial")
    draft.unlink(missing_ok=True)
    warehouse = DuckDBWarehouse(place.events, draft, place.scratch / "tmp", ENGINE)
    warehouse.prepare()
    users, arrivals = _TABLES
    for day in place.dates:
        current = warehouse.current_days(users, *facts.lookback(day))
        warehouse.replace_day(users, day, facts.user_day(day, UTC_ZONE, current))
        warehouse.replace_day(arrivals, day, app_queries.first_seen(day))
    draft.rename(final)


def scan(place: Place, engine: str = "duckdb") -> Job:
    """Look at every value of the four columns of facts/user_day that daily users need, in one statement."""
    warehouse = _warehouse(place, engine)
    query = Query("scan", _SCAN, {"first": place.dates[0], "last": place.dates[-1]})

    def run() -> Mapping[str, float]:
        warehouse.rows(query)
        return {}

    return Job(run)


def ours(place: Place, engine: str = "duckdb") -> Job:
    """DAU, WAU, MAU, stickiness, D1, D7, D30 and the weekly comparison of every day, through the warehouse."""
    warehouse = _warehouse(place, engine)
    first, last = place.dates[0], place.dates[-1]

    def run() -> Mapping[str, float]:
        timed = _Timed(warehouse)
        read_audience(timed, first, last)
        return timed.spent

    def outcome() -> Mapping[str, object]:
        rows = read_audience(warehouse, first, last)
        return {
            "checksum": hashlib.sha256(repr(rows).encode()).hexdigest()[:16],
            "user_days": sum(day.dau or 0 for day in rows),
        }

    return Job(run, facts=outcome)


def _file(place: Place) -> "Path":
    """Named after the statements, so never out of date."""
    day = place.dates[0]
    text = facts.user_day(day, UTC_ZONE, place.dates).sql + app_queries.first_seen(day).sql + repr(_TABLES)
    return place.folder / f"audience-{hashlib.sha256(text.encode()).hexdigest()[:12]}.duckdb"


def _warehouse(place: Place, engine: str) -> "Warehouse":
    make_results(place)
    files = DuckDBWarehouse(place.events, _file(place), place.scratch / "tmp", ENGINE)
    files.prepare()
    if engine == "duckdb":
        return files
    from analytics_platform_tests.queries.clickhouse import IN_PROCESS, embedded
    from analytics_platform_tests.warehouses.clickhouse_open import open_at

    server = open_at(IN_PROCESS, connect=embedded)
    server.prepare()
    for table in _TABLES:
        for day in place.dates:
            server.store_day(table, day, files.stored_rows(table, day))
    return server
