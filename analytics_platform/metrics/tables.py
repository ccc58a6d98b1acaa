"""The result tables: their columns and types, derived from the catalogue.

Belongs here: shapes that writers, readers and warehouses share. Does not: DDL of an engine (`warehouses/`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from analytics_platform.metrics.catalog import METRICS, Metric, Ratio, user_day_metrics
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, attributes
from analytics_platform.metrics.events import Kind

if TYPE_CHECKING:
    import pyarrow as pa


class Type(StrEnum):
    """Column types of result tables, named after standard SQL; a warehouse maps them to its own."""

    DATE = "DATE"
    USER = "UINT32"
    SMALL = "SMALLINT"
    COUNT = "INTEGER"
    TOTAL = "BIGINT"
    BASE = "BIGINT NULL"  # a total that not every row has
    SHARE = "DOUBLE"
    TEXT = "VARCHAR"
    TIME = "TIMESTAMP"


@dataclass(frozen=True)
class ResultTable:
    """A table of results, partitioned by `event_date` (the local reporting day), replaced a whole day at a time."""

    name: str
    columns: tuple[tuple[str, Type], ...]


def user_day_table(metrics: Iterable[Metric] = METRICS, dimensions: Iterable[Dimension] = DIMENSIONS) -> ResultTable:
    """facts/user_day, one row per user and day with any event."""
    kinds = {Kind.TEXT: Type.TEXT, Kind.INT8: Type.SMALL, Kind.INT16: Type.SMALL}
    return ResultTable(
        "user_day",
        (
            ("event_date", Type.DATE),
            ("user_id", Type.USER),
            *((m.name, Type.COUNT) for m in user_day_metrics(metrics)),
            *((a.name, kinds[a.kind]) for a in attributes(dimensions)),
            # UTC; the user's own last event of the day. NULL for users who only received: what they took from another
            # day is never handed on.
            ("attributes_time", Type.TIME),
        ),
    )


def daily_slices_table(metrics: Iterable[Metric] = METRICS) -> ResultTable:
    """metrics/daily_slices, one row per day, dimension and value; six documented metrics first."""
    return ResultTable(
        "daily_slices",
        (
            ("event_date", Type.DATE),
            ("dimension", Type.TEXT),
            ("dimension_value", Type.TEXT),
            *((m.name, Type.SHARE if isinstance(m, Ratio) else Type.TOTAL) for m in metrics),
        ),
    )


FEED_DAILY = ResultTable(
    "feed_daily",
    (
        ("event_date", Type.DATE),
        ("dau", Type.TOTAL),
        ("views", Type.TOTAL),
        ("likes", Type.TOTAL),
        ("ctr", Type.SHARE),
    ),
)

# One row per post with a view or like, and slice of its audience: the attributes that facts/user_day gives the users
# that day. Distinct posts of any slice are counted here without touching events.
POST_DAY = ResultTable(
    "post_day",
    (
        ("event_date", Type.DATE),
        ("post_id", Type.USER),
        ("source", Type.TEXT),
        ("os", Type.TEXT),
        ("country", Type.TEXT),
        ("views", Type.COUNT),
        ("likes", Type.COUNT),
        ("actions", Type.COUNT),
    ),
)

# First days. An id may have rows on several days, never before its first active one: its first day is the smallest of
# its event_date (see metrics/app_queries.py). `kind`: feed and message (users), post; the attributes are the user's of
# that day.
FIRST_SEEN = ResultTable(
    "first_seen",
    (
        ("event_date", Type.DATE),
        ("kind", Type.TEXT),
        ("id", Type.USER),
        ("source", Type.TEXT),
        ("os", Type.TEXT),
        ("country", Type.TEXT),
    ),
)

# One row per service (app, feed, message), dimension (total, source, os, country) and value with active users, and the
# totals always. Views, likes and posts of the app are the feed's; the messenger has none.
APP_DAILY = ResultTable(
    "app_daily",
    (
        ("event_date", Type.DATE),
        ("service", Type.TEXT),
        ("dimension", Type.TEXT),
        ("dimension_value", Type.TEXT),
        ("dau", Type.TOTAL),
        ("actions", Type.TOTAL),
        ("views", Type.TOTAL),
        ("likes", Type.TOTAL),
        ("active_posts", Type.TOTAL),
    ),
)

# One row per bucket of 15 minutes (`bucket_time`: its start, UTC), service (feed, messenger), watched metric, dimension
# (total and the chosen ones) and value, without gaps: 96 buckets a day, 92 or 100 where the clocks change. `value` is
# NULL for a ratio without a base; `base` is the denominator of a ratio, NULL for counts.
SERIES = ResultTable(
    "series_quarter_hour",
    (
        ("event_date", Type.DATE),
        ("bucket_time", Type.TIME),
        ("service", Type.TEXT),
        ("metric", Type.TEXT),
        ("dimension", Type.TEXT),
        ("dimension_value", Type.TEXT),
        ("value", Type.SHARE),
        ("base", Type.BASE),
    ),
)

# Of the catalogue as it is delivered.
STANDARD_TABLES = (user_day_table(), daily_slices_table(), FEED_DAILY, POST_DAY, FIRST_SEEN, APP_DAILY, SERIES)


def result_schema(table: ResultTable) -> "pa.Schema":
    """The table's columns as Arrow carries them between warehouses, in order; times are naive microseconds, UTC."""
    import pyarrow as pa

    types = {
        Type.DATE: pa.date32(),
        Type.USER: pa.uint32(),
        Type.SMALL: pa.int16(),
        Type.COUNT: pa.int32(),
        Type.TOTAL: pa.int64(),
        Type.BASE: pa.int64(),
        Type.SHARE: pa.float64(),
        Type.TEXT: pa.string(),
        Type.TIME: pa.timestamp("us"),
    }
    return pa.schema([(name, types[kind]) for name, kind in table.columns])
