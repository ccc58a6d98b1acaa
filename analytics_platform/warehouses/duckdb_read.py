"""How rows leave the embedded warehouse for another one, and how another one's day comes in.

Belongs here: the statements of handing on. Does not: opening files, locks, transactions (`duckdb.py`).

Events are copied into memory of the engine's own, which spills to the scratch folder beyond memory_limit, and handed on
from there. Streamed from the file, they would keep it open, and its writers waiting, for as long as the reader takes:
often another warehouse on the other side of a network. And a file that is written meanwhile would give half a day of
before and half of after.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from analytics_platform.metrics.events import EventTable, arrow_schema
from analytics_platform.metrics.tables import ResultTable, result_schema
from analytics_platform.metrics.windows import Window
from analytics_platform.warehouses.duckdb_schema import COMPUTED, UTC_NOW
from analytics_platform.warehouses.parts import Part

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 131_072  # as the readers of event files have it


class Connection(Protocol):
    """An open engine with the databases `events`, `results`, or both."""

    def execute(self, query: str, parameters: object = ..., /) -> Any: ...

    def sql(self, query: str, *, params: object = ...) -> Any: ...

    def register(self, name: str, table: Any, /) -> Any: ...

    def unregister(self, name: str, /) -> Any: ...


def hold(con: Connection, held: str, table: EventTable, window: Window) -> None:
    """Copy the events of the window into a new database `held` in memory, as of one moment."""
    columns = ", ".join(f'"{c.name}"' for c in table.columns)
    con.execute(f"ATTACH ':memory:' AS {held}")
    con.execute(
        f'CREATE TABLE {held}.rows AS SELECT {columns} FROM events."{table.name}" WHERE time >= $start AND time < $end',
        {"start": window.start, "end": window.end},
    )


def held_batches(con: Connection, held: str, table: EventTable) -> "Iterator[pa.RecordBatch]":
    """What `hold` copied, a batch at a time; needs no file."""
    wanted = arrow_schema(table)
    # Not `execute`, which keeps a copy of all rows before the first is read.
    for batch in con.sql(f"SELECT * FROM {held}.rows").to_arrow_reader(_BATCH_ROWS):
        yield batch if batch.schema.equals(wanted) else batch.cast(wanted)


def stored_rows(con: Connection, table: ResultTable, day: date) -> "pa.Table":
    """The rows of that day in memory, with the schema of `metrics.tables.result_schema`."""
    columns = ", ".join(f'"{name}"' for name, _ in table.columns)
    text = f'SELECT {columns} FROM results."{table.name}" WHERE event_date = $day'
    found: pa.Table = con.sql(text, params={"day": day}).to_arrow_table()
    return found.cast(result_schema(table))


@contextmanager
def incoming(con: Connection, rows: "pa.Table") -> Iterator[None]:
    """The rows as a table `incoming`; around a transaction, for one that failed lets nothing be taken away."""
    con.register("incoming", rows)
    try:
        yield
    finally:
        con.unregister("incoming")


def store(con: Connection, table: ResultTable, day: date, part: Part, basis: str) -> None:
    """Replace the day's rows of that part, or all of them, by the rows `incoming`, which are of that day and part.

    Goes into the caller's transaction.
    """
    columns = ", ".join(f'"{name}"' for name, _ in table.columns)
    within = "".join(f' AND "{name}" = ${name}' for name in part)
    con.execute(f'DELETE FROM results."{table.name}" WHERE event_date = $day{within}', {"day": day, **part})
    con.execute(f'INSERT INTO results."{table.name}" ({columns}) SELECT {columns} FROM incoming')
    entry = {"table": table.name, "day": day}
    # OR REPLACE would do both in up to twice the time.
    con.execute(f"DELETE FROM results.{COMPUTED} WHERE table_name = $table AND event_date = $day", entry)
    con.execute(
        f"INSERT INTO results.{COMPUTED} "
        f'SELECT $table, $day, count(*), {UTC_NOW}, $basis FROM results."{table.name}" WHERE event_date = $day',
        entry | {"basis": basis},
    )
