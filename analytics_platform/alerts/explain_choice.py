"""The one slice, several values of a dimension, or pair that explains most of what is seen.

Belongs here: candidates and their order. Does not: noise (`explain_scan.py`), what is made of the choice
(`explain.py`). Imported lazily only: numpy is imported at the top.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analytics_platform.alerts.explain_cube import Cube
from analytics_platform.alerts.explain_scan import Family, Scan
from analytics_platform.alerts.findings import Direction

_MEMBER = 3.0  # standard deviations by which each further value of a dimension stands out
_MORE = 1.05  # a further value must explain that much more,
_MORE_EVIDENCE = 3.0  # and more than chance would
_PAIR = 1.2  # a pair must explain that much more than the best single dimension: else the simpler is told
_PAIR_EVIDENCE = 5.0
_SAME = 1.03  # explaining less than that more is no reason to prefer the later dimension
_PLAINER = 1.08  # nor that more a reason to prefer several values to one
_SECOND = 0.7  # standard deviations that a second slice stands out more
_REMAINS = 0.3  # of its excess that the rest as a whole is off by
_LEAST_CHANGE = 0.08  # of a slice against the rest


@dataclass(frozen=True)
class Choice:
    """Slices of one family that moved otherwise than the rest, the largest first.

    `level`, `observed`: what they should have had, and had. `excess`: by how much that differs from what the rest's own
    move leads to expect, positive in the direction of the incident. `evidence`: log-likelihood ratio over noise.
    """

    dimensions: tuple[int, ...]
    slices: tuple[int, ...]
    observed: float
    level: float
    excess: float
    score: float
    evidence: float


@dataclass(frozen=True)
class Limits:
    """What may be named in a window with `value` where `expected` should have been; see `explain.Options`.

    `whole`: the change that shares are of, where that is not this window's own. `values`: of a dimension, at most.
    """

    direction: Direction
    share: float
    second: float
    value: float
    expected: float
    base: float = 0.0
    whole: float | None = None
    values: int = 6

    @property
    def sign(self) -> float:
        """-1 down, 1 up."""
        return -1.0 if self.direction is Direction.DOWN else 1.0

    @property
    def change(self) -> float:
        """Of the whole, positive in the direction of the incident; 0 where the total is not even off that way."""
        return max(self.sign * (self.value - self.expected), 0.0) if self.whole is None else self.whole

    def of_second(self, expected: float, first: Choice) -> "Limits":
        """For what remains without the first."""
        whole = max(self.change, first.excess)
        return replace(self, share=self.second, value=self.value - first.observed, expected=expected, whole=whole)

    def enough(self, chosen: Sequence[Choice]) -> bool:
        """Whether they carry what must be carried together."""
        excess = sum(c.excess for c in chosen)
        return excess >= self.share * max(self.change, excess)


def best(cube: Cube, scan: Scan, limits: Limits) -> Choice | None:
    """The choice that explains most, of those that stand out and carry enough; None where nothing does."""
    singles: list[Choice] = []
    pairs: list[Choice] = []
    for family in scan.families:
        wanted = pairs if len(family.dimensions) > 1 else singles
        wanted.extend(c for c in _candidates(cube, scan, family, limits) if _stands_out(c, family, limits))
    single = _first_best(singles)
    pair = max(pairs, key=lambda c: c.evidence, default=None)
    if pair and (single is None or pair.evidence > _PAIR * single.evidence + _PAIR_EVIDENCE):
        return pair
    return single


def parts(cube: Cube, scan: Scan, pair: Choice, limits: Limits) -> list[Choice]:
    """The two values of a pair, each by itself, whether they stand out or not."""
    sizes = [len(cube.values[d]) for d in pair.dimensions]
    values = dict(zip(pair.dimensions, divmod(pair.slices[0], sizes[-1]), strict=True))
    found: list[Choice] = []
    for family in scan.families:
        if len(family.dimensions) == 1 and family.dimensions[0] in values:
            places = tuple(map(int, np.flatnonzero(family.slices == values[family.dimensions[0]])))
            found.extend(_made(scan, family, places, limits) if places else ())
    return found


def merged(first: Choice, second: Choice) -> Choice | None:
    """Both as values of one dimension, where they are."""
    if first.dimensions != second.dimensions or len(first.dimensions) > 1:
        return None
    return Choice(
        first.dimensions,
        (*first.slices, *second.slices),
        first.observed + second.observed,
        first.level + second.level,
        first.excess + second.excess,
        max(first.score, second.score, key=abs),
        first.evidence + second.evidence,
    )


def _first_best(choices: Sequence[Choice]) -> Choice | None:
    found: Choice | None = None
    for choice in choices:
        if found is None or choice.evidence > _preference(choice, found) * found.evidence:
            found = choice
    return found


def _preference(choice: Choice, found: Choice) -> float:
    """How much more a later choice must explain: one country reads better than all of its cities."""
    if len(choice.slices) == len(found.slices):
        return _SAME
    return 1 / _PLAINER if len(choice.slices) < len(found.slices) else _PLAINER


def _stands_out(choice: Choice, family: Family, limits: Limits) -> bool:
    enough = choice.excess >= limits.second * max(limits.change, choice.excess)
    if limits.whole is None:
        return choice.score * limits.sign >= family.threshold and enough
    # A second slice is looked for where a first has been found. What little strays then is no news, nor is anything
    # where all that remains is as it should be.
    off = limits.sign * (limits.value - limits.expected)
    return choice.score * limits.sign >= family.threshold + _SECOND and enough and off >= _REMAINS * choice.excess


def _candidates(cube: Cube, scan: Scan, family: Family, limits: Limits) -> Iterator[Choice]:
    observed, base = family.observed[0], family.base[0]
    scores = scan.scores(family)
    total = float(scan.totals[0])
    able = limits.sign * scores >= _MEMBER
    if limits.base and cube.denominator is not None:
        able &= cube.sums(family.dimensions, cube.denominator)[0, family.slices] >= limits.base
    places = np.flatnonzero(able)
    if not places.size:
        return
    if len(family.dimensions) > 1:
        evidence = np.abs(scan.likelihood(observed[places], base[places], total))
        place = int(places[np.argmax(evidence)])
        yield from _made(scan, family, (place,), limits)
        return
    # Those that moved furthest first: of all sets of values the most telling one begins so.
    furthest = places[np.argsort(limits.sign * -(observed[places] / base[places]), kind="stable")]
    alone = places[np.argmax(np.abs(scan.likelihood(observed[places], base[places], total)))]
    found: Choice | None = None
    for count in range(1, min(furthest.size, limits.values) + 1):
        for choice in _made(scan, family, tuple(map(int, furthest[:count])), limits):
            if found is None or choice.evidence > _MORE * found.evidence + _MORE_EVIDENCE:
                found = choice
    for choice in _made(scan, family, (int(alone),), limits):
        if found is None or found.evidence <= _MORE * choice.evidence + _MORE_EVIDENCE:
            found = choice
    if found:
        yield found


def _made(scan: Scan, family: Family, places: tuple[int, ...], limits: Limits) -> Iterator[Choice]:
    observed, base, level = family.observed[0], family.base[0], family.level
    chosen = sorted(places, key=lambda k: -float(level[k]))
    own, share, should = (float(v[chosen].sum()) for v in (observed, base, level))
    total = float(scan.totals[0])
    others, others_should = total - own, limits.expected - should
    if others_should <= 0:
        return
    moved = others / others_should
    excess = limits.sign * (own - moved * should)
    if excess <= _LEAST_CHANGE * max(moved * should, 1e-9):
        return
    found = scan.likelihood(np.array([own]), np.array([share]), total)
    part = share / max(total, 1.0)
    variance = (scan.phi + scan.tau**2 * share * (1 - part)) * float(np.mean(family.noise[chosen]))
    evidence = float(abs(found[0]))
    yield Choice(
        family.dimensions,
        tuple(int(family.slices[k]) for k in chosen),
        own,
        should,
        excess,
        float(np.sign(found[0])) * (2 * evidence / variance) ** 0.5,
        evidence / scan.phi,
    )
