"""The app report's tables of a day, and the questions that its readers ask them.

Belongs here: composing the statements, and what makes them right. Does not: running any (`app_reading.py`, assets).

Order within a day: facts/user_day, facts/post_day, then facts/first_seen and frames/app_daily. Days go in any order.

**First days without scanning history.** facts/first_seen holds, on the partition of a day, the ids of that day that
have no row on an earlier partition. Every row is true (the id was active that day), and each active day of an id has a
row of the id on it or before; so an id's first day is the smallest of its rows, in whatever order days were computed.
Days computed before earlier ones leave rows too many, which do no harm. When a day is computed again and an id is not
there any more, its row goes, and the next day that has the id may have none: `first_seen_left` puts one there, in the
same step and before the day is replaced. Taken alone, that is a row too many.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.metrics.app import SLICED_BY, Service
from analytics_platform.metrics.catalog import METRICS, Count, Metric, Source
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query, Value, compose

# Over the columns of facts/user_day. Users who only received a message are not active in the app.
_KINDS = {"feed": "feed_actions > 0", "message": "messages_sent > 0"}
_ACTIVE = " OR ".join(_KINDS.values())
_SERVICES = {Service.APP.value: _ACTIVE, Service.FEED.value: _KINDS["feed"], Service.MESSAGE.value: _KINDS["message"]}
# Whose first days make a user new to a service.
_ARRIVES_BY = {
    Service.APP.value: ("feed", "message"),
    Service.FEED.value: ("feed",),
    Service.MESSAGE.value: ("message",),
}

MONTH_DAYS, WEEK_DAYS = 30, 7
RETENTION_AGES = (1, 7)


def post_day(day: date, zone: ZoneInfo, metrics: Iterable[Metric] = METRICS) -> Query:
    """The rows of facts/post_day for one local day, from its events and facts/user_day.

    Raises ValueError when the catalogue has no count of the feed named `views` or `likes`.
    """
    window = day_window(day, zone)
    where = {m.name: m.where for m in metrics if isinstance(m, Count) and m.source is Source.FEED}
    if missing := {"views", "likes"} - set(where):
        raise ValueError(f"the app report needs the feed's counts {sorted(missing)} in the catalogue of metrics")
    return compose(
        "post_day",
        {"event_date": day, "day_start": window.start, "day_end": window.end},
        sliced_by=SLICED_BY,
        views=where["views"],
        likes=where["likes"],
    )


def first_seen(day: date) -> Query:
    """The rows of facts/first_seen for one local day, from facts/user_day, facts/post_day and its own earlier days."""
    return compose("first_seen", {"event_date": day}, sliced_by=SLICED_BY, kinds=_KINDS, left=False)


def first_seen_left(day: date) -> Query:
    """Rows for facts/first_seen on later days, of ids that the stored day has and facts/user_day has there no more.

    Normally none. To be added in the same step as `first_seen(day)` replaces the day: `replace_day(..., also=...)`.
    """
    return compose("first_seen", {"event_date": day}, sliced_by=SLICED_BY, kinds=_KINDS, left=True)


def app_daily(day: date) -> Query:
    """The rows of frames/app_daily for one local day, from facts/user_day and facts/post_day."""
    return compose("app_daily", {"event_date": day}, sliced_by=SLICED_BY, services=_SERVICES)


def app_table(first: date, last: date) -> Query:
    """Every figure of the app on the computed days of first..last (both included), one row per slice that occurs.

    Columns: event_date, service, dimension, dimension_value, dau, actions, views, likes, active_posts, new_users,
    new_posts; NULL where not applicable. Every country is there under its own name. Ordered by dimension (total,
    source, os, country), service (app, feed, message), value, day.
    """
    return compose("app_table", {"first_day": first, "last_day": last}, sliced_by=SLICED_BY, services=_ARRIVES_BY)


def other_posts(first: date, last: date, countries: Sequence[str]) -> Query:
    """Distinct active posts by day among users of all countries but these."""
    params: dict[str, Value] = {"first_day": first, "last_day": last}
    params |= {f"country_{k}": country for k, country in enumerate(countries)}
    return compose("app_other_posts", params, countries=len(countries))


def totals(day: date) -> Query:
    """One row: users_ever and actions_ever up to and with the day, over the days that are computed."""
    return compose("app_totals", {"event_date": day})


def audience_days(day: date) -> tuple[date, date]:
    """First and last day that `audience(day)` reads."""
    return day - timedelta(days=WEEK_DAYS + MONTH_DAYS - 1), day


def audience(day: date) -> Query:
    """One row: wau, mau, retained, gone; and the same of the day a week before, ending in `_before`.

    Right only when every day of `audience_days` is in facts/user_day.
    """

    def back(days: int) -> date:
        return day - timedelta(days=days)

    return compose(
        "app_audience",
        {
            "event_date": day,
            "week": back(WEEK_DAYS - 1),
            "week_before": back(2 * WEEK_DAYS - 1),
            "two_weeks_before": back(3 * WEEK_DAYS - 1),
            "month": back(MONTH_DAYS - 1),
            "month_before": back(WEEK_DAYS + MONTH_DAYS - 1),
        },
        active=_ACTIVE,
    )


def retention(day: date) -> Query:
    """Rows first_day, source, cohort, active: the cohorts of RETENTION_AGES days before `day` by their first source."""
    one, week = (day - timedelta(days=age) for age in RETENTION_AGES)
    return compose("app_retention", {"event_date": day, "one_day_before": one, "week_before": week}, active=_ACTIVE)
