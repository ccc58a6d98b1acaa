"""Who the simulated users are: when they come and go, what they use, and the attributes that stay with them.

Belongs here: everything about a user that is fixed for life, and who is active on a day.
Does not: what the active do (`feed.py`, `chat.py`). Imported lazily only: numpy is imported at the top.

Users are kept in the order of arrival, in columns. Those of one day come from that day's own random stream, so the
users of the first days are the same however long the run is.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from analytics_platform.simulate.clock import Stream, local_time, stream
from analytics_platform.simulate.incidents import CAMPAIGN_STAY, NEW_USERS
from analytics_platform.simulate.places import city_shares
from analytics_platform.simulate.scenario import Scenario

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SOURCES = ("ads", "organic")
SYSTEMS = ("Android", "iOS")
FRIENDS = 6

ESTABLISHED = 0.40  # of `users` are there on the first day; the others arrive over the first 60 days
ARRIVALS = 0.60 / 60  # of `users`, per day
ADS = 0.60  # of newcomers
ROLES = (0.675, 0.24, 0.065, 0.02)  # feed, chat, both, listener: gives a chat a ninth as large as the feed

# The share of newcomers still around a days after the first is STAY[source] * a^-0.35 * e^(-a/150); half of those
# (FEED_HABIT) show up on a given day: day 1 36 % for ads and 45 % for organic, 40 % together; day 7 half of it.
STAY = (0.655, 0.815)
FEED_HABIT = (2.2, 1.8)  # Beta
ESTABLISHED_FEED_HABIT = (1.0, 1.55)
ESTABLISHED_LIFE = 85.0  # days, mean: their departures and the newcomers' arrivals balance for the first months
LONGEST_STAY = 2_000


class Role(IntEnum):
    """What a user uses. A listener receives messages and does nothing else, ever."""

    FEED = 0
    CHAT = 1
    BOTH = 2
    LISTENER = 3


@cache
def _stay() -> NDArray[np.float64]:
    # Falling with the day: the share that is still around, for a stay of 1.
    days = np.arange(1, LONGEST_STAY + 1)
    return np.asarray(days**-0.35 * np.exp(-days / 150), dtype=np.float64)


def _last_day(rng: np.random.Generator, stay: NDArray[np.float64]) -> NDArray[np.int16]:
    # Inverse transform: the number of days d for which stay * share(d) >= u.
    u = rng.random(stay.size) / stay
    return np.searchsorted(-_stay(), -u, side="right").astype(np.int16)


@dataclass(frozen=True)
class _Block:
    """The users of one day of arrival (or the established ones), one entry per user in every column."""

    joined: NDArray[np.int16]  # day index; -1: before the first day
    leaves: NDArray[np.int16]  # last day index on which they may be active
    role: NDArray[np.int8]
    feed_habit: Floats  # probability of using the feed on a plain day while around
    chat_habit: Floats  # probability of starting a conversation on a plain day while around
    appetite: Floats  # how much of the feed they use, mean 1, heavy-tailed
    talk: Floats  # how many conversations they start, mean 1, heavy-tailed
    liking: Floats  # how easily they like, mean 1
    gender: NDArray[np.int8]
    age: NDArray[np.int16]
    city: NDArray[np.int16]
    os: NDArray[np.int8]
    two_systems: NDArray[np.bool_]
    source: NDArray[np.int8]
    exp_group: NDArray[np.int8]


@dataclass(frozen=True)
class Population(_Block):
    """All users of a run; row i is the user with the id i + 1.

    `arrived[d]` = number of users known up to and including day d. `members` = rows of all who can receive messages;
    `friends` = positions in `members`, `FRIENDS` for each member.
    """

    arrived: Ints
    members: Ints
    friends: NDArray[np.int32]

    @classmethod
    def of(cls, scenario: Scenario) -> Self:
        """Everybody who is known by the end of the scenario's span."""
        bursts = _bursts(scenario)
        blocks, friends, sizes, members = [], [], [], 0
        for index in range(-1, scenario.days):
            rng = stream(scenario.seed, Stream.PEOPLE, index + 1)
            block = _arrivals(rng, scenario.users, index, bursts.get(index, 0.0))
            count = int(np.count_nonzero(block.role != Role.FEED))
            members += count
            # Squared: those who came early, and are around for longer, have more friends.
            friends.append((members * rng.random((count, FRIENDS)) ** 2).astype(np.int32))
            blocks.append(block)
            sizes.append(block.joined.size)
        columns: dict[str, Any] = {
            f.name: np.concatenate([getattr(block, f.name) for block in blocks]) for f in fields(_Block)
        }
        return cls(
            **columns,
            arrived=np.cumsum(sizes)[1:],
            members=np.flatnonzero(columns["role"] != Role.FEED),
            friends=np.concatenate(friends),
        )

    def in_feed(self, rng: np.random.Generator, day: int, factor: float) -> Ints:
        """Rows, rising, of the users who open the feed that day: the day's newcomers, and by habit the others."""
        return self._active(rng, day, factor, self.feed_habit, newcomers=1.0)

    def in_chat(self, rng: np.random.Generator, day: int, factor: float) -> Ints:
        """Rows, rising, of the users who start a conversation that day."""
        return self._active(rng, day, factor, self.chat_habit, newcomers=0.75)

    def around(self, rows: Ints, day: int) -> NDArray[np.bool_]:
        """Whether the users of these rows may still be active that day."""
        return self.leaves[rows] >= day

    def _active(self, rng: np.random.Generator, day: int, factor: float, habit: Floats, newcomers: float) -> Ints:
        known = int(self.arrived[day])
        chance = np.minimum(habit[:known] * np.float32(factor), np.float32(0.98))
        chance[self.leaves[:known] < day] = 0
        first = int(self.arrived[day - 1]) if day else int(np.searchsorted(self.joined[:known], 0))
        chance[first:][habit[first:known] > 0] = newcomers
        return np.flatnonzero(rng.random(known, dtype=np.float32) < chance)


