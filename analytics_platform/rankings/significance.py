"""Whether more or fewer persons came than chance explains, for very many items at once.

Belongs here: the test, its spread, the choice among many. Does not: scores and directions (`trends.py`).
Imported lazily only: numpy and scipy are imported at the top.

What is counted are persons, each once in a slice of time, so that one enthusiast or one bot makes no trend. If nothing
changed, each of the persons of the recent slice and of the `m` slices before it is as likely to be in any of them:
those of the recent one are Binomial(all of them, 1 / (1 + m)).

People come in bursts and days differ, so counts spread wider than that. By how much is seen in the slices of the
previous window: their variance is a multiple of their mean (bursts) plus one of its square (days that differ; it is
what counts for large items). Both are estimated over all items of a kind, items whose slices are very unlike each other
limited in their weight: a video that was new yesterday tells nothing about noise. An item's counts are divided by the
ratio of its variance to its mean. How little of a few items is known about the spread is paid for by Student's t in
place of the normal distribution.

Since the data chooses the side of the test, probabilities are doubled. Among the items of a kind, Benjamini and
Hochberg (1995) choose those of which at most a share is expected to be false.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Ratios beyond this quantile of what chance gives weigh no more than it does.
_LIMIT = 0.9
_CAUTION = 2.0  # standard errors
_ROUNDS = 60
_SETTLED = 1e-4
_SURE = 1e-300  # beyond it, the normal distribution has no quantile


@dataclass(frozen=True)
class Spread:
    """By how much the variance of persons in a slice exceeds their mean: by `bursts` + `days` x mean, at least by 1.

    `unsure`: variances of both and their covariance, from which follows how well the multiple of an item is known;
    never better than by `free` degrees of freedom.
    """

    bursts: float = 1.0
    days: float = 0.0
    unsure: tuple[float, float, float] = (0.0, 0.0, 0.0)
    free: float = np.inf

    def over(self, mean: Floats) -> Floats:
        """The multiple for items of these means; larger where it is known less well than by `free`."""
        multiple = self.bursts + self.days * mean
        bursts, days, both = self.unsure
        variance = np.maximum(bursts + 2 * both * mean + days * mean**2 - 2 * multiple**2 / self.free, 0.0)
        return multiple + _CAUTION * np.sqrt(variance)


def spread(audience: Floats, squares: Floats, slices: int) -> Spread:
    """Estimated from items: the sum over the slices of the persons in each, and of their squares.

    With one slice there is nothing to compare: chance alone is assumed.
    """
    seen = audience > 0
    if slices < 2 or not seen.any():
        return Spread()
    mean = audience[seen] / slices
    each = float(slices - 1)
    ratio = (squares[seen] - audience[seen] * mean) / each / mean  # variance over mean
    limit = float(special.chdtri(each, 1 - _LIMIT)) / each
    # What ratios that are limited so are on average, if only chance makes them.
    usual = float(special.chdtr(each + 2, limit * each)) + limit * (1 - _LIMIT)

    # Weighted least squares of the ratios over the means, weighted anew by what they give.
    bursts, days = 1.0, 0.1
    for _ in range(_ROUNDS):
        multiple = bursts + days * mean
        weight = multiple**-2
        limited = np.minimum(ratio, limit * multiple) / usual
        before, (bursts, days) = (bursts, days), _line(mean, limited, weight)
        if abs(bursts - before[0]) <= _SETTLED * bursts and abs(days - before[1]) <= _SETTLED * days:
            break
    weight = (bursts + days * mean) ** -2
    unsure = _unsure(mean, weight * each / 2, fixed=bursts == 1.0, flat=days == 0.0)
    return Spread(bursts, days, unsure, each * mean.size)


def _line(x: Floats, y: Floats, weight: Floats) -> tuple[float, float]:
    """The line through the points: its height at 0, at least 1, and its slope, at least 0."""
    ones, xs, squares = _moments(x, weight)
    ys, products = float((weight * y).sum()), float((weight * x * y).sum())
    alike = ones * squares - xs * xs
    slope = (ones * products - xs * ys) / alike if alike > 1e-9 * ones * squares else 0.0
    height = (ys - slope * xs) / ones
    if slope <= 0:
        return max(ys / ones, 1.0), 0.0
    if height < 1:
        return 1.0, max((products - xs) / squares, 0.0)
    return height, slope


def _moments(x: Floats, weight: Floats) -> tuple[float, float, float]:
    # Not as products of vectors, for which a library of linear algebra would start threads.
    return float(weight.sum()), float((weight * x).sum()), float((weight * x * x).sum())


def _unsure(x: Floats, weight: Floats, *, fixed: bool, flat: bool) -> tuple[float, float, float]:
    """Variances of a line's height (unless it is `fixed`) and slope (unless it is `flat`), and their covariance."""
    ones, xs, squares = _moments(x, weight)
    if flat:
        return 1 / ones, 0.0, 0.0
    if fixed:
        return 0.0, 1 / squares, 0.0
    alike = ones * squares - xs * xs
    return squares / alike, ones / alike, -xs / alike


def p_values(recent: Floats, before: Floats, rises: Bools, slices: int, spread: Spread) -> Floats:
    """The probability that chance takes persons as far, to either side, as they went to the side that `rises` says.

    `recent`: persons of the recent slice; `before`: the sum of those of each of the `slices` before it.
    """
    everybody = recent + before
    multiple = spread.over(everybody / (1 + slices))
    share = 1 / (1 + slices)
    here, there = np.where(rises, recent, before) / multiple, np.where(rises, before, recent) / multiple
    # P(X >= here) for X ~ Binomial(here + there, share of that side); the counts need not be whole.
    some = here > 0
    chance = special.betainc(np.where(some, here, 1.0), there + 1, np.where(rises, share, 1 - share))
    normal = special.ndtri(np.clip(np.where(some, chance, 1.0), _SURE, 1.0))
    student: Floats = special.stdtr(spread.free, normal)
    return np.minimum(2 * student, 1.0)


def discoveries(p: Floats, false_share: float) -> Bools:
    """Which of these tests (nan: not tested) to believe, if at most this share of them is to be false on average."""
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    passed = np.flatnonzero(p[order] <= false_share * np.arange(1, order.size + 1) / max(order.size, 1))
    believed = np.zeros(p.size, dtype=np.bool_)
    if passed.size:
        believed[order[: passed[-1] + 1]] = True
    return believed
