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

from analytics_platform.settings import Home, Settings, SettingsError
from analytics_platform.state.alert_calendar import AlertCalendar
from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.detector_models import DetectorModels
from analytics_platform.state.feedback import Feedback
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.incidents import Incidents
from analytics_platform.state.mutes import Mutes
from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import RunLedger
from analytics_platform.state.schema import FUNNELS
from analytics_platform.state.slots import Slots
from analytics_platform.state.subscribers import Subscribers
from analytics_platform.warehouses.address import ClickHouseAddress, DuckDBAddress, parse
from analytics_platform.warehouses.base import Warehouse


@dataclass(frozen=True)
class Ledgers:
    """The small transactional state: which reports ran, what was sent to whom, what is wrong now.

    Opens its databases on first use: funnels may keep their tables in another.
    """

    open: Callable[[], Database] = field(repr=False)
    open_funnels: Callable[[], Database] = field(repr=False)

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
    def incidents(self) -> Incidents:
        """What is unusual, and how far it was looked for."""
        return Incidents(self._database)

    @cached_property
    def feedback(self) -> Feedback:
        """What people said of incidents."""
        return Feedback(self._database)

    @cached_property
    def calendar(self) -> AlertCalendar:
        """Holidays, releases, expected events."""
        return AlertCalendar(self._database)

    @cached_property
    def mutes(self) -> Mutes:
        """What nobody wants to hear of for a while."""
        return Mutes(self._database)

    @cached_property
    def detector_models(self) -> DetectorModels:
        """What was learned from feedback."""
        return DetectorModels(self._database)

    @cached_property
    def funnels(self) -> FunnelLedger:
        """Who is in which e-mail funnel."""
        return FunnelLedger(self.open_funnels())

    @cached_property
    def _database(self) -> Database:
        return self.open()


def ledgers_of(home: Home, settings: Settings) -> Ledgers:
    """The ledgers in STATE_URL, else in the home's SQLite file."""
    # Not yet: SQLAlchemy costs 0.2 s to import, and loading the definitions needs no database.
    chosen = settings.state_url
    of_funnels = settings.funnel_database_url or chosen
    return Ledgers(
        lambda: Database(chosen.get_secret_value() if chosen else sqlite_url(home.state)),
        lambda: Database(of_funnels.get_secret_value() if of_funnels else sqlite_url(home.state), FUNNELS),
    )


if TYPE_CHECKING:
    import pyarrow as pa

    from analytics_platform.channels.email import MailServer
    from analytics_platform.sources.dynamodb import Account, DynamoSource
    from analytics_platform.sources.dynamodb_reports import Gone
    from analytics_platform.stores.base import Store


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


def engine_of(settings: Settings) -> str:
    """The engine that WAREHOUSE_URL names: `duckdb` or `clickhouse`. Raises SettingsError when it names none."""
    return "clickhouse" if isinstance(_address(settings, None), ClickHouseAddress) else "duckdb"


def warehouse_resource(home: Home, settings: Settings) -> dg.ResourceDefinition | DuckDBWarehouseResource:
    """The warehouse of that home, for assets. Raises SettingsError when it is configured wrongly."""
    address = _address(settings, None)
    if isinstance(address, ClickHouseAddress):
        made = _clickhouse(address, settings)  # no connection yet
        return dg.ResourceDefinition(lambda _: made, description=made.place)
    return _duckdb(address, home, settings)


def warehouse_at(home: Home, settings: Settings, url: str | None = None) -> Warehouse:
    """The warehouse at that address, with this home's settings; the home's own without one.

    Raises SettingsError when the address or what belongs to it is wrong. Opens nothing yet.
    """
    address = _address(settings, url)
    if isinstance(address, ClickHouseAddress):
        return _clickhouse(address, settings)
    return _duckdb(address, home, settings).warehouse()


def _address(settings: Settings, url: str | None) -> DuckDBAddress | ClickHouseAddress | None:
    chosen = url or (settings.warehouse_url.get_secret_value() if settings.warehouse_url else None)
    if chosen is None:
        return None
    try:
        return parse(chosen)
    except ValueError as error:
        # The address itself may hold a password that nothing recognises as one.
        where = "the address of the warehouse" if url else "WAREHOUSE_URL"
        raise SettingsError(f"{where}: {error}.") from None


def _duckdb(address: DuckDBAddress | None, home: Home, settings: Settings) -> DuckDBWarehouseResource:
    if settings.events_mapping or settings.events_database:
        name = "EVENTS_MAPPING" if settings.events_mapping else "EVENTS_DATABASE"
        raise SettingsError(f"{name}: the embedded warehouse holds events of its own; it is for ClickHouse.")
    config = {"memory_limit": settings.duckdb_memory_limit}
    if settings.duckdb_threads:
        config["threads"] = str(settings.duckdb_threads)
    return DuckDBWarehouseResource(
        database=str(address.folder / home.events.name if address else home.events),
        results_database=str(address.folder / home.results.name if address else home.results),
        scratch=str(home.scratch),
        connection_config=config,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        basis=settings.basis,
    )


