"""A fresh warehouse for every test."""

from pathlib import Path

import pytest

from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.warehouses.rows import open_in


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """Prepared, without events or results."""
    made = open_in(tmp_path)
    made.prepare()
    return made
