"""The detector `seasonal`: onsets, lasting levels, slides, zeros and freezes against what is usual at the time.

Belongs here: the detector and its kept state. Does not: its parts (`seasonal_past.py`: the past, `seasonal_usual.py`:
what is expected, `seasonal_noise.py`: scales, `seasonal_signs.py`: scores). docs/detectors.md gives the formulas and
what they reach. Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass, field

import numpy as np

from analytics_platform.detectors.base import PER_DAY, STEP, Block, Verdicts
from analytics_platform.detectors.seasonal_noise import REFRESH, Noise, noise, renewed_at, spread_over
from analytics_platform.detectors.seasonal_past import Past
from analytics_platform.detectors.seasonal_signs import Thresholds, verdicts

MEMORY = 28 * PER_DAY
PIECE = 20_000  # values judged at once


@dataclass
class Kept:
    """The state: the past of 28 days and the scales in force. Not for several threads at once."""

    past: Past
    capacity: int
    thresholds: Thresholds
    _noise: Noise | None = None
    _since: int = 0  # the quarter of a day that they are for

    def next(self, block: Block) -> Verdicts:
        """Verdicts on the columns of `block`, which go on where the last ones ended."""
        told = [self._few(block.columns(a, min(a + PER_DAY, block.buckets))) for a in range(0, block.buckets, PER_DAY)]
        return together(told, block.series)

    def over(self, a: int, b: int) -> Verdicts:
        """Verdicts on kept columns, in pieces that fit a processor's cache."""
        size = max(PER_DAY, PIECE // max(1, len(self.past.ratio)))
        return together([self.judged(i, min(i + size, b)) for i in range(a, b, size)], len(self.past.ratio))

    def _few(self, block: Block) -> Verdicts:
        if self.past.kept + block.buckets > self.capacity:
            self.past.let_go(self.past.kept - MEMORY)
        start = self.past.kept
        self.past.take(block)
        return self.judged(start, self.past.kept)

    def judged(self, a: int, b: int) -> Verdicts:
        """Verdicts on kept columns, each under the scales of its time."""
        scales, lengths = [], []
        for column in range(a, b):
            since = int(self.past.times[column]) // (STEP * REFRESH)
            if self._noise is None or since != self._since:
                self._noise, self._since = noise(self.past, renewed_at(self.past.times, column)), since
                scales.append(self._noise)
                lengths.append(0)
            elif not scales:
                scales.append(self._noise)
                lengths.append(0)
            lengths[-1] += 1
        if not scales:
            return Verdicts.unknown(len(self.past.ratio), 0)
        return verdicts(self.past, spread_over(scales, lengths), a, b, self.thresholds)


def together(told: list[Verdicts], series: int) -> Verdicts:
    """Verdicts on consecutive columns as one."""
    if not told:
        return Verdicts.unknown(series, 0)
    names = ("score", "expected", "low", "high", "sign")
    return Verdicts(**{name: np.concatenate([getattr(one, name) for one in told], axis=1) for name in names})


@dataclass(frozen=True)
class Seasonal:
    """What is unusual for the time of day and week, judged by a series' own past. Counts, ratios and other values."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    name: str = "seasonal"
    about: str = "how far the value is from its usual one for this time, and how suddenly it went there"
    memory: int = MEMORY

    def judge(self, block: Block, first: int = 0) -> Verdicts:
        """Verdicts on the columns first..n of the block."""
        start = max(0, first - MEMORY)
        kept = self._kept(block, block.buckets - start)
        kept.past.take(block.columns(start, block.buckets))
        return kept.over(first - start, block.buckets - start)

    def follow(self, block: Block) -> Kept:
        """The state after the block; of a longer one its last 28 days count."""
        kept = self._kept(block, MEMORY + 4 * PER_DAY)
        kept.past.take(block.columns(max(0, block.buckets - MEMORY), block.buckets))
        return kept

    def _kept(self, block: Block, capacity: int) -> Kept:
        return Kept(Past(block, capacity), capacity, self.thresholds)


def make() -> Seasonal:
    """With its documented parameters."""
    return Seasonal()
