"""METRICS: every figure the platform knows. To add a metric, add one entry; tables, slices, checks and exports follow.

Belongs here: definitions only, as data. Does not: SQL statements (`queries/`), slicing attributes (`dimensions.py`).
Conditions (`where`) are SQL over the event table's own columns, in the standard subset that both engines share.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from analytics_platform.metrics.events import METRIC_TABLES


class Source(StrEnum):
    """Whose events are counted for a user."""

    FEED = "feed"  # the user's own rows of feed_actions
    SENT = "sent"  # rows of message_actions the user sent
    RECEIVED = "received"  # rows of message_actions the user received

    @property
    def service(self) -> str:
        """The part of the app whose events these are, as watched series and alerts name it."""
        return "feed" if self is Source.FEED else "messenger"


@dataclass(frozen=True)
class Count:
    """Events. Grain in facts/user_day: events of a user and day; in a slice: their sum.

    `watched`: counted every 15 minutes, too (`metrics/series.py`), and so looked at by alerts. Messages are then
    counted for who sent them, also those of Source.RECEIVED: events say nothing of who receives.
    """

    name: str
    source: Source
    about: str
    where: str = "true"
    watched: bool = False


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
    `watched`: counted every 15 minutes, too, exact within a bucket. `of` says whose rows make a user active there (FEED
    or SENT); `where` may then name counts of that source alone, which are those of the bucket.
    """

    name: str
    about: str
    where: str = "true"
    of: Source | None = None
    watched: bool = False


@dataclass(frozen=True)
class Ratio:
    """numerator / denominator, taken after summing; NULL where the denominator is 0 or missing.

    `watched`: taken every 15 minutes, too; both parts are then watched counts of one service.
    """

    name: str
    numerator: str
    denominator: str
    about: str
    watched: bool = False


Metric = Count | DistinctPerUser | Distinct | Ratio

METRICS: tuple[Metric, ...] = (
    Count("views", Source.FEED, "posts viewed in the feed", "action = 'view'", watched=True),
    Count("likes", Source.FEED, "posts liked in the feed", "action = 'like'", watched=True),
    Count("messages_received", Source.RECEIVED, "messages received"),
    Count("messages_sent", Source.SENT, "messages sent", watched=True),
    DistinctPerUser("users_received", Source.RECEIVED, "user_id", "distinct people a user got messages from"),
    DistinctPerUser("users_sent", Source.SENT, "receiver_id", "distinct people a user wrote to"),
    Distinct("active_users", "users with any event: feed, sent or received"),
    Count("feed_actions", Source.FEED, "all feed events, whatever the action"),
    Distinct("feed_users", "users with at least one feed event", "feed_actions > 0", Source.FEED, watched=True),
    Distinct("senders", "users who sent at least one message", "messages_sent > 0", Source.SENT, watched=True),
    Ratio("ctr", "likes", "views", "likes per view", watched=True),
)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Names that tables and statements use themselves; a metric of that name would read something else.
_KEYS = {"event_date", "dimension", "dimension_value", "attributes_time"}
_EVENT_COLUMNS = {column.name for table in METRIC_TABLES for column in table.columns}
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
    counts = {m.name: m for m in metrics if isinstance(m, Count)}
    for metric in metrics:
        if isinstance(metric, Ratio) and metric.watched:
            _check_watched_ratio(metric, counts)
        if isinstance(metric, Distinct) and metric.watched:
            _check_watched_distinct(metric, counts)
    return metrics


def _check_watched_ratio(metric: Ratio, counts: Mapping[str, Count]) -> None:
    parts = [counts.get(name) for name in (metric.numerator, metric.denominator)]
    services = {part.source.service if part and part.watched else None for part in parts}
    if None in services or len(services) > 1:
        raise ValueError(
            f"metric {metric.name!r}: a watched ratio is one of watched counts of one service; mark "
            f"{metric.numerator!r} and {metric.denominator!r} as watched, or this one not"
        )


def _check_watched_distinct(metric: Distinct, counts: Mapping[str, Count]) -> None:
    if metric.of not in (Source.FEED, Source.SENT):
        raise ValueError(f"metric {metric.name!r}: watched users need `of`: Source.FEED or Source.SENT")
    strange = [n for n in words(metric.where) if n not in counts or counts[n].source is not metric.of]
    if strange:
        raise ValueError(
            f"metric {metric.name!r}: watched every 15 minutes, its condition may name counts of {metric.of} events "
            f"alone, not {strange[0]!r}"
        )


def words(condition: str) -> tuple[str, ...]:
    """The names in a condition over facts/user_day, each once: what is neither a text, a number nor a word of SQL."""
    bare = re.sub(r"'(?:[^']|'')*'", " ", condition)
    found = dict.fromkeys(re.findall(r"[a-z_][a-z0-9_]*", bare.lower()))
    return tuple(word for word in found if word not in _SQL_WORDS)


def user_day_metrics(metrics: Iterable[Metric] = METRICS) -> tuple[Count | DistinctPerUser, ...]:
    """The metrics that are columns of facts/user_day, in catalogue order."""
    return tuple(m for m in metrics if isinstance(m, Count | DistinctPerUser))


def summed(metrics: Iterable[Metric] = METRICS) -> tuple[Metric, ...]:
    """The metrics whose slices add up to the total within a dimension: all but ratios.

    Distinct users belong here too, because facts/user_day gives each user exactly one value per dimension.
    """
    return tuple(m for m in metrics if not isinstance(m, Ratio))
