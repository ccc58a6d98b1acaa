"""How far is far: scales of a series made of its own past, and what chance does to counts and ratios.

Belongs here: scales, dispersion, tails of counts and ratios. Does not: what is expected (`seasonal_usual.py`), what a
deviation means (`seasonal_signs.py`). Imported lazily only: numpy is imported at the top.

A scale is the geometric mean of a body and a tail. Body: 1.4826 x the median of a week's absolute deviations (the
standard deviation if they were normal, Hampel 1974) plus their 0.9 quantile of 13 days. Tail: their 0.995 quantile of 13
days, what the series itself does six times in them. The body alone calls series with rare wild spikes out every day.
"""

from dataclasses import dataclass, fields

import numpy as np

from analytics_platform.detectors.base import PER_DAY, PER_WEEK, STEP, Bools, Floats
from analytics_platform.detectors.seasonal_past import Past
from analytics_platform.detectors.seasonal_usual import ordered, quantile

REFRESH = PER_DAY // 4  # scales are made of days: they are renewed every six hours
WINDOW = 13 * PER_DAY
MONTH = 27 * PER_DAY
ENOUGH = PER_DAY // 2  # half a day of deviations
FLOOR = 0.15  # of the values' standard deviation in 28 days
TAIL = 0.995


@dataclass(frozen=True)
class Noise:
    """Scales in force, each [m, 1] or, after `spread_over`, [m, k]. jump, hour, short, long: of the grids of that name of `Past`, in units of
    `weight`. counting: whether all values are whole numbers and no ratio. dispersion: variance of a count over its
    mean, at least 1. repeats: probability that a bucket repeats the one before. longest: the longest such run.
    zeros: probability of a zero, where values are no counts.
    """

    jump: Floats
    hour: Floats
    short: Floats
    long: Floats
    counting: Bools
    dispersion: Floats
    repeats: Floats
    longest: Floats
    zeros: Floats

    def weight(self, expected: Floats) -> Floats:
        """[m, k]: the unit of deviations: the root of what is expected for counts (their noise grows so), else 1."""
        return np.where(self.counting, np.sqrt(np.maximum(np.nan_to_num(expected), 1.0)), 1.0)


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
    """Scales made of the 13 days before `column`."""
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
    unit = np.where(counting[:, None], np.sqrt(np.maximum(np.nan_to_num(expected), 1.0)), 1.0)
    floor = np.where(counting, 0.0, FLOOR * spread)
    week = max(0, stop - start - PER_WEEK)

    def scale(grid: Floats, tail: float) -> Floats:
        size = np.where(learn, np.abs(grid[:, window]) / unit, np.nan)
        inorder, count = ordered(size)
        body = 1.4826 * quantile(*ordered(size[:, week:]), 0.5) + quantile(inorder, count, 0.9)
        body = np.maximum(body, floor)
        found = np.sqrt(body * np.maximum(quantile(inorder, count, tail), body / 2))
        return np.where(count >= ENOUGH, found * (1.0 + 0.5 * PER_DAY / np.maximum(count, 1)), np.nan)[:, None]

    if stop <= start:
        nothing = np.full((len(n), 1), np.nan)
        return Noise(nothing, nothing, nothing, nothing, counting[:, None], nothing, nothing, nothing, nothing)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = past.values[:, window] - past.weekday[:, window]
        # The median of ten counts strays itself by pi / 20 of their variance.
        away = np.where(np.isfinite(away), away / np.sqrt(1 + np.pi / 20), past.away[:, window])
        pearson = np.where(learn & (expected >= 1), away**2 / expected, np.nan)
    dispersion = np.fmax(quantile(*ordered(pearson), 0.5) / 0.4549, 1.0)  # the median of chi-squared with one degree
    # The last day is left out: a freeze that lasts must not make itself usual.
    before = slice(start, max(start, stop - PER_DAY))
    runs = np.where(past.values[:, before] == 0, 0.0, past.same[:, before])
    repeats = ((runs > 1).sum(axis=1) + 0.5) / ((runs > 0).sum(axis=1) + 1.0)
    return Noise(
        jump=scale(past.jump, TAIL),
        hour=scale(past.hour, TAIL),
        short=scale(past.short, TAIL),
        long=scale(past.long, TAIL),
        counting=counting[:, None],
        dispersion=np.where(np.isnan(dispersion), 1.0, dispersion)[:, None],
        repeats=repeats[:, None],
        longest=runs.max(axis=1, initial=0.0)[:, None],
        zeros=(((values == 0).sum(axis=1) + 0.5) / (n + 1.0))[:, None],
    )


def count_surprise(value: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """By how many standard deviations a count is unlikely: the signed root of its deviance.

    The Poisson deviance 2 (x ln(x / mu) - (x - mu)) over the dispersion (quasi-likelihood, McCullagh & Nelder 1989,
    ch. 9), half a count nearer to the mean for continuity. Its tail is right down to a mean of about one.
    """
    mu = np.maximum(mean, 1e-3)
    near = np.where(value > mu, np.maximum(value - 0.5, mu), np.minimum(value + 0.5, mu))
    deviance = 2.0 * (near * np.log(near / mu) - (near - mu))
    return np.sign(value - mu) * np.sqrt(np.maximum(deviance, 0.0) / dispersion)


def ratio_surprise(value: Floats, mean: Floats, base: Floats) -> Floats:
    """By how many standard deviations a ratio of `base` trials is unlikely: binomial, sqrt(p (1 - p) / base)."""
    p = np.maximum(mean, 0.0)
    variance = np.maximum(p * (1.0 - p), 0.05 * p) / np.maximum(np.nan_to_num(base), 1e-9)
    return (value - mean) / np.sqrt(np.maximum(variance, 1e-12))


def zero_surprise(expected: Floats, dispersion: Floats) -> Floats:
    """-ln of the probability of no event where `expected` are: mu for Poisson counts (dispersion 1), less for
    overdispersed ones, mu ln(phi) / (phi - 1) (negative binomial with variance phi mu, Cameron & Trivedi's NB1)."""
    extra = np.maximum(dispersion - 1.0, 1e-9)
    return expected * np.log1p(extra) / extra
