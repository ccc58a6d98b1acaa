"""Which slices carry a move: share of the change against expectation, over dimensions and pairs of them.

Belongs here: the choice of what is named, of a count or within a ratio. Does not: reading leaves (`leaves.py`), noise
(`explain_scan.py`), the mix of a ratio (`explain_ratio.py`), wording (`explanation.py`). Imported lazily only: numpy is
imported at the top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analytics_platform.alerts import explain_ratio
from analytics_platform.alerts.explain_choice import Choice, Limits, best, merged, parts
from analytics_platform.alerts.explain_cube import Cube
from analytics_platform.alerts.explain_scan import Scan, scan
from analytics_platform.alerts.explanation import Explanation, Line, Part, Slice, Verdict
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.leaves import EXPLAINED, Measured
from analytics_platform.detectors.base import Bools, Floats

_ENOUGH_WINDOWS = 5
_LIVING = 0.3  # of the median total: a reference window with less was an incident itself
_MOST_LINES = 20  # of a dimension
_REST_SPREADS = 3.0
_MORE_TELLING = 1.05


@dataclass(frozen=True)
class Options:
    """What may be named.

    `expected`: the window's total as it should have been (a ratio: the ratio), where the caller knows better than the
    median of the reference windows. `share`: of the change that all slices named carry together, at least. `second`:
    that a second one carries. `events`: expected in the window, or nothing is said. `base`: of a ratio, the denominator
    of a slice below which it is never named.
    """

    expected: float | None = None
    share: float = 0.4
    second: float = 0.06
    events: float = 50.0
    base: float = 200.0


_PLAIN = Options()
_DIMENSIONS = tuple(d.name for d in EXPLAINED)


def explain(
    measured: Measured,
    rows: Sequence[Mapping[str, object]],
    direction: Direction,
    options: Options = _PLAIN,
    dimensions: Sequence[str] = _DIMENSIONS,
) -> Explanation:
    """What carries the move. `rows`: of `leaves.leaves`, window 0 the incident's, all others reference windows."""
    cube = Cube.of(rows, dimensions, measured.numerator, measured.denominator)
    return explain_cube(cube, direction, options)


def explain_cube(cube: Cube, direction: Direction, options: Options) -> Explanation:
    """The same of leaves as arrays."""
    cube = _living(cube)
    totals = cube.totals(cube.numerator if cube.denominator is None else cube.denominator)
    usual = float(np.median(totals[1:])) if totals.size > 1 else 0.0
    if totals.size <= _ENOUGH_WINDOWS or max(usual, totals[0]) < options.events:
        value, expected = _values(cube, None)
        return Explanation(Verdict.NOT_ENOUGH, direction, cube.denominator is not None, value, expected)
    if cube.denominator is None:
        return _count(cube, direction, options)
    return _ratio(cube, cube.denominator, direction, options)


def _count(cube: Cube, direction: Direction, options: Options) -> Explanation:
    value, expected = _values(cube, options.expected)
    whole = scan(cube, expected)
    limits = Limits(direction, options.share, options.second, value, expected)
    chosen = _chosen(cube, None, whole, limits)
    return _told(cube, whole, chosen, limits, None)


def _ratio(cube: Cube, denominator: Floats, direction: Direction, options: Options) -> Explanation:
    parts = explain_ratio.split(cube, denominator, options.expected)
    by_weights = explain_ratio.mix(cube, denominator, parts, direction)
    if by_weights:
        return by_weights
    value, expected = float(cube.totals(cube.numerator)[0]), float(cube.totals(parts.given)[0])
    whole = scan(cube, expected, parts.given)
    limits = Limits(direction, options.share, options.second, value, expected, options.base)
    chosen = _chosen(cube, parts.given, whole, limits)
    told = _told(cube, whole, chosen, limits, denominator)
    change = parts.mix + parts.rate
    within = parts.rate / change if change * parts.rate > 0 else 1.0
    return replace(
        told,
        value=parts.value,
        expected=parts.expected,
        mix=parts.mix,
        rate=parts.rate,
        slices=tuple(replace(s, share=s.share * within) for s in told.slices),
        lines=tuple(replace(line, share=line.share * within) for line in told.lines),
    )


def _living(cube: Cube) -> Cube:
    """Without reference windows in which next to nothing happened."""
    totals = cube.totals(cube.numerator if cube.denominator is None else cube.denominator)
    if totals.size < 2:
        return cube
    keep = totals >= _LIVING * np.median(totals[1:])
    keep[0] = True
    keep[1:] &= totals[1:] > 0
    if keep.all():
        return cube
    number = np.cumsum(keep) - 1
    left = cube.rows(keep[cube.window])
    return replace(left, windows=int(keep.sum()), window=number[left.window])


def _values(cube: Cube, expected: float | None) -> tuple[float, float]:
    totals = cube.totals(cube.numerator)
    if cube.denominator is not None:
        base = cube.totals(cube.denominator)
        totals = np.divide(totals, base, out=np.zeros_like(totals), where=base > 0)
    usual = float(np.median(totals[1:])) if totals.size > 1 else 0.0
    return float(totals[0]), usual if expected is None else expected


