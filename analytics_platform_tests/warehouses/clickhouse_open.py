"""A ClickHouse warehouse for tests, over whichever server a test has.

Belongs here: putting its parts together. Does not: starting a server (`clickhouse_service.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from analytics_platform.metrics.tables import STANDARD_TABLES, ResultTable
from analytics_platform.warehouses.address import ClickHouseAddress, parse
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform.warehouses.clickhouse_client import Limits, Server
from analytics_platform.warehouses.clickhouse_events import sources
from analytics_platform.warehouses.clickhouse_schema import Layout


def open_at(
    url: str,
    *,
    basis: str = "UTC",
    tables: tuple[ResultTable, ...] = STANDARD_TABLES,
    mapping: Mapping[str, str] | None = None,
    events_database: str | None = None,
    limits: Limits | None = None,
    keep_days: int = 0,
    connect: Callable[[Mapping[str, Any]], Any] | None = None,
) -> ClickHouseWarehouse:
    """A warehouse at that address, not prepared yet. `connect` stands in for the connection over HTTP."""
    address = parse(url)
    assert isinstance(address, ClickHouseAddress)
    return ClickHouseWarehouse(
        Server(address, limits or Limits(), connect),
        Layout(address.database, None, keep_days),
        sources(mapping or {}, events_database, address.database),
        basis,
        tables,
    )
