"""The kept past of `seasonal`: raw columns and what was derived from them, on arrays that slide.

Belongs here: what is kept for each bucket and how a new one is derived from earlier ones. Does not: thresholds and
scores. Imported lazily only: numpy is imported at the top.
"""

from itertools import pairwise

import numpy as np

from analytics_platform.detectors.base import PER_DAY, Block
from analytics_platform.detectors.seasonal_usual import (
    carried,
    lagged,
    median,
    nearest,
    running_mean,
    running_median,
    usual_values,
)

HOUR, SHORT, LONG = 4, 8, 48  # buckets over which a level is taken: one hour, two, half a day
CARRY = 4  # a missing bucket is bridged by the value of up to an hour before


class Past:
    """Columns of `m` series, oldest first; `kept` of them are in use, older ones are let go.

    values, base, learn: as given. fit: values a baseline may be made of. fortnight, recent, weekday, weeks: what is
    usual, four ways (`usual_values`). away: value - fortnight. level: how far the value is from the nearest of the
    first three. jump: by how much `away` changed; weekly: the same against `weeks`. hour, short: means of `level` over
    one hour and two; long: its median over half a day. shape: what was usual without an accepted level. same: for how
    many buckets the value has been the very same. nothing: the sum of what was expected in the zeros that last until
    here. accepted [m]: column of the newest accepted level, -1 if there is none.
    """

    def __init__(self, block: Block, capacity: int) -> None:
        m = block.series
        self.ratio = block.ratio
        self.kept = 0
        self.times = np.zeros(capacity, np.int64)
        self.offset = np.zeros(capacity, np.int64)
        self.slack = np.ones(capacity)
        self.learn = np.zeros((m, capacity), bool)
        self.same = np.zeros((m, capacity))
        self.nothing = np.zeros((m, capacity))
        self.values, self.base, self.fit = (np.full((m, capacity), np.nan) for _ in range(3))
        self.fortnight, self.recent, self.weekday, self.weeks = (np.full((m, capacity), np.nan) for _ in range(4))
        self.away, self.level, self.jump, self.weekly = (np.full((m, capacity), np.nan) for _ in range(4))
        self.hour, self.short, self.long, self.shape = (np.full((m, capacity), np.nan) for _ in range(4))
        self.accepted = np.full(m, -1)

    def take(self, block: Block) -> None:
        """Append a block and derive its columns.

        There is room for the block: see `let_go`. ValueError if it does not go on where the last one ended.
        """
        a, b = self.kept, self.kept + block.buckets
        if block.series != len(self.ratio):
            raise ValueError(f"a block of {block.series} series cannot go on after one of {len(self.ratio)}")
        if a and block.buckets and block.times[0] != self.times[a - 1] + 900:
            raise ValueError("a block must go on in the bucket after the last one: build the state again")
        self.times[a:b], self.offset[a:b], self.slack[a:b] = block.times, block.offset, block.slack
        self.values[:, a:b], self.base[:, a:b], self.learn[:, a:b] = block.values, block.base, block.learn
        self.fit[:, a:b] = np.where(block.learn, block.values, np.nan)
        self.kept = b
        marks = set((np.flatnonzero(block.accepted.any(axis=0)) + a).tolist())
        # Few at a time: the working arrays stay in the processor's cache.
        cuts = sorted({a, b} | marks | set(range(a, b, max(PER_DAY, 10_000 // max(1, len(self.ratio))))))
        for start, stop in pairwise(cuts):
            if start in marks:
                # A person declared the level from here on to be usual.
                self.accepted[block.accepted[:, start - a]] = start
            self._derive(start, stop)

    def let_go(self, columns: int) -> None:
        """Forget the oldest columns."""
        if columns <= 0:
            return
        left = self.kept - columns
        for grid in vars(self).values():
            if isinstance(grid, np.ndarray) and grid.shape[-1] == len(self.times):
                grid[..., :left] = grid[..., columns : self.kept].copy()
        self.kept = left
        self.accepted = np.where(self.accepted >= columns, self.accepted - columns, -1)

    def _derive(self, a: int, b: int) -> None:
        cut = slice(a, b)
        views = usual_values(self.fit[:, :b], self.ratio, self.times[:b], self.offset[:b], a=a, b=b)
        self.fortnight[:, cut], self.recent[:, cut], self.weekday[:, cut], self.weeks[:, cut] = views
        self.shape[:, cut] = np.where(np.isfinite(views[2]), views[2], views[0])
        for row in np.flatnonzero((self.accepted >= 0) & (self.accepted > a - 22 * PER_DAY)):
            self._rescale(int(row), a, b)
        values = self.values[:, cut]
        self.away[:, cut] = values - self.fortnight[:, cut]
        level = nearest([values - grid[:, cut] for grid in (self.fortnight, self.recent, self.weekday)])
        self.level[:, cut] = np.where(np.isnan(self.away[:, cut]), np.nan, level)
        self.jump[:, cut] = self.away[:, cut] - carried(self.away, a, b, CARRY)
        other = self.values[:, :b] - self.weeks[:, :b]
        self.weekly[:, cut] = other[:, cut] - carried(other, a, b, CARRY)
        fresh = (self.accepted >= a) & (self.accepted < b)
        self.jump[fresh, self.accepted[fresh]] = np.nan
        level = self.level[:, :b]
        if (self.accepted > a - LONG).any():  # what was before an accepted level is no part of a later one
            level = np.where(np.arange(b) < self.accepted[:, None], np.nan, level)
        self.hour[:, cut] = running_mean(level, a, b, HOUR)
        self.short[:, cut] = running_mean(level, a, b, SHORT)
        self.long[:, cut] = running_median(level, a, b, LONG)
        self._runs(a, b)

    def _rescale(self, row: int, a: int, b: int) -> None:
        """Where a level was accepted, all that was before is brought to it: its season stays, its height goes.

        The height is the median share of the values since then, of a day at most, in what the old season said.
        """
        since = int(self.accepted[row])
        pick = slice(row, row + 1)
        ratio, times, offset = self.ratio[pick], self.times[:b], self.offset[:b]
        old = self.fit[pick, :b].copy()
        old[:, since:] = np.nan
        fortnight, _, weekday, _ = usual_values(old, ratio, times, offset, a=a, b=b)
        self.shape[pick, a:b] = np.where(np.isfinite(weekday), weekday, fortnight)
        heights = np.empty(b - a)
        for column in range(a, b):
            window = slice(max(since, column - PER_DAY), max(column, since + 1))
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = self.fit[row, window] / self.shape[row, window]
            heights[column - a] = median(np.where(np.isfinite(shares), shares, np.nan)[None, :], 1)[0]
        fit = self.fit[pick, :b]
        views = usual_values(fit, ratio, times, offset, a=a, b=b, brought=(since, heights))[:, 0]
        self.fortnight[row, a:b], self.recent[row, a:b], self.weekday[row, a:b], self.weeks[row, a:b] = views

    def _runs(self, a: int, b: int) -> None:
        """How long the value has been the same, and what was expected in the zeros that last."""
        value, before = self.values[:, a:b], lagged(self.values, a, b, 1)
        known, place = ~np.isnan(value), np.arange(b - a)
        # A bucket of which nothing is known neither ends a run nor lengthens it.
        goes_on = known & (np.isnan(before) | (value == before))
        start = np.maximum.accumulate(np.where(goes_on, -1, place), axis=1)
        there = np.take_along_axis(known, np.maximum(start, 0), axis=1)
        run = self.same[:, a - 1 : a] if a else 0.0
        self.same[:, a:b] = np.minimum(np.where(start < 0, run, there) + (place - start), PER_DAY)
        expected = np.nan_to_num(np.maximum(self.fortnight[:, a:b], 0.0))
        zero = (value == 0) & (expected > 0)
        self.nothing[:, a:b] = 0.0
        # Added up one by one: a sum must not depend on where a block was cut.
        for column in np.flatnonzero(zero.any(axis=0)):
            sofar = self.nothing[:, a + column - 1] if a + column else 0.0
            self.nothing[:, a + column] = np.where(zero[:, column], sofar + expected[:, column], 0.0)
