"""A detector for tests of what comes after detectors: yesterday's value, and the square root of it.

Belongs here: the detector, series for it. Does not: assertions.
"""

from dataclasses import dataclass, replace

import numpy as np

from analytics_platform.detectors.base import PER_DAY, STEP, Block, Floats, Follower, Sign, Verdicts
from analytics_platform.metrics.series import SeriesKey

START = 1_790_640_000  # 2026-09-29 00:00 UTC, a Tuesday
VIEWS, LIKES, CTR = (SeriesKey("feed", name) for name in ("views", "likes", "ctr"))
SENT = SeriesKey("messenger", "messages_sent")
IOS = SeriesKey("feed", "views", "os", "iOS")


@dataclass
class Yesterday:
    """Expects what was there at the same time on the last day that may be learned from; 1 is five standard errors."""

    name: str = "yesterday"
    about: str = "for tests"
    memory: int = 3 * PER_DAY

    def judge(self, block: Block, first: int = 0) -> Verdicts:
        """Verdicts on the columns first..n."""
        expected = np.full(block.values.shape, np.nan)
        past = np.where(block.learn, block.values, np.nan)
        for days in (3, 2, 1):
            back = np.full(past.shape, np.nan)
            back[:, days * PER_DAY :] = past[:, : -days * PER_DAY]
            expected = np.where(np.isfinite(back), back, expected)
        size = np.where(block.ratio[:, None], expected / np.maximum(block.base, 1.0), expected)
        spread = 5 * np.sqrt(np.maximum(size, 1e-6))
        score = np.abs(block.values - expected) / spread
        sign = np.where(block.values == 0, Sign.ZERO, Sign.JUMP).astype(np.int8)
        cut = slice(first, None)
        low, high = expected - spread, expected + spread
        return Verdicts(score[:, cut], expected[:, cut], low[:, cut], high[:, cut], sign[:, cut])

    def follow(self, block: Block) -> Follower:
        """Keeps all of it."""
        return _Following(self, block)


@dataclass
class _Following:
    detector: Yesterday
    past: Block

    def next(self, block: Block) -> Verdicts:
        kept = self.past.buckets
        names = ("times", "offset", "values", "base", "learn", "slack", "accepted")
        joined = {n: np.concatenate([getattr(self.past, n), getattr(block, n)], axis=-1) for n in names}
        self.past = replace(self.past, **joined)
        return self.detector.judge(self.past, kept)


def days(count: int, *levels: float, seed: int = 3) -> Block:
    """Poisson counts, a series for each level, busier by day than by night."""
    n = count * PER_DAY
    shape = 1 + 0.5 * np.sin(2 * np.pi * (np.arange(n) - 30) / PER_DAY)
    values: Floats = np.random.default_rng(seed).poisson(np.outer(levels, shape)).astype(float)
    return Block.plain(START + STEP * np.arange(n), values)


def with_ratio(block: Block, share: float, seed: int = 4) -> Block:
    """The same with a ratio below, whose base is the first series."""
    base = block.values[:1]
    over = np.random.default_rng(seed).binomial(base.astype(np.int64), share)
    grid = np.vstack([block.values, over / np.maximum(base, 1)])
    wide = Block.plain(block.times, grid)
    wide.base[-1] = base
    wide.ratio[-1] = True
    return wide


def at(day: int, hour: float) -> int:
    """The column of that hour of that day, the first is 0."""
    return int(day * PER_DAY + hour * 4)
