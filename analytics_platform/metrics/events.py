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

    UINT32 = "uint32"
    INT16 = "int16"
    INT8 = "int8"
    TEXT = "text"
    TIME = "time"  # UTC


@dataclass(frozen=True)
class Column:
    """One column of an event table.

    A required column must be in every file and have a value in every row. An absent or empty optional
    one becomes `unknown` (text) or NULL (numbers), and `unknown` in every slice.
    """

    name: str
    kind: Kind
    required: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventTable:
    """One table of raw events, grain: one row per event, sorted by `time` (UTC)."""

    name: str
    columns: tuple[Column, ...]

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

EVENT_TABLES: tuple[EventTable, ...] = (FEED_ACTIONS, MESSAGE_ACTIONS)


def arrow_schema(table: EventTable) -> "pa.Schema":
    """The table's columns as Arrow stores them, in order; times are naive microseconds, UTC."""
    import pyarrow as pa

    types = {
        Kind.UINT32: pa.uint32(),
        Kind.INT16: pa.int16(),
        Kind.INT8: pa.int8(),
        Kind.TEXT: pa.string(),
        Kind.TIME: pa.timestamp("us"),
    }
    return pa.schema([(column.name, types[column.kind]) for column in table.columns])
