"""A database of state of each kind: an SQLite file, one on a real PostgreSQL, for funnels one on a real MariaDB too."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.models import REVISION
from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import RunLedger
from analytics_platform.state.schema import FUNNELS
from analytics_platform_tests import forked, mysql_service, services
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
def funnel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables of funnels, to be copied."""
    path = tmp_path_factory.mktemp("funnels") / "state.db"
    _prepare_funnels(str(sqlite_url(path)))
    return path


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with nothing in it, also of the kind that only funnels can be kept in."""
    if request.param == "sqlite":
        return str(sqlite_url(tmp_path / "folder of its own" / "state.db"))
    server: services.Postgres | mysql_service.MariaDB
    server = request.getfixturevalue("postgres" if request.param == "postgresql" else "mariadb")
    return server.empty_database("bare_funnels")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def funnel_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with the tables of funnels, without rows."""
    if request.param == "sqlite":
        path = tmp_path / "state.db"
        path.write_bytes(request.getfixturevalue("funnel_file").read_bytes())
        return str(sqlite_url(path))
    if request.param == "postgresql":
        postgres: services.Postgres = request.getfixturevalue("postgres")
        return postgres.cleared_database("funnels", _prepare_funnels, FUNNELS.revision_table)
    mariadb: mysql_service.MariaDB = request.getfixturevalue("mariadb")
    if (url := mariadb.cleared_database("funnels", FUNNELS.revision_table)) is None:
        # Of a charset and rules that are not those that the tables need.
        url = mariadb.empty_database("funnels", "latin1", "latin1_swedish_ci")
        _prepare_funnels(url)
    return url


def _prepare_funnels(url: str) -> None:
    database = Database(url, FUNNELS)
    database.prepare()
    database.close()


@pytest.fixture
def funnel_database(funnel_url: str) -> Iterator[Database]:
    """A database of funnels without rows."""
    found = Database(funnel_url, FUNNELS)
    yield found
    found.close()


@pytest.fixture
def funnels(funnel_database: Database) -> FunnelLedger:
    """Nobody is in a funnel."""
    return FunnelLedger(funnel_database)


@pytest.fixture(scope="session")
def parent() -> Iterator[Parent]:
    """All other processes are forks of it."""
    names = [f"{__package__}.{worker}" for worker in ("worker", "delivery_worker", "incident_worker", "funnel_worker")]
    used = ("alembic.autogenerate", "alembic.command", "psycopg", "sqlalchemy.dialects.postgresql.psycopg")
    dialects = ("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.mysql.pymysql", "pymysql")
    with forked.parent(*names, *used, *dialects) as made:
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
