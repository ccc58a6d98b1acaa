"""How many threads the embedded engine takes: one where more would only cost, all on large days, or what it is told."""

from pathlib import Path

import duckdb
import pytest

from analytics_platform.metrics.events import FEED_ACTIONS
from analytics_platform.queries import Query
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.warehouses.rows import DAY, UTC, at, feed

THREADS = Query("threads", "SELECT current_setting('threads') AS n")


def opened(folder: Path, **config: str) -> DuckDBWarehouse:
    return DuckDBWarehouse(folder / "events.duckdb", folder / "results.duckdb", folder / "tmp", config)


def threads(warehouse: DuckDBWarehouse) -> object:
    return warehouse.rows(THREADS)[0]["n"]


@pytest.fixture
def default() -> object:
    """What the engine takes by itself."""
    with duckdb.connect(":memory:") as con:
        [(n,)] = con.execute(THREADS.sql).fetchall()
    return n


def enter(folder: Path, rows: int) -> None:
    """A day of that many events, in the ledger alone."""
    opened(folder).prepare()
    with duckdb.connect(folder / "events.duckdb") as con:
        entry = {"name": FEED_ACTIONS.name, "day": DAY, "rows": rows}
        con.execute("INSERT INTO loaded_days VALUES ($name, $day, $rows, TIMESTAMP '2026-01-01')", entry)


def test_a_warehouse_without_events_and_one_of_small_days_take_one_thread(tmp_path: Path) -> None:
    assert threads(opened(tmp_path)) == 1
    enter(tmp_path, 5_000_000)
    assert threads(opened(tmp_path)) == 1


def test_a_warehouse_of_large_days_takes_all(tmp_path: Path, default: object) -> None:
    enter(tmp_path, 5_000_001)
    assert threads(opened(tmp_path)) == default


def test_what_the_settings_say_stands_whatever_is_done(tmp_path: Path) -> None:
    enter(tmp_path, 5_000_001)
    warehouse = opened(tmp_path, threads="3")
    assert threads(warehouse) == 3
    warehouse.load([feed([at(DAY)])], UTC)
    assert threads(warehouse) == 3


def test_after_a_load_the_size_is_looked_at_anew(tmp_path: Path, default: object) -> None:
    warehouse = opened(tmp_path)
    warehouse.load([feed([at(DAY)])], UTC)
    assert threads(warehouse) == 1
    enter(tmp_path / "large", 5_000_001)
    large = opened(tmp_path / "large")
    assert threads(large) == default
    large.load([feed([at(DAY)])], UTC, append=True)  # that day is small now
    assert threads(large) == 1
