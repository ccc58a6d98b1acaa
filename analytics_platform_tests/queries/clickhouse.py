"""The product's ClickHouse warehouse as one engine of the contract, in this process or on a server.

Belongs here: opening it with its own tables or with events of another program's, filling its tables. Does not:
statements, types, tables (the product's), what is asked (`cases.py`), the comparison (`test_contract.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from analytics_platform.metrics.events import EVENT_TABLES, arrow_schema
from analytics_platform.metrics.tables import ResultTable, result_schema
from analytics_platform.queries import Query
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.queries.foreign import Foreign
from analytics_platform_tests.queries.ledgers import LEDGERS
from analytics_platform_tests.warehouses.clickhouse_open import open_at

# The embedded engine has no address; the database of this one is made in it.
IN_PROCESS = "clickhouse://nowhere/analytics"

Row = dict[str, object]


def embedded(settings: Mapping[str, Any]) -> Any:
    """A client of the engine inside this process, in the place of one over HTTP."""
    import clickhouse_connect

    return clickhouse_connect.get_client(interface="chdb", settings=dict(settings))


class ClickHouse:
    """A warehouse with those result tables, empty at the start, on the server at `url` or in this process without one.

    The embedded engine allows one of itself in a process: close it before opening another. With `others`, the events
    are in another program's tables.
    """

    def __init__(self, tables: Iterable[ResultTable], url: str | None = None, others: Foreign | None = None) -> None:
        self._clients: list[Any] = []
        self._tables = {t.name: t for t in tables}
        self._others = others
        self.warehouse: ClickHouseWarehouse = open_at(
            url or IN_PROCESS,
            tables=tuple(self._tables.values()),
            mapping=others.mapping if others else {},
            connect=None if url else self._connect,
        )
        if others:
            others.create(self.warehouse.server)
        self.warehouse.prepare()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for client in self._clients:
            client.close()

    def _connect(self, settings: Mapping[str, Any]) -> Any:
        self._clients.append(embedded(settings))
        return self._clients[-1]

    def put(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows to `events.<table>` or `results.<table>`."""
        import pyarrow as pa

        table = name.partition(".")[2]
        if table in LEDGERS:
            self.warehouse.ledger(table, rows)
            return
        events = {t.name: t for t in EVENT_TABLES}
        schema = arrow_schema(events[table]) if table in events else result_schema(self._tables[table])
        made = pa.Table.from_pylist([dict(r) for r in rows], schema=schema)
        if self._others and table in self._others.tables:
            self._others.write(self.warehouse.server, events[table], made)
        else:
            self.warehouse.server.insert(self.warehouse.layout.database, table, made, name=f"put_{table}")

    def rows(self, query: Query) -> list[Row]:
        """The answer."""
        return self.warehouse.rows(query)
