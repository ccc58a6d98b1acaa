"""Planted incidents and how they are explained: `python -m benchmarks.explain`.

Belongs here: simulated leaf counts with one thing wrong, the judgement, the table by kind. Does not: the explanation
(`alerts/explain.py`), finding incidents (detectors).

What is planted: one slice (a value, two or three cities, a country, a pair of values), two slices, everything alike,
other weights of a ratio's base; -20 % to -100 % or +30 % to three times of the slice; 500 to 50,000 events a window.
What is usual: people come in sessions, some slices like more than others, attributes hang together, each value's share
drifts from day to day, and one reference window in twenty has an incident of its own.
What is not planted: an incident that changes the total by less than `VISIBLE` standard deviations of what it strays by
chance and from day to day (of two slices, either of them, outside the other; of several cities, each by a third of
that). Nothing would alert there, so there is nothing to explain.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analytics_platform.alerts.explain import Options, explain_cube
from analytics_platform.alerts.explain_cube import Codes, Cube
from analytics_platform.alerts.explanation import Explanation, Verdict
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.leaves import EXPLAINED
from analytics_platform.detectors.base import Bools, Floats
from analytics_platform.simulate.places import CITY_NAMES, COUNTRY_NAMES, city_shares

VISIBLE = 3.0
WINDOWS = 17
CTR = 0.21
DIMENSIONS = tuple(d.name for d in EXPLAINED)
_OS, _CITY, _COUNTRY, _SOURCE, _AGE, _GENDER = (
    DIMENSIONS.index(name) for name in ("os", "city", "country", "source", "age_group", "gender")
)
_AGES = ("0-19", "20-29", "30-39", "40-49", "50-59", "60+")
_VALUES: dict[int, tuple[str, ...]] = {
    _OS: ("Android", "iOS"),
    _CITY: CITY_NAMES,
    _COUNTRY: COUNTRY_NAMES,
    _SOURCE: ("ads", "organic"),
    _AGE: _AGES,
    _GENDER: ("male", "female"),
}
VALUES = tuple(_VALUES[k] for k in range(len(DIMENSIONS)))
Named = frozenset[tuple[tuple[str, frozenset[str]], ...]]
"""Slices as sets: each a tuple of (dimension, values), sorted."""


class Kind(StrEnum):
    """What is planted."""

    ONE = "one slice"
    TWO = "two slices"
    BROAD = "broad"
    MIX = "mix only"


@dataclass(frozen=True)
class Incident:
    """One window of trouble after sixteen as usual. `truth`: the slices that are to be named."""

    kind: Kind
    ratio: bool
    cube: Cube
    direction: Direction
    expected: float
    truth: Named


def _grid() -> tuple[Codes, Floats]:
    shares, countries = city_shares()
    axes = [np.arange(len(VALUES[k])) for k in (_OS, _CITY, _SOURCE, _AGE, _GENDER)]
    os_, city, source, age, gender = (a.ravel() for a in np.meshgrid(*axes, indexing="ij"))
    codes = np.empty((os_.size, len(DIMENSIONS)), np.int64)
    for place, column in zip((_OS, _CITY, _SOURCE, _AGE, _GENDER), (os_, city, source, age, gender), strict=True):
        codes[:, place] = column
    codes[:, _COUNTRY] = np.asarray(countries)[city]
    # The young have iOS more often, large cities more organic users: attributes hang together.
    ios = np.array([0.5, 0.42, 0.32, 0.25, 0.2, 0.15])[age]
    ads = np.where(np.asarray(shares)[city] > 0.05, 0.52, 0.64)
    part = (
        np.asarray(shares)[city]
        * np.array([0.17, 0.36, 0.24, 0.13, 0.07, 0.03])[age]
        * np.where(os_ == 1, ios, 1 - ios)
        * np.where(source == 0, ads, 1 - ads)
        * np.array([0.55, 0.45])[gender]
    )
    return codes, part / part.sum()


CODES, SHARES = _grid()


@dataclass(frozen=True)
class _Product:
    """How a product is: sizes, sessions, noise of the level, drift of shares, ratios by leaf."""

    events: float
    session: float
    level: float
    weights: Floats
    likes: Floats


def _product(rng: np.random.Generator, ratio: bool) -> _Product:
    events = float(np.exp(rng.uniform(np.log(500), np.log(50_000))))
    session = float(rng.choice([1.0, rng.uniform(2, 12)]))
    likes = np.full(SHARES.size, CTR)
    if ratio:
        for place in (_OS, _CITY, _SOURCE, _AGE, _GENDER):
            likes = likes * np.exp(rng.normal(0, 0.2, len(VALUES[place])))[CODES[:, place]]
        likes = np.minimum(likes, 0.6)
    weights = SHARES * np.exp(rng.normal(0, 0.1, SHARES.size))
    return _Product(events, session, float(rng.uniform(0.02, 0.05)), weights / weights.sum(), likes)


def _inside(named: Named) -> list[Bools]:
    found = []
    for parts in sorted(named, key=str):
        inside = np.ones(SHARES.size, bool)
        for dimension, values in parts:
            place = DIMENSIONS.index(dimension)
            inside &= np.isin(CODES[:, place], [VALUES[place].index(v) for v in values])
        found.append(inside)
    return found


def _slice(rng: np.random.Generator) -> tuple[tuple[str, frozenset[str]], ...]:
    def value(place: int) -> tuple[str, frozenset[str]]:
        # Cities by size: of the hundred most are too small to be seen in a total.
        weights = np.bincount(CODES[:, place], SHARES)
        return DIMENSIONS[place], frozenset((VALUES[place][int(rng.choice(weights.size, p=weights))],))

    form = rng.random()
    if form < 0.15:
        cities = np.bincount(CODES[:, _CITY], SHARES)
        some = rng.choice(cities.size, int(rng.integers(2, 4)), replace=False, p=cities)
        return (("city", frozenset(CITY_NAMES[k] for k in some)),)
    if form < 0.25:
        return (value(_COUNTRY),)
    places = (_OS, _CITY, _SOURCE, _AGE, _GENDER)
    if form < 0.55:
        return tuple(sorted((value(int(p)) for p in rng.choice(places, 2, replace=False)), key=str))
    return (value(int(rng.choice(places))),)


def _factor(rng: np.random.Generator, down: bool) -> float:
    return 1 - float(rng.uniform(0.2, 1)) if down else float(rng.uniform(1.3, 3))


def _visible(change: float, product: _Product, ratio: bool) -> bool:
    counting = (2 * product.session - 1) / product.events
    if ratio:
        strays = ((1 - CTR) / CTR / product.events * 2 + 0.01**2) ** 0.5
    else:
        strays = (product.level**2 + counting) ** 0.5
    return bool(abs(change) >= VISIBLE * strays)


def plant(rng: np.random.Generator, kind: Kind) -> Incident:
    """One incident of that kind that can be seen in the total."""
    while True:
        ratio = kind is Kind.MIX or (kind is not Kind.TWO and rng.random() < 0.3)
        product = _product(rng, ratio)
        down = bool(rng.random() < 0.6)
        truth: Named = frozenset()
        factor = np.ones(SHARES.size)
        if kind is Kind.BROAD:
            factor[:] = _factor(rng, down)
            if ratio and not down:
                factor[:] = min(factor[0], 1.6)
        else:
            truth = frozenset(_slice(rng) for _ in range(2 if kind is Kind.TWO else 1))
            if len(truth) < (2 if kind is Kind.TWO else 1) or not _apart(truth):
                continue
            size = 1.0
            for inside in _inside(truth):
                size = (
                    _factor(rng, down) if not (ratio and kind is not Kind.MIX and not down) else rng.uniform(1.3, 1.6)
                )
                factor[inside] *= size
        made = _changed(product, factor, kind, truth, ratio)
        if made is None:
            continue
        direction = Direction.DOWN if made < 0 else Direction.UP
        if kind is not Kind.MIX and (made < 0) != down:
            continue
        cube, expected = _windows(rng, product, factor, kind, ratio)
        return Incident(kind, ratio, cube, direction, expected, truth)


def _apart(truth: Named) -> bool:
    """Whether two slices are two: not a city and its country, not a pair and one of its parts."""
    insides = _inside(truth)
    if len(insides) < 2:
        return bool(SHARES[insides[0]].sum() < 0.9)
    both = SHARES[insides[0] & insides[1]].sum()
    return bool(both < 0.7 * min(SHARES[i].sum() for i in insides) and SHARES[insides[0] | insides[1]].sum() < 0.8)


def _changed(product: _Product, factor: Floats, kind: Kind, truth: Named, ratio: bool) -> float | None:
    """The relative change of the total; None where it (or that of either slice alone) cannot be seen."""
    weights, likes = product.weights, product.likes
    if kind is Kind.MIX:
        before = (weights * likes).sum()
        after = (weights * factor * likes).sum() / max((weights * factor).sum(), 1e-9)
        change = float(after / before - 1)
        return change if _visible(change, product, True) and (weights * factor).sum() > 0.1 else None
    mass = weights * likes if ratio else weights
    mass = mass / mass.sum()
    insides = _inside(truth)
    for k, inside in enumerate(insides):
        others = np.any([i for n, i in enumerate(insides) if n != k], axis=0) if len(insides) > 1 else ~inside
        if not _visible(float((mass * (factor - 1))[inside & ~others].sum()), product, ratio):
            return None
        for value in _each_value(truth, k):
            if not _visible(VISIBLE * float((mass * (factor - 1))[inside & value].sum()), product, ratio):
                return None
    if not insides and not _visible(float((mass * (factor - 1)).sum()), product, ratio):
        return None
    return float((mass * (factor - 1)).sum())


def _each_value(truth: Named, which: int) -> Iterator[Bools]:
    """Of a slice of several values, the leaves of each."""
    for dimension, values in sorted(truth, key=str)[which]:
        place = DIMENSIONS.index(dimension)
        yield from (CODES[:, place] == VALUES[place].index(v) for v in sorted(values))


def _windows(
    rng: np.random.Generator, product: _Product, factor: Floats, kind: Kind, ratio: bool
) -> tuple[Cube, float]:
    drift, like_drift = rng.uniform(0.01, 0.05), rng.uniform(0.003, 0.02)
    window, numbers, tops, codes = [], [], [], []
    for k in range(WINDOWS):
        mean = product.events * product.weights * np.exp(rng.normal(0, product.level))
        like = product.likes.copy()
        for place in range(len(DIMENSIONS)):
            size = len(VALUES[place])
            mean = mean * np.exp(rng.normal(0, drift, size))[CODES[:, place]]
            like = like * np.exp(rng.normal(0, like_drift, size))[CODES[:, place]]
        if k and rng.random() < 0.05:
            for inside in _inside(frozenset((_slice(rng),))):
                mean[inside] *= rng.choice([0.1, 0.5, 2.0])
        if not k:
            if kind is Kind.MIX or not ratio:
                mean = mean * factor
            else:
                like = like * factor
        sessions = rng.poisson(mean / product.session)
        events = sessions.astype(np.float64)
        if product.session > 1:
            many = sessions > 0
            events[many] += rng.negative_binomial(sessions[many], 1 / product.session)
        there = np.flatnonzero(events)
        window.append(np.full(there.size, k, np.int64))
        codes.append(CODES[there])
        numbers.append(events[there])
        if ratio:
            # One person likes more easily than another.
            taste = rng.gamma(6 * sessions[there], 1 / (6 * sessions[there]))
            tops.append(rng.binomial(events[there].astype(np.int64), np.clip(like[there] * taste, 0, 1)))
    counted = np.concatenate(numbers)
    cube = Cube(
        DIMENSIONS,
        VALUES,
        WINDOWS,
        np.concatenate(window),
        np.concatenate(codes),
        np.concatenate(tops).astype(np.float64) if ratio else counted,
        counted if ratio else None,
    )
    # The expectation of a detector is not exact either.
    usual = float((product.weights * product.likes).sum()) * np.exp(rng.normal(0, 0.01))
    return cube, float(usual if ratio else product.events * np.exp(rng.normal(0, product.level / 2)))


def named(explanation: Explanation) -> Named:
    """The slices that an explanation names."""
    return frozenset(
        tuple(sorted(((p.dimension, frozenset(p.values)) for p in s.parts), key=str)) for s in explanation.slices
    )


def _same(left: Named, right: Named) -> bool:
    """Whether both name the same people: several values of one dimension may be told as one slice or as two."""
    if left == right:
        return True
    if not left or not right:
        return False
    a, b = (np.any(_inside(n), axis=0) for n in (left, right))
    simple = all(len(parts) == 1 for parts in (*left, *right))
    return bool(SHARES[a ^ b].sum() <= 0.002) and (len(left) == len(right) or simple)


def right(incident: Incident, explanation: Explanation) -> bool:
    """Whether the answer is what was planted: verdict and slices. Of a mix, the slice that grew or its complement."""
    match incident.kind:
        case Kind.BROAD:
            return explanation.verdict is Verdict.BROAD
        case Kind.MIX:
            if explanation.verdict is not Verdict.MIX:
                return False
            found = named(explanation)
            if not found:
                return False
            wanted, told = (np.any(_inside(n), axis=0) for n in (incident.truth, found))
            return bool(min(SHARES[wanted ^ told].sum(), SHARES[wanted ^ ~told].sum()) <= 0.002)
    return explanation.verdict in (Verdict.SLICE, Verdict.SLICES) and _same(incident.truth, named(explanation))


@dataclass(frozen=True)
class Judged:
    """One incident and its explanation."""

    incident: Incident
    explanation: Explanation
    cpu: float

    @property
    def right(self) -> bool:
        """See `right`."""
        return right(self.incident, self.explanation)

    @property
    def blamed(self) -> bool:
        """Whether a slice is named for what is broad."""
        return self.incident.kind is Kind.BROAD and bool(self.explanation.slices)

    @property
    def partly(self) -> bool:
        """Whether the slice named first is one of those planted."""
        first = named(self.explanation) if self.explanation.slices else frozenset()
        return self.right or bool(first & self.incident.truth)


def judge(count: int, seed: int) -> Iterator[Judged]:
    """`count` incidents, the kinds in turn. The same for the same seed."""
    kinds = tuple(Kind)
    for k in range(count):
        incident = plant(np.random.default_rng([seed, k]), kinds[k % len(kinds)])
        began = time.process_time()
        found = explain_cube(incident.cube, incident.direction, Options(expected=incident.expected))
        yield Judged(incident, found, time.process_time() - began)


def table(judged: Sequence[Judged]) -> list[str]:
    """Lines of a table by kind."""
    lines = [
        "| planted | incidents | right | first named is planted | a slice named | CPU, ms |",
        "|---|---|---|---|---|---|",
    ]
    for kind in (*Kind, None):
        own = [j for j in judged if kind in (None, j.incident.kind)]
        if not own:
            continue
        cells = [sum(j.right for j in own), sum(j.partly for j in own), sum(bool(j.explanation.slices) for j in own)]
        shares = " | ".join(f"{100 * c / len(own):.1f} %" for c in cells)
        cpu = 1000 * sum(j.cpu for j in own) / len(own)
        lines.append(f"| {kind or 'all'} | {len(own)} | {shares} | {cpu:.0f} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.explain", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--incidents", type=int, default=1000, help="how many are planted (default 1000)")
    parser.add_argument("--seed", type=int, default=20261121, help="of the random numbers")
    parser.add_argument("--wrong", type=int, default=0, metavar="N", help="show the first N that are not right")
    options = parser.parse_args(arguments)
    judged = list(judge(options.incidents, options.seed))
    for line in table(judged):
        print(line)
    wrong = [j for j in judged if not j.right]
    print(f"\nnot right: {dict(Counter((str(j.incident.kind), str(j.explanation.verdict)) for j in wrong))}")
    for j in wrong[: options.wrong]:
        e, i = j.explanation, j.incident
        print(
            f"{i.kind}{' ratio' if i.ratio else ''} {i.direction} planted {_text(i.truth)}; told {e.verdict} ", end=""
        )
        print(f"{_text(named(e))}, {e.value:.4g} of {e.expected:.4g}, {[round(s.share, 2) for s in e.slices]}")
    sys.stdout.flush()


def _text(slices: Named) -> str:
    return " + ".join(" & ".join(f"{d}={','.join(sorted(v))}" for d, v in parts) for parts in sorted(slices, key=str))


if __name__ == "__main__":
    main()
