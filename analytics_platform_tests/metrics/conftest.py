"""What the tests of metrics share: an empty warehouse in files, and an engine in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics.catalog import METRICS, Metric
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension
from analytics_platform.metrics.tables import daily_slices_table, user_day_table
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.metrics.product import Events, InMemory, Product, load
from analytics_platform_tests.queries.duck import DuckDB

Stored = Callable[..., Product]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """A function: the product over a fresh warehouse that holds those events; one warehouse a test."""

    def make(
        events: Events,
        zone: ZoneInfo,
        metrics: tuple[Metric, ...] = METRICS,
        dimensions: tuple[Dimension, ...] = DIMENSIONS,
    ) -> Product:
        tables = (user_day_table(metrics, dimensions), daily_slices_table(metrics))
        warehouse = DuckDBWarehouse(
            tmp_path / "events.duckdb",
            tmp_path / "results.duckdb",
            tmp_path / "scratch",
            {"threads": "1"},
            result_tables=tables,
        )
        load(warehouse, events, zone)
        return Product(warehouse, zone, metrics, dimensions)

    return make


@pytest.fixture(scope="module")
def memory() -> Iterator[InMemory]:
    """One engine for a module: `start` empties it."""
    with DuckDB((user_day_table(), daily_slices_table())) as engine:
        yield InMemory(engine)
