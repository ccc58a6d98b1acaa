"""What all tests share: settings of the person who runs them do not reach the tests.

Belongs here: pytest-wide fixtures and filters. Does not: fakes and servers of one subject.
"""

import gc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import certifi
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, settings

from analytics_platform.settings import HOME_VARIABLE, Settings
from analytics_platform_tests import clickhouse_service, mysql_service


def pytest_configure(config: pytest.Config) -> None:
    """Dagster's backfill policies are "beta"; the version is pinned, so the notice tells nothing new."""
    config.addinivalue_line("filterwarnings", "ignore::dagster.BetaWarning")
    # By default an example that takes 0.2 s fails, and so do examples that are slow to make: on a busy machine, any.
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
    # Looked for every 700 new objects, cycles cost an eighth of the CPU of all tests; so rarely, they cost 150 MB.
    gc.set_threshold(50_000, 20, 20)
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    _read_dagsters_migrations_once(patch)
    folder = TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    patch.setenv("SSL_CERT_FILE", str(_one_certificate(Path(folder.name))))


def _one_certificate(folder: Path) -> Path:
    """To be trusted instead of all that everybody trusts, which each HTTP client reads for 20 ms; no test asks them."""
    everybody, end = Path(certifi.where()).read_text("utf-8"), "-----END CERTIFICATE-----\n"
    kept = folder / "trusted.pem"
    kept.write_text(everybody.partition(end)[0] + end, "utf-8")
    return kept


def _read_dagsters_migrations_once(patch: pytest.MonkeyPatch) -> None:
    """Each new instance would read forty files up to four times, to learn the name of the last one."""
    known: dict[str, ScriptDirectory] = {}
    read = ScriptDirectory.from_config

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location") or ""
        if not place.startswith("dagster:"):
            return read(config)
        if place not in known:
            known[place] = read(config)
        return known[place]

    patch.setattr(ScriptDirectory, "from_config", staticmethod(from_config))


def pytest_collection_finish() -> None:
    """What was imported for the tests stays to the end, and need not be looked through for what can go."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a test marked `slow` come first, whole: what takes long does not begin when all else is done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (HOME_VARIABLE, "DAGSTER_HOME", *(field.upper() for field in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def clickhouse_process() -> Iterator[clickhouse_service.ClickHouse]:
    """One ClickHouse for all tests of a worker: it takes a second to start."""
    with clickhouse_service.clickhouse() as server:
        yield server


@pytest.fixture
def clickhouse(clickhouse_process: clickhouse_service.ClickHouse) -> clickhouse_service.ClickHouse:
    """The worker's ClickHouse: up, its log empty, nothing to go wrong. Ask it for an `empty_database`."""
    clickhouse_process.renew()
    return clickhouse_process


@pytest.fixture(scope="session")
def mariadb() -> Iterator[mysql_service.MariaDB]:
    """One MariaDB for all tests of a worker. Ask it for an `empty_database`, by a name that no other file uses."""
    with mysql_service.mariadb() as server:
        yield server
