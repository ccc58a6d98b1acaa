"""A table of events for as long as it is asked, in memory: for events that come from elsewhere than the warehouse.

Belongs here: holding Arrow batches as `events.<table>` and answering the product's own statements. Does not: where the
batches come from (`sources/`), storing anything. Imports DuckDB: import it where it is used.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import duckdb

from analytics_platform.metrics.events import EventTable
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import WarehouseError
from analytics_platform.warehouses.duckdb_schema import EVENT_TYPES

if TYPE_CHECKING:
    import pyarrow as pa


class Scratch:
    """One event table. The same statement gives the same rows as on a warehouse that holds these events."""

    def __init__(self, con: duckdb.DuckDBPyConnection, table: EventTable, rows: int) -> None:
        """See `of`, which opens and closes it."""
        self._con = con
        self._table = table
        self.rows = rows

    @classmethod
    @contextmanager
    def of(
        cls, table: EventTable, batches: "Iterable[pa.RecordBatch]", memory_limit: str, folder: Path | None = None
    ) -> Iterator[Self]:
        """The batches (of `arrow_schema(table)`) as that table, gone at the end; `rows` is their number.

        What exceeds `memory_limit` (DuckDB's: `2GB`) is kept in a new folder within `folder`, or where this machine
        keeps temporary files. Errors of the batches propagate. Raises WarehouseError where the engine cannot do it.
        """
        with tempfile.TemporaryDirectory(prefix="events-", dir=folder) as spill:
            con = _connect(memory_limit, spill)
            try:
                yield cls(con, table, _fill(con, table, batches))
            finally:
                con.close()

    def table(self, query: Query) -> "pa.Table":
        """The answer; moments as naive microseconds, UTC."""
        try:
            # Not `execute`, which keeps a copy of all rows.
            return self._con.sql(query.sql, params=dict(query.params)).to_arrow_table()
        except duckdb.Error as error:
            raise WarehouseError(
                f"query {query.name} on {self._table.name} in memory failed: {_said(error)}"
            ) from error


def _connect(memory_limit: str, spill: str) -> duckdb.DuckDBPyConnection:
    try:
        con = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": memory_limit,
                "temp_directory": spill,
                "autoinstall_known_extensions": "false",
                # More take more memory and CPU, and a million events take one thread seconds.
                "threads": "1",
            },
        )
        con.execute("ATTACH ':memory:' AS events")
    except duckdb.Error as error:
        raise WarehouseError(f"a table in memory cannot be opened: {_said(error)}") from error
    return con


def _fill(con: duckdb.DuckDBPyConnection, table: EventTable, batches: "Iterable[pa.RecordBatch]") -> int:
    import pyarrow as pa

    body = ", ".join(f'"{c.name}" {EVENT_TYPES[c.kind]}' for c in table.columns)
    columns = ", ".join(f'"{c.name}"' for c in table.columns)
    con.execute(f'CREATE TABLE events."{table.name}" ({body})')
    rows = 0
    for batch in batches:
        try:
            con.register("incoming", pa.Table.from_batches([batch]))
            # Only names of our own tables enter the text.
            con.execute(f'INSERT INTO events."{table.name}" SELECT {columns} FROM incoming')
            con.unregister("incoming")
        except duckdb.Error as error:
            raise WarehouseError(f"{table.name} cannot be held in memory: {_said(error)}") from error
        rows += batch.num_rows
    return rows


def _said(error: duckdb.Error) -> str:
    """Without the engine's list of remedies, which are settings of its own."""
    return str(error).partition("\n")[0]
