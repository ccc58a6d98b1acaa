"""ClickHouse inside this process: the product's own tables over the same events, a fresh copy for each process.

Belongs here: filling them once, opening a copy, the bare scan of them, the platform on them. Does not: other ways of
computing the same (`by_hand_server.py`, `pandas_way.py`). The engine is in this process so that its CPU is counted.
"""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from analytics_platform.metrics.dimensions import attributes
from analytics_platform.metrics.events import METRIC_TABLES, Kind, arrow_schema
from analytics_platform.metrics.tables import ResultTable, daily_slices_table, user_day_table
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query
from analytics_platform.warehouses.address import ClickHouseAddress, parse
from analytics_platform.warehouses.base import Row
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform.warehouses.clickhouse_client import Limits, Server
from analytics_platform.warehouses.clickhouse_events import sources
from analytics_platform.warehouses.clickhouse_schema import COMPUTED, LOADED, Layout
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from benchmarks.daily import computed
from benchmarks.data import ENGINE, UTC_ZONE, Place
from benchmarks.measure import Job, Moment

# The embedded engine has no address; it is the database that counts.
DATABASE = "analytics"
_ADDRESS = f"clickhouse://nowhere/{DATABASE}"
LOOKED_UP = f"{DATABASE}.looked_up"
# Long ago, so that no computed day is older than its events.
_LOADED_AT = datetime(2000, 1, 1)  # noqa: DTZ001 - naive UTC


class SplitServer(ClickHouseWarehouse):
    """Adds up the CPU seconds of computing (reading, staging) and of moving days in with the ledger."""

    reading = 0.0
    writing = 0.0
    client: Any = None

    def text(self, statement: str) -> bytes:
        """The answer as scripts get it over HTTP: tab-separated, names first."""
        sent: bytes = self.client.raw_query(statement.replace("events.", f"{DATABASE}."), fmt="TabSeparatedWithNames")
        return sent

    def rows(self, query: Query) -> list[Row]:
        """See the port."""
        start = Moment.now().cpu
        found = super().rows(query)
        self.reading += Moment.now().cpu - start
        return found

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> int:
        """See the port."""
        start, before = Moment.now().cpu, self.reading
        written = super().replace_day(table, day, query, also=also)
        self.writing += Moment.now().cpu - start - (self.reading - before)
        return written

    def _insert(self, target: str, columns: str, query: Query) -> None:
        start = Moment.now().cpu
        super()._insert(target, columns, query)
        self.reading += Moment.now().cpu - start


def _open(folder: Path) -> SplitServer:
    """The tables in that folder, made when they are not there; one folder at a time in a process."""
    import clickhouse_connect

    clients: list[Any] = []

    def connect(settings: Mapping[str, Any]) -> Any:
        clients.append(clickhouse_connect.get_client(interface="chdb", path=str(folder), settings=dict(settings)))
        return clients[-1]

    address = parse(_ADDRESS)
    if not isinstance(address, ClickHouseAddress):
        raise TypeError(_ADDRESS)
    layout = Layout(address.database)
    warehouse = SplitServer(Server(address, Limits(), connect), layout, sources({}, None, address.database))
    warehouse.prepare()
    [warehouse.client] = clients
    return warehouse


def make_server(place: Place) -> None:
    """The events in tables of our own, each day one part, as a load leaves them; nothing when they are there."""
    import duckdb
    import pyarrow.parquet as pq

    if place.server.exists():
        return
    draft = place.server.with_suffix(".partial")
    shutil.rmtree(draft, ignore_errors=True)
    known = pq.read_table(place.looked_up)
    warehouse = _open(draft)
    with duckdb.connect(place.events, read_only=True) as con:
        for table in METRIC_TABLES:
            schema = arrow_schema(table)
            names = ", ".join(f'"{name}"' for name in schema.names)
            text = f"SELECT {names} FROM {table.name} WHERE time >= $start AND time < $end"
            for day in place.dates:
                window = day_window(day, UTC_ZONE)
                bound = {"start": window.start, "end": window.end}
                rows = con.sql(text, params=bound).to_arrow_table().cast(schema)
                warehouse.server.insert(DATABASE, table.name, rows, name=f"fill_{table.name}")
                entry = {"table_name": table.name, "event_date": day, "rows": rows.num_rows, "loaded_at": _LOADED_AT}
                warehouse.ledger(LOADED, [entry])
            warehouse.server.command(f"OPTIMIZE TABLE {DATABASE}.{table.name} FINAL", name="one_part_a_day")
    columns = ", ".join(f"{a.name} {'String' if a.kind is Kind.TEXT else 'Int16'}" for a in attributes())
    key = "ENGINE = MergeTree PARTITION BY day ORDER BY user_id"
    warehouse.server.command(f"CREATE TABLE {LOOKED_UP} (day Date, user_id UInt32, {columns}) {key}", name="known")
    wanted = ["day", "user_id", *(a.name for a in attributes())]
    warehouse.server.insert(DATABASE, "looked_up", known.select(wanted), name="fill_known")
    warehouse.client.close()
    draft.rename(place.server)


