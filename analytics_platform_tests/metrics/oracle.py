"""What facts/user_day and metrics/daily_slices must hold, computed a second time in pandas from their definitions.

Belongs here: the definitions, in the plainest form, over all events in memory. Does not: anything of the product's
queries or catalogue; an oracle that shares code with what it judges agrees with every error.

A local day is found by showing each event's time on the zone's clock, not by computing a window.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

Row = dict[str, Any]
Frame = pd.DataFrame
Mask = Callable[[Frame], "pd.Series[bool]"]

FEED, SENT, RECEIVED = "feed", "sent", "received"


def always(rows: Frame) -> "pd.Series[bool]":
    """Every row counts."""
    return pd.Series(True, index=rows.index)


def action(name: str) -> Mask:
    """Feed rows with that action."""
    return lambda rows: rows["action"] == name


@dataclass(frozen=True)
class PerUser:
    """Rows of a user's side of a day (feed, sent, received), or distinct values of `distinct` among them."""

    name: str
    side: str
    keep: Mask = always
    distinct: str = ""


@dataclass(frozen=True)
class Users:
    """Users of a slice for whom the condition over the day's per-user metrics holds."""

    name: str
    keep: Mask = always


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
    Users("feed_users", lambda users: users["feed_actions"] > 0),
    Users("senders", lambda users: users["messages_sent"] > 0),
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
        self._feed = _frame(feed, ("user_id", "post_id", "action"), self._attributes, zone)
        self._messages = _frame(messages, ("user_id", "receiver_id"), self._attributes, zone)
        own = ["user_id", "time", "day", *self._attributes]
        # Receiving is nobody's own event: it tells nothing of the receiver.
        self._own = pd.concat([self._feed[own], self._messages[own]], ignore_index=True)
        self._days: dict[date, dict[int, Row]] = {}

    def user_day(self, day: date) -> dict[int, Row]:
        """The row of each user with an event that day, by user id."""
        if day not in self._days:
            self._days[day] = self._users(day)
        return self._days[day]

    def _users(self, day: date) -> dict[int, Row]:
        messages = self._messages[self._messages["day"] == day]
        sides = {
            FEED: (self._feed[self._feed["day"] == day], "user_id"),
            SENT: (messages, "user_id"),
            RECEIVED: (messages, "receiver_id"),
        }
        active = self._own[self._own["day"] == day]
        silent = set(messages["receiver_id"]) - set(active["user_id"])
        month = (self._own["day"] >= day - timedelta(days=30)) & (self._own["day"] < day)
        taken = self._last(self._own[month & self._own["user_id"].isin(silent)])
        # Taken from another day, so it is no event of this one.
        known = self._last(active) | {user: row | {"attributes_time": None} for user, row in taken.items()}
        nobody = {a: None if a in NUMBERS else "unknown" for a in self._attributes} | {"attributes_time": None}
        users = sorted(int(user) for user in set(active["user_id"]) | silent)
        counted = {m.name: _per_user(m, *sides[m.side]) for m in self._metrics if isinstance(m, PerUser)}
        return {
            user: {"event_date": day, "user_id": user}
            | {name: by_user.get(user, 0) for name, by_user in counted.items()}
            | known.get(user, nobody)
            for user in users
        }

    def daily_slices(self, day: date) -> dict[tuple[str, str], Row]:
        """The row of each dimension and value of that day, and of the total."""
        users = list(self.user_day(day).values())
        values: list[tuple[str, list[str]]] = [("total", ["total"] * len(users))]
        for slicing in self._slicings:
            found = [slicing.value(user) for user in users]
            values.append((slicing.name, ["unknown" if v is None else str(v) for v in found]))
        columns = [m.name for m in self._metrics if isinstance(m, PerUser)]
        frame = pd.DataFrame([[user[c] for c in columns] for user in users], columns=columns, dtype="int64")
        rows: dict[tuple[str, str], Row] = {("total", "total"): self._figures(frame)}
        for dimension, labels in values:
            for value in set(labels):
                rows[dimension, value] = self._figures(frame[[label == value for label in labels]])
        for (dimension, value), row in rows.items():
            row |= {"event_date": day, "dimension": dimension, "dimension_value": value}
        return rows

    def _figures(self, users: Frame) -> Row:
        """The metrics of one group of users."""
        row: Row = {}
        for metric in self._metrics:
            if isinstance(metric, PerUser):
                row[metric.name] = int(users[metric.name].sum())
            elif isinstance(metric, Users):
                row[metric.name] = int(metric.keep(users).sum())
        for metric in self._metrics:
            if isinstance(metric, Quotient):
                row[metric.name] = row[metric.of] / row[metric.per] if row[metric.per] else None
        return row

    def _last(self, events: Frame) -> dict[int, Row]:
        """Each user's attributes at the last event; of several at that instant the greatest, missing ones lowest."""
        ordered = events.sort_values(["time", *self._attributes], na_position="first")
        last = ordered.drop_duplicates("user_id", keep="last")
        found: dict[int, Row] = {}
        for user, time, *values in zip(*(last[c] for c in ("user_id", "time", *self._attributes)), strict=True):
            row: Row = {a: None if pd.isna(v) else v for a, v in zip(self._attributes, values, strict=True)}
            found[int(user)] = {a: int(v) if a in NUMBERS and v is not None else v for a, v in row.items()}
            found[int(user)]["attributes_time"] = time.to_pydatetime()
        return found


def _per_user(metric: PerUser, rows: Frame, user: str) -> dict[int, int]:
    grouped = rows[metric.keep(rows)].groupby(user)
    numbers = grouped[metric.distinct].nunique() if metric.distinct else grouped.size()
    return {int(who): int(n) for who, n in zip(numbers.index, numbers, strict=True)}


def _frame(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], attributes: Sequence[str], zone: ZoneInfo) -> Frame:
    frame = pd.DataFrame({c: [row[c] for row in rows] for c in (*keys, *attributes)})
    for column in frame.columns:
        text = column == "action" or (column in attributes and column not in NUMBERS)
        frame[column] = frame[column].astype("object" if text else "Int64")
    frame["time"] = pd.Series([row["time"] for row in rows], dtype="datetime64[us]")
    frame["day"] = pd.Series(frame["time"].dt.tz_localize("UTC").dt.tz_convert(zone).dt.date, dtype="object")
    return frame
