"""A fresh warehouse for every test; a filled one, where to copy it, what had been copied before; other processes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests import forked
from analytics_platform_tests.warehouses import worker
from analytics_platform_tests.warehouses.copies import (
    BASIS,
    COMPUTED,
    Whole,
    compute,
    copied,
    events,
    hashes,
    load,
)
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


@pytest.fixture(scope="session")
def whole(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A copy of it to where nothing was. What it wrote is not to be written to: see `twin`."""
    folder = tmp_path_factory.mktemp("whole")
    there, here = Path(shutil.copytree(filled, folder / "source")), folder / "target"
    before, steps = hashes(there), list[tuple[str, int, int]]()
    opened = open_in(there, basis=BASIS), open_in(here, basis=BASIS)
    done = copied(*opened, progress=lambda *step: steps.append(step))
    return Whole(there, here, before, done, steps)


@pytest.fixture
def twin(whole: Whole, tmp_path: Path) -> DuckDBWarehouse:
    """A warehouse that `source` was copied to before, whole."""
    return open_in(Path(shutil.copytree(whole.target, tmp_path / "twin")), basis=BASIS)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a prepared warehouse without events or results, to be copied."""
    folder = tmp_path_factory.mktemp("bare")
    open_in(folder).prepare()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> DuckDBWarehouse:
    """A warehouse that is not there yet, under the same settings."""
    return open_in(tmp_path / "target", basis=BASIS)


@pytest.fixture(scope="package")
def processes() -> Iterator[forked.Parent]:
    """Every other process that works on the same files is a fork of it."""
    with forked.parent(worker.__name__, "analytics_platform.warehouses.duckdb", "duckdb", "pyarrow") as made:
        yield made
