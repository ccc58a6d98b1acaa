"""What the assets are given: settings, warehouse, ledgers, progress.

Belongs here: building each from the settings. Does not: anything they do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from analytics_platform.settings import Home, Settings
from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import RunLedger
from analytics_platform.state.slots import Slots
from analytics_platform.state.subscribers import Subscribers
from analytics_platform.warehouses.base import Warehouse


@dataclass(frozen=True)
class Ledgers:
    """The small transactional state: which reports ran, what was sent to whom, what is wrong now.

    Opens its database on first use.
    """

    open: Callable[[], Database] = field(repr=False)

    @cached_property
    def runs(self) -> RunLedger:
        """Which reports ran."""
        return RunLedger(self._database)

    @cached_property
    def problems(self) -> Problems:
        """What is wrong now."""
        return Problems(self._database)

    @cached_property
    def deliveries(self) -> Deliveries:
        """What was sent to whom."""
        return Deliveries(self._database)

    @cached_property
    def subscribers(self) -> Subscribers:
        """Who gets what."""
        return Subscribers(self._database)

    @cached_property
    def slots(self) -> Slots:
        """The pace that all processes keep together."""
        return Slots(self._database, lambda: datetime.now(UTC))

    @cached_property
    def _database(self) -> Database:
        return self.open()


def ledgers_of(home: Home, settings: Settings) -> Ledgers:
    """The ledgers in STATE_URL, else in the home's SQLite file."""
    # Not yet: SQLAlchemy costs 0.2 s to import, and loading the definitions needs no database.
    chosen = settings.state_url
    return Ledgers(lambda: Database(chosen.get_secret_value() if chosen else sqlite_url(home.state)))


if TYPE_CHECKING:
    from analytics_platform.channels.email import MailServer


class Progress(Protocol):
    """Told after each day of long work."""

    def step(self, what: str, done: int, total: int) -> None:
        """`done` of `total` days of `what` are finished."""
        ...


class Quiet:
    """Tells nobody: the run's own log has it."""

    def step(self, what: str, done: int, total: int) -> None:
        """Nothing."""


class DuckDBWarehouseResource(DuckDBResource):
    """dagster-duckdb's settings (`database` = events, `connection_config`), given to assets as our warehouse.

    Its connection is not used: always read-write, it lets even two readers exclude each other, and stays open on error.
    """

    results_database: str = Field(description="path to the DuckDB file of results")
    scratch: str = Field(description="folder for spill files and half-done loads")
    lock_timeout_seconds: float = Field(default=120.0, description="how long to wait for another process's lock")
    basis: str = Field(default="", description="the settings that results depend on")

    def warehouse(self) -> Warehouse:
        """The warehouse over these files."""
        from pathlib import Path

        from analytics_platform.warehouses.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(
            events=Path(self.database),
            results=Path(self.results_database),
            scratch=Path(self.scratch),
            config={name: str(value) for name, value in self.connection_config.items()},
            lock_timeout_seconds=self.lock_timeout_seconds,
            basis=self.basis,
        )

    def create_resource(self, context: dg.InitResourceContext) -> Warehouse:  # noqa: ARG002  (Dagster's signature)
        """Assets get the warehouse itself, so none of them can open a connection by hand."""
        return self.warehouse()


def warehouse_resource(home: Home, settings: Settings) -> DuckDBWarehouseResource:
    """The embedded warehouse of that home."""
    config = {"memory_limit": settings.duckdb_memory_limit}
    if settings.duckdb_threads:
        config["threads"] = str(settings.duckdb_threads)
    return DuckDBWarehouseResource(
        database=str(home.events),
        results_database=str(home.results),
        scratch=str(home.scratch),
        connection_config=config,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        basis=settings.basis,
    )


def mail_server(settings: Settings, host: str, sender: str) -> "MailServer":
    """The mail server of the SMTP settings."""
    from analytics_platform.channels.email import MailServer

    return MailServer(
        host=host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=settings.smtp_password,
        sender=sender,
        timeout_seconds=settings.smtp_timeout_seconds,
        ca_file=settings.smtp_ca_file,
    )