def _bursts(scenario: Scenario) -> dict[int, float]:
    # Day index -> expected number of additional feed users from ads.
    usual = scenario.users * ARRIVALS * ADS * (ROLES[Role.FEED] + ROLES[Role.BOTH])
    starts = {local_time(day, scenario.zone): k for k, day in enumerate(scenario.dates)}
    found: dict[int, float] = {}
    for incident in scenario.planted():
        if incident.metric == NEW_USERS:
            if incident.start not in starts:
                raise ValueError(f"a campaign starts at a local midnight of the span, not at {incident.start}")
            index = starts[incident.start]
            found[index] = found.get(index, 0.0) + (incident.size - 1) * usual
    return found


def _arrivals(rng: np.random.Generator, users: int, index: int, burst: float) -> _Block:
    established = index < 0
    # Newcomers vary from day to day by more than chance alone: advertising is bought by the day.
    usual = round(users * ESTABLISHED) if established else int(rng.poisson(users * ARRIVALS * rng.normal(1, 0.06)))
    extra = int(rng.poisson(burst)) if burst else 0
    n = usual + extra
    from_campaign = np.arange(n) >= usual

    role = rng.choice(len(ROLES), n, p=ROLES).astype(np.int8)
    role[from_campaign] = Role.FEED
    source = (rng.random(n) >= ADS).astype(np.int8)
    source[from_campaign] = 0
    stay = np.asarray(STAY)[source] * np.where(from_campaign, CAMPAIGN_STAY, 1.0)
    if established:
        life = rng.exponential(ESTABLISHED_LIFE, n).astype(np.int16)
        feed_habit = 0.08 + 0.92 * rng.beta(*ESTABLISHED_FEED_HABIT, n)
    else:
        life = index + _last_day(rng, stay)
        feed_habit = rng.beta(*FEED_HABIT, n)
    # The young are more, and few are over 60; nobody is under 14.
    age = np.clip(14 + rng.gamma(2.6, 5.6, n), 14, 90)
    shares, _ = city_shares()
    city = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n)).astype(np.int16)
    return _Block(
        joined=np.full(n, index, dtype=np.int16),
        leaves=life.astype(np.int16),
        role=role,
        feed_habit=np.where((role == Role.FEED) | (role == Role.BOTH), feed_habit, 0).astype(np.float32),
        chat_habit=np.where((role == Role.CHAT) | (role == Role.BOTH), rng.beta(0.5, 6.5, n), 0).astype(np.float32),
        appetite=_heavy(rng, n),
        talk=_heavy(rng, n),
        liking=rng.gamma(6, 1 / 6, n).astype(np.float32),
        gender=(rng.random(n) < 0.55).astype(np.int8),
        age=age.astype(np.int16),
        city=city,
        os=(rng.random(n) < 0.35).astype(np.int8),
        two_systems=rng.random(n) < 0.015,
        source=source,
        exp_group=rng.integers(0, 5, n, dtype=np.int8),
    )


def _heavy(rng: np.random.Generator, n: int) -> Floats:
    # Lomax with tail exponent 2 and mean 1, cut at 25 times the mean: nobody reads a feed all day and night.
    return np.minimum(rng.pareto(2.0, n), 25).astype(np.float32)


CITY_COUNTRY: NDArray[np.int8] = np.asarray(city_shares()[1], dtype=np.int8)
