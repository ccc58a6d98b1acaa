"""The five signs of `seasonal`: each a score that is 1 at its threshold.

Belongs here: scores of onsets, levels, slides, zeros and freezes; the band. Does not: the past (`seasonal_past.py`) and
its scales (`seasonal_noise.py`). Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass

import numpy as np

from analytics_platform.detectors.base import Bools, Floats, Sign, Verdicts
from analytics_platform.detectors.seasonal_noise import (
    Noise,
    count_surprise,
    ratio_surprise,
    zero_surprise,
)
from analytics_platform.detectors.seasonal_past import CARRY, HOUR, LONG, SHORT, Past
from analytics_platform.detectors.seasonal_usual import lagged, widest


@dataclass(frozen=True)
class Thresholds:
    """Where the signs alert, in the units of each.

    jump, level, other: scales (of normal noise 1.5 of a jump are 4.1 standard deviations); `other` is for levels of
    series that are neither counts nor ratios: chance has no law there, and levels drift. weekly: by how much a jump may
    be larger than the one against the same weekday. chance: standard deviations that counts and ratios must be off
    besides. nothing: -ln of the probability of the zeros that last (1 in a million). frozen: the same of repeated
    values. stretch: by how much zeros and freezes must outlast the longest usual ones.
    """

    jump: float = 1.5
    level: float = 2.4
    other: float = 4.5
    weekly: float = 1.5
    chance: float = 4.0
    nothing: float = 13.8
    frozen: float = 13.8
    stretch: float = 2.0


def verdicts(past: Past, noise: Noise, a: int, b: int, at: Thresholds) -> Verdicts:
    """What is to be said of the columns a..b, whose scales are `noise`."""
    cut = slice(a, b)
    values, usual = past.values[:, cut], past.fortnight[:, cut]
    slack = past.slack[cut][None, :]
    scores = np.stack(
        [
            zeros(past, noise, a, b, at) / slack,
            freezes(past, noise, a, b, at),
            onsets(past, noise, at, a=a, b=b),
            *levels(past, noise, at, a=a, b=b),
        ]
    )
    scores = np.nan_to_num(scores)
    score = scores.max(axis=0)
    known = np.isfinite(values) & np.isfinite(usual) & np.isfinite(noise.jump)
    score = np.where(known, score, np.nan)
    names = np.array([Sign.ZERO, Sign.FREEZE, Sign.JUMP, Sign.LEVEL, Sign.LEVEL, Sign.SLIDE], np.int8)
    sign = names[scores.argmax(axis=0)]
    began = onset(past, at.jump * noise.jump, a, b)
    sign = np.where((sign == Sign.SLIDE) & began, np.int8(Sign.LEVEL), sign)
    sign = np.where(known & (score > 0), sign, np.int8(Sign.NONE))
    expected, low, high = band(past, noise, at, a=a, b=b)
    for grid in (expected, low, high):
        grid[~known] = np.nan
    return Verdicts(score, expected, low, high, sign)


def onsets(past: Past, noise: Noise, at: Thresholds, *, a: int, b: int) -> Floats:
    """Away from where it just was, against the fortnight and against the same weekdays."""
    cut = slice(a, b)
    size = np.fmin(np.abs(past.jump[:, cut]), at.weekly * np.abs(past.weekly[:, cut]))
    slack = widest(past.slack, a, b, CARRY + 1)[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        score = size / (noise.jump * at.jump * slack)
    values, usual = past.values[:, cut], past.fortnight[:, cut]
    counts, ratios = noise.counting, past.ratio[:, None]
    if counts.any():
        # What is expected moves with the last two hours: the sums of what came and of what was expected. The scale
        # knows how much more than chance the series moves: here chance alone is asked.
        came, due = summed(past.values, past.fortnight, a, b, width=SHORT, newest=1)
        mean = np.maximum(usual, 0.0) * (came + 4.0) / (due + 4.0)
        chance = np.abs(count_surprise(values, mean, np.ones_like(mean)))
        # Or off from the bucket before, which strays as much itself; a low one is not taken at its word.
        before = np.fmax(values - past.jump[:, cut], 0.5 * np.maximum(usual, 0.0) + 2.0)
        chance = np.fmax(chance, np.abs(count_surprise(values, before, np.full_like(mean, 2.0)))) / at.chance
        score = np.where(counts, np.minimum(score, chance), score)
    if ratios.any():
        before = values - past.jump[:, cut]
        one, two = (np.abs(ratio_surprise(values, mean, past.base[:, cut])) for mean in (before, usual))
        score = np.where(ratios, np.minimum(score, np.minimum(one, 2.0 * two) / at.chance), score)
    found: Floats = score
    return found


def levels(past: Past, noise: Noise, at: Thresholds, *, a: int, b: int) -> list[Floats]:
    """Still away from where it should be: over one hour, two, and half a day.

    Each is over its own scale; counts and ratios must be off by more than chance too. Where a bucket is marked, the
    level may be away by 1 - 1 / slack of what is usual before anything is counted.
    """
    cut = slice(a, b)
    usual = past.fortnight[:, cut]
    law = noise.counting | past.ratio[:, None]
    # The noise of counts is smaller where fewer are expected.
    unit = np.sqrt(np.clip(usual / np.maximum(noise.mean, 1e-9), 0.25, 1.0))
    unit = np.where(noise.counting & (usual >= 10.0), unit, 1.0)
    # Where chance explains a count's moves (variance / mean of 2 at most, not from 4 on), its levels are trusted more.
    trust = np.where(
        past.ratio[:, None], 1.0, np.where(noise.counting, np.clip((4.0 - noise.drift) / 2.0, 0.0, 1.0), 0.0)
    )
    threshold = at.other - (at.other - at.level) * trust
    unit = 1.0 - trust * (1.0 - unit)
    found = []
    for width, grid, scale in (
        (HOUR, past.hour, noise.hour),
        (SHORT, past.short, noise.short),
        (LONG, past.long, noise.long),
    ):
        level = grid[:, cut]
        slack = widest(past.slack, a, b, width)[None, :]
        off = np.abs(level)
        if (slack > 1).any():
            around = summed(np.abs(past.fortnight), past.fortnight, a, b, width=width)[0] / width
            off = np.maximum(off - (1.0 - 1.0 / slack) * around, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = off / (scale * unit * threshold * slack)
            # A level that was left is none any more.
            score = score * np.clip(2.0 * past.level[:, cut] / np.where(level == 0, np.inf, level), 0.0, 1.0)
        if law.any():
            came, due = summed(past.values, past.values - past.level, a, b, width=width)
            chance = np.abs(count_surprise(came, due, noise.drift))
            if past.ratio.any():
                trials = width * past.base[:, cut]
                chance = np.where(past.ratio[:, None], np.abs(ratio_surprise(usual + level, usual, trials)), chance)
            score = np.where(law, np.minimum(score, chance / at.chance), score)
        found.append(score)
    return found


def summed(values: Floats, usual: Floats, a: int, b: int, *, width: int, newest: int = 0) -> tuple[Floats, Floats]:
    """[m, b - a] each: sums over the `width` columns that end `newest` before each: what came, what was expected."""
    came, due = np.zeros((values.shape[0], b - a)), np.zeros((values.shape[0], b - a))
    for lag in range(newest, newest + width):
        value, mean = lagged(values, a, b, lag), lagged(usual, a, b, lag)
        known = np.isfinite(value) & np.isfinite(mean)
        came += np.where(known, value, 0.0)
        due += np.where(known, np.maximum(mean, 0.0), 0.0)
    return came, due


def zeros(past: Past, noise: Noise, a: int, b: int, at: Thresholds) -> Floats:
    """Nothing where something always is: how unlikely the zeros are that last until each bucket."""
    cut = slice(a, b)
    values, usual, due = past.values[:, cut], past.fortnight[:, cut], past.nothing[:, cut]
    counts = zero_surprise(due, noise.drift)
    p = np.clip(usual, 0.0, 0.999999)
    ratios = -np.log1p(-p) * np.nan_to_num(past.base[:, cut])
    others = -2.0 * np.log(noise.zeros) * np.minimum(past.same[:, cut], 8)
    found = np.where(noise.counting, counts, np.where(past.ratio[:, None], ratios, others))
    longer = due / (at.stretch * np.maximum(np.nan_to_num(noise.nothing), 1e-9))
    return np.where((values == 0) & (usual > 0), np.minimum(found / at.nothing, longer), 0.0)


def freezes(past: Past, noise: Noise, a: int, b: int, at: Thresholds) -> Floats:
    """The same value again and again where it always moves: how unlikely the repeats are, and that they never were."""
    cut = slice(a, b)
    run = past.same[:, cut]
    repeats = noise.repeats
    # A count repeats itself the more often the smaller it is: with 1 / (2 sqrt(pi mu)) at a Poisson mean of mu.
    own = 1.0 / (2.0 * np.sqrt(np.pi * np.maximum(past.fortnight[:, cut], 0.1) * noise.drift))
    repeats = np.where(noise.counting, np.clip(own, repeats, 0.9), repeats)
    rare = -(run - 1.0) * np.log(repeats) / at.frozen
    longer = run / (at.stretch * np.maximum(noise.longest, 2.0))
    return np.where(past.values[:, cut] == 0, 0.0, np.minimum(rare, longer))


def onset(past: Past, threshold: Floats, a: int, b: int) -> Bools:
    """Whether the level of the last half day began with a jump in its direction."""
    found = np.zeros((len(past.ratio), b - a), bool)
    direction = np.sign(past.long[:, a:b])
    for lag in range(LONG + SHORT):
        with np.errstate(invalid="ignore"):
            found |= lagged(past.jump, a, b, lag) * direction > 0.7 * threshold
    return found


def band(past: Past, noise: Noise, at: Thresholds, *, a: int, b: int) -> tuple[Floats, Floats, Floats]:
    """What was expected at this time, and the lowest and highest value that would have passed for usual.

    expected: the middle of the three views of what is usual. Beyond the band a value that comes from the usual is an
    onset (score 1 on its edge); a value within it is back.
    """
    cut = slice(a, b)
    views = np.sort(np.stack([past.fortnight[:, cut], past.recent[:, cut], past.weekday[:, cut]]), axis=0)
    known = np.isfinite(views).sum(axis=0)
    expected = np.where(known == 3, views[1], past.fortnight[:, cut])
    slack = past.slack[cut][None, :]
    half = at.jump * noise.jump
    # A Poisson count of mean mu is z deviations off at about mu +- z sqrt(mu) + z^2 / 6 (its skewness).
    z, mu = at.chance, np.maximum(expected, 0.0)
    root = z * np.sqrt(mu)
    up = np.where(noise.counting, np.maximum(half, root + z * z / 6 + 0.5), half)
    down = np.where(noise.counting, np.maximum(half, root), half)
    p = np.clip(expected, 0.0, 1.0)
    trials = np.where(past.ratio[:, None], np.maximum(np.nan_to_num(past.base[:, cut]), 1e-9), np.inf)
    wide = z * np.sqrt(np.maximum(p * (1 - p), 0.05 * p) / trials)
    low = expected - np.maximum(down, wide) * slack
    high = expected + np.maximum(up, wide) * slack
    low = np.where(noise.counting | past.ratio[:, None], np.maximum(low, 0.0), low)
    return expected, low, high
