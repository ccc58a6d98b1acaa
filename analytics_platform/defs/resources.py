"""What the assets are given: settings, warehouse, artifacts, channels, progress.

Belongs here: building each from the settings. Does not: anything they do.
"""

from collections.abc import Sequence
from typing import Protocol

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from analytics_platform.channels.base import Channel, ChannelError
from analytics_platform.settings import Home, Settings
from analytics_platform.warehouses.base import Warehouse


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


def configured_channels(home: Home, settings: Settings) -> Sequence[Channel]:
    """The channel that DELIVERY_CHANNEL and the Telegram settings choose. ChannelError names a missing setting."""
    if settings.delivers_to == "folder":
        from analytics_platform.channels.folder import FolderChannel

        return (FolderChannel(home.outbox),)
    if settings.telegram_bot_token is None or not settings.telegram_chat_ids:
        raise ChannelError("DELIVERY_CHANNEL is telegram: set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_IDS")
    from analytics_platform.channels.telegram import TelegramChannel

    return (
        TelegramChannel(settings.telegram_bot_token, settings.telegram_chat_ids, api_url=settings.telegram_api_url),
    )


def channels_resource(home: Home, settings: Settings) -> dg.ResourceDefinition:
    """The configured channels, built when a report is delivered: the telegram library costs half a second to import."""
    return dg.ResourceDefinition(
        lambda _: configured_channels(home, settings), description="where reports go: Telegram or a folder"
    )
