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
    FLAG = "BOOLEAN"
    TEXT = "VARCHAR"  # few distinct values, never NULL
    LONG_TEXT = "VARCHAR NULL"  # many distinct values: identifiers, addresses, JSON
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

# The ranking of a day as of one moment (`as_of`, UTC). One row per group (`ranked_by`: country or category; `name`),
# whose `video_id` is NULL, and one per video at its top. `score`: see `rankings/plan.py`; `completion_rate`: 0 to 1,
# NULL when no view has one. `breakdown`: JSON, events by type; `countries`: JSON, of a category.
RANKINGS_POPULAR = ResultTable(
    "rankings_popular",
    (
        ("event_date", Type.DATE),
        ("as_of", Type.TIME),
        ("mode", Type.TEXT),
        ("ranked_by", Type.TEXT),
        ("name", Type.LONG_TEXT),
        ("video_id", Type.LONG_TEXT),
        ("position", Type.TOTAL),
        ("score", Type.SHARE),
        ("users", Type.TOTAL),
        ("events", Type.TOTAL),
        ("videos", Type.BASE),
        ("completion_rate", Type.SHARE),
        ("breakdown", Type.LONG_TEXT),
        ("countries", Type.LONG_TEXT),
    ),
)

# The same for what changes: the recent window against the one before. `p_value`: of the rise or fall being noise, NULL
# where it was not tested; `videos_trending`: of a group, how many of its videos rise.
RANKINGS_TRENDING = ResultTable(
    "rankings_trending",
    (
        ("event_date", Type.DATE),
        ("as_of", Type.TIME),
        ("mode", Type.TEXT),
        ("ranked_by", Type.TEXT),
        ("name", Type.LONG_TEXT),
        ("video_id", Type.LONG_TEXT),
        ("position", Type.TOTAL),
        ("trending_score", Type.SHARE),
        ("current_score", Type.SHARE),
        ("previous_score", Type.SHARE),
        ("velocity_percent", Type.SHARE),
        ("trend_direction", Type.TEXT),
        ("p_value", Type.SHARE),
        ("users_recent", Type.TOTAL),
        ("users_previous", Type.TOTAL),
        ("events_recent", Type.TOTAL),
        ("events_previous", Type.TOTAL),
        ("videos_trending", Type.BASE),
        ("countries_recent", Type.LONG_TEXT),
        ("countries_previous", Type.LONG_TEXT),
    ),
)

# One row per visitor with an event in the window [window_start, window_end), UTC; `event_date`: the local day in which
# the window begins. `uuid` names visitor and window. Attributes are those of the visitor's first event in the window;
# `pages`: JSON, distinct, in the order of the first visit; `timestamp`: when the report was made.
VISITOR_REPORTS = ResultTable(
    "visitor_reports",
    (
        ("event_date", Type.DATE),
        ("window_start", Type.TIME),
        ("window_end", Type.TIME),
        ("uuid", Type.LONG_TEXT),
        ("visitor", Type.LONG_TEXT),
        ("n_interactions", Type.TOTAL),
        ("adblock", Type.FLAG),
        ("ip_address", Type.LONG_TEXT),
        ("user_agent", Type.LONG_TEXT),
        ("language", Type.LONG_TEXT),
        ("sender_id", Type.LONG_TEXT),
        ("hash", Type.LONG_TEXT),
        ("first_seen", Type.TIME),
        ("last_seen", Type.TIME),
        ("pages", Type.LONG_TEXT),
        ("distinct_pages", Type.TOTAL),
        ("entry_page", Type.LONG_TEXT),
        ("exit_page", Type.LONG_TEXT),
        ("timestamp", Type.TIME),
    ),
)

# One row per event of the window. `action` is the word that the reports have always had there; `type` the event's own.
EVENT_REPORTS = ResultTable(
    "event_reports",
    (
        ("event_date", Type.DATE),
        ("window_start", Type.TIME),
        ("window_end", Type.TIME),
        ("request_id", Type.LONG_TEXT),
        ("visitor", Type.LONG_TEXT),
        ("page", Type.LONG_TEXT),
        ("action", Type.TEXT),
        ("type", Type.LONG_TEXT),
        ("created", Type.TIME),
        ("timestamp", Type.TIME),
    ),
)

# One row per entry into an e-mail funnel; `event_date`: the local day of `entered_at` (UTC). `seconds_to_purchase`:
# from the entry, NULL without a purchase that counts; `already_customer`: had bought before, so never was to be won.
# No address: who it is stays in the funnels' own tables.
FUNNEL_CONVERSIONS = ResultTable(
    "funnel_conversions",
    (
        ("event_date", Type.DATE),
        ("entry_id", Type.TOTAL),
        ("funnel_type", Type.TEXT),
        ("test_id", Type.BASE),
        ("entered_at", Type.TIME),
        ("seconds_to_purchase", Type.BASE),
        ("already_customer", Type.FLAG),
    ),
)

# Of the catalogue as it is delivered.
METRIC_RESULTS = (user_day_table(), daily_slices_table(), FEED_DAILY, POST_DAY, FIRST_SEEN, APP_DAILY, SERIES)
STANDARD_TABLES = (
    *METRIC_RESULTS,
    RANKINGS_POPULAR,
    RANKINGS_TRENDING,
    VISITOR_REPORTS,
    EVENT_REPORTS,
    FUNNEL_CONVERSIONS,
)


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
        Type.FLAG: pa.bool_(),
        Type.TEXT: pa.string(),
        Type.LONG_TEXT: pa.string(),
        Type.TIME: pa.timestamp("us"),
    }
    return pa.schema([(name, types[kind]) for name, kind in table.columns])
