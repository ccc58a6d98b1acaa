"""A small product in a warehouse, every cell of a warehouse, and a copy for a process of its own that says how far it
is.

Belongs here: filling, reading all, putting what a copy says into few words. Does not: assertions.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from analytics_platform.metrics import app_queries, facts, series, slices
from analytics_platform.metrics.dimensions import Labels
from analytics_platform.metrics.events import EVENT_TABLES, PAGE_EVENTS, USER_EVENTS, arrow_schema
from analytics_platform.metrics.tables import (
    APP_DAILY,
    FEED_DAILY,
    FIRST_SEEN,
    METRIC_RESULTS,
    POST_DAY,
    SERIES,
    STANDARD_TABLES,
    daily_slices_table,
    user_day_table,
)
from analytics_platform.metrics.windows import Window, day_window
from analytics_platform.queries import Query, compose
from analytics_platform.warehouses.base import EventLoad, Warehouse
from analytics_platform.warehouses.copying import Copied, copy
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.metrics.product import Events
from analytics_platform_tests.queries import cases
from analytics_platform_tests.warehouses.made import events_of, results_of
from analytics_platform_tests.warehouses.rows import open_in

ZONE = cases.ZONE
SHORT_DAY = cases.DAY  # 23 hours
# Of events before the range nothing is copied, and those of its first day were never computed.
FIRST, LAST = SHORT_DAY - timedelta(days=2), SHORT_DAY + timedelta(days=2)
# Three days of events, an empty one after them.
COMPUTED = [*cases.DAYS[2:], LAST]
BASIS = "basis"
EVENTS, RESULTS = [t.name for t in EVENT_TABLES], [t.name for t in STANDARD_TABLES]
OTHERS = [table for table in STANDARD_TABLES if table not in METRIC_RESULTS]


class Reader(Protocol):
    """What answers queries."""

    def rows(self, query: Query) -> list[dict[str, object]]: ...


def events() -> Events:
    """Those of the contract, and of the tables that have none there, on the short day and the one before."""
    starts = [day_window(day, ZONE).start for day in (SHORT_DAY - timedelta(days=1), SHORT_DAY)]
    videos, pages = ([row for start in starts for row in events_of(t, start)] for t in (USER_EVENTS, PAGE_EVENTS))
    return replace(cases.events(), videos=videos, pages=pages)


def load(warehouse: Warehouse, events: Events, zone: ZoneInfo = ZONE) -> None:
    """Write those events."""
    rows = {t: pa.Table.from_pylist(events.of(t), schema=arrow_schema(t)) for t in EVENT_TABLES}
    warehouse.load([EventLoad(table, found.to_batches()) for table, found in rows.items()], zone)


def compute(warehouse: Warehouse, days: Iterable[date], zone: ZoneInfo = ZONE) -> None:
    """Every result of those days, in the order of the graph."""
    for day in days:
        current = warehouse.current_days(user_day_table(), *facts.lookback(day))
        warehouse.replace_day(user_day_table(), day, facts.user_day(day, zone, current))
        warehouse.replace_day(daily_slices_table(), day, slices.daily_slices(day, Labels()))
        warehouse.replace_day(FEED_DAILY, day, compose("feed_daily", {"event_date": day}))
        warehouse.replace_day(POST_DAY, day, app_queries.post_day(day, zone))
        left = app_queries.first_seen_left(day)
        warehouse.replace_day(FIRST_SEEN, day, app_queries.first_seen(day), also=left)
        warehouse.replace_day(APP_DAILY, day, app_queries.app_daily(day))
        warehouse.replace_day(SERIES, day, series.series_day(day, zone, Labels()))
        for table in OTHERS:
            warehouse.store_day(table, day, results_of(table, day))


def cells(warehouse: Reader) -> dict[str, list[str]]:
    """Every row of every table of events and results, as text that tells types; in no order of the engine's."""
    tables = {f"events.{t.name}": [c.name for c in t.columns] for t in EVENT_TABLES}
    tables |= {f"results.{t.name}": [name for name, _ in t.columns] for t in STANDARD_TABLES}
    return {
        name: sorted(
            repr(list(row.items()))
            for row in warehouse.rows(Query("cells", f"SELECT {', '.join(columns)} FROM {name}"))
        )
        for name, columns in tables.items()
    }


@dataclass(frozen=True)
class Whole:
    """One copy of the whole range to where nothing was: the folders, the source's files before, what was said."""

    source: Path
    target: Path
    before: dict[str, str]
    done: Copied
    steps: list[tuple[str, int, int]]


def hashes(folder: Path) -> dict[str, str]:
    """Of the files of the warehouse there."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.duckdb")}


# Of events and of results a few, one computed from another: where how a copy goes on is the matter, not what arrives.
SOME = ["feed_actions", "message_actions", "user_day", "daily_slices", "first_seen"]


def copied(source: Warehouse, target: Warehouse, **more: object) -> Copied:
    """A copy of the whole range."""
    return copy(source, target, FIRST, LAST, ZONE, **more)  # type: ignore[arg-type]


def summary(done: Copied) -> dict[str, tuple[int, int, int]]:
    """Days copied, rows, days that were equal, by table."""
    return {t.name: (len(t.copied), t.rows, len(t.equal)) for t in done.tables}


def touched(done: Copied) -> dict[str, list[date]]:
    """Days that were copied, of the tables with any."""
    return {table.name: table.copied for table in done.tables if table.copied}


def within(found: dict[str, list[str]], warehouse: Warehouse) -> dict[str, list[str]]:
    """The cells that a copy of FIRST..LAST brings, from a warehouse with more."""
    window = Window(day_window(FIRST, ZONE).start, day_window(LAST, ZONE).end)
    for table in EVENT_TABLES:
        rows = [row for b in warehouse.event_batches(table, window) for row in b.to_pylist()]
        found[f"events.{table.name}"] = sorted(repr(list(row.items())) for row in rows)
    return found


def some(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The cells of SOME tables."""
    return {name: rows for name, rows in found.items() if name.partition(".")[2] in SOME}


def change(warehouse: DuckDBWarehouse, name: str, statement: str) -> None:
    """What somebody does with a console."""
    with duckdb.connect(getattr(warehouse, name)) as console:
        console.execute(statement)


def main(source: str, target: str, after: str) -> None:
    """Copy SOME tables from folder to folder; a line for each table and day that is done. After the line that begins
    so, the next that is written is there, but nobody says so: the process is killed."""
    said: list[str] = []

    def killed(write: Callable[..., object]) -> Callable[..., None]:
        def written(*arguments: object) -> None:
            write(*arguments)
            if any(line.startswith(after) for line in said):
                os.kill(os.getpid(), signal.SIGKILL)

        return written

    def progress(*done: object) -> None:
        said.append(" ".join(map(str, done)))
        print(said[-1], flush=True)

    there, here = (open_in(Path(folder), basis=BASIS) for folder in (source, target))
    vars(here).update(load=killed(here.load), store_day=killed(here.store_day))
    copied(there, here, tables=SOME, progress=progress)
