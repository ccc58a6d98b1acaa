"""METRICS: every figure the platform knows. To add a metric, add one entry; tables, slices, checks and exports follow.

Belongs here: definitions only, as data. Does not: SQL statements (`queries/`), slicing attributes (`dimensions.py`).
Conditions (`where`) are SQL over the event table's own columns, in the standard subset that both engines share.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from analytics_platform.metrics.events import EVENT_TABLES


class Source(StrEnum):
    """Whose events are counted for a user."""

    FEED = "feed"  # the user's own rows of feed_actions
    SENT = "sent"  # rows of message_actions the user sent
    RECEIVED = "received"  # rows of message_actions the user received


@dataclass(frozen=True)
class Count:
    """Events. Grain in facts/user_day: events of a user and day; in a slice: their sum."""

    name: str
    source: Source
    about: str
    where: str = "true"


@dataclass(frozen=True)
class DistinctPerUser:
    """Distinct values of `column` among a user's events of a day; a slice holds the sum over its users.

    That sum counts a value once per user, not once per slice: two users who write to the same person make 2.
    """

    name: str
    source: Source
    column: str
    about: str
    where: str = "true"


@dataclass(frozen=True)
class Distinct:
    """Distinct users of a slice and day, exact: facts/user_day has one row per user and day.

    `where` is a condition over the columns of facts/user_day. Never add these up over slices or services.
    """

    name: str
    about: str
    where: str = "true"


@dataclass(frozen=True)
class Ratio:
    """numerator / denominator, taken after summing; NULL where the denominator is 0 or missing."""

    name: str
    numerator: str
    denominator: str
    about: str


Metric = Count | DistinctPerUser | Distinct | Ratio

METRICS: tuple[Metric, ...] = (
    Count("views", Source.FEED, "posts viewed in the feed", "action = 'view'"),
    Count("likes", Source.FEED, "posts liked in the feed", "action = 'like'"),
    Count("messages_received", Source.RECEIVED, "messages received"),
    Count("messages_sent", Source.SENT, "messages sent"),
    DistinctPerUser("users_received", Source.RECEIVED, "user_id", "distinct people a user got messages from"),
    DistinctPerUser("users_sent", Source.SENT, "receiver_id", "distinct people a user wrote to"),
    Distinct("active_users", "users with any event: feed, sent or received"),
    Count("feed_actions", Source.FEED, "all feed events, whatever the action"),
    Distinct("feed_users", "users with at least one feed event", "feed_actions > 0"),
    Distinct("senders", "users who sent at least one message", "messages_sent > 0"),
    Ratio("ctr", "likes", "views", "likes per view"),
)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Names that tables and statements use themselves; a metric of that name would read something else.
_KEYS = {"event_date", "dimension", "dimension_value", "attributes_time"}
_EVENT_COLUMNS = {column.name for table in EVENT_TABLES for column in table.columns}
_INTERNAL = {"place", "contact_id", "sender_id", "seen", "feed_rows", "message_rows"}
_PREFIXES = ("by_", "is_")
_SQL_WORDS = frozenset(
    """
    all alter and any array as asc asof at authorization between both by case cast check collate column constraint
    create cross current date default deferrable delete desc describe distinct do drop else end except exists
    extract false fetch filter final for foreign format from full global grant group having if ilike in index
    inner insert intersect interval into is join key lateral leading left like limit local natural not null nulls
    offset on only or order outer over partition pivot placing prewhere primary qualify range references returning
    right row rows sample select semi set settings show similar some symmetric table tablesample then time
    timestamp to top totals trailing true union unique unpivot update user using values variadic when where window
    with
    """.split()  # noqa: SIM905 - a list of words reads best as text
)


def _usable(name: str) -> bool:
    taken = _KEYS | _EVENT_COLUMNS | _INTERNAL | _SQL_WORDS
    return bool(_NAME.fullmatch(name)) and name not in taken and not name.startswith(_PREFIXES)


def check(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """The same metrics, when they make a consistent catalogue.

    Raises ValueError with one sentence naming the metric: a bad or repeated name, a ratio of unknown parts,
    a per-user distinct over something that is not in its source.
    """
    metrics = tuple(metrics)
    additive = {m.name for m in metrics if not isinstance(m, Ratio)}
    seen: set[str] = set()
    for metric in metrics:
        if not _usable(metric.name):
            raise ValueError(
                f"metric {metric.name!r}: use another name (lower case, digits and _; no column of the events, no word "
                "of SQL, not beginning with by_ or is_)"
            )
        if metric.name in seen:
            raise ValueError(f"metric {metric.name!r} is in the catalogue twice")
        seen.add(metric.name)
        if isinstance(metric, Ratio):
            for part in (metric.numerator, metric.denominator):
                if part not in additive:
                    raise ValueError(f"metric {metric.name!r}: {part!r} is no count or distinct of the catalogue")
        if isinstance(metric, DistinctPerUser):
            counterpart = {Source.SENT: "receiver_id", Source.RECEIVED: "user_id"}.get(metric.source)
            if counterpart and metric.column != counterpart:
                raise ValueError(f"metric {metric.name!r}: over {metric.source} messages, count {counterpart!r}")
    return metrics


def user_day_metrics(metrics: Iterable[Metric] = METRICS) -> tuple[Count | DistinctPerUser, ...]:
    """The metrics that are columns of facts/user_day, in catalogue order."""
    return tuple(m for m in metrics if isinstance(m, Count | DistinctPerUser))


def summed(metrics: Iterable[Metric] = METRICS) -> tuple[Metric, ...]:
    """The metrics whose slices add up to the total within a dimension: all but ratios.

    Distinct users belong here too, because facts/user_day gives each user exactly one value per dimension.
    """
    return tuple(m for m in metrics if not isinstance(m, Ratio))
