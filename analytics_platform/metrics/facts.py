"""facts/user_day: one row per user and local day, with the day's counts and the user's attributes.

Belongs here: composing the statement for a day. Does not: running it (`warehouses/`), slicing (`slices.py`).

Attributes are those of the user's last event of the day in either table (ties: the greatest values, so that both
engines agree). A user who only received messages that day takes the latest attributes known from the 30 days before,
else `unknown`. Those are read from earlier rows of facts/user_day that come from the user's own events; for days that
are not computed yet, or whose events were loaded again since, from the events themselves. So the order in which days
are computed never shows in a number.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.metrics.catalog import METRICS, Count, DistinctPerUser, Metric, Source, user_day_metrics
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, attributes
from analytics_platform.metrics.events import Kind
from analytics_platform.metrics.windows import day_window, gaps
from analytics_platform.queries import Query, Value, compose

LOOKBACK_DAYS = 30
RECENT_DAYS = 7  # of them, those that are looked at first


def lookback(day: date) -> tuple[date, date]:
    """First and last day in which the attributes of a user who only received are looked for."""
    return day - timedelta(days=LOOKBACK_DAYS), day - timedelta(days=1)


def user_day(
    day: date,
    zone: ZoneInfo,
    current: Collection[date],
    metrics: Iterable[Metric] = METRICS,
    dimensions: Iterable[Dimension] = DIMENSIONS,
) -> Query:
    """The rows of facts/user_day for one local day.

    `current` are the days whose rows in facts/user_day are there and not older than their events; for the others of
    the lookback the events are read.
    """
    window = day_window(day, zone)
    first, last = lookback(day)
    recent = day - timedelta(days=RECENT_DAYS)
    recent_holes = gaps(recent, last, current)
    holes = [*recent_holes, *gaps(first, recent - timedelta(days=1), current)]
    params: dict[str, Value] = {
        "event_date": day,
        "day_start": window.start,
        "day_end": window.end,
        "lookback_first": first,
        "recent_first": recent,
    }
    for k, hole in enumerate(holes):
        missing = hole.window(zone)
        params[f"gap_{k}_first"], params[f"gap_{k}_last"] = hole.first, hole.last
        params[f"gap_{k}_start"], params[f"gap_{k}_end"] = missing.start, missing.end
    columns = user_day_metrics(metrics)
    per_user = [m for m in columns if isinstance(m, DistinctPerUser)]
    wanted = attributes(dimensions)
    return compose(
        "user_day",
        params,
        attributes=[a.name for a in wanted],
        text_attributes=[a.name for a in wanted if a.kind is Kind.TEXT],
        user_day_metrics=columns,
        own_counts=[m for m in columns if isinstance(m, Count) and m.source is not Source.RECEIVED],
        pair_metrics=[m for m in columns if m.source is Source.RECEIVED or (m in per_user and m.source is Source.SENT)],
        pair_distinct=[m for m in per_user if m.source is not Source.FEED],
        feed_distinct=[m for m in per_user if m.source is Source.FEED],
        gaps=len(holes),
        recent_gaps=len(recent_holes),
    )


def event_totals(day: date, zone: ZoneInfo, metrics: Iterable[Metric] = METRICS) -> Query:
    """One row: every count metric of the day, counted on the events themselves."""
    window = day_window(day, zone)
    counts = [m for m in metrics if isinstance(m, Count)]
    return compose("event_totals", {"day_start": window.start, "day_end": window.end}, counts=counts)


def stored_totals(day: date, metrics: Iterable[Metric] = METRICS) -> Query:
    """One row: every count metric of the day, summed over the users of facts/user_day."""
    return compose("stored_totals", {"event_date": day}, counts=[m for m in metrics if isinstance(m, Count)])


def mismatches(stored: Mapping[str, object], events: Mapping[str, object]) -> list[str]:
    """Where facts/user_day and the events disagree, one sentence each. Both are rows of count metrics of one day."""
    return [
        f"{name} is {stored[name]} in facts/user_day and {expected} in the events"
        for name, expected in events.items()
        if stored[name] != expected
    ]


def imbalance(stored: Mapping[str, object], metrics: Iterable[Metric] = METRICS) -> list[str]:
    """A sentence when messages sent and received differ: each message has one sender and one receiver."""
    whole = [m for m in metrics if isinstance(m, Count) and m.source is not Source.FEED and m.where == "true"]
    if len({stored[m.name] for m in whole}) <= 1:
        return []
    return [", ".join(f"{m.name} is {stored[m.name]}" for m in whole)]
