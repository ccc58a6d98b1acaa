"""What facts/user_day and metrics/daily_slices must hold, computed once more in plain Python from their definitions.

Belongs here: the definitions, in the plainest form, over all events in memory. Does not: anything of the product's
queries or catalogue; an oracle that shares code with what it judges agrees with every error.

A local day is found by showing each event's time on the zone's clock, not by computing a window.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
Keep = Callable[[Mapping[str, Any]], bool]

FEED, SENT, RECEIVED = "feed", "sent", "received"


def always(_: Mapping[str, Any]) -> bool:
    """Every row counts."""
    return True


def action(name: str) -> Keep:
    """Feed rows with that action."""
    return lambda row: bool(row["action"] == name)


@dataclass(frozen=True)
class PerUser:
    """Rows of a user's side of a day (feed, sent, received), or distinct values of `distinct` among them."""

    name: str
    side: str
    keep: Keep = always
    distinct: str = ""


@dataclass(frozen=True)
class Users:
    """Users of a slice for whom the condition over the day's per-user metrics holds."""

    name: str
    keep: Keep = always


@dataclass(frozen=True)
class Quotient:
    """One summed metric divided by another; None when the second is 0."""

    name: str
    of: str
    per: str


@dataclass(frozen=True)
class Slicing:
    """A user's value in a dimension, from the day's attributes; None reads unknown."""

    name: str
    value: Callable[[Row], object]


METRICS: tuple[PerUser | Users | Quotient, ...] = (
    PerUser("views", FEED, action("view")),
    PerUser("likes", FEED, action("like")),
    PerUser("messages_received", RECEIVED),
    PerUser("messages_sent", SENT),
    PerUser("users_received", RECEIVED, distinct="user_id"),
    PerUser("users_sent", SENT, distinct="receiver_id"),
    PerUser("feed_actions", FEED),
    Users("active_users"),
    Users("feed_users", lambda user: user["feed_actions"] > 0),
    Users("senders", lambda user: user["messages_sent"] > 0),
    Quotient("ctr", "likes", "views"),
)

ATTRIBUTES = ("gender", "age", "os", "country", "source")
NUMBERS = frozenset({"gender", "age", "exp_group"})


def age_group(user: Row) -> str | None:
    """0-19, 20-29, ... 50-59, 60+."""
    age = user["age"]
    if age is None or age < 0:
        return None
    return "0-19" if age < 20 else "60+" if age >= 60 else f"{age // 10}0-{age // 10}9"


def as_it_is(name: str) -> Slicing:
    """The dimension of one attribute, its value as text."""
    return Slicing(name, lambda user: user[name])


SLICINGS = (
    Slicing("gender", lambda user: {1: "male", 0: "female"}.get(user["gender"], user["gender"])),
    as_it_is("age"),
    as_it_is("os"),
    Slicing("age_group", age_group),
    as_it_is("country"),
    as_it_is("source"),
)


class Oracle:
    """The right answers for those events (rows of the two tables, times naive UTC), in that zone's days."""

    def __init__(
        self,
        feed: Sequence[Mapping[str, Any]],
        messages: Sequence[Mapping[str, Any]],
        zone: ZoneInfo,
        *,
        metrics: Iterable[PerUser | Users | Quotient] = METRICS,
        attributes: Sequence[str] = ATTRIBUTES,
        slicings: Iterable[Slicing] = SLICINGS,
    ) -> None:
        self._metrics, self._attributes, self._slicings = tuple(metrics), list(attributes), tuple(slicings)
        self._feed = _by_day(feed, zone)
        self._messages = _by_day(messages, zone)
        # Receiving is nobody's own event: it tells nothing of the receiver.
        self._own: dict[date, dict[int, list[Mapping[str, Any]]]] = {}
        for by_day in (self._feed, self._messages):
            for day, rows in by_day.items():
                own = self._own.setdefault(day, defaultdict(list))
                for row in rows:
                    own[row["user_id"]].append(row)
        self._days: dict[date, dict[int, Row]] = {}

    def feed(self, day: date) -> Sequence[Mapping[str, Any]]:
        """The feed's events of that day."""
        return self._feed.get(day, [])

    def user_day(self, day: date) -> dict[int, Row]:
        """The row of each user with an event that day, by user id."""
        if day not in self._days:
            self._days[day] = self._users(day)
        return self._days[day]

    def _users(self, day: date) -> dict[int, Row]:
        messages = self._messages.get(day, [])
        sides = {
            FEED: (self.feed(day), "user_id"),
            SENT: (messages, "user_id"),
            RECEIVED: (messages, "receiver_id"),
        }
        active = self._own.get(day, {})
        silent = {row["receiver_id"] for row in messages} - set(active)
        known = {user: self._last(rows) for user, rows in active.items()}
        month = [day - timedelta(days=k) for k in range(1, 31)]
        for user in silent:
            before = [row for then in month for row in self._own.get(then, {}).get(user, ())]
            if before:
                # Taken from another day, so it is no event of this one.
                known[user] = self._last(before) | {"attributes_time": None}
        nobody = {a: None if a in NUMBERS else "unknown" for a in self._attributes} | {"attributes_time": None}
        counted = {m.name: _per_user(m, *sides[m.side]) for m in self._metrics if isinstance(m, PerUser)}
        return {
            user: {"event_date": day, "user_id": user}
            | {name: by_user.get(user, 0) for name, by_user in counted.items()}
            | known.get(user, nobody)
            for user in sorted({*active, *silent})
        }

    def daily_slices(self, day: date) -> dict[tuple[str, str], Row]:
        """The row of each dimension and value of that day, and of the total."""
        users = list(self.user_day(day).values())
        groups: dict[tuple[str, str], list[Row]] = {("total", "total"): users}
        for slicing in self._slicings:
            for user in users:
                value = slicing.value(user)
                groups.setdefault((slicing.name, "unknown" if value is None else str(value)), []).append(user)
        return {
            (dimension, value): self._figures(of)
            | {"event_date": day, "dimension": dimension, "dimension_value": value}
            for (dimension, value), of in groups.items()
        }

    def _figures(self, users: Sequence[Row]) -> Row:
        """The metrics of one group of users."""
        row: Row = {}
        for metric in self._metrics:
            if isinstance(metric, PerUser):
                row[metric.name] = sum(user[metric.name] for user in users)
            elif isinstance(metric, Users):
                row[metric.name] = sum(1 for user in users if metric.keep(user))
        for metric in self._metrics:
            if isinstance(metric, Quotient):
                row[metric.name] = row[metric.of] / row[metric.per] if row[metric.per] else None
        return row

    def _last(self, events: Iterable[Mapping[str, Any]]) -> Row:
        """One user's attributes at the last event; of several at that instant the greatest, missing ones lowest."""

        def place(row: Mapping[str, Any]) -> list[Any]:
            return [row["time"], *((row[a] is not None, row[a]) for a in self._attributes)]

        last = max(events, key=place)
        return {a: last[a] for a in self._attributes} | {"attributes_time": last["time"]}


def _per_user(metric: PerUser, rows: Iterable[Mapping[str, Any]], user: str) -> dict[int, int]:
    kept: dict[int, list[object]] = defaultdict(list)
    for row in rows:
        if metric.keep(row):
            kept[row[user]].append(row[metric.distinct] if metric.distinct else None)
    return {who: len(set(found)) if metric.distinct else len(found) for who, found in kept.items()}


def _by_day(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo) -> dict[date, list[Mapping[str, Any]]]:
    found: dict[date, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["time"].replace(tzinfo=UTC).astimezone(zone).date()].append(row)
    # What is asked of a day without events must not make it one.
    return dict(found)
