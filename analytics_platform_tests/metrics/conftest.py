"""What the tests of metrics share: an empty warehouse in files, engines in memory, six weeks of events."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics.catalog import METRICS, Metric
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension
from analytics_platform.metrics.tables import daily_slices_table, user_day_table
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.metrics.app_product import BERLIN, DAY, TABLES, Rewritable
from analytics_platform_tests.metrics.product import Events, InMemory, Product, load, simulated
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


@pytest.fixture(scope="module")
def engine() -> Iterator[Rewritable]:
    """One engine with the app's tables for a module: `app_product.fresh` empties it."""
    with DuckDB(TABLES) as duckdb:
        yield Rewritable(duckdb)


WEEKS = Scenario(
    DAY - timedelta(days=39),
    42,
    120,
    5,
    BERLIN,
    empty_days=frozenset({DAY - timedelta(days=9)}),
    messages_only_days=frozenset({DAY - timedelta(days=4)}),
)


@pytest.fixture(scope="package")
def weeks() -> Events:
    """Six weeks of a small product, with countries enough for `other` in both services."""
    found = simulated(WEEKS)
    names = [f"Country {k}" for k in range(9)]
    for row in (*found.feed, *found.messages):
        # By user and week, so that some change country and the ranks differ over time.
        row["country"] = names[min(8, (row["user_id"] * 7 + row["time"].isocalendar().week // 3) % 13)]
    return found
