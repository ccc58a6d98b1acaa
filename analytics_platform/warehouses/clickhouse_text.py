"""Our statements as ClickHouse takes them: its session settings, parameters and names of tables.

Belongs here: pure text. Does not: sending it (`clickhouse_client.py`), DDL (`clickhouse_schema.py`).
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from analytics_platform.queries import Query

if TYPE_CHECKING:
    import pyarrow as pa

# Standard SQL where ClickHouse's own habit differs: NULL for no match, alias shadowing, NULL for no rows.
ANSI: Mapping[str, int | str] = {
    "join_use_nulls": 1,
    "group_by_use_nulls": 1,
    "cast_keep_nullable": 1,
    "prefer_column_name_to_alias": 1,
    "aggregate_functions_null_for_empty": 1,
    # Events may be a Distributed table: a subquery in its condition is asked once and sent to every shard.
    "distributed_product_mode": "global",
    # Whatever the server's or the user's profile says: moments are read as UTC, rows are there when we are told so, and
    # the same rows inserted again are no mistake.
    "session_timezone": "UTC",
    "async_insert": 0,
    "insert_deduplicate": 0,
    "max_partitions_per_insert_block": 0,
}

TIME = "DateTime64(6, 'UTC')"
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")
_TABLE = re.compile(r"\b(?:events|results)\.[a-z_][a-z0-9_]*\b")


def quoted(name: str) -> str:
    """An identifier, whatever is in it."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def unquoted(place: str) -> str:
    """The table's name of a quoted `database.table` made here."""
    return place.rpartition(".")[2].strip("`")


def literal(text: str) -> str:
    """A string literal, for DDL: it takes no bound parameters."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def statement(query: Query, places: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    """The text with typed parameters, `events.x` and `results.x` replaced by what `places` says, and the bound values.

    Raises TypeError for a value that no parameter type is known for, KeyError for a table that has no place.
    """
    text = query.clickhouse or query.sql
    text = _PARAMETER.sub(lambda m: f"{{{m[1]}:{_type(query.params[m[1]])}}}", text)
    used = set(re.findall(r"\{([a-z_][a-z0-9_]*):", text))
    text = _TABLE.sub(lambda m: places[m[0]], text)
    return text, {name: _bound(value) for name, value in query.params.items() if name in used}


def _type(value: object) -> str:
    # A datetime is a date as well, and a bool an int, so they go first.
    kinds = ((datetime, TIME), (date, "Date"), (bool, "Bool"), (str, "String"), (int, "Int64"), (float, "Float64"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    raise TypeError(f"no ClickHouse parameter type for {value!r}")


def _bound(value: object) -> object:
    # The client would cut a datetime to whole seconds.
    return value.isoformat(sep=" ", timespec="microseconds") if isinstance(value, datetime) else value


def plain(value: object) -> object:
    """A value of an answer as the platform has it: moments as naive UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def aware(value: object) -> object:
    """A value for the client to insert: it would take a naive moment for one of this machine's zone."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def plain_table(table: "pa.Table") -> "pa.Table":
    """An answer in Arrow as the platform has it: texts as texts, moments as naive UTC to the microsecond."""
    import pyarrow as pa

    def of(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_timestamp(kind):
            return pa.timestamp("us")
        return pa.string() if pa.types.is_dictionary(kind) or pa.types.is_binary(kind) else kind

    return table.cast(pa.schema([(field.name, of(field.type)) for field in table.schema]))
