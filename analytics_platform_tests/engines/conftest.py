"""The two homes, loaded from the same files and computed by one backfill each."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from analytics_platform.metrics.events import EventTable
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.engines.places import FIRST, LAST, Place, place, simulated_files


@dataclass(frozen=True)
class Both:
    """Two homes, and the run that computed all days of each."""

    duckdb: Place
    clickhouse: Place
    runs: tuple[dg.ExecuteInProcessResult, dg.ExecuteInProcessResult]

    @property
    def places(self) -> tuple[Place, Place]:
        """The embedded one first."""
        return self.duckdb, self.clickhouse


@pytest.fixture(scope="session")
def event_files(tmp_path_factory: pytest.TempPathFactory) -> dict[EventTable, list[Path]]:
    """Parquet files by table."""
    return simulated_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="session")
def both(
    tmp_path_factory: pytest.TempPathFactory,
    event_files: dict[EventTable, list[Path]],
    clickhouse_process: ClickHouse,
) -> Both:
    """For reading: computed, and to be left as they are."""
    clickhouse_process.renew()
    url = clickhouse_process.empty_database("engines")
    duckdb = place(tmp_path_factory.mktemp("duckdb"))
    clickhouse = place(tmp_path_factory.mktemp("clickhouse"), url)
    for made in (duckdb, clickhouse):
        made.load(event_files)
    return Both(duckdb, clickhouse, (duckdb.run(FIRST, LAST), clickhouse.run(FIRST, LAST)))
