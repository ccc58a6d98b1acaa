"""The events that are measured: two shapes, made day by day from a seed, the same on every machine.

Belongs here: who does what and when, as arrays. Does not: files (`data.py`). Imported lazily only: numpy at the top.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_platform.metrics.facts import LOOKBACK_DAYS
from benchmarks.data import FIRST_DAY

MESSAGES_PER_FEED_EVENT = 0.2
EVENTS_PER_ACTIVE_USER = 35  # of the product shape, in the feed and per active user-day
_SEED = 20_260_801

_COUNTRIES = ("Russia", "Ukraine", "Belarus", "Kazakhstan", "Azerbaijan", "Finland", "Turkey", "Latvia")
_CITIES = tuple(f"city_{k}" for k in range(900))
_SYSTEMS = ("Android", "iOS")
_SOURCES = ("ads", "organic")
_ACTIONS = ("view", "like")

Ints = NDArray[np.int64]
Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Users:
    """One value a user, fixed for all days; row i is the user with the id i + 1."""

    gender: NDArray[np.int8]
    age: NDArray[np.int16]
    country: NDArray[np.int8]
    city: NDArray[np.int16]
    os: NDArray[np.int8]
    source: NDArray[np.int8]
    exp_group: NDArray[np.int8]
    habit: NDArray[np.float64]  # probability of being active on a day, in the product shape

    @classmethod
    def of(cls, count: int) -> "Users":
        """`count` users; the same ones whatever the span."""
        rng = np.random.default_rng((_SEED, 0))
        return cls(
            gender=(rng.random(count) < 0.54).astype(np.int8),
            age=(14 + 56 * rng.random(count) ** 2).astype(np.int16),
            country=(len(_COUNTRIES) * rng.random(count) ** 5).astype(np.int8),
            city=(len(_CITIES) * rng.random(count) ** 3).astype(np.int16),
            os=(rng.random(count) < 1 / 3).astype(np.int8),
            source=(rng.random(count) < 0.4).astype(np.int8),
            exp_group=rng.integers(0, 5, count, dtype=np.int8),
            habit=rng.beta(0.5, 3, count),
        )

    def columns(self, rows: Ints) -> Columns:
        """The attributes of those users, as the event tables name them."""
        return {
            "gender": pa.array(self.gender[rows]),
            "age": pa.array(self.age[rows]),
            "country": _words(self.country[rows], _COUNTRIES),
            "city": _words(self.city[rows], _CITIES),
            "os": _words(self.os[rows], _SYSTEMS),
            "source": _words(self.source[rows], _SOURCES),
            "exp_group": pa.array(self.exp_group[rows]),
        }


@dataclass(frozen=True)
class Day:
    """The events of one UTC day, in no order, and whom `facts` has to look up.

    `looked_up`: attributes of the users who only received messages that day and did something in the 30 days before.
    """

    day: date
    feed: pa.Table
    messages: pa.Table
    looked_up: pa.Table


def users_of(shape: str, feed_rows: int, days: int) -> int:
    """The size of the population: `dense` has 4 users per 1000 feed rows of 60 days, `product` 7 per active one."""
    a_day = feed_rows / days
    return max(50, round(a_day * 0.24 if shape == "dense" else a_day / EVENTS_PER_ACTIVE_USER * 7))


def days_of_events(shape: str, feed_rows: int, days: int) -> Iterator[Day]:
    """Every day, in order; about `feed_rows` feed rows in all, weekends a sixth above the others."""
    users = Users.of(users_of(shape, feed_rows, days))
    count = users.gender.size
    last_seen = np.full(count, -LOOKBACK_DAYS - 1, dtype=np.int64)
    for index in range(days):
        day = FIRST_DAY + timedelta(days=index)
        rng = np.random.default_rng((_SEED, 1, index))
        rows = max(1, round(feed_rows / days * (1 + 0.15 * ((day.weekday() >= 5) - 2 / 7))))
        messages = max(1, round(rows * MESSAGES_PER_FEED_EVENT))
        who, senders, receivers = (_dense if shape == "dense" else _product)(rng, users, rows, messages)
        acted = np.zeros(count, dtype=np.bool_)
        acted[who] = acted[senders] = True
        received = np.zeros(count, dtype=np.bool_)
        received[receivers] = True
        known = np.flatnonzero(received & ~acted & (last_seen >= index - LOOKBACK_DAYS))
        last_seen[acted] = index
        own = {
            "user_id": _ids(who),
            "post_id": pa.array((20_000 * rng.random(rows) ** 4).astype(np.uint32) + np.uint32(1)),
            "action": _words((rng.random(rows) < 0.2).astype(np.int8), _ACTIONS),
            "time": _times(rng, day, rows),
        }
        sent = {"user_id": _ids(senders), "receiver_id": _ids(receivers), "time": _times(rng, day, messages)}
        yield Day(
            day,
            pa.table(own | users.columns(who)),
            pa.table(sent | users.columns(senders)),
            pa.table({"user_id": _ids(known)} | users.columns(known)),
        )


def _dense(rng: np.random.Generator, users: Users, rows: int, messages: int) -> tuple[Ints, Ints, Ints]:
    """Nearly everybody comes every day and does little: the worst case for anything kept per user and day."""
    count = users.gender.size
    who = (count * rng.random(rows) ** 3).astype(np.int64)
    senders = (count * rng.random(messages) ** 3).astype(np.int64)
    return who, senders, (senders + 1 + (60 * rng.random(messages) ** 2).astype(np.int64)) % count


def _product(rng: np.random.Generator, users: Users, rows: int, messages: int) -> tuple[Ints, Ints, Ints]:
    """A seventh comes on a day, and those have 35 feed events on average, heavy-tailed; four in ten write."""
    count = users.gender.size
    # The habits add up to a seventh; which seventh it is differs from day to day.
    active = np.flatnonzero(rng.random(count) < users.habit * (rows / EVENTS_PER_ACTIVE_USER) / users.habit.sum())
    if not active.size:
        active = np.zeros(1, dtype=np.int64)
    rng.shuffle(active)
    active = active[:rows]
    who = np.concatenate((active, active[_heavy(rng, active.size, rows - active.size)]))
    writing = active[: max(1, active.size * 4 // 10)]
    place = _heavy(rng, writing.size, messages)
    friend = active[(place + 1 + (12 * rng.random(messages) ** 2).astype(np.int64)) % active.size]
    stranger = (writing[place] + 1 + (60 * rng.random(messages) ** 2).astype(np.int64)) % count
    return who, writing[place], np.where(rng.random(messages) < 0.97, friend, stranger)


def _heavy(rng: np.random.Generator, people: int, events: int) -> Ints:
    """Whose event it is, for each event: a few do much, most do little."""
    share = np.cumsum(0.3 + np.minimum(rng.pareto(2.0, people), 25))
    found: Ints = np.searchsorted(share, rng.random(events) * share[-1]).astype(np.int64)
    return np.minimum(found, people - 1)


def _ids(rows: Ints) -> pa.Array:
    return pa.array(rows.astype(np.uint32) + np.uint32(1))


def _times(rng: np.random.Generator, day: date, count: int) -> pa.Array:
    second = np.floor(86_400 * rng.random(count) ** 0.8).astype("timedelta64[s]")
    return pa.array(np.datetime64(day, "us") + second)


def _words(codes: NDArray[np.int8] | NDArray[np.int16], words: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words))
