"""Which result table is computed from which, and so which of its days are outdated.

Belongs here: what reads what, the question for current days. Does not: the tables' columns (`tables.py`), when a day is
computed again (assets).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from analytics_platform.metrics.events import METRIC_TABLES
from analytics_platform.queries import Query, compose

# What each table reads of the same day, directly or through another. A table of events alone is not listed.
_COMES_FROM: Mapping[str, tuple[str, ...]] = {
    "daily_slices": ("user_day",),
    "feed_daily": ("user_day", "daily_slices"),
    "post_day": ("user_day",),
    "first_seen": ("user_day", "post_day"),
    "app_daily": ("user_day", "post_day"),
}

# As of a moment of the day, or of a window: what they said then stays true of it, and events of the day go on coming.
_SNAPSHOTS = ("rankings_popular", "rankings_trending", "visitor_reports", "event_reports", "funnel_conversions")
_METRIC_EVENTS = tuple(table.name for table in METRIC_TABLES)

# How many days before its own a table's events reach back to: facts/user_day looks for attributes there.
_LOOKBACK = 30
_OF_THE_DAY_ALONE = ("series_quarter_hour",)


@dataclass(frozen=True)
class Lineage:
    """What must be in order for a table's day to be current: `tables`, the table itself first.

    `pairs`: (derived, base); derived is outdated when base was computed later. `events`: the event tables by which
    it is outdated; `lookback`: how many days before it have events that the day depends on.
    """

    tables: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    lookback: int = _LOOKBACK
    events: tuple[str, ...] = _METRIC_EVENTS


def lineage(name: str) -> Lineage:
    """The lineage of the result table of that name."""
    tables = (name, *_COMES_FROM.get(name, ()))
    pairs = tuple((derived, base) for derived in tables for base in _COMES_FROM.get(derived, ()))
    lookback = 0 if name in _OF_THE_DAY_ALONE else _LOOKBACK
    return Lineage(tables, pairs, lookback, () if name in _SNAPSHOTS else _METRIC_EVENTS)


def current_days(name: str, first: date, last: date, basis: str) -> Query:
    """Days of first..last (both included) that were computed under the settings `basis` and are not outdated."""
    of = lineage(name)
    params = {"table_name": name, "first_day": first, "last_day": last, "basis": basis}
    shape = {"tables": of.tables, "pairs": of.pairs, "events": of.events, "lookback": of.lookback}
    return compose("current_days", params, **shape)
