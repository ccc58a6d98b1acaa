"""A database of state of each kind: an SQLite file, and one on a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import RunLedger
from analytics_platform_tests import services


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """One server for all tests."""
    with services.postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return str(sqlite_url(tmp_path / "folder of its own" / "state.db"))
    server: services.Postgres = request.getfixturevalue("postgres")
    return server.empty_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An empty database, not yet prepared."""
    found = Database(url)
    yield found
    found.close()


@pytest.fixture
def ledger(database: Database) -> RunLedger:
    """An empty run ledger."""
    return RunLedger(database)


@pytest.fixture
def problems(database: Database) -> Problems:
    """No problems yet."""
    return Problems(database)