def open_server(place: Place) -> SplitServer:
    """A copy of those tables, open as long as this process lives."""
    copy = place.scratch / f"server-{os.getpid()}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place.server, copy, symlinks=True, copy_function=_linked)
    return _open(copy)


def _linked(source: str, target: str) -> None:
    # The files of columns never change, and are nearly all of it.
    if source.endswith(".bin"):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


def fresh(warehouse: SplitServer, table: ResultTable, days: Collection[date]) -> None:
    """Make those days of a result table as if they had never been computed."""
    if not days:
        return
    place = f"{DATABASE}.{table.name}"
    for day in days:
        warehouse.server.command(f"ALTER TABLE {place} DROP PARTITION '{day}'", name="forget")
    listed = ", ".join(f"'{day}'" for day in days)
    where = f"table_name = '{table.name}' AND event_date IN ({listed})"
    warehouse.server.command(f"DELETE FROM {DATABASE}.{COMPUTED} WHERE {where}", name="forget")


def fill_before(warehouse: SplitServer, place: Place) -> None:
    """facts/user_day of the days before the last ones, as the other engine computed them."""
    table = user_day_table()
    files = DuckDBWarehouse(place.events, place.before, place.scratch / "tmp", ENGINE)
    for day in files.computed_days(table, place.dates[0], place.dates[-1]):
        warehouse.store_day(table, day, files.stored_rows(table, day))


def platform(place: Place, days: Sequence[date], *, each: bool) -> Job:
    """facts/user_day and metrics/daily_slices of those days, computed and written as the assets do.

    `each` and parts are those of `daily.platform`; `written` is moving the day in and the ledger.
    """
    warehouse = open_server(place)
    if each:
        fill_before(warehouse, place)

    def start() -> SplitServer:
        for table in (user_day_table(), daily_slices_table()):
            fresh(warehouse, table, warehouse.computed_days(table, days[0], days[-1]))
        return warehouse

    return computed(days, start, each=each)


def scan(place: Place, days: Sequence[date], *, look: bool, each: bool) -> Job:
    """Read every column that facts and slices need of both tables, in one statement a day (`each`) or one for all.

    Numbers are added up. Texts are read and ignored, or compared (`look`).
    """
    warehouse = open_server(place)
    wanted = attributes()
    texts = [a.name for a in wanted if a.kind is Kind.TEXT]
    seen = [f"max({name})" for name in texts] if look else [f"sum(ignore({', '.join(texts)}))"]
    shared = ", ".join(["sum(user_id)", *(f"sum({a.name})" for a in wanted if a.kind is not Kind.TEXT), *seen])
    spans = [(day, day) for day in days] if each else [(days[0], days[-1])]
    within = "WHERE time >= $start AND time < $end"
    statement = (
        f"SELECT (SELECT (countIf(action = 'like'), {shared}) FROM events.feed_actions {within}) AS feed, "
        f"(SELECT (sum(receiver_id), {shared}) FROM events.message_actions {within}) AS messages"
    )
    windows = [{"start": day_window(a, UTC_ZONE).start, "end": day_window(b, UTC_ZONE).end} for a, b in spans]

    def run() -> Mapping[str, float]:
        for window in windows:
            warehouse.rows(Query("scan", statement, window))
        return {}

    def rows() -> Mapping[str, object]:
        counted: dict[str, object] = {}
        for table in METRIC_TABLES:
            text = f"SELECT count(*) AS n FROM events.{table.name} {within}"
            found = [warehouse.rows(Query("count", text, window))[0]["n"] for window in windows]
            counted[table.name] = sum(n for n in found if isinstance(n, int)) // len(windows)
        return counted

    return Job(run, facts=rows, shares=len(windows))
