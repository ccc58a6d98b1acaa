"""How far is far: scales of a series made of its own past, and what chance does to counts and ratios.

Belongs here: scales, dispersion, tails of counts and ratios. Does not: what is expected (`seasonal_usual.py`), what a
deviation means (`seasonal_signs.py`). Imported lazily only: numpy is imported at the top.

A scale is the geometric mean of a body and a tail, raised for series that rest and burst. Body: 1.4826 x the median of
the absolute deviations of 12 days (the standard deviation if they were normal, Hampel 1974) plus their 0.9 quantile.
Tail: their 0.995 quantile, what the series itself does six times in 12 days. By the body alone, series with rare wild
spikes are called out every day; by the tail alone, past incidents hide new ones.
"""

from dataclasses import dataclass, fields

import numpy as np

from analytics_platform.detectors.base import PER_DAY, STEP, Bools, Floats
from analytics_platform.detectors.seasonal_past import Past
from analytics_platform.detectors.seasonal_usual import ordered, quantile

REFRESH = PER_DAY // 4  # scales are made of days: they are renewed every six hours
WINDOW = 12 * PER_DAY
MONTH = 27 * PER_DAY
ENOUGH = PER_DAY // 2  # half a day of deviations
FLOOR = 0.15  # of the values' standard deviation in 28 days
TAIL = 0.995
BURSTS = 0.3
REST = 0.48  # of normal noise, so that its scale stays


@dataclass(frozen=True)
class Noise:
    """Scales in force, each [m, 1] or, after `spread_over`, [m, k].

    jump, hour, short, long: of the grids of that name of `Past`. counting: whether all values are whole numbers and no
    ratio. drift: variance over the mean of a count, against the season, at least 1. repeats: probability that a bucket
    repeats the one before. longest: the longest such run. nothing: what was expected in the longest zeros that are
    usual. zeros: probability of a zero. mean: of the values.
    """

    jump: Floats
    hour: Floats
    short: Floats
    long: Floats
    counting: Bools
    drift: Floats
    repeats: Floats
    longest: Floats
    nothing: Floats
    zeros: Floats
    mean: Floats


def spread_over(scales: list[Noise], lengths: list[int]) -> Noise:
    """Scales of consecutive stretches of columns as one [m, k]."""
    names = [one.name for one in fields(Noise)]
    return Noise(
        **{name: np.repeat(np.hstack([getattr(one, name) for one in scales]), lengths, axis=1) for name in names}
    )


def renewed_at(times: Floats | np.ndarray[tuple[int], np.dtype[np.int64]], column: int) -> int:
    """The column, perhaps before the first, whose preceding columns the scales of `column` are made of."""
    return column - int(times[column]) // STEP % REFRESH


