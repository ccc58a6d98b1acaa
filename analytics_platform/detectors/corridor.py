"""The quartile corridor: rules that analysts know from their own alerts, with their thresholds.

Belongs here: the corridor, its change rules, the thresholds of each metric. Does not: the local outlier factor it asks
for (`line_lof`). Imported lazily only: numpy is imported at the top.

A bucket is compared with the time since yesterday 00:00, local. Corridor: the quartiles of the `window` buckets before
it, `width` times their distance further out, each bound smoothed by an exponential mean of span `window`. Out: beyond
a bound by `bound` % or more. A bucket is unusual when it is out and one of these holds: local outlier factor of the
value at least `lof`; `change` % or more away from the bucket before; `change` % or more from yesterday's same local
time; and always when it is 0. Percentages downwards mirror those upwards: 25 up is a factor of 1.25, so 25 down is
1 / 1.25, which is -20 %.

Percentages of nothing do not exist: where a bound, the bucket before or yesterday is 0 or absent, that rule is silent.
A lower bound is never below 0. Buckets marked as out of the ordinary are judged, but no corridor is made of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analytics_platform.detectors.base import PER_DAY, Block, Bools, Floats, Follower, Ints, Sign, Verdicts
from analytics_platform.detectors.line_lof import newest_factor
from analytics_platform.detectors.recent import Recent

_DAY = 86400
HIGHEST = 10.0  # score: of zero, and of whatever is further away than ten thresholds


@dataclass(frozen=True)
class Parameters:
    """Thresholds of one metric. `window` in buckets, `width` in interquartile ranges, `change` and `bound` in %."""

    window: int = 5
    width: float = 3.0
    neighbours: int = 10
    lof: float = 2.0
    change: float = 50.0
    bound: float = 35.0


_METRICS: Mapping[str, Parameters] = {
    "feed_users": Parameters(lof=2.5, change=30, bound=25),
    "views": Parameters(lof=2.5, change=30, bound=25),
    "likes": Parameters(lof=2, change=30, bound=25),
    "ctr": Parameters(window=3, width=2, lof=2, change=10, bound=7),
    "messages_sent": Parameters(lof=2, change=30, bound=25),
    "senders": Parameters(lof=2, change=30, bound=25),
}


def parameters_of(metric: str) -> Parameters:
    """The thresholds of a metric of the catalogue; wide ones for metrics that have none of their own."""
    return _METRICS.get(metric, Parameters())


def away(value: Floats, reference: Floats) -> Floats:
    """How far a value is from its reference, in % upwards whichever way it went (mirrored); NaN without a reference.

    Rounded to nine digits: 110 is 10 % above 100, and not a hair less.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(reference > 0, value / reference, np.nan)
        rise = np.where(ratio >= 1, ratio, 1 / ratio) - 1
    return np.round(rise * 100, 9)


class Corridor:
    """The detector `corridor`. `parameters`: for all series, or one for each series of the blocks it will see.

    Score: how far beyond the bound in units of `bound`, and how far by the best of the other rules, whichever is less;
    10 at most. Band: the corridor widened by `bound`, where out begins; a bucket within it is usual unless it is 0.
    The first day of a block has no yesterday and is not judged.
    """

    name = "corridor"
    about = "quartiles of the last buckets, widened; outlier factor, change to the last bucket and to yesterday"
    memory = 2 * PER_DAY + 3  # two local days, one with an hour more, without the bucket itself

    def __init__(self, parameters: Parameters | Sequence[Parameters] = Parameters()) -> None:
        self._parameters = parameters if isinstance(parameters, Parameters) else tuple(parameters)

    def judge(self, block: Block, first: int = 0) -> Verdicts:
        """Verdicts on the columns first..n. ValueError when there are parameters for another number of series."""
        verdicts = Verdicts.unknown(block.series, block.buckets - first)
        groups = self._groups(block.series)
        yesterday = block.same_time(1)
        for start, today, stop in _days(block, first):
            place = slice(today - first, stop - first)
            for parameters, rows in groups:
                part = block.columns(start, stop).rows(rows)
                said = _judge(part, yesterday[today:stop] - start, parameters)
                verdicts.score[rows, place] = said.score
                verdicts.expected[rows, place] = said.expected
                verdicts.low[rows, place] = said.low
                verdicts.high[rows, place] = said.high
                verdicts.sign[rows, place] = said.sign
        return verdicts

    def follow(self, block: Block) -> Follower:
        """Keeps the last two days of every series."""
        return Recent(self, block)

    def _groups(self, series: int) -> list[tuple[Parameters, NDArray[np.intp]]]:
        """Series with the same parameters are judged together."""
        if isinstance(self._parameters, Parameters):
            return [(self._parameters, np.arange(series))]
        if len(self._parameters) != series:
            raise ValueError(
                f"the corridor has parameters for {len(self._parameters)} series and was given {series}: make it with "
                "the metric of every series"
            )
        return [
            (parameters, np.flatnonzero([mine == parameters for mine in self._parameters]))
            for parameters in dict.fromkeys(self._parameters)
        ]


def make() -> Corridor:
    """The corridor with the wide thresholds that fit any metric."""
    return Corridor()


def make_for(metrics: Sequence[str]) -> Corridor:
    """The corridor for blocks whose series are of these metrics of the catalogue, in this order."""
    return Corridor([parameters_of(metric) for metric in metrics])


