"""A database of state of each kind: an SQLite file, and one on a real PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.models import REVISION
from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import RunLedger
from analytics_platform_tests import forked, services
from analytics_platform_tests.forked import Parent, Process, answer, tell
from analytics_platform_tests.scripted import new_database

# `with started(url, [job, argument, ...], ...) as processes`
Started = Callable[..., AbstractContextManager[list[Process]]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """One server for all tests."""
    with services.postgres() as server:
        yield server


# What these test is how a database comes to its tables; to all others they are given.
_BARE = ("test_database", "test_migrations")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without rows; where it is not what is tested, with its tables."""
    bare = request.module.__name__.rpartition(".")[2] in _BARE
    if request.param == "sqlite":
        path = tmp_path / "folder of its own" / "state.db"
        if not bare:
            path.parent.mkdir()
            new_database(path).close()
        return str(sqlite_url(path))
    server: services.Postgres = request.getfixturevalue("postgres")
    return server.empty_database() if bare else server.cleared_database("prepared", _prepare, REVISION.name)


def _prepare(url: str) -> None:
    database = Database(url)
    database.prepare()
    database.close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A database without rows."""
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


@pytest.fixture(scope="session")
def parent() -> Iterator[Parent]:
    """All other processes are forks of it."""
    names = [f"{__package__}.{worker}" for worker in ("worker", "delivery_worker", "incident_worker")]
    used = ("alembic.autogenerate", "alembic.command", "psycopg", "sqlalchemy.dialects.postgresql.psycopg")
    with forked.parent(*names, *used, "sqlalchemy.dialects.sqlite") as made:
        yield made


@pytest.fixture(scope="session")
def worker() -> str:
    """The module whose `main` they call."""
    return "worker"


@pytest.fixture
def started(parent: Parent, worker: str) -> Started:
    """The processes, once each has said its first word; whatever happens, none is left running."""

    @contextmanager
    def start(url: str, *commands: list[str]) -> Iterator[list[Process]]:
        processes: list[Process] = []
        try:
            for command in commands:
                processes.append(parent.start(f"{__package__}.{worker}:main", *command))
                tell(processes[-1], url)
            for process in processes:
                assert answer(process) in ("ready", "holding")
            yield processes
        finally:
            for process in processes:
                process.end()

    return start
