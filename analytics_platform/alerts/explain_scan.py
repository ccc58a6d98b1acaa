"""How far each slice stands out from all others, measured against how far slices usually stray.

Belongs here: what is usual of a slice, its noise, the likelihood that it moved otherwise than the rest. Does not: the
choice of what to name (`explain.py`). Imported lazily only: numpy is imported at the top.

A slice is held against the rest of the same window, not against an absolute level: of a total that fell as a whole
nothing stands out, however far it fell. The noise of a slice has two parts, both measured over the reference windows:
counting, in units of `phi` (events come in sessions of one person), and the drift of its share from day to day, `tau`.
"""

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from analytics_platform.alerts.explain_cube import Cube
from analytics_platform.detectors.base import Floats

_JUDGED = 5.0  # expected events below which a slice is not looked at
_TRIM = 1 / 8  # of the windows strayed furthest is left out of a slice's noise: they may be incidents themselves
_TRIMMED = 0.57  # the mean of the rest, of a squared standard normal
_OWN = (1.0, 4.0)  # by what factor a slice's own noise may differ from what its size leads to expect
_LARGEST_DRIFT = 0.1
_ALPHA = 0.04  # of naming anything where nothing is, all slices together
_SPREADS = 2.5
_GROUPS = 6  # of slices by size, in which noise is measured


@dataclass(frozen=True)
class Family:
    """The slices of a dimension or a pair that are large enough to judge. Arrays [windows, k], window 0 the incident's.

    `base`: what each would have if the window's total were spread as usual; `level` [k]: what the incident's window
    should have had by itself. `noise` [k]: own variance as a factor of what its size leads to expect. `threshold`: the
    score from which one of them stands out.
    """

    dimensions: tuple[int, ...]
    slices: NDArray[np.intp]
    observed: Floats
    base: Floats
    level: Floats
    noise: Floats
    threshold: float = 0.0


@dataclass(frozen=True)
class Scan:
    """Every family of a cube, with the noise they share."""

    families: tuple[Family, ...]
    totals: Floats
    phi: float
    tau: float

    def likelihood(self, observed: Floats, base: Floats, total: Floats | float) -> Floats:
        """Signed log-likelihood ratio of "moved otherwise than the rest" for events that come singly."""
        rest, rest_base = np.maximum(total - observed, 0), np.maximum(total - base, 1e-9)
        found = _entropy(observed, base) + _entropy(rest, rest_base)
        return np.asarray(np.sign(observed - base) * np.maximum(found, 0), dtype=np.float64)

    def scores(self, family: Family, window: int = 0) -> Floats:
        """[k]: standard deviations between each slice and the rest."""
        return np.asarray(_scores(self, family, np.array([window]))[0], dtype=np.float64)


def scan(cube: Cube, expected: float, given: Floats | None = None) -> Scan:
    """All slices of the cube. `expected`: the incident window's total as it should have been.

    `given` [n]: of a ratio, the numerator that each leaf's denominator leads to expect; without it, slices are expected
    to have their usual share of the total.
    """
    totals = cube.totals(cube.numerator)
    found = []
    for dimensions in cube.families():
        observed = cube.sums(dimensions, cube.numerator)
        if given is None:
            keep = np.flatnonzero(np.maximum(_typical(observed, totals) * totals.mean(), observed[0]) >= _JUDGED)
            share = np.maximum(_typical(observed[:, keep], totals), 0.5 / totals[1:].sum())
            base, level = share * totals[:, None], share * expected
        else:
            should = cube.sums(dimensions, given)
            right = _corrected(observed, should)
            base = should * right
            scale = totals / np.maximum(base.sum(axis=1), 1e-9)
            keep = np.flatnonzero((base[1:].mean(axis=0) >= _JUDGED) & (base[0] >= _JUDGED))
            level = base[0, keep]
            base = (base * scale[:, None])[:, keep]
        found.append(Family(dimensions, keep, observed[:, keep], base, level, np.ones(keep.size)))
    return _calibrated(tuple(found), totals)


def _typical(observed: Floats, totals: Floats) -> Floats:
    """[k]: the usual share: the median over the windows; the mean where a window has hardly any."""
    shares = observed[1:] / np.maximum(totals[1:, None], 1)
    middle = np.median(shares, axis=0)
    few = middle * totals[1:].mean() < 4 * _JUDGED
    return np.asarray(np.where(few, shares.mean(axis=0), middle), dtype=np.float64)


