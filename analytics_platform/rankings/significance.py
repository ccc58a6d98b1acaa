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
ratio of its variance to its mean, and by two standard errors of it more where it is known from few items like it. How
little a few items tell about the spread at all is paid for by Student's t in place of the normal distribution.

Since the data chooses the side of the test, probabilities are doubled. Among the items of a kind, Benjamini and
Hochberg (1995) choose those of which at most a share is expected to be false.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Shape = Literal["best", "flat", "steep"]

# Ratios beyond this quantile of what chance gives weigh no more than it does.
_LIMIT = 0.9
_CAUTION = 2.0  # standard errors
_ROUNDS, _SETTLED = 60, 1e-4
_ALIKE = 1e-9  # relative variance below which means tell nothing about a slope
_SURE = 1e-300  # beyond it, the normal distribution has no quantile


@dataclass(frozen=True)
class Line:
    """An item's variance over its mean: `bursts` + `days` x mean. `unsure`: variances of both, and their covariance."""

    bursts: float = 1.0
    days: float = 0.0
    unsure: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def at_most(self, mean: Floats, free: float) -> Floats:
        """The multiple at these means, with standard errors more where it is known less well than by `free`."""
        multiple = self.bursts + self.days * mean
        bursts, days, both = self.unsure
        variance = bursts + 2 * both * mean + days * mean**2 - 2 * multiple**2 / free
        return multiple + _CAUTION * np.sqrt(np.maximum(variance, 0.0))


@dataclass(frozen=True)
class Spread:
    """By how much the variance of persons in a slice exceeds their mean, as estimated with `free` degrees of freedom.

    `best` has bursts and days, `flat` bursts alone, `steep` days alone. Where items are few or alike, `best` cannot
    tell one from the other, and far from their means it could be anything; the truth lies within the other two.
    """

    best: Line = Line()
    flat: Line = Line()
    steep: Line = Line()
    free: float = np.inf

    def over(self, mean: Floats) -> Floats:
        """The multiple (at least 1) for items of these means, cautiously."""
        best, flat, steep = (line.at_most(mean, self.free) for line in (self.best, self.flat, self.steep))
        return np.minimum(best, np.maximum(flat, steep))


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

    def fitted(shape: Shape) -> Line:
        """By least squares, weighted and limited anew by what they give."""
        line = Line(1.0, 0.0 if shape == "flat" else 0.1)
        for _ in range(_ROUNDS):
            multiple = line.bursts + line.days * mean
            before, line = line, _line(mean, np.minimum(ratio, limit * multiple) / usual, multiple**-2, each, shape)
            change = abs(line.bursts - before.bursts) + abs(line.days - before.days) * mean.mean()
            if change <= _SETTLED * (line.bursts + line.days * mean.mean()):
                break
        return line

    return Spread(fitted("best"), fitted("flat"), fitted("steep"), each * mean.size)


def _line(x: Floats, y: Floats, weight: Floats, each: float, shape: Shape) -> Line:
    """The line of that shape through the points, nowhere below 1 and never falling. `each`: a point's freedom."""
    ones, xs, squares = float(weight.sum()), float((weight * x).sum()), float((weight * x * x).sum())
    ys, products = float((weight * y).sum()), float((weight * x * y).sum())
    flat = Line(max(ys / ones, 1.0), 0.0, (2 / each / ones, 0.0, 0.0))
    steep = Line(1.0, max((products - xs) / squares, 0.0), (0.0, 2 / each / squares, 0.0))
    unlike = ones * squares - xs * xs
    if shape == "flat" or (shape == "best" and unlike <= _ALIKE * ones * squares):
        return flat
    slope = (ones * products - xs * ys) / unlike if shape == "best" else 0.0
    if shape == "steep" or (ys - slope * xs) / ones < 1:
        return steep
    # A slope of 0 is as uncertain as any.
    per = 2 / each / unlike
    bursts, days = ((ys - slope * xs) / ones, slope) if slope > 0 else (flat.bursts, 0.0)
    return Line(bursts, days, (per * squares, per * ones, -per * xs))


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
