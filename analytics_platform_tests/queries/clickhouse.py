"""A real ClickHouse inside the test process, holding `events` and `results` as two databases.

Belongs here: table types of ClickHouse, translation of bound parameters, rows as plain Python values.
Does not: what is asked (`cases.py`), the comparison (`test_contract.py`).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

from analytics_platform.metrics.events import EVENT_TABLES, Kind
from analytics_platform.metrics.tables import ResultTable, Type
from analytics_platform.queries import Query
from analytics_platform_tests.queries.ledgers import LEDGERS

# Standard SQL where ClickHouse's own habit differs: NULL for no match, alias shadowing, NULL for no rows.
ANSI = {
    "join_use_nulls": 1,
    "group_by_use_nulls": 1,
    "cast_keep_nullable": 1,
    "prefer_column_name_to_alias": 1,
    "aggregate_functions_null_for_empty": 1,
}

_TIME = "DateTime64(6, 'UTC')"
_KEYS = {Kind.UINT32: "UInt32", Kind.TEXT: "String", Kind.TIME: _TIME}
_ATTRIBUTES = {Kind.INT8: "Nullable(Int8)", Kind.INT16: "Nullable(Int16)", Kind.TEXT: "String"}
_RESULTS = {
    Type.DATE: "Date",
    Type.USER: "UInt32",
    Type.SMALL: "Nullable(Int16)",
    Type.COUNT: "Int32",
    Type.TOTAL: "Int64",
    Type.SHARE: "Nullable(Float64)",
    Type.TEXT: "String",
    Type.TIME: f"Nullable({_TIME})",
}
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")

Row = dict[str, object]


class ClickHouse:
    """One embedded engine, empty at the start. Times go in and come out as naive UTC, as DuckDB has them.

    The engine allows one of itself in a process: close it before opening another.
    """

    def __init__(self, tables: Iterable[ResultTable]) -> None:
        import clickhouse_connect

        self._client: Any = clickhouse_connect.get_client(interface="chdb", settings=ANSI)
        self._columns: dict[str, dict[str, str]] = {}
        for database in ("events", "results"):
            self._client.command(f"DROP DATABASE IF EXISTS {database}")
            self._client.command(f"CREATE DATABASE {database}")
        for events in EVENT_TABLES:
            self._create(
                f"events.{events.name}",
                {c.name: (_KEYS if c.required else _ATTRIBUTES)[c.kind] for c in events.columns},
                "(toDate(time), user_id)",
            )
        for table in (*tables, *LEDGERS.values()):
            database = "events" if table is LEDGERS["loaded_days"] else "results"
            self._create(f"{database}.{table.name}", {c: _RESULTS[t] for c, t in table.columns}, "event_date")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    @property
    def version(self) -> str:
        """The engine's version, as it reports it."""
        return str(self._client.server_version)

    def _create(self, name: str, columns: Mapping[str, str], order: str) -> None:
        body = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        self._client.command(f"CREATE TABLE {name} ({body}) ENGINE = MergeTree ORDER BY {order}")
        self._columns[name] = dict(columns)

    def put(self, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows to `events.<table>` or `results.<table>`."""
        database, table = name.split(".")
        columns = list(self._columns[name])
        values = [[row[column] for column in columns] for row in rows]
        if values:
            self._client.insert(table, values, column_names=columns, database=database)

    def rows(self, query: Query) -> list[Row]:
        """The answer, its `$name` parameters bound by the server."""
        own = query.clickhouse or query.sql
        text = _PARAMETER.sub(lambda m: f"{{{m[1]}:{_type(query.params[m[1]])}}}", own)
        answer = self._client.query(text, parameters={k: _bound(v) for k, v in query.params.items()})
        return [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]


def _type(value: object) -> str:
    """The ClickHouse type of a parameter, from the Python value bound to it."""
    # A datetime is a date as well, so it goes first.
    for kind, name in ((datetime, _TIME), (date, "Date"), (str, "String"), (int, "Int64"), (float, "Float64")):
        if isinstance(value, kind):
            return name
    raise TypeError(f"no ClickHouse parameter type for {value!r}")


def _bound(value: object) -> object:
    # The client would cut a datetime to whole seconds.
    return value.isoformat(sep=" ", timespec="microseconds") if isinstance(value, datetime) else value
