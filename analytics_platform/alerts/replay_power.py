"""Power: how surely and how soon a change of a given size would be told, measured by planting it into history.

Belongs here: planting changes, judging them, saying the result. Does not: the replay of what was (`replay.py`). Pure
and seeded. Imported lazily only: numpy is imported at the top.

At times spread over history, away from what was unusual anyway, each watched total is changed for one hour and judged
bucket by bucket as the live tick would, incidents included: seen is what a message would have gone out for. Counts lose
events by chance (binomial) or gain some (Poisson); ratios lose or gain in their numerator, one event of the base at a
time. Night and day are planted alike, so a metric that sleeps at night is seen less often.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.incident import Policy, Reason
from analytics_platform.alerts.judging import alarms
from analytics_platform.alerts.replay import Detectors, Replayed, by_detector, some, steps
from analytics_platform.alerts.watch import Watch
from analytics_platform.detectors import detector as by_name
from analytics_platform.detectors.base import Block, Bools, Floats, Ints, Verdicts
from analytics_platform.metrics.series import SeriesKey

SIZES = (-0.1, -0.2, -0.3, -0.5, -1.0, 0.3, 1.0)
LASTS = 4  # buckets: an hour
WITHIN = (15, 30, 60)  # minutes after it began
TIMES = 30
_APART = 8  # buckets that a planted change stays away from what was unusual before it
_SURE = 0.9


@dataclass(frozen=True)
class Power:
    """How often a change of `size` (-0.2: a fifth less) of a series was seen. `seen`: by minutes of `WITHIN`."""

    series: SeriesKey
    size: float
    cases: int
    seen: tuple[int, ...]

    def share(self, minutes: int) -> float:
        """The share that was seen within so many minutes; 0 without cases."""
        return self.seen[WITHIN.index(minutes)] / self.cases if self.cases else 0.0

    @property
    def change(self) -> str:
        """`20 % drop`, `fall to zero`, `30 % rise`."""
        if self.size <= -1:
            return "fall to zero"
        return f"{abs(self.size):.0%} {'drop' if self.size < 0 else 'rise'}".replace("%", " %")


@dataclass(frozen=True)
class Measured:
    """The power of all totals. `times`: when the changes were planted, aware, UTC."""

    powers: tuple[Power, ...]
    times: tuple[datetime, ...]

    def sentences(self) -> tuple[str, ...]:
        """For each metric the smallest drop seen within half an hour in 9 of 10 cases; else how the largest is."""
        return tuple(_sentence([p for p in self.powers if p.series == series]) for series in self._series)

    @property
    def _series(self) -> tuple[SeriesKey, ...]:
        return tuple(dict.fromkeys(power.series for power in self.powers))


def power(
    block: Block,
    keys: Sequence[SeriesKey],
    watch: Watch,
    first: int,
    *,
    unusual: Bools,
    seed: int = 1,
    policy: Policy | None = None,
    detectors: Detectors = by_name,
) -> Measured:
    """How surely changes of `SIZES` in the totals among the series would have been told in the columns first..n.

    `unusual` [n - first]: where something was the matter. Nothing is planted there, shortly after, or before the
    detector has enough history to tell. A series without a value then has a case fewer. The same seed plants the same.
    """
    totals = np.array([i for i, key in enumerate(keys) if key.is_total and watch.watches(key)], dtype=np.int64)
    columns = moments(np.asarray(unusual, dtype=bool), first, seed)
    seen = np.zeros((len(totals), len(SIZES), len(WITHIN)), dtype=np.int64)
    cases = np.zeros((len(totals), len(SIZES)), dtype=np.int64)
    place = {int(row): i for i, row in enumerate(totals)}
    every = [keys[i] for i in totals]
    for name, rows in by_detector(every, watch).items():
        detector = detectors(name, [every[i].metric for i in rows])
        part = block.rows(totals[rows])
        judge = _Judge([every[i] for i in rows], watch, policy or Policy())
        for column in columns:
            state = detector.follow(part.columns(max(column - detector.memory - 1, 0), column))
            hour = part.columns(column, column + LASTS)
            for number, size in enumerate(SIZES):
                # One stream a planting: the result does not depend on which metrics are asked for together.
                planted = plant(
                    hour, size, [np.random.default_rng((seed, column, number, int(totals[i]))) for i in rows]
                )
                verdicts = deepcopy(state).next(planted)
                for i, row in enumerate(rows):
                    if np.isfinite(planted.values[i, 0]) and np.isfinite(verdicts.score[i, 0]):
                        told = judge.told(verdicts, planted, i, Direction.DOWN if size < 0 else Direction.UP)
                        at = place[int(totals[row])]
                        cases[at, number] += 1
                        seen[at, number] += [told is not None and told * 15 <= minutes for minutes in WITHIN]
    powers = tuple(
        Power(keys[row], size, int(cases[i, number]), tuple(seen[i, number].tolist()))
        for i, row in enumerate(totals)
        for number, size in enumerate(SIZES)
    )
    return Measured(powers, tuple(datetime.fromtimestamp(int(block.times[c]), UTC) for c in columns))


def unusual(replayed: Replayed) -> Bools:
    """[k]: judged buckets in which a total was unusual, or in which fewer than half of the totals could be judged."""
    totals = np.array([key.is_total for key in replayed.keys], dtype=bool)
    if not totals.any():
        return np.ones(replayed.columns.buckets, dtype=bool)
    untold = np.isfinite(replayed.verdicts.score[totals]).mean(axis=0) < 0.5
    return np.asarray(replayed.found[totals].any(axis=0) | untold, dtype=bool)


def moments(unusual: Bools, first: int, seed: int, times: int = TIMES) -> list[int]:
    """Columns of the block at which a change is planted: one at random in each of so many equal parts of history.

    A part in which nothing is free has none.
    """
    blocked = np.convolve(unusual, np.ones(_APART + LASTS + 1), mode="full")[: len(unusual) + LASTS] > 0
    free = ~blocked[LASTS:]
    free[len(free) - LASTS :] = False
    rng = np.random.default_rng(seed)
    edges = np.linspace(0, len(free), times + 1).astype(int)
    found = []
    for start, stop in pairwise(edges):
        open_ = np.flatnonzero(free[start:stop])
        if open_.size:
            found.append(first + int(start) + int(open_[rng.integers(open_.size)]))
    return found


def plant(hour: Block, size: float, rngs: Sequence[np.random.Generator]) -> Block:
    """The buckets with every series changed by `size`, each with chance of its own."""
    values, base = hour.values.copy(), hour.base
    for i, rng in enumerate(rngs):
        known = np.isfinite(values[i])
        if hour.ratio[i]:
            known &= np.nan_to_num(base[i]) > 0
            under = base[i, known].astype(np.int64)
            over = np.minimum(np.rint(values[i, known] * under).astype(np.int64), under)
            values[i, known] = _ratio(over, under, size, rng) / under
        else:
            values[i, known] = _count(values[i, known], size, rng)
    return Block(hour.times, hour.offset, values, base, hour.ratio, hour.learn.copy(), hour.slack, hour.accepted.copy())


def _count(values: Floats, size: float, rng: np.random.Generator) -> Floats:
    if size < 0:
        return rng.binomial(np.rint(values).astype(np.int64), 1 + size).astype(np.float64)
    return values + rng.poisson(values * size)


def _ratio(over: Ints, under: Ints, size: float, rng: np.random.Generator) -> Floats:
    if size < 0:
        return rng.binomial(over, 1 + size).astype(np.float64)
    rest = under - over
    # So many of those that did not become ones that did that the ratio grows by the size, as far as it can.
    chance = np.clip(size * over / np.maximum(rest, 1), 0, 1)
    return (over + rng.binomial(rest, chance)).astype(np.float64)


@dataclass(frozen=True)
class _Judge:
    """Incidents of one series alone."""

    keys: Sequence[SeriesKey]
    watch: Watch
    policy: Policy

    def told(self, verdicts: Verdicts, planted: Block, row: int, direction: Direction) -> int | None:
        """After how many buckets a message of that direction would have gone; None when none would."""
        at, key = np.array([row]), [self.keys[row]]
        one, block = some(verdicts, at), planted.rows(at)
        found = alarms(one, block, key, self.watch)
        if not found.any():
            return None
        for step, _ in steps(one, block, key, self.watch, policy=self.policy, found=found):
            ways = {incident.key: incident.direction for incident in step.incidents}
            for event in step.events:
                if event.reason is Reason.OPENED and ways.get(event.key) is direction:
                    return int((event.moment.timestamp() - int(block.times[0])) // 900) + 1
        return None


def _sentence(powers: Sequence[Power]) -> str:
    drops = sorted((p for p in powers if p.size < 0), key=lambda p: -p.size)
    best = next((p for p in drops if p.cases and p.share(30) >= _SURE), drops[-1])
    name = best.series.metric
    if not best.cases:
        return f"Of {name} nothing can be said: there was no time to plant a change at."
    return f"A {best.change} of {name} is seen within 30 min in {_tenths(best.share(30))}."


def _tenths(share: float) -> str:
    # Rounded down: no promise that was not kept.
    tenths = int(share * 10 + 1e-9)
    if share in (0, 1):
        return "all cases" if share else "no case"
    return f"{tenths} of 10 cases" if tenths else "fewer than 1 of 10 cases"


def rows(measured: Measured) -> Iterator[dict[str, object]]:
    """One row for each metric and size: the share seen within 15, 30 and 60 minutes, as `27 of 30`."""
    for one in measured.powers:
        yield {
            "metric": one.series.metric,
            "planted": one.change,
            **{f"{m}_min": f"{n} of {one.cases}" for m, n in zip(WITHIN, one.seen, strict=True)},
        }