def _chosen(cube: Cube, given: Floats | None, whole: Scan, limits: Limits) -> list[Choice]:
    """None, one or two: what stands out most, and what does in that which remains."""
    first = best(cube, whole, limits)
    if first is None:
        return []
    found = [first]
    second = _second(cube, given, first, limits)
    if second:
        found = _two(cube, given, whole, [first, second], limits)
    elif len(first.slices) > 1:
        # Several values of a dimension may be one value, and a part of another.
        alone = best(cube, whole, replace(limits, values=1))
        other = _second(cube, given, alone, replace(limits, values=1)) if alone else None
        if alone and other and (alone.dimensions, other.dimensions) != (first.dimensions, first.dimensions):
            found = _more_telling([alone, other], found)
    return found if limits.enough(found) else []


def _two(cube: Cube, given: Floats | None, whole: Scan, found: list[Choice], limits: Limits) -> list[Choice]:
    first, second = found
    together = merged(first, second)
    if together:
        return [together]
    shared = set(first.dimensions) & set(second.dimensions)
    if len(first.dimensions) > len(second.dimensions) and shared:
        # Where two slices meet, both moves multiply, and that stands out most: each by itself is what moved.
        parents = [c for c in parts(cube, whole, first, limits) if c.dimensions == second.dimensions]
        for parent in parents:
            other = _second(cube, given, parent, limits)
            if other:
                return [parent, other]
    return [first, second]


def _more_telling(new: list[Choice], old: list[Choice]) -> list[Choice]:
    return new if sum(c.evidence for c in new) > _MORE_TELLING * sum(c.evidence for c in old) else old


def _second(cube: Cube, given: Floats | None, first: Choice, limits: Limits) -> Choice | None:
    keep = ~_inside(cube, first)
    left = cube.rows(keep)
    if not keep.any() or left.totals(left.numerator)[1:].min(initial=np.inf) <= 0:
        return None
    expected = limits.expected - first.level
    again = scan(left, expected, None if given is None else given[keep])
    return best(left, again, limits.of_second(expected, first))


def _inside(cube: Cube, choice: Choice) -> Bools:
    return cube.inside(choice.dimensions, choice.slices)


def _told(cube: Cube, whole: Scan, chosen: Sequence[Choice], limits: Limits, denominator: Floats | None) -> Explanation:
    ratio = denominator is not None
    bases = np.ones(cube.window.size) if denominator is None else denominator
    change = limits.expected - limits.value

    def per(amount: float, inside: Bools) -> float:
        return amount / max(float(bases[inside & (cube.window == 0)].sum()), 1.0) if ratio else amount

    everybody = np.ones(cube.window.size, bool)
    named, left = [], everybody
    for choice in chosen:
        inside = _inside(cube, choice) & left
        left = left & ~inside
        share = (choice.level - choice.observed) / change if change else 0.0
        value, expected = per(choice.observed, inside), per(choice.level, inside)
        named.append(Slice(_parts(cube, choice), value, expected, share, abs(choice.score)))
    rest_value = limits.value - sum(c.observed for c in chosen)
    rest_expected = limits.expected - sum(c.level for c in chosen)
    spread = _spread(whole.totals) if denominator is None else 0.0
    counting = (whole.phi / max(rest_expected, 1.0)) ** 0.5
    off = abs(rest_value / rest_expected - 1) if rest_expected > 0 else 0.0
    verdict = (Verdict.BROAD, Verdict.SLICE, Verdict.SLICES)[len(named)]
    return Explanation(
        verdict,
        limits.direction,
        ratio,
        per(limits.value, everybody),
        per(limits.expected, everybody),
        tuple(named),
        per(rest_value, left),
        per(rest_expected, left),
        bool(named) and off <= max(0.1, _REST_SPREADS * max(spread, counting)),
        lines=tuple(_lines(cube, whole, chosen, change, denominator)),
    )


def _spread(totals: Floats) -> float:
    logs = np.log(totals[1:])
    return 1.4826 * float(np.median(np.abs(logs - np.median(logs))))


def _parts(cube: Cube, choice: Choice) -> tuple[Part, ...]:
    if len(choice.dimensions) == 1:
        values = tuple(cube.names(choice.dimensions, s)[0] for s in choice.slices)
        return (Part(cube.dimensions[choice.dimensions[0]], values),)
    names = cube.names(choice.dimensions, choice.slices[0])
    return tuple(Part(cube.dimensions[d], (name,)) for d, name in zip(choice.dimensions, names, strict=True))


def _lines(cube: Cube, whole: Scan, chosen: Sequence[Choice], change: float, denominator: Floats | None) -> list[Line]:
    named = {(c.dimensions[0], s) for c in chosen if len(c.dimensions) == 1 for s in c.slices}
    found = []
    for family in whole.families:
        if len(family.dimensions) > 1:
            continue
        scores = whole.scores(family)
        bases = None if denominator is None else cube.sums(family.dimensions, denominator)[0, family.slices]
        for k in np.argsort(-family.level, kind="stable")[:_MOST_LINES]:
            per = 1.0 if bases is None else max(float(bases[k]), 1.0)
            observed, level = float(family.observed[0, k]), float(family.level[k])
            found.append(
                Line(
                    cube.dimensions[family.dimensions[0]],
                    cube.names(family.dimensions, int(family.slices[k]))[0],
                    observed / per,
                    level / per,
                    (level - observed) / change if change else 0.0,
                    float(scores[k]),
                    (family.dimensions[0], int(family.slices[k])) in named,
                )
            )
    return found
