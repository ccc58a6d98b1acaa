"""A ratio's change in two: other weights of slices whose ratios always differed, and other ratios within slices.

Belongs here: the split and the answer where it is the weights. Does not: which slice's ratio changed (`explain.py`).
Imported lazily only: numpy is imported at the top.

    r1 - r0 = sum (w1 - w0) * r0  [mix]  +  sum w1 * (r1 - r0)  [rate],  over all combinations of attributes

A combination's usual ratio is put together from those of its attributes: by itself it has too few events.
"""

from dataclasses import dataclass, replace

import numpy as np

from analytics_platform.alerts.explain_cube import Cube
from analytics_platform.alerts.explain_scan import Scan, scan
from analytics_platform.alerts.explanation import Explanation, Part, Slice, Verdict
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.leaves import NESTED
from analytics_platform.detectors.base import Floats

_PRIOR = 300.0  # of the denominator, with which an attribute is as everybody
_SHARE = 0.4  # of the change that is mix, for it to be called so
_BEYOND = 2.5  # standard deviations of the mix from day to day, where a slice carries it,
_FAR_BEYOND = 5.0  # and where none does
_CARRIES = 0.5  # of the mix, by the slice named


@dataclass(frozen=True)
class Split:
    """`given` [n]: the numerator that a leaf's denominator leads to expect. `value`, `expected`: of the ratio."""

    given: Floats
    value: float
    expected: float
    mix: float
    rate: float
    mix_spread: float


def split(cube: Cube, denominator: Floats, expected: float | None) -> Split:
    """The two effects in the incident's window. `expected`: the ratio, the reference windows' median without it."""
    reference = cube.window > 0
    overall = float(cube.numerator[reference].sum() / max(denominator[reference].sum(), 1.0))
    weight = np.full(cube.window.size, overall)
    larger = {large for _, large in NESTED}
    for place, name in enumerate(cube.dimensions):
        if name in larger:
            continue
        over = cube.sums((place,), cube.numerator)[1:].sum(axis=0) + _PRIOR * overall
        under = cube.sums((place,), denominator)[1:].sum(axis=0) + _PRIOR
        weight *= (over / under / max(overall, 1e-12))[cube.codes[:, place]]
    given = weight * denominator
    totals, base = cube.totals(cube.numerator), np.maximum(cube.totals(denominator), 1.0)
    should = cube.totals(given)
    scale = float(np.median(totals[1:] / np.maximum(should[1:], 1e-9)))
    given, should = given * scale, should * scale
    ratios, mixes = totals / base, should / base
    usual = float(np.median(ratios[1:])) if expected is None else expected
    usual_mix = float(np.median(mixes[1:]))
    value, mix = float(ratios[0]), float(mixes[0]) - usual_mix
    spread = 1.4826 * float(np.median(np.abs(mixes[1:] - usual_mix)))
    return Split(given, value, usual, mix, value - usual - mix, spread)


def mix(cube: Cube, denominator: Floats, parts: Split, direction: Direction) -> Explanation | None:
    """The explanation by weights, with the slice whose weight moved if there is one; None where weights are as ever."""
    sign = -1.0 if direction is Direction.DOWN else 1.0
    change, moved = max(sign * (parts.mix + parts.rate), 0.0), sign * parts.mix
    if moved <= _BEYOND * parts.mix_spread or moved < _SHARE * max(change, moved):
        return None
    counted = replace(cube, numerator=denominator, denominator=None)
    whole = scan(counted, float(counted.totals(denominator)[0]))
    found = _carrier(cube, whole, parts)
    told = Explanation(Verdict.MIX, direction, True, parts.value, parts.expected, mix=parts.mix, rate=parts.rate)
    if found:
        return replace(told, slices=(found[0],), lower=found[1])
    return told if moved > _FAR_BEYOND * parts.mix_spread else None


def _carrier(cube: Cube, whole: Scan, parts: Split) -> tuple[Slice, bool] | None:
    total, given = float(whole.totals[0]), float(cube.totals(parts.given)[0])
    best: tuple[float, Slice, bool] | None = None
    for family in whole.families:
        scores = whole.scores(family)
        evidence = np.abs(whole.likelihood(family.observed[0], family.base[0], total))
        ratio = cube.sums(family.dimensions, parts.given)[0, family.slices] / np.maximum(family.observed[0], 1.0)
        rest = (given - ratio * family.observed[0]) / np.maximum(total - family.observed[0], 1.0)
        effect = (family.observed[0] - family.base[0]) / max(total, 1.0) * (ratio - rest)
        share = effect / parts.mix
        # Of two complements (more from ads, less organic) the one that grew is told.
        rank = evidence * np.where(scores > 0, 1.02, 1.0) * (1.0 if len(family.dimensions) == 1 else 1 / 1.2)
        for k in np.flatnonzero((np.abs(scores) >= family.threshold) & (share >= _CARRIES)):
            if best is None or rank[k] > 1.03 * best[0]:
                names = cube.names(family.dimensions, int(family.slices[k]))
                named = tuple(
                    Part(cube.dimensions[d], (name,)) for d, name in zip(family.dimensions, names, strict=True)
                )
                now, before = float(family.observed[0, k]) / total, float(family.base[0, k]) / total
                told = Slice(named, now, before, float(share[k]), abs(float(scores[k])))
                best = float(rank[k]), told, bool(ratio[k] < rest[k])
    return best[1:] if best else None