def _days(block: Block, first: int) -> Iterator[tuple[int, int, int]]:
    """For each local day of the columns first..n: where the day before begins, where it (or `first`) does, its end."""
    local = np.maximum.accumulate((block.times + block.offset) // _DAY)
    for day in np.unique(local[first:]):
        start, today, stop = np.searchsorted(local, (day - 1, day, day + 1))
        yield int(start), max(int(today), first), int(stop)


def _judge(block: Block, yesterday: Ints, parameters: Parameters) -> Verdicts:
    """Verdicts on the last columns of a block that begins with the day before: as many as `yesterday` [k] has.

    `yesterday`: where in the block the same local time of the day before is; negative where it is not.
    """
    skip = block.buckets - len(yesterday)
    value, slack = block.values[:, skip:], block.slack[skip:]
    usual = np.where(block.learn, block.values, np.nan)
    since = np.maximum.accumulate(np.where(block.accepted, np.arange(block.buckets), 0), axis=1)
    low, high = (side[:, skip:] for side in _bounds(usual, since, block.accepted, parameters))

    beyond = np.where(value > high, away(value, high), np.where(value < low, away(value, low), 0.0))
    # The bucket before a level declared normal is of the old one, but there is no corridor yet to be out of.
    last = np.pad(block.values, ((0, 0), (1, 0)), constant_values=np.nan)[:, skip:-1]
    day_ago = np.where(yesterday >= since[:, skip:], usual[:, np.maximum(yesterday, 0)], np.nan)
    change = np.fmax(np.fmax(away(value, last), away(value, day_ago)), 0.0)
    factor = _factors(block.values, usual, since, beyond > 0, parameters.neighbours)
    reason = np.maximum(change / parameters.change, np.fmax(factor, 0.0) / parameters.lof)

    score = np.minimum(np.minimum(beyond / parameters.bound, reason) / slack, HIGHEST)
    known = np.isfinite(value) & np.isfinite(high)
    score = np.where(value == 0, HIGHEST, np.where(known, score, np.nan))
    score[:, yesterday < 0] = np.nan
    sign = np.where(value == 0, np.int8(Sign.ZERO), np.where(score > 0, np.int8(Sign.JUMP), np.int8(Sign.NONE)))
    wider = 1 + parameters.bound / 100 * slack
    return Verdicts(score, (low + high) / 2, low / wider, high * wider, sign.astype(np.int8))


def _bounds(usual: Floats, since: Ints, accepted: Bools, parameters: Parameters) -> tuple[Floats, Floats]:
    """The smoothed corridor at each bucket, NaN where it has none: both [m, n].

    A bound of the bucket itself is made of the buckets before it; where fewer than half of these are known, the
    corridor stays where it was. A level declared normal begins a corridor of its own.
    """
    w = parameters.window
    before = np.pad(usual, ((0, 0), (w, 0)), constant_values=np.nan)[:, :-1]
    windows = sliding_window_view(before, w, axis=1)
    place = np.arange(usual.shape[1])[:, None] + np.arange(-w, 0)
    windows = np.sort(np.where(place >= since[:, :, None], windows, np.nan), axis=2)
    known = np.isfinite(windows).sum(axis=2)
    q1, q3 = _quantile(windows, known, 0.25), _quantile(windows, known, 0.75)
    further = np.where(known > w // 2, parameters.width * (q3 - q1), np.nan)
    low, high = _smoothed(q1 - further, accepted, w), _smoothed(q3 + further, accepted, w)
    # A corridor around nothing has no percentages.
    return np.maximum(low, 0.0), np.where(high > 0, high, np.nan)


def _quantile(ordered: Floats, known: Ints, q: float) -> Floats:
    """The quantile of the first `known` values along the last axis, which is in order; linear between two."""
    place = np.maximum(known - 1, 0) * q
    under = place.astype(np.intp)
    over = np.minimum(under + 1, np.maximum(known - 1, 0))
    bottom = np.take_along_axis(ordered, under[..., None], axis=2)[..., 0]
    top = np.take_along_axis(ordered, over[..., None], axis=2)[..., 0]
    return bottom + (place - under) * (top - bottom)


def _smoothed(raw: Floats, accepted: Bools, span: int) -> Floats:
    """The exponential mean, not adjusted: it begins with the first value there is. Absent values change nothing."""
    weight = 2 / (span + 1)
    smooth = np.full_like(raw, np.nan)
    state = np.full(len(raw), np.nan)
    for column in range(raw.shape[1]):
        state = np.where(accepted[:, column], np.nan, state)
        new = raw[:, column]
        moved = np.where(np.isnan(state), new, state + weight * (new - state))
        state = np.where(np.isnan(new), state, moved)
        smooth[:, column] = state
    return smooth


def _factors(values: Floats, usual: Floats, since: Ints, asked: Bools, neighbours: int) -> Floats:
    """The local outlier factor of the last columns where `asked` [m, k], each among what was usual before it."""
    skip = values.shape[1] - asked.shape[1]
    found = np.full(asked.shape, np.nan)
    rows, columns = np.nonzero(asked)
    places = np.arange(values.shape[1])
    at = (columns + skip)[:, None]
    past = np.where((places < at) & (places >= since[rows, columns + skip][:, None]), usual[rows], np.nan)
    found[rows, columns] = newest_factor(np.column_stack([past, values[rows, columns + skip]]), neighbours)
    return found
