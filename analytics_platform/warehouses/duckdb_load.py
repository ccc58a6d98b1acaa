"""How events get into the embedded warehouse's file: through a scratch database, a local day at a time, sorted by time.

Belongs here: the statements of a load. Does not: opening files, locks, transactions (`duckdb.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import EventTable
from analytics_platform.metrics.windows import day_window
from analytics_platform.warehouses.base import EventLoad, Loaded
from analytics_platform.warehouses.duckdb_schema import EVENT_TYPES, LOADED, UTC_NOW

if TYPE_CHECKING:
    import pyarrow as pa

# Rows sorted and written at a time: whole row groups go straight to the file, small inserts through the log as well;
# an unsorted day would cost every later scan.
_SORTED_ROWS = 1_000_000
# A statement costs some 30 ms whatever it brings: the days of a small table, a file each, would cost more than reading.
_STAGED_BYTES = 32 * 2**20
_WITHIN = "time >= $start AND time < $end"


class Connection(Protocol):
    """An open engine with the databases `events` and `staging`."""

    def execute(self, query: str, parameters: object = ..., /) -> Any: ...

    def register(self, name: str, table: Any, /) -> Any: ...

    def unregister(self, name: str, /) -> Any: ...


def stage(con: Connection, load: EventLoad) -> None:
    """Write the batches into the scratch database."""
    import pyarrow as pa

    body = ", ".join(f'"{c.name}" {EVENT_TYPES[c.kind]}' for c in load.table.columns)
    con.execute(f'CREATE TABLE staging."{load.table.name}" ({body})')
    columns = ", ".join(f'"{c.name}"' for c in load.table.columns)
    for batches in _gathered(load.batches):
        con.register("incoming", pa.Table.from_batches(batches))
        con.execute(f'INSERT INTO staging."{load.table.name}" SELECT {columns} FROM incoming')
        con.unregister("incoming")


def _gathered(batches: "Iterable[pa.RecordBatch]") -> "Iterator[list[pa.RecordBatch]]":
    """The batches in order, in lists of at least `_STAGED_BYTES`; what is left at the end may be less."""
    found: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        found.append(batch)
        size += batch.nbytes
        if size >= _STAGED_BYTES:
            yield found
            found, size = [], 0
    if found:
        yield found


def staged_days(con: Connection, table: EventTable, zone: ZoneInfo) -> dict[date, int]:
    """The local days that occur in the staged rows, with their number of rows."""
    staged = f'staging."{table.name}"'
    # A day in UTC touches at most two local ones. One misdated event would make walking from first to last long.
    dates = [d for (d,) in con.execute(f"SELECT DISTINCT CAST(time AS DATE) FROM {staged}").fetchall()]
    near = {d + timedelta(days=k) for d in dates for k in (-1, 0, 1)}
    rows: dict[date, int] = {}
    for day in sorted(near):
        counted = con.execute(f"SELECT count(*) FROM {staged} WHERE {_WITHIN}", _window(day, zone)).fetchone()
        if counted and counted[0]:
            rows[day] = int(counted[0])
    return rows


def stage_stored(con: Connection, table: EventTable, rows: Mapping[date, int], zone: ZoneInfo) -> None:
    """Add what the warehouse has of those days to the staged rows, so that the day is rewritten sorted."""
    columns = ", ".join(f'"{c.name}"' for c in table.columns)
    for day in rows:
        con.execute(
            f'INSERT INTO staging."{table.name}" SELECT {columns} FROM events."{table.name}" WHERE {_WITHIN}',
            _window(day, zone),
        )


def store(
    con: Connection,
    table: EventTable,
    rows: Mapping[date, int],
    zone: ZoneInfo,
    progress: Callable[[str, int, int], None] | None,
) -> Loaded:
    """Replace those days by the staged rows; part of the caller's transaction."""
    columns = ", ".join(f'"{c.name}"' for c in table.columns)
    for day in rows:
        con.execute(f'DELETE FROM events."{table.name}" WHERE {_WITHIN}', _window(day, zone))
        # OR REPLACE would do both in up to twice the time.
        entry = {"table": table.name, "day": day}
        con.execute(f"DELETE FROM events.{LOADED} WHERE table_name = $table AND event_date = $day", entry)
        # Counted here: with `append` the day has more rows than the files brought.
        con.execute(
            f"INSERT INTO events.{LOADED} SELECT $table, $day, count(*), {UTC_NOW} "
            f'FROM staging."{table.name}" WHERE {_WITHIN}',
            entry | _window(day, zone),
        )
    done = 0
    for run in _runs(rows, _SORTED_ROWS):
        within = {"start": _window(run[0], zone)["start"], "end": _window(run[-1], zone)["end"]}
        con.execute(
            f'INSERT INTO events."{table.name}" ({columns}) '
            f'SELECT {columns} FROM staging."{table.name}" WHERE {_WITHIN} ORDER BY time',
            within,
        )
        done += len(run)
        if progress:
            progress(table.name, done, len(rows))
    return Loaded(table, sum(rows.values()), tuple(rows))


def _runs(rows: Mapping[date, int], enough: int) -> Iterator[list[date]]:
    """The days in order, in runs of at least `enough` rows."""
    run: list[date] = []
    total = 0
    for day, count in rows.items():
        run.append(day)
        total += count
        if total >= enough:
            yield run
            run, total = [], 0
    if run:
        yield run


def _window(day: date, zone: ZoneInfo) -> dict[str, object]:
    window = day_window(day, zone)
    return {"start": window.start, "end": window.end}
