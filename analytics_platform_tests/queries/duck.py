"""DuckDB in memory, holding `events` and `results` as two databases: for contracts and for many small cases.

Belongs here: what stands in for the files of the embedded warehouse. Does not: files and locks, which
`warehouses/duckdb.py` is tested with itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from analytics_platform.metrics.events import EVENT_TABLES, arrow_schema
from analytics_platform.metrics.tables import ResultTable, result_schema
from analytics_platform.queries import Query
from analytics_platform_tests.queries.ledgers import LEDGERS

Row = dict[str, object]


class DuckDB:
    """One engine in memory with those result tables, empty at the start. Times are naive UTC."""

    def __init__(self, tables: Iterable[ResultTable]) -> None:
        # One thread: the tables are tiny, and a pool of threads costs more than the queries.
        self._con = duckdb.connect(":memory:", config={"threads": "1"})
        self._schemas = {f"events.{t.name}": arrow_schema(t) for t in EVENT_TABLES}
        for table in (*tables, *LEDGERS.values()):
            database = "events" if table is LEDGERS["loaded_days"] else "results"
            self._schemas[f"{database}.{table.name}"] = result_schema(table)
        for database in ("events", "results"):
            self._con.execute(f"ATTACH ':memory:' AS {database}")
        for name, schema in self._schemas.items():
            self._con.register("shape", schema.empty_table())
            self._con.execute(f"CREATE TABLE {name} AS SELECT * FROM shape")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._con.close()

    def clear(self) -> None:
        """Empty every table."""
        for name in self._schemas:
            self._con.execute(f"DELETE FROM {name}")

    def remove(self, name: str, day: date | None = None, ledger_of: str = "") -> None:
        """Delete all rows of a table, or those of a day; of a ledger, those of one result table."""
        only = {"event_date": day, "table_name": ledger_of}
        bound = {column: value for column, value in only.items() if value}
        where = " AND ".join(f"{column} = ${column}" for column in bound)
        self._con.execute(f"DELETE FROM {name}{f' WHERE {where}' if where else ''}", bound)

    def put(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows to `events.<table>` or `results.<table>`."""
        self._con.register("incoming", pa.Table.from_pylist([dict(r) for r in rows], schema=self._schemas[name]))
        self._con.execute(f"INSERT INTO {name} SELECT * FROM incoming")
        self._con.unregister("incoming")

    def write(self, table: ResultTable, query: Query) -> None:
        """Add the query's rows to that result table, by column name as warehouses do."""
        columns = ", ".join(name for name, _ in table.columns)
        text = f"INSERT INTO results.{table.name} ({columns}) SELECT {columns} FROM ({query.sql})"
        self._con.execute(text, dict(query.params))

    def rows(self, query: Query) -> list[Row]:
        """The answer."""
        cursor = self._con.execute(query.sql, dict(query.params))
        names = [c[0] for c in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
