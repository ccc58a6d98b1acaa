"""What our tables look like in ClickHouse, and the statements that bring a database there.

Belongs here: types, engines, keys, TTL, what is missing. Does not: sending anything, tables of other programs
(`clickhouse_events.py`).

Results are partitioned by day, so that a day is replaced by moving a partition. On a cluster they are replicated, not
sharded: every replica holds all of them, and they are a fraction of the events.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analytics_platform.metrics.events import UNKNOWN, Column, EventTable, Kind
from analytics_platform.metrics.tables import ResultTable, Type
from analytics_platform.warehouses.clickhouse_events import bare, column_type
from analytics_platform.warehouses.clickhouse_text import TIME, literal, quoted

# Days on which a table was written, and days of events as they were last looked at. The newest row of a key counts.
COMPUTED, LOADED = "computed_days", "loaded_days"
STAGED = "staged_"
BEING_COMPUTED = "being computed for "
# Only these two are as long as the events' users and posts; the others are small, and first_seen is a memory.
_EXPIRING = ("user_day", "post_day")

_RESULTS = {
    Type.DATE: "Date",
    Type.USER: "UInt32",
    Type.SMALL: "Nullable(Int16)",
    Type.COUNT: "Int32",
    Type.TOTAL: "Int64",
    Type.BASE: "Nullable(Int64)",
    Type.SHARE: "Nullable(Float64)",
    Type.FLAG: "Nullable(Bool)",
    Type.TEXT: "LowCardinality(String)",
    Type.LONG_TEXT: "Nullable(String)",
    Type.TIME: f"Nullable({TIME})",
}
_VERSION = "UInt64 DEFAULT toUnixTimestamp64Micro(now64(6))"
LEDGERS: Mapping[str, Mapping[str, str]] = {
    COMPUTED: {
        "table_name": "LowCardinality(String)",
        "event_date": "Date",
        "rows": "Int64",
        "computed_at": TIME,
        "basis": "String",
        "version": _VERSION,
    },
    LOADED: {
        "table_name": "LowCardinality(String)",
        "event_date": "Date",
        "rows": "Int64",
        "loaded_at": TIME,
        "newest": f"Nullable({TIME})",
        "version": _VERSION,
    },
}
_EVENTS_KEY = "PARTITION BY toDate(time)"
# Sorted as they are read: facts by user or post within the day, small tables by what names a row.
_ORDER = {
    "user_day": "(event_date, user_id)",
    "post_day": "(event_date, post_id)",
    "first_seen": "(event_date, kind, id)",
    "daily_slices": "(event_date, dimension, dimension_value)",
    "app_daily": "(event_date, service, dimension, dimension_value)",
    "series_quarter_hour": "(event_date, dimension, dimension_value, service, metric)",
    "rankings_popular": "(event_date, mode, ranked_by)",
    "rankings_trending": "(event_date, mode, ranked_by)",
}


@dataclass(frozen=True)
class Layout:
    """Where results live and how: `cluster` makes them replicated; facts are kept `keep_days` days, 0 for ever."""

    database: str
    cluster: str | None = None
    keep_days: int = 0

    @property
    def everywhere(self) -> str:
        """What DDL says to reach every node."""
        return f" ON CLUSTER {quoted(self.cluster)}" if self.cluster else ""

    def engine(self, name: str, *arguments: str) -> str:
        """A MergeTree of that kind, replicated on a cluster.

        Shard and replica together name the copy, so that every node of every shard holds the whole table.
        """
        if not self.cluster:
            return f"{name}({', '.join(arguments)})"
        path = literal("/clickhouse/tables/analytics_platform/{database}/{table}")
        return f"Replicated{name}({', '.join((path, literal('{shard}-{replica}'), *arguments))})"

    def ttl(self, table: str) -> str:
        """The expression after which rows of a table go, or nothing."""
        if not self.keep_days:
            return ""
        if table in _EXPIRING:
            return f"event_date + toIntervalDay({self.keep_days})"
        if table == COMPUTED:  # a day that is gone is not computed
            names = ", ".join(literal(name) for name in _EXPIRING)
            return f"event_date + toIntervalDay({self.keep_days}) WHERE table_name IN ({names})"
        return ""

    def kept(self, ledger: str) -> tuple[str, ...]:
        """The condition under which a row of a ledger is to be believed, if any.

        The server drops expired rows when it merges a table, the ledger's and the facts' at different times: a day
        before, the ledger is believed no more.
        """
        if not self.keep_days or ledger != COMPUTED:
            return ()
        return (f"NOT ({_expired(self.keep_days)})",)


def result_columns(table: ResultTable) -> dict[str, str]:
    """Columns and types of a result table."""
    return {name: _RESULTS[kind] for name, kind in table.columns}


def event_columns(table: EventTable) -> dict[str, str]:
    """Columns and types of an event table of our own."""
    return {c.name: _event_type(c) for c in table.columns}


def wanted(tables: Iterable[ResultTable]) -> dict[str, Mapping[str, str]]:
    """Every table of ours that holds results: columns and types by name."""
    return {**{t.name: result_columns(t) for t in tables}, **LEDGERS}


def create_results(layout: Layout, name: str, columns: Mapping[str, str]) -> str:
    """The statement that makes a result table or ledger."""
    ledger = name in LEDGERS
    engine = layout.engine("ReplacingMergeTree", "version") if ledger else layout.engine("MergeTree")
    order = "(table_name, event_date)" if ledger else _ORDER.get(name, "event_date")
    partition = "" if ledger else " PARTITION BY event_date"
    ttl = f" TTL {layout.ttl(name)}" if layout.ttl(name) else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(layout.database)}.{quoted(name)}{layout.everywhere} ({_body(columns)}) "
        f"ENGINE = {engine}{partition} ORDER BY {order}{ttl}"
    )


def create_events(layout: Layout, table: EventTable) -> str:
    """The statement that makes an event table of our own: a partition a day (UTC), so that a load replaces days."""
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(layout.database)}.{quoted(table.name)}{layout.everywhere} "
        f"({_body(event_columns(table))}) ENGINE = {layout.engine('MergeTree')} "
        f"{_EVENTS_KEY} ORDER BY (toStartOfHour(time), {table.whose})"
    )


def add_column(layout: Layout, name: str, column: str, kind: str) -> str:
    """The statement that adds a column, of a metric new in the catalogue.

    It may be NULL whatever its type: days computed before do not know it, and 0 or nothing would be a figure.
    """
    table = f"{quoted(layout.database)}.{quoted(name)}"
    return f"ALTER TABLE {table}{layout.everywhere} ADD COLUMN IF NOT EXISTS {quoted(column)} {_nullable(kind)}"


def allow_null(layout: Layout, name: str, column: str, kind: str) -> str:
    """The statement after which a column may be NULL."""
    table = f"{quoted(layout.database)}.{quoted(name)}"
    return f"ALTER TABLE {table}{layout.everywhere} MODIFY COLUMN {quoted(column)} {_nullable(kind)}"


def set_ttl(layout: Layout, name: str) -> str:
    """The statement that puts a table's TTL to the setting's."""
    table = f"{quoted(layout.database)}.{quoted(name)}"
    change = f"MODIFY TTL {layout.ttl(name)}" if layout.ttl(name) else "REMOVE TTL"
    return f"ALTER TABLE {table}{layout.everywhere} {change}"


def create_staging(layout: Layout, name: str, staged: str, engine_full: str, what: str = "") -> str:
    """The statement that makes a table of this node alone to collect partitions in, for the one called `name`.

    `engine_full` is what the server says of that one: a partition moves only between tables of the same key. `what`
    of the table is collected goes into the comment.
    """
    key = engine_full[engine_full.index("PARTITION BY") :]
    database = quoted(layout.database)
    return (
        f"CREATE TABLE {database}.{quoted(staged)} AS {database}.{quoted(name)} ENGINE = MergeTree {key} "
        f"COMMENT {literal(f'{being_computed(name, what)} goes when that is done')}"
    )


def being_computed(name: str, what: str = "") -> str:
    """How the comment of a table begins that collects for the one called `name`."""
    return f"{BEING_COMPUTED}{name}{f', {what}' if what else ''};"


def strange_events(table: EventTable, columns: Mapping[str, str], engine_full: str) -> str:
    """In what a table of that name differs from what `create_events` makes; empty when it is ours."""
    for name, kind in event_columns(table).items():
        if name not in columns:
            return f"it has no column {name}"
        if bare(columns[name])[0] != bare(kind.partition(" DEFAULT ")[0])[0]:
            return f"{name} is {columns[name]}, {kind} is needed"
    key = _EVENTS_KEY.removeprefix("PARTITION BY ")
    return "" if f"{_EVENTS_KEY} " in f"{engine_full} " else f"it is not partitioned by {key}"


def _event_type(column: Column) -> str:
    # A text that is NULL where it comes from would be an empty one.
    no_value = f" DEFAULT {literal(UNKNOWN)}" if column.kind is Kind.TEXT and not column.required else ""
    return column_type(column) + no_value


def _nullable(kind: str) -> str:
    if "Nullable(" in kind or " DEFAULT " in kind:
        return kind
    return f"LowCardinality(Nullable({bare(kind)[0]}))" if kind.startswith("LowCardinality") else f"Nullable({kind})"


def ttl_days(engine_full: str) -> int:
    """After how many days a table drops rows, by what the server says of it; 0: never."""
    found = re.search(r" TTL event_date \+ toIntervalDay\((\d+)\)", engine_full)
    return int(found[1]) if found else 0


def forget(layout: Layout, days: int) -> str:
    """The statement that removes the entries of facts that a TTL of that many days has dropped or is about to."""
    table = f"{quoted(layout.database)}.{quoted(COMPUTED)}"
    return f"ALTER TABLE {table}{layout.everywhere} DELETE WHERE {_expired(days)} SETTINGS mutations_sync = 1"


def _expired(days: int) -> str:
    names = ", ".join(literal(name) for name in _EXPIRING)
    # UTC whatever the server's zone is; TTLs go by that zone's days, which may be a day ahead.
    return f"table_name IN ({names}) AND event_date <= toDate(now('UTC')) - {days - 1}"


def _body(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