def _corrected(observed: Floats, should: Floats) -> Floats:
    """[k]: how far a slice usually is from what its parts lead to expect; 1 where too little is known."""
    ratio = np.median((observed[1:] + 10) / (should[1:] + 10), axis=0)
    weight = should[1:].sum(axis=0)
    return np.asarray((ratio * weight + 200) / (weight + 200), dtype=np.float64)


def _calibrated(families: tuple[Family, ...], totals: Floats) -> Scan:
    own, size = [], []
    for family in families:
        part = family.base[1:] / np.maximum(totals[1:, None], 1)
        usual = np.maximum(family.base[1:] * (1 - part), 1e-9)
        squares = np.sort((family.observed[1:] - family.base[1:]) ** 2 / usual, axis=0)
        kept = max(1, squares.shape[0] - round(squares.shape[0] * _TRIM))
        own.append(squares[:kept].mean(axis=0) / _TRIMMED if kept < squares.shape[0] else squares.mean(axis=0))
        size.append(usual.mean(axis=0))
    phi, drift = _noise(np.concatenate(own), np.concatenate(size))
    plain = Scan(
        tuple(
            replace(f, noise=np.clip(mine / (phi + drift * large), *_OWN))
            for f, mine, large in zip(families, own, size, strict=True)
        ),
        totals,
        phi,
        float(np.sqrt(drift)),
    )
    return replace(plain, families=_with_thresholds(plain))


def _with_thresholds(plain: Scan) -> tuple[Family, ...]:
    """Each dimension has as much of the chance to err as every other, and all pairs together as much as they."""
    references = np.arange(1, plain.totals.size)
    strayed = [np.abs(_scores(plain, f, references)).max(axis=1, initial=0) for f in plain.families]
    pairs = [k for k, f in enumerate(plain.families) if len(f.dimensions) > 1]
    singles = len(plain.families) - len(pairs)
    pair_slices = sum(plain.families[k].slices.size for k in pairs)
    pair_strayed = np.max([strayed[k] for k in pairs], axis=0) if pairs else np.zeros(references.size)
    found = []
    for k, family in enumerate(plain.families):
        paired = k in pairs
        looked_at = 2 * (pair_slices if paired else singles * family.slices.size)
        by_chance = NormalDist().inv_cdf(1 - _ALPHA / max(2, looked_at))
        found.append(replace(family, threshold=max(by_chance, _most(pair_strayed if paired else strayed[k]))))
    return tuple(found)


def _most(strayed: Floats) -> float:
    """How far the furthest of some slices usually strays, with room."""
    middle = float(np.median(strayed))
    return middle + _SPREADS * 1.4826 * float(np.median(np.abs(strayed - middle)))


def _noise(own: Floats, size: Floats) -> tuple[float, float]:
    """phi and tau squared, of variance in units of counting = phi + tau^2 * size."""
    if own.size < _GROUPS:
        return max(1.0, float(own.mean())) if own.size else 1.0, 0.0
    # Medians of groups of a size: some slices are out of the ordinary, and a mean would be theirs.
    groups = np.array_split(np.argsort(size), _GROUPS)
    y, x = (np.array([np.median(v[g]) for g in groups]) for v in (own, size))
    weight = 1 / (y + 0.1) ** 2
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    slope = float(np.sum(weight * (x - mean_x) * (y - mean_y)) / max(np.sum(weight * (x - mean_x) ** 2), 1e-9))
    drift = min(max(slope, 0.0), _LARGEST_DRIFT**2)
    return max(1.0, float(mean_y - drift * mean_x)), drift


def _scores(scan_: Scan, family: Family, windows: NDArray[np.int64]) -> Floats:
    observed, base, total = family.observed[windows], family.base[windows], scan_.totals[windows, None]
    part = base / np.maximum(total, 1)
    variance = (scan_.phi + scan_.tau**2 * base * (1 - part)) * family.noise
    signed = scan_.likelihood(observed, base, total)
    return np.asarray(np.sign(signed) * np.sqrt(2 * np.abs(signed) / variance), dtype=np.float64)


def _entropy(observed: Floats, base: Floats) -> Floats:
    ratio = np.where(observed > 0, observed, 1) / np.maximum(base, 1e-9)
    return np.where(observed > 0, observed * np.log(ratio), 0) - observed + base
