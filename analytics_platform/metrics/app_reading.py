"""The app's frame, read from its tables: some small questions, and their answers put together.

Belongs here: which questions, what is known and what is not, the top countries. Does not: SQL (`app_queries.py`),
which engine answers.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from analytics_platform.metrics import app_queries
from analytics_platform.metrics.app import (
    HORIZON_DAYS,
    OTHER,
    TOP_COUNTRIES,
    AppFrame,
    Audience,
    Figures,
    Retention,
    Service,
    Slice,
)
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.tables import APP_DAILY, FIRST_SEEN, POST_DAY
from analytics_platform.metrics.windows import days
from analytics_platform.queries import Query, compose

Row = Mapping[str, object]
_ADDED = ("dau", "actions", "views", "likes", "new_users")  # what adds up over countries: a user has one a day


class Reader(Protocol):
    """A warehouse, as far as it is asked here."""

    def rows(self, query: Query) -> Sequence[Row]:
        """The rows of a query whose answer is small."""
        ...


def read_app_frame(reader: Reader, day: date) -> AppFrame:
    """The HORIZON_DAYS days ending with `day`.

    A day is as its tables have it, outdated or not; one that is not computed has figures of None. A figure of the
    audience is None when a day that it needs is missing, a cohort is left out then. A country that is itself called
    `other` is always among the rest, so that the two are one line and the slices still add up.
    """
    known = _Known(reader, day)
    horizon = tuple(days(day - timedelta(days=HORIZON_DAYS - 1), day))
    rows = reader.rows(app_queries.app_table(horizon[0], day))
    top = _top_countries(rows)
    by_slice = _by_slice(rows, top)
    rest = Slice(Service.FEED, "country", OTHER)
    posts: dict[date, int] = {}
    if rest in by_slice:
        posts = {_day(r): _int(r, "active_posts") for r in reader.rows(_other_posts(horizon, top))}
    series = {where: _series(where, horizon, known, by_day, posts) for where, by_day in by_slice.items()}
    users, actions = _totals(reader, day, known)
    now, before = _audiences(reader, horizon, known, series)
    return AppFrame(horizon, series, users, actions, now, before, _retention(reader, day, known))


class _Known:
    """Which days are computed, by table."""

    def __init__(self, reader: Reader, day: date) -> None:
        first, last = app_queries.audience_days(day)
        asked = compose("computed_at", {"table_name": "", "first_day": first, "last_day": last})
        self._days: dict[str, set[date]] = defaultdict(set)
        for row in reader.rows(asked):
            self._days[str(row["table_name"])].add(_day(row))

    def has(self, table: str, wanted: Iterable[date]) -> bool:
        """Whether all those days of the table are computed."""
        return self._days[table].issuperset(wanted)


# ------------------------------------------------------------------ figures


@dataclass
class _Day:
    """One slice and day; what is not applicable is 0."""

    dau: int = 0
    actions: int = 0
    views: int = 0
    likes: int = 0
    active_posts: int = 0
    new_users: int = 0
    new_posts: int = 0


def _top_countries(rows: Sequence[Row]) -> dict[Service, tuple[str, ...]]:
    """The countries that get a line of their own, by service."""
    actions: dict[Service, dict[str, int]] = {service: defaultdict(int) for service in Service}
    for row in rows:
        if row["dimension"] == "country" and row["dimension_value"] != OTHER:
            actions[Service(str(row["service"]))][str(row["dimension_value"])] += _int(row, "actions")
    return {
        service: tuple(sorted(of, key=lambda name: (-of[name], name))[:TOP_COUNTRIES])
        for service, of in actions.items()
    }


def _by_slice(rows: Sequence[Row], top: Mapping[Service, Collection[str]]) -> dict[Slice, dict[date, _Day]]:
    """The figures by slice, countries of the rest added up; distinct posts of the rest are not among them."""
    found: dict[Slice, dict[date, _Day]] = {Slice(service): {} for service in Service}
    for row in rows:
        service, value = Service(str(row["service"])), str(row["dimension_value"])
        rest = row["dimension"] == "country" and value not in top[service]
        where = Slice(service, str(row["dimension"]), OTHER if rest else value)
        of = found.setdefault(where, {}).setdefault(_day(row), _Day())
        for name in _ADDED:
            setattr(of, name, getattr(of, name) + _int(row, name))
        if not rest:
            of.active_posts = _int(row, "active_posts")
        of.new_posts = _int(row, "new_posts")
    return found


def _other_posts(horizon: Sequence[date], top: Mapping[Service, Sequence[str]]) -> Query:
    return app_queries.other_posts(horizon[0], horizon[-1], top[Service.FEED])


def _series(
    where: Slice, horizon: Sequence[date], known: _Known, by_day: Mapping[date, _Day], posts: Mapping[date, int]
) -> tuple[Figures, ...]:
    feed, is_rest = where.service is Service.FEED, (where.dimension, where.value) == ("country", OTHER)

    def figures(day: date) -> Figures:
        if not known.has(APP_DAILY.name, [day]):
            return Figures()
        of = by_day.get(day, _Day())
        arrivals = known.has(FIRST_SEEN.name, [day])
        active_posts: int | None = posts.get(day, 0) if is_rest else of.active_posts
        if is_rest and not known.has(POST_DAY.name, [day]):
            active_posts = None
        return Figures(
            dau=of.dau,
            actions=of.actions,
            views=of.views if feed else None,
            likes=of.likes if feed else None,
            active_posts=active_posts if feed else None,
            new_users=of.new_users if arrivals else None,
            new_posts=of.new_posts if arrivals and feed and where.dimension == TOTAL else None,
        )

    return tuple(figures(day) for day in horizon)


def _totals(reader: Reader, day: date, known: _Known) -> tuple[int | None, int | None]:
    [row] = reader.rows(app_queries.totals(day))
    return (
        _int(row, "users_ever") if known.has(FIRST_SEEN.name, [day]) else None,
        _int(row, "actions_ever") if known.has(APP_DAILY.name, [day]) else None,
    )


# ----------------------------------------------------------------- audience


def _audiences(
    reader: Reader, horizon: Sequence[date], known: _Known, series: Mapping[Slice, Sequence[Figures]]
) -> tuple[Audience, Audience]:
    """The audience of the last day of the horizon, and of the same weekday a week before."""
    day = horizon[-1]
    week = timedelta(days=app_queries.WEEK_DAYS)
    [counted] = reader.rows(app_queries.audience(day))
    arrivals = dict(zip(horizon, (f.new_users for f in series[Slice(Service.APP)]), strict=True))

    def of(last: date, suffix: str) -> Audience:
        def ending(count: int) -> tuple[date, ...]:
            return tuple(days(last - timedelta(days=count - 1), last))

        def users(name: str, needed: int) -> int | None:
            return _int(counted, name + suffix) if known.has("user_day", ending(needed)) else None

        app, feed, chat = (series[Slice(service)][horizon.index(last)].dau for service in Service)
        wau, retained = users("wau", app_queries.WEEK_DAYS), users("retained", 2 * app_queries.WEEK_DAYS)
        # Whoever came for the first time this week was not there the week before, if that week's first days are known.
        fresh = [arrivals[d] for d in ending(app_queries.WEEK_DAYS)]
        settled = known.has(FIRST_SEEN.name, ending(2 * app_queries.WEEK_DAYS))
        new = sum(n for n in fresh if n is not None) if settled and None not in fresh else None
        return Audience(
            dau=app,
            wau=wau,
            mau=users("mau", app_queries.MONTH_DAYS),
            retained=retained,
            new=new,
            returned=wau - retained - new if wau is not None and retained is not None and new is not None else None,
            gone=users("gone", 2 * app_queries.WEEK_DAYS),
            both=feed + chat - app if app is not None and feed is not None and chat is not None else None,
        )

    return of(day, ""), of(day - week, "_before")


def _retention(reader: Reader, day: date, known: _Known) -> tuple[Retention, ...]:
    """Total first, then sources by name, for each age whose cohort and whose day are computed."""
    if not known.has("user_day", [day]):
        return ()
    cohorts: dict[date, list[tuple[str, int, int]]] = defaultdict(list)
    for row in reader.rows(app_queries.retention(day)):
        cohorts[_day(row, "first_day")].append((str(row["source"]), _int(row, "cohort"), _int(row, "active")))
    found: list[Retention] = []
    for age in app_queries.RETENTION_AGES:
        born = day - timedelta(days=age)
        if not known.has(FIRST_SEEN.name, [born]):
            continue
        of = sorted(cohorts[born])
        found.append(Retention(TOTAL, age, sum(c for _, c, _ in of), sum(a for _, _, a in of)))
        found += [Retention(source, age, cohort, active) for source, cohort, active in of]
    return tuple(found)


def _day(row: Row, name: str = "event_date") -> date:
    value = row[name]
    if not isinstance(value, date):
        raise TypeError(f"{name} is no date: {value!r}")
    return value


def _int(row: Row, name: str) -> int:
    value = row[name]
    return value if isinstance(value, int) else 0
