"""Events as another program keeps them in ClickHouse: a database, names and types that are not ours.

Belongs here: its tables, EVENTS_MAPPING for them, our events written in its way. Does not: how they are read
(`warehouses/clickhouse_events.py`).

Times are whole seconds, so what is written here must be (`seconds`). What is unknown is written as NULL, as an empty
text or as nothing at all, whichever the column allows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analytics_platform.metrics.events import METRIC_TABLES, EventTable
from analytics_platform.warehouses.clickhouse_client import Server
from analytics_platform.warehouses.clickhouse_schema import event_columns
from analytics_platform.warehouses.clickhouse_text import quoted

if TYPE_CHECKING:
    import pyarrow as pa

# Each of our columns: theirs, its type, and ours written as theirs. Names like ours need no mapping.
_FEED: Mapping[str, tuple[str, str, str]] = {
    "user_id": ("uid", "UInt64", "user_id"),
    "post_id": ("post_id", "Nullable(Int64)", "post_id"),
    "action": ("what", "Enum8('view' = 1, 'like' = 2, 'share' = 3)", "action"),
    "time": ("at", "DateTime", "toDateTime(time)"),
    "gender": ("gender", "LowCardinality(String)", "ifNull(toString(gender), '')"),
    "age": ("age", "Nullable(Decimal(9, 2))", "age"),
    "country": ("country", "LowCardinality(Nullable(String))", "nullIf(country, 'unknown')"),
    "city": ("city name", "String", "if(city = 'unknown', '', city)"),
    "os": ("os", "LowCardinality(String)", "if(os = 'unknown', '', os)"),
    "source": ("source", "Enum16('' = 0, 'ads' = 1, 'organic' = 300)", "if(source = 'unknown', '', source)"),
    "exp_group": ("exp_group", "Nullable(UInt64)", "exp_group"),
}
_MESSAGES: Mapping[str, tuple[str, str, str]] = {
    "user_id": ("user_id", "UInt64", "user_id"),
    "receiver_id": ("reciever_id", "UInt64", "receiver_id"),
    "time": ("sent at", "DateTime64(3, 'Asia/Kolkata')", "time"),
    "gender": ("gender", "Nullable(Enum8('f' = 0, 'm' = 1))", "CAST(gender AS Nullable(Int8))"),
    "age": ("age", "Nullable(Float32)", "age"),
    "country": ("country", "Nullable(String)", "nullIf(country, 'unknown')"),
    "city": ("city", "LowCardinality(String)", "city"),
    "os": ("os", "FixedString(7)", "if(os = 'unknown', '', os)"),
    "source": ("source", "LowCardinality(Nullable(FixedString(7)))", "nullIf(source, 'unknown')"),
    "exp_group": ("exp_group", "Nullable(Int8)", "exp_group"),
}
_THEIRS = {"feed_actions": ("feed log", _FEED, "at"), "message_actions": ("chat", _MESSAGES, "`sent at`")}


@dataclass(frozen=True)
class Foreign:
    """Their tables in that database."""

    database: str

    @property
    def mapping(self) -> Mapping[str, str]:
        """What EVENTS_MAPPING says of them."""
        return {
            "feed_actions": f"{self.database}.feed log",
            "feed_actions.user_id": "uid",
            "feed_actions.action": "what",
            "feed_actions.time": "at",
            "feed_actions.city": "city name",
            "message_actions": f"{self.database}.chat",
            "message_actions.time": "sent at",
        }

    @property
    def tables(self) -> tuple[str, ...]:
        """Of our event tables, those that are theirs."""
        return tuple(_THEIRS)

    def place(self, table: EventTable) -> str:
        """Their table, for statements."""
        return f"`{self.database}`.`{_THEIRS[table.name][0]}`"

    def create(self, server: Server) -> None:
        """Their database with their tables, empty."""
        server.command(f"DROP DATABASE IF EXISTS `{self.database}` SYNC", name="drop")
        server.command(f"CREATE DATABASE `{self.database}`", name="create")
        for table in METRIC_TABLES:
            _, columns, time = _THEIRS[table.name]
            body = ", ".join(f"`{theirs}` {kind}" for theirs, kind, _ in columns.values())
            server.command(
                f"CREATE TABLE {self.place(table)} ({body}) ENGINE = MergeTree ORDER BY {time}", name="create"
            )

    def write(self, server: Server, table: EventTable, rows: "pa.Table") -> None:
        """Add events (of `arrow_schema`) to their table, as that program would."""
        ours = f"ours_{table.name}"
        kinds = ", ".join(f"{quoted(name)} {kind}" for name, kind in event_columns(table).items())
        server.command(f"CREATE OR REPLACE TABLE `{self.database}`.{ours} ({kinds}) ENGINE = Memory", name="create")
        server.insert(self.database, ours, rows, name="write")
        columns = _THEIRS[table.name][1].values()
        listed = ", ".join(f"`{theirs}`" for theirs, _, _ in columns)
        written = ", ".join(expression for _, _, expression in columns)
        text = f"INSERT INTO {self.place(table)} ({listed}) SELECT {written} FROM `{self.database}`.{ours}"
        server.command(text, name="write")
        server.command(f"DROP TABLE `{self.database}`.{ours} SYNC", name="drop")


def seconds(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The events at whole seconds."""
    return [{**row, "time": row["time"].replace(microsecond=0)} for row in rows]
