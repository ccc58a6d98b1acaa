"""The detector port: a block of series on one grid goes in, a score and a band for each bucket come out.

Belongs here: the port, the block, the verdicts. Does not: any method of detection; whether a score becomes an alert
(`alerts/`). Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

STEP = 900  # seconds of a bucket
PER_DAY = 96
PER_WEEK = 7 * PER_DAY


class Sign(IntEnum):
    """What is unusual about a bucket, in the order in which one is told before another."""

    NONE = 0
    ZERO = 1  # nothing at all where something always is
    FREEZE = 2  # the very same value again and again where it always moves
    JUMP = 3  # away from where it just was: an onset
    LEVEL = 4  # still away from where it should be
    SLIDE = 5  # slowly gone away from where it should be


@dataclass(frozen=True)
class Block:
    """Series on one gap-free grid. Shapes: `m` series, `n` buckets, oldest first.

    `times` [n]: starts of the buckets, epoch seconds UTC, every 900 s. `offset` [n]: seconds by which local time is
    ahead of UTC. `values` [m, n]: NaN where nothing is known (held back, or a ratio without a base). `base` [m, n]:
    denominators of ratios; NaN for counts. `ratio` [m]: whether a series is a ratio; all others are counts of events or
    users. `learn` [m, n]: False where the bucket is known to have been out of the ordinary (a past incident, a holiday,
    an expected event): it is judged, but no baseline is made of it. `slack` [n]: by what factor a deviation may be
    larger in that bucket (1: an ordinary day; a holiday has more). `accepted` [m, n]: True in the first bucket of a
    level that a person declared to be the new normal: what was before tells nothing of what is usual now.
    """

    times: Ints
    offset: Ints
    values: Floats
    base: Floats
    ratio: Bools
    learn: Bools
    slack: Floats
    accepted: Bools

    @classmethod
    def plain(cls, times: Ints, values: Floats) -> "Block":
        """Counts in UTC on ordinary days, nothing known to be wrong. `values`: [m, n] or [n]."""
        grid = np.atleast_2d(np.asarray(values, dtype=np.float64))
        m, n = grid.shape
        return cls(
            times=np.asarray(times, dtype=np.int64),
            offset=np.zeros(n, np.int64),
            values=grid,
            base=np.full((m, n), np.nan),
            ratio=np.zeros(m, bool),
            learn=np.ones((m, n), bool),
            slack=np.ones(n),
            accepted=np.zeros((m, n), bool),
        )

    @property
    def series(self) -> int:
        """m"""
        return int(self.values.shape[0])

    @property
    def buckets(self) -> int:
        """n"""
        return int(self.values.shape[1])

    def columns(self, start: int, stop: int) -> "Block":
        """The buckets start..stop (half-open) alone."""
        cut = slice(start, stop)
        return replace(
            self,
            times=self.times[cut],
            offset=self.offset[cut],
            values=self.values[:, cut],
            base=self.base[:, cut],
            learn=self.learn[:, cut],
            slack=self.slack[cut],
            accepted=self.accepted[:, cut],
        )

    def rows(self, chosen: NDArray[np.intp] | Bools) -> "Block":
        """Some of the series alone."""
        return replace(
            self,
            values=self.values[chosen],
            base=self.base[chosen],
            ratio=self.ratio[chosen],
            learn=self.learn[chosen],
            accepted=self.accepted[chosen],
        )

    def same_time(self, days: int) -> Ints:
        """[n]: for each bucket, the column of the same local time `days` days before (-1: before the block).

        Local time: where the clocks change, it is 92 or 100 buckets away and not 96.
        """
        local = self.times + self.offset
        # Where the clocks change between the two, the first guess is off by the change, and the offset there tells.
        guess = np.clip((local - days * 86400 - self.offset - self.times[0]) // STEP, 0, self.buckets - 1)
        exact = (local - days * 86400 - self.offset[guess] - self.times[0]) // STEP
        return np.where(exact >= 0, exact, -1)


@dataclass(frozen=True)
class Verdicts:
    """What a detector says of `k` buckets of `m` series. All arrays are [m, k].

    `score`: 0 and more; 1 is where the detector would alert by itself, 2 twice as far; NaN where it cannot tell (not
    enough history, no value). `expected`, `low`, `high`: the value it expected and the band it held for usual at score
    1; NaN where it has none. `sign`: the `Sign` of what is unusual, also below score 1. A detector's score is the same
    for all series: one threshold makes sense for every one of them.
    """

    score: Floats
    expected: Floats
    low: Floats
    high: Floats
    sign: NDArray[np.int8]

    @classmethod
    def unknown(cls, m: int, k: int) -> "Verdicts":
        """Nothing can be told."""
        nothing = np.full((m, k), np.nan)
        return cls(nothing, nothing.copy(), nothing.copy(), nothing.copy(), np.zeros((m, k), np.int8))


class Follower(Protocol):
    """A detector's kept state: it has seen a block and judges what comes after it, without looking back."""

    def next(self, block: Block) -> Verdicts:
        """Verdicts on the columns of `block`, which go on where the last ones ended; they are part of the past then."""
        ...


class Detector(Protocol):
    """A method of detection. A verdict on a bucket depends on that bucket and earlier ones only, and on none that is
    more than `memory` buckets older."""

    name: str
    about: str
    memory: int

    def judge(self, block: Block, first: int = 0) -> Verdicts:
        """Verdicts on the columns first..n of the block."""
        ...

    def follow(self, block: Block) -> Follower:
        """The state after the block. What it says next is what `judge` would say, bucket for bucket."""
        ...
