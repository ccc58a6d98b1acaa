"""The event tables: their columns, types and the spellings accepted for them.

Belongs here: the shape of raw events, shared by loader, generator, warehouses and checks.
Does not: metrics computed from events (`catalog.py`), parsing of files (`sources/files.py`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class Kind(StrEnum):
    """How a column's values are read and stored."""

    UINT64 = "uint64"
    UINT32 = "uint32"
    INT64 = "int64"
    INT16 = "int16"
    INT8 = "int8"
    FLOAT = "float"  # 64 bits
    BOOL = "bool"
    TEXT = "text"  # few distinct values
    LONG_TEXT = "long_text"  # many distinct values: identifiers, addresses, JSON
    TIME = "time"  # UTC


@dataclass(frozen=True)
class Column:
    """One column of an event table.

    A required column must be in every file and have a value in every row. An absent or empty optional
    one becomes `unknown` (text) or NULL (all others), and `unknown` in every slice.
    """

    name: str
    kind: Kind
    required: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventTable:
    """One table of raw events, grain: one row per event, sorted by `time` (UTC).

    `whose`: the column that says whose the event is; within an hour, a server keeps its events together. `optional`:
    where other programs keep the events, the table need not be there; it is empty then.
    """

    name: str
    columns: tuple[Column, ...]
    whose: str = "user_id"
    optional: bool = False

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")


UNKNOWN = "unknown"

_ATTRIBUTES = (
    Column("gender", Kind.INT8),
    Column("age", Kind.INT16),
    Column("country", Kind.TEXT),
    Column("city", Kind.TEXT),
    Column("os", Kind.TEXT),
    Column("source", Kind.TEXT),
    Column("exp_group", Kind.INT8),
)

FEED_ACTIONS = EventTable(
    "feed_actions",
    (
        Column("user_id", Kind.UINT32, required=True),
        Column("post_id", Kind.UINT32, required=True),
        Column("action", Kind.TEXT, required=True),
        Column("time", Kind.TIME, required=True),
        *_ATTRIBUTES,
    ),
)

MESSAGE_ACTIONS = EventTable(
    "message_actions",
    (
        Column("user_id", Kind.UINT32, required=True),
        # The misspelling is in the source data of every edition up to mid-2023.
        Column("receiver_id", Kind.UINT32, required=True, aliases=("reciever_id",)),
        Column("time", Kind.TIME, required=True),
        *_ATTRIBUTES,
    ),
)

# What people do with videos. Who is not logged in is known by a session.
USER_EVENTS = EventTable(
    "user_events",
    (
        Column("event_id", Kind.UINT64, required=True),
        Column("event_type", Kind.TEXT, required=True),
        Column("time", Kind.TIME, required=True, aliases=("timestamp",)),
        Column("user_type", Kind.TEXT),  # authenticated, anonymous
        Column("cagnotte_id", Kind.LONG_TEXT),
        Column("video_id", Kind.LONG_TEXT),
        Column("post_id", Kind.LONG_TEXT),
        Column("category", Kind.TEXT, aliases=("id_categorie",)),
        Column("country", Kind.TEXT, aliases=("pays",)),
        Column("user_id", Kind.LONG_TEXT),
        Column("phone", Kind.LONG_TEXT),
        Column("session_id", Kind.LONG_TEXT),
        Column("video_duration", Kind.FLOAT),  # seconds
        Column("watch_duration", Kind.FLOAT),  # seconds
        Column("completion_rate", Kind.FLOAT),  # 0 to 1
        Column("device", Kind.TEXT),
        Column("video_width", Kind.INT64),
        Column("video_height", Kind.INT64),
        Column("file_size", Kind.INT64),  # bytes
        Column("mime_type", Kind.TEXT),
        Column("thumbnail_url", Kind.LONG_TEXT),
        Column("skip_time", Kind.FLOAT),  # seconds
        Column("raw_data", Kind.LONG_TEXT),  # JSON
        Column("inserted_at", Kind.TIME),
    ),
    whose="event_type",
    optional=True,
)

# Pages that visitors of a site open, as its events.json or its DynamoDB table has them.
PAGE_EVENTS = EventTable(
    "page_events",
    (
        Column("request_id", Kind.LONG_TEXT, required=True),
        Column("time", Kind.TIME, required=True, aliases=("created",)),
        Column("visitor", Kind.LONG_TEXT, required=True),
        Column("type", Kind.LONG_TEXT),  # the event's: page
        Column("pathname", Kind.LONG_TEXT),
        Column("language", Kind.LONG_TEXT),
        Column("adblock", Kind.BOOL),
        Column("ip_address", Kind.LONG_TEXT),
        Column("user_agent", Kind.LONG_TEXT),
        Column("navigator_platform", Kind.LONG_TEXT),
        Column("hash", Kind.LONG_TEXT),
        Column("sender_id", Kind.LONG_TEXT),  # the visitor's
        Column("property", Kind.LONG_TEXT),
        Column("property_type", Kind.LONG_TEXT),  # website
        Column("domain", Kind.LONG_TEXT),
        Column("provider", Kind.LONG_TEXT),
        Column("metadata", Kind.LONG_TEXT),  # the property's, JSON
        Column("id", Kind.LONG_TEXT),  # the account's
        Column("name", Kind.LONG_TEXT),
        Column("other", Kind.LONG_TEXT),  # JSON: fields of the event that have no column
    ),
    whose="visitor",
    optional=True,
)

# What metrics are computed from; their attributes of users are the same.
METRIC_TABLES: tuple[EventTable, ...] = (FEED_ACTIONS, MESSAGE_ACTIONS)
EVENT_TABLES: tuple[EventTable, ...] = (*METRIC_TABLES, USER_EVENTS, PAGE_EVENTS)


def arrow_schema(table: EventTable) -> "pa.Schema":
    """The table's columns as Arrow stores them, in order; times are naive microseconds, UTC."""
    import pyarrow as pa

    types = {
        Kind.UINT64: pa.uint64(),
        Kind.UINT32: pa.uint32(),
        Kind.INT64: pa.int64(),
        Kind.INT16: pa.int16(),
        Kind.INT8: pa.int8(),
        Kind.FLOAT: pa.float64(),
        Kind.BOOL: pa.bool_(),
        Kind.TEXT: pa.string(),
        Kind.LONG_TEXT: pa.string(),
        Kind.TIME: pa.timestamp("us"),
    }
    return pa.schema([(column.name, types[column.kind]) for column in table.columns])
