"""The audience of every day of a range: DAU, WAU, MAU, stickiness, retention, and how a week follows the one before.

Belongs here: which questions, what is known and what is not, the figures' shape. Does not: SQL, counting bits
(`audience_bits.py`), which engine answers.

Users are those with a feed event or a sent message (app), or with one of the two. Weeks are of 7 days, months of 30,
both ending with the day. Everything is exact and comes from facts/user_day and facts/first_seen, in any order of
computing; a figure is None when a day that it needs is not computed, never too small.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from analytics_platform.metrics import audience_bits
from analytics_platform.metrics.app import Service
from analytics_platform.metrics.app_queries import MONTH_DAYS, WEEK_DAYS
from analytics_platform.metrics.frames import ratio
from analytics_platform.metrics.tables import FIRST_SEEN
from analytics_platform.metrics.windows import days
from analytics_platform.queries import Query, compose

AGES = (1, 7, 30)  # days after the first one, of retention

# Conditions over facts/user_day, and over facts/first_seen: whose first days make a user new. The sum is the condition
# that app_queries.py has for the app, as counts are never negative; DuckDB reads the table in half the time of two
# comparisons and an OR.
_ACTIVE = {
    Service.APP: "feed_actions + messages_sent > 0",
    Service.FEED: "feed_actions > 0",
    Service.MESSAGE: "messages_sent > 0",
}
_ARRIVES = {Service.APP: "kind <> 'post'", Service.FEED: "kind = 'feed'", Service.MESSAGE: "kind = 'message'"}

Row = Mapping[str, object]


class Reader(Protocol):
    """A warehouse, as far as it is asked here."""

    @property
    def engine(self) -> str:
        """`duckdb` or `clickhouse`."""
        ...

    def rows(self, query: Query) -> Sequence[Row]:
        """The rows of a query whose answer is small."""
        ...


@dataclass(frozen=True)
class Return:
    """Of the `cohort`, users whose first day was `age_days` before the day, `active` were active on it. None: unknown.

    Shares of several days are taken after summing both.
    """

    age_days: int
    cohort: int | None = None
    active: int | None = None

    @property
    def share(self) -> float | None:
        """active / cohort."""
        return ratio(self.active, self.cohort)


@dataclass(frozen=True)
class AudienceDay:
    """A service's audience on one local day. None: unknown.

    `dau`, `wau`, `mau` = distinct users of the day and of the 7 and 30 days ending with it. Of the week's users,
    `retained` were also active in the 7 days before, `new` have their first day in this week, `resurrected` are the
    rest; `churned` were active in the 7 days before and not in this week. wau = retained + new + resurrected.
    `retention` has an entry for each of AGES, in that order.
    """

    day: date
    dau: int | None = None
    wau: int | None = None
    mau: int | None = None
    retained: int | None = None
    new: int | None = None
    resurrected: int | None = None
    churned: int | None = None
    retention: tuple[Return, ...] = tuple(Return(age) for age in AGES)

    @property
    def stickiness(self) -> float | None:
        """DAU / MAU, unrounded."""
        return ratio(self.dau, self.mau)


def days_read(first: date, last: date) -> tuple[date, date]:
    """First and last day that the figures of first..last are made of."""
    return first - timedelta(days=max(MONTH_DAYS - 1, *AGES)), last


def read_audience(reader: Reader, first: date, last: date, service: Service = Service.APP) -> tuple[AudienceDay, ...]:
    """The audience of every local day of first..last (both included), oldest first; nothing when last is before first.

    A day is as its tables have it, outdated or not.
    """
    if first > last:
        return ()
    from_day, _ = days_read(first, last)
    computed: dict[str, set[date]] = defaultdict(set)
    for row in reader.rows(compose("computed_at", {"table_name": "", "first_day": from_day, "last_day": last})):
        computed[str(row["table_name"])].add(_day(row))
    counted = _count(reader, Questions(first, last, service))
    return audience_days(counted, first, last, computed["user_day"], computed[FIRST_SEEN.name])


def audience_days(
    counted: Iterable[Row], first: date, last: date, users: Collection[date], arrivals: Collection[date]
) -> tuple[AudienceDay, ...]:
    """The figures of first..last from the rows of `audience.sql`, as far as they are known.

    `users` and `arrivals`: the computed days of facts/user_day and facts/first_seen.
    """
    by_day = {_day(row): row for row in counted}

    def figures(day: date) -> AudienceDay:
        row = by_day.get(day, {})

        def known(name: str, needed: int, of: Collection[date] = users) -> int | None:
            whole = all(d in of for d in days(day - timedelta(days=needed - 1), day))
            return _int(row, name) if whole else None

        def returned(age: int) -> Return:
            if day not in users or day - timedelta(days=age) not in arrivals:
                return Return(age)
            return Return(age, _int(row, f"cohort_{age}"), _int(row, f"active_{age}"))

        two_weeks = 2 * WEEK_DAYS
        wau, retained = known("wau", WEEK_DAYS), known("retained", two_weeks)
        wau_before = known("wau_before", two_weeks)
        # Whoever is new was not there the week before only if that week's first days are known too.
        new = known("arrived", two_weeks, arrivals)
        return AudienceDay(
            day=day,
            dau=known("dau", 1),
            wau=wau,
            mau=known("mau", MONTH_DAYS),
            retained=retained,
            new=new,
            resurrected=None if wau is None or retained is None or new is None else wau - retained - new,
            churned=None if wau_before is None or retained is None else wau_before - retained,
            retention=tuple(returned(age) for age in AGES),
        )

    return tuple(figures(day) for day in days(first, last))


@dataclass(frozen=True)
class Questions:
    """The statements for the days first..last (both included) of a service."""

    first: date
    last: date
    service: Service

    @property
    def cohorts_from(self) -> date:
        """The earliest first day whose users are followed."""
        return self.first - timedelta(days=max(AGES))

    def figures(self) -> Query:
        """One row a day: dau, wau, mau, wau_before, retained, arrived, cohort_<age> and active_<age>; any ids."""
        return self._compose("audience", {**self._read(), "first_day": self.first}, ages=AGES)

    def ids(self) -> Query:
        """One row: rows_found, lowest, highest; the latter are NULL when there are no rows."""
        return compose("audience_ids", self._read())

    def bits(self, lowest: int, highest: int) -> Query:
        """The days' users with ids of lowest..highest as bit strings, see `audience_bits.py`."""
        return self._compose("audience_bits", {**self._read(), "lowest": lowest, "highest": highest})

    def _compose(self, name: str, params: Mapping[str, object], **shape: object) -> Query:
        return compose(name, params, active=_ACTIVE[self.service], arrives=_ARRIVES[self.service], **shape)

    def _read(self) -> dict[str, date]:
        return {
            "read_from": self.first - timedelta(days=MONTH_DAYS - 1),
            "cohorts_from": self.cohorts_from,
            "last_day": self.last,
        }


def _count(reader: Reader, ask: Questions) -> Sequence[Row]:
    """The rows of `audience.sql`, by bits where that is cheaper: in DuckDB, when ids lie close together.

    ClickHouse keeps bitmaps of its own, and its statement is made of them.
    """
    if reader.engine == "duckdb":
        [ids] = reader.rows(ask.ids())
        calendar = tuple(days(ask.cohorts_from, ask.last))
        if bounds := audience_bits.bounds(ids, len(calendar)):
            counted = audience_bits.count(reader.rows(ask.bits(*bounds)), calendar, ask.first, AGES)
            if counted is not None:
                return counted
    return reader.rows(ask.figures())


def _day(row: Row) -> date:
    value = row["event_date"]
    if not isinstance(value, date):
        raise TypeError(f"event_date is no date: {value!r}")
    return value


def _int(row: Row, name: str) -> int:
    value = row.get(name, 0)
    if not isinstance(value, int):
        raise TypeError(f"{name} is no number: {value!r}")
    return value
