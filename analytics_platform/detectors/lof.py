"""The local outlier factor of the last few buckets: is there anything like them in the last three weeks?

Belongs here: windows, their neighbours (scikit-learn's), the factor, the band. Does not: the factor of single values
(`line_lof`). Imported lazily only: numpy and scikit-learn are imported at the top. With `fitted_training` this is the
only home of scikit-learn.

A bucket and those just before it are a window, a point in space. The factor compares how thinly the windows of the last
21 days lie around it with how thinly they lie around its neighbours: 1 in the midst of its like, far more out in the
open. It is fitted anew every midnight, UTC, and what it judges is new to it (novelty).

Ties: windows nearer to each other than a fifth of the series' own standard deviation are the same, and so are those of
counts that differ by less than 1. So equal values do not divide by nothing, the factor is always finite, and tightly
packed nights do not make every stir look like an event: on labelled series that floor alone halves the false alarms.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.neighbors import NearestNeighbors

from analytics_platform.detectors.base import PER_DAY, Block, Bools, Floats, Follower, Ints, Sign, Verdicts
from analytics_platform.detectors.recent import joined

_DAY = 86400
_DAYS = 21  # more than neighbours: what comes every day at its time has as many like it, and is usual
_ENOUGH = PER_DAY  # windows to compare with: a day of them
_SAME = 0.2  # of the standard deviation: windows nearer than that are the same
_NO_SPREAD = 1e-3  # of the level: the same, for a series that never moved
_FARTHEST = 4.0  # standard deviations from the expected value: where the search for the band ends
_HALVINGS = 6  # of that distance: to 0.06 standard deviations
HIGHEST = 10.0


@dataclass(frozen=True)
class Parameters:
    """`ticks`: buckets of a window; `neighbours`: windows it is compared with; `threshold`: the factor of an alert."""

    ticks: int = 4
    neighbours: int = 20
    threshold: float = 2.5


class _Fitted:
    """The windows of a series before a midnight, ready to be compared with."""

    def __init__(self, windows: Floats, parameters: Parameters) -> None:
        """`windows`: [w, ticks], all known, oldest first."""
        newest = windows[:, -1]
        self.spread = float(newest.std())
        level = _NO_SPREAD * float(np.abs(newest).mean())
        whole = 1.0 if bool((windows == np.floor(windows)).all()) else 0.0
        self.same = max(_SAME * self.spread, level, whole) or 1.0
        self.least = min(float(newest.min()), 0.0)
        self._newest = newest
        self._all: Any = NearestNeighbors(n_neighbors=parameters.neighbours, algorithm="kd_tree").fit(windows)
        self._before: Any = NearestNeighbors(n_neighbors=parameters.neighbours, algorithm="kd_tree").fit(
            windows[:, :-1]
        )
        apart, others = self._all.kneighbors()
        self._reach: Floats = np.maximum(apart[:, -1], self.same)
        self._density: Floats = 1 / np.maximum(apart, self._reach[others]).mean(axis=1)

    def factor(self, windows: Floats) -> Floats:
        """[q]: the local outlier factor of windows that are new to it."""
        apart, others = self._all.kneighbors(windows)
        thinness = np.maximum(apart, self._reach[others]).mean(axis=1)
        return np.asarray(self._density[others].mean(axis=1) * thinness, dtype=np.float64)

    def expected(self, windows: Floats) -> Floats:
        """[q]: what mostly came after the buckets before the newest one, in the windows most like these."""
        return np.asarray(np.median(self._newest[self._before.kneighbors(windows[:, :-1])[1]], axis=1), np.float64)


_Models = list[_Fitted | None]


class Lof:
    """The detector `lof`. Score: the factor, of which 1 is score 0 and `threshold` is score 1; 10 at most.

    Band: how far the newest value alone could be from the expected one until its window, otherwise as it is, would
    reach the threshold; found by halving, to 0.06 standard deviations of the series. A factor need not grow with the
    distance (farther out there may be other windows): the band is the part around the expected value, and the verdict
    on the value itself has the last word about its bound.

    No verdict where a bucket of the window is absent, in the first day, and after a level was declared normal until
    there is a day's worth of it at midnight.
    """

    name = "lof"
    about = "local outlier factor of the last buckets among all windows of 21 days (scikit-learn)"

    def __init__(self, parameters: Parameters = Parameters()) -> None:
        self.parameters = parameters
        self.memory = _DAYS * PER_DAY + PER_DAY - 1 + parameters.ticks - 1

    def judge(self, block: Block, first: int = 0) -> Verdicts:
        """Verdicts on the columns first..n. About 0.2 ms of CPU for a bucket of a series, most of it the band."""
        verdicts = Verdicts.unknown(block.series, block.buckets - first)
        for midnight, start, stop in days(block, first):
            self.fill(verdicts, first, block, self.models(block, midnight), (start, stop))
        return verdicts

    def follow(self, block: Block) -> Follower:
        """Keeps 22 days of every series, and what was fitted at the last midnight."""
        return _LofFollower(self, block)

    def models(self, block: Block, midnight: int) -> _Models:
        """What is known at column `midnight`, of the 21 days before it; None for series with less than a day."""
        ticks = self.parameters.ticks
        begin = max(0, midnight - _DAYS * PER_DAY - ticks + 1)
        past = block.columns(begin, midnight)
        if past.buckets < ticks:
            return [None] * block.series
        latest = np.where(past.accepted, np.arange(past.buckets), 0).max(axis=1)
        usual = np.where(past.learn & (np.arange(past.buckets) >= latest[:, None]), past.values, np.nan)
        fitted: _Models = []
        for windows in sliding_window_view(usual, ticks, axis=1):
            known = windows[np.isfinite(windows).all(axis=1)]
            enough = len(known) >= max(_ENOUGH, self.parameters.neighbours + 1)
            fitted.append(_Fitted(known, self.parameters) if enough else None)
        return fitted

    def fill(self, verdicts: Verdicts, first: int, block: Block, models: _Models, columns: tuple[int, int]) -> None:
        """Writes the verdicts on these columns of one day; those of `verdicts` begin with column `first`."""
        start, stop = columns
        ticks = self.parameters.ticks
        windows = _windows(block.values, start, stop, ticks)
        # A level accepted today makes what was fitted at midnight useless.
        today = block.accepted[:, max(0, start - PER_DAY) : stop] & _same_day(block, start, stop)
        stale = np.maximum.accumulate(today, axis=1)[:, -(stop - start) :]
        known = np.isfinite(windows).all(axis=2) & ~stale
        for row, model in enumerate(models):
            asked = np.flatnonzero(known[row])
            if model is None or not len(asked):
                continue
            place = (row, asked + start - first)
            limit = 1 + (self.parameters.threshold - 1) * block.slack[start + asked]
            found = _verdicts(model, windows[row, asked], limit)
            verdicts.score[place], verdicts.expected[place] = found.score, found.expected
            verdicts.low[place], verdicts.high[place], verdicts.sign[place] = found.low, found.high, found.sign


def make() -> Lof:
    """The detector with its documented parameters."""
    return Lof()


class _LofFollower:
    """The last 22 days, and what was fitted at the midnight before the newest bucket."""

    def __init__(self, detector: Lof, block: Block) -> None:
        self._detector = detector
        self._kept = self._last(block)
        self._day = -1
        self._models: _Models = []

    def next(self, block: Block) -> Verdicts:
        """Verdicts on the columns of `block`. ValueError when they do not go on where the last ones ended."""
        seen, first = joined(self._kept, block), self._kept.buckets
        verdicts = Verdicts.unknown(block.series, block.buckets)
        for midnight, start, stop in days(seen, first):
            day = int(seen.times[start]) // _DAY
            if day != self._day:
                self._models, self._day = self._detector.models(seen, midnight), day
            self._detector.fill(verdicts, first, seen, self._models, (start, stop))
        self._kept = self._last(seen)
        return verdicts

    def _last(self, block: Block) -> Block:
        return block.columns(max(0, block.buckets - self._detector.memory), block.buckets)


def days(block: Block, first: int) -> Iterator[tuple[int, int, int]]:
    """For each UTC day of the columns first..n: the column of its midnight, where it begins (or `first`), its end."""
    dates = block.times // _DAY
    for day in np.unique(dates[first:]):
        midnight, stop = np.searchsorted(dates, (day, day + 1))
        yield int(midnight), max(int(midnight), first), int(stop)


def _windows(values: Floats, start: int, stop: int, ticks: int) -> Floats:
    """[m, k, ticks]: the windows that end with the columns start..stop; NaN before the first column."""
    missing = max(0, ticks - 1 - start)
    cut = values[:, max(0, start - ticks + 1) : stop]
    return sliding_window_view(np.pad(cut, ((0, 0), (missing, 0)), constant_values=np.nan), ticks, axis=1)


def _same_day(block: Block, start: int, stop: int) -> Bools:
    """Of the columns start - 96..stop: which are of the day of column `start`."""
    dates: Ints = block.times[max(0, start - PER_DAY) : stop] // _DAY
    same: Bools = dates == block.times[start] // _DAY
    return same


def _verdicts(model: _Fitted, windows: Floats, limit: Floats) -> Verdicts:
    """Verdicts on some windows of a series. `limit`: [q], the factor at score 1."""
    value = windows[:, -1]
    score = np.clip((model.factor(windows) - 1) / (limit - 1), 0.0, HIGHEST)
    expected = model.expected(windows)
    low, high = _bounds(model, windows, expected, limit)
    low = np.maximum(low, model.least)
    # What the score says of the value itself has the last word.
    unusual = score >= 1
    high = np.where(
        unusual & (value >= expected), np.minimum(high, value), np.where(unusual, high, np.maximum(high, value))
    )
    low = np.where(unusual & (value < expected), np.maximum(low, value), np.where(unusual, low, np.minimum(low, value)))
    zero = (value == 0) & (expected > 0)
    sign = np.where(score > 0, np.where(zero, np.int8(Sign.ZERO), np.int8(Sign.JUMP)), np.int8(Sign.NONE))
    return Verdicts(score, expected, low, high, sign.astype(np.int8))


def _bounds(model: _Fitted, windows: Floats, expected: Floats, limit: Floats) -> tuple[Floats, Floats]:
    """Both [q]: how far down and up the newest value would still be usual."""
    count = len(windows)
    side = np.repeat((-1.0, 1.0), count)
    middle, most = np.tile(expected, 2), np.tile(limit, 2)
    probes = np.tile(windows, (2, 1))
    inside = np.zeros(2 * count)
    outside = np.full(2 * count, _FARTHEST * max(model.spread, model.same))
    for _ in range(_HALVINGS):
        half = (inside + outside) / 2
        probes[:, -1] = middle + side * half
        usual = model.factor(probes) < most
        inside, outside = np.where(usual, half, inside), np.where(usual, outside, half)
    found = middle + side * outside
    return found[:count], found[count:]