def _clickhouse(address: ClickHouseAddress, settings: Settings) -> Warehouse:
    from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
    from analytics_platform.warehouses.clickhouse_client import Limits, Server
    from analytics_platform.warehouses.clickhouse_events import sources
    from analytics_platform.warehouses.clickhouse_schema import Layout

    try:
        found = sources(settings.events_mapping, settings.events_database, address.database)
    except ValueError as error:
        raise SettingsError(f"EVENTS_MAPPING: {error}.") from None
    limits = Limits(
        settings.clickhouse_memory_bytes, settings.clickhouse_time_limit_seconds, settings.clickhouse_connect_seconds
    )
    layout = Layout(address.database, settings.clickhouse_cluster, settings.facts_keep_days)
    return ClickHouseWarehouse(Server(address, limits), layout, found, settings.basis)


def store_of(settings: Settings) -> "Store | None":
    """Where rankings are published; None without REDIS_URL. Raises StoreError for an address that is none.

    Connects to nothing yet.
    """
    if settings.redis_url is None:
        return None
    from analytics_platform.stores.redis import RedisStore

    return RedisStore(settings.redis_url, prefix=settings.redis_prefix, ca_file=settings.redis_ca_file)


def visits_of(settings: Settings, progress: Callable[[int, int], None] | None = None) -> "DynamoSource | None":
    """Where page events are read from; None: from the warehouse. Raises SettingsError for settings that lack something.

    Connects to nothing yet. `progress` is told, page by page, how many items were looked at and how many are events of
    the window.
    """
    if settings.visits_source == "warehouse":
        return None
    if settings.dynamodb_table is None and settings.dynamodb_access != "export":
        raise SettingsError("VISITS_SOURCE is dynamodb: set DYNAMODB_TABLE to the table of page events.")
    for access, variable, value in (
        ("index", "DYNAMODB_INDEX", settings.dynamodb_index),
        ("export", "DYNAMODB_EXPORT", settings.dynamodb_export),
    ):
        if settings.dynamodb_access == access and value is None:
            raise SettingsError(f"DYNAMODB_ACCESS is {access}: set {variable}.")
    from analytics_platform.sources.dynamodb import Access, DynamoSource

    try:
        return DynamoSource(
            settings.dynamodb_table or "",
            region=settings.dynamodb_region,
            endpoint_url=settings.dynamodb_endpoint_url,
            access=Access(settings.dynamodb_access),
            time_attribute=settings.dynamodb_time_attribute,
            index=settings.dynamodb_index,
            bucket_attribute=settings.dynamodb_bucket_attribute,
            range_attribute=settings.dynamodb_range_attribute,
            shards=settings.dynamodb_shards,
            segments=settings.dynamodb_segments,
            export=settings.dynamodb_export,
            skip_bad=settings.dynamodb_on_error == "skip",
            progress=progress,
        )
    except ValueError as error:
        raise SettingsError(f"DYNAMODB_ACCESS is {settings.dynamodb_access}: {error}.") from None


@dataclass(frozen=True)
class WriteBack:
    """Where visitor reports go besides the warehouse: two tables in DynamoDB."""

    account: "Account"
    visitor_table: str
    event_table: str

    def write(self, visitors: "pa.Table", events: "pa.Table", gone: "Gone") -> None:
        """Put the reports of a window, and take away what is gone of earlier ones. Raises DynamoError."""
        from analytics_platform.sources.dynamodb_reports import write_reports

        write_reports(
            self.account, self.visitor_table, self.event_table, visitor_rows=visitors, event_rows=events, gone=gone
        )

    def check(self) -> str:
        """Whether that can be done, in words. Raises DynamoError when it cannot."""
        from analytics_platform.sources.dynamodb_reports import check_reports

        return check_reports(self.account, self.visitor_table, self.event_table)


def write_back_of(settings: Settings) -> WriteBack | None:
    """Where reports are written back; None when no table is named. Raises SettingsError when only one is."""
    visitors, events = settings.dynamodb_visitor_reports, settings.dynamodb_event_reports
    if visitors is None and events is None:
        return None
    if visitors is None or events is None:
        lacking = "DYNAMODB_EVENT_REPORTS" if events is None else "DYNAMODB_VISITOR_REPORTS"
        raise SettingsError(f"{lacking} is not set: reports are written back to both tables, or to none.")
    from analytics_platform.sources.dynamodb import Account

    return WriteBack(Account(settings.dynamodb_region, settings.dynamodb_endpoint_url), visitors, events)


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