def noise(past: Past, column: int) -> Noise:
    """Scales made of the 12 days before `column`."""
    stop = max(column, 0)
    start = max(0, column - WINDOW)
    window = slice(start, stop)
    learn = past.learn[:, window]
    month = slice(max(0, column - MONTH), stop)
    values = np.where(past.learn[:, month], past.values[:, month], np.nan)
    known = np.isfinite(values)
    n = np.maximum(known.sum(axis=1), 1)
    whole = np.where(known, (values >= 0) & (values == np.floor(values)), True).all(axis=1)
    counting = whole & ~past.ratio & known.any(axis=1)
    mean = np.where(known, values, 0.0).sum(axis=1) / n
    spread = np.sqrt(np.where(known, (values - mean[:, None]) ** 2, 0.0).sum(axis=1) / n)

    expected = past.fortnight[:, window]
    floor = FLOOR * spread

    def scale(grid: Floats, tail: float) -> Floats:
        size = np.where(learn, np.abs(grid[:, window]), np.nan)
        inorder, count = ordered(size)
        middle = 1.4826 * quantile(inorder, count, 0.5)
        body = np.maximum(middle + quantile(inorder, count, 0.9), floor)
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = np.where(body > 0, (REST * body / (0.1 * body + middle)) ** BURSTS, 1.0)
        found = rest * np.sqrt(body * np.maximum(quantile(inorder, count, tail), body / 2))
        return np.where(count >= ENOUGH, found * (1.0 + 0.5 * PER_DAY / np.maximum(count, 1)), np.nan)[:, None]

    if stop <= start:
        none = np.full((len(n), 1), np.nan)
        return Noise(none, none, none, none, counting[:, None], none, none, none, none, none, none)

    season = past.values[:, window] - past.weekday[:, window]
    season = np.where(np.isfinite(season), season, past.away[:, window])
    with np.errstate(divide="ignore", invalid="ignore"):
        pearson = np.where(learn & (expected >= 1), season**2 / expected, np.nan)
    drift = quantile(*ordered(pearson), 0.5) / 0.4549  # the median of chi-squared with one degree of freedom
    # The last day is left out: a freeze that lasts must not make itself usual.
    before = slice(start, max(start, stop - PER_DAY))
    runs = np.where(past.values[:, before] == 0, 0.0, past.same[:, before])
    idle = np.where(learn[:, : before.stop - start], past.nothing[:, before], np.nan)
    usually_idle = np.zeros(len(n))
    ever = np.nan_to_num(idle).any(axis=1)
    usually_idle[ever] = quantile(*ordered(idle[ever]), 0.99)
    repeats = ((runs > 1).sum(axis=1) + 0.5) / ((runs > 0).sum(axis=1) + 1.0)
    return Noise(
        jump=scale(past.jump, TAIL),
        hour=scale(past.hour, 0.9),
        short=scale(past.short, 0.9),
        long=scale(past.long, 0.9),
        counting=counting[:, None],
        drift=np.where(np.isnan(drift), 1.0, np.maximum(drift, 1.0))[:, None],
        repeats=repeats[:, None],
        longest=runs.max(axis=1, initial=0.0)[:, None],
        nothing=usually_idle[:, None],
        mean=mean[:, None],
        zeros=(((values == 0).sum(axis=1) + 0.5) / (n + 1.0))[:, None],
    )


def count_surprise(value: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """By how many standard deviations a count is unlikely: the signed root of its deviance.

    The Poisson deviance 2 (x ln(x / mu) - (x - mu)) over the dispersion (quasi-likelihood, McCullagh & Nelder 1989,
    ch. 9), half a count nearer to the mean for continuity. Its tail is right down to a mean of about one.
    """
    mu = np.maximum(mean, 1e-3)
    near = np.where(value > mu, np.maximum(value - 0.5, mu), np.minimum(value + 0.5, mu))
    near = np.maximum(near, 1e-9)  # series that are no counts pass by here too
    deviance = 2.0 * (near * np.log(near / mu) - (near - mu))
    found: Floats = np.sign(value - mu) * np.sqrt(np.maximum(deviance, 0.0) / dispersion)
    return found


def ratio_surprise(value: Floats, mean: Floats, base: Floats) -> Floats:
    """By how many standard deviations a ratio of `base` trials is unlikely: binomial, sqrt(p (1 - p) / base)."""
    p = np.maximum(mean, 0.0)
    variance = np.maximum(p * (1.0 - p), 0.05 * p) / np.maximum(np.nan_to_num(base), 1e-9)
    found: Floats = (value - mean) / np.sqrt(np.maximum(variance, 1e-12))
    return found


def zero_surprise(expected: Floats, dispersion: Floats) -> Floats:
    """-ln of the probability of no event where `expected` are: mu for Poisson counts (dispersion 1), less for
    overdispersed ones, mu ln(phi) / (phi - 1) (negative binomial with variance phi mu, Cameron & Trivedi's NB1)."""
    extra = np.maximum(dispersion - 1.0, 1e-9)
    return expected * np.log1p(extra) / extra
