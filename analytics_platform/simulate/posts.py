"""The posts of the simulated feed: when each appears, how long it lives, how much it is seen and liked.

Belongs here: posts and what is on show in an hour. Does not: who sees them (`feed.py`).
Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from analytics_platform.simulate.clock import Stream, stream

SLOTS = 4096  # of an hour's show: one random number of 12 bits picks a post
_OLDEST = 14  # days a post can live; as many days of posts exist before the first day


@dataclass(frozen=True)
class Posts:
    """All posts of a run in order of appearance; row i is the post with the id i + 1.

    `born`, `dies`: hours since the first day's local midnight (24 a day, whatever the clocks do).
    `pull`: how much it is seen when new. `charm`: how easily it is liked, mean about 1.
    """

    born: NDArray[np.float64]
    dies: NDArray[np.float64]
    pull: NDArray[np.float64]
    charm: NDArray[np.float32]

    @classmethod
    def of(cls, seed: int, days: int, users: int) -> Self:
        """The posts of the span and of the two weeks before it: 90 a day for 140,000 users, by the square root."""
        a_day = max(6.0, 90 * (users / 140_000) ** 0.5)
        born, dies, pull, charm = [], [], [], []
        for index in range(-_OLDEST, days):
            rng = stream(seed, Stream.POSTS, index + _OLDEST)
            count = max(1, int(rng.poisson(a_day)))
            # Posts are published by day, from seven to midnight.
            start = index * 24 + np.sort(rng.uniform(7, 23.9, count))
            born.append(start)
            dies.append(start + np.clip(rng.exponential(34, count), 3, 24 * _OLDEST - 24))
            pull.append(np.minimum(1 + rng.pareto(1.3, count), 60))
            charm.append(rng.gamma(20, 1 / 20, count).astype(np.float32))
        return cls(*(np.concatenate(column) for column in (born, dies, pull, charm)))

    def on_show(self, index: int) -> "list[Show]":
        """What the feed shows in each hour of day `index`; a 25th hour repeats the 24th."""
        low, high = np.searchsorted(self.born, [(index - _OLDEST) * 24, (index + 1) * 24])
        shows = [self._hour(int(low), int(high), index * 24 + hour) for hour in range(24)]
        return [*shows, shows[-1]]

    def _hour(self, low: int, high: int, hour: int) -> "Show":
        born, dies = self.born[low:high], self.dies[low:high]
        # On show from the first full hour after it appeared to the hour in which it dies, less and less.
        rows = np.flatnonzero((born <= hour) & (dies > hour))
        if not rows.size:
            rows = np.asarray([int(np.searchsorted(born, hour)) - 1])
        age = np.maximum(hour - born[rows], 0)
        weight = self.pull[low:high][rows] * np.exp(-age / 20)
        # Every post on show has a slot of its own, so that "active posts" are those alive.
        slots = 1 + np.floor(weight / weight.sum() * max(SLOTS - rows.size, 0)).astype(np.int64)
        slots[int(np.argmax(slots))] += SLOTS - slots.sum()
        charm = self.charm[low:high][rows]
        charm = charm * np.float32(SLOTS / np.dot(charm, slots))
        return Show(np.repeat(rows + low, slots), np.repeat(charm, slots))


@dataclass(frozen=True)
class Show:
    """One hour of the feed: `SLOTS` equally likely places, each with a post's row and its charm (mean exactly 1)."""

    post: NDArray[np.int64]
    charm: NDArray[np.float32]
