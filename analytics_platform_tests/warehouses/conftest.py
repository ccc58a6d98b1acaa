"""A fresh warehouse for every test; a filled one, and where to copy it."""

import shutil
from pathlib import Path

import pytest

from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.warehouses.copies import BASIS, COMPUTED, compute, events, load
from analytics_platform_tests.warehouses.rows import open_in


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """Prepared, without events or results."""
    made = open_in(tmp_path)
    made.prepare()
    return made


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a warehouse with events and results, to be copied."""
    folder = tmp_path_factory.mktemp("filled")
    warehouse = open_in(folder, basis=BASIS)
    load(warehouse, events())
    compute(warehouse, COMPUTED)
    return folder


@pytest.fixture
def source(filled: Path, tmp_path: Path) -> DuckDBWarehouse:
    """A copy of it."""
    return open_in(Path(shutil.copytree(filled, tmp_path / "source")), basis=BASIS)


@pytest.fixture
def target(tmp_path: Path) -> DuckDBWarehouse:
    """A warehouse that is not there yet, under the same settings."""
    return open_in(tmp_path / "target", basis=BASIS)
