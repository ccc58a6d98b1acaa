"""Simulated 15-minute series with planted incidents, for the detectors' table and tests.

Belongs here: seeded series and what is planted into them. Does not: detectors, scoring.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analytics_platform.detectors.base import PER_DAY, STEP, Block, Floats

START = 1_767_571_200  # Monday, 2026-01-05 00:00 UTC
NIGHT = 4 * 4  # the quietest bucket of a day
HISTORY = 28 * PER_DAY


@dataclass(frozen=True)
class Case:
    """A block with an incident in each series, and where it counts as found: any bucket of start..stop (half-open).

    `clean`: nothing is planted that should be found; every notification is a false one.
    """

    block: Block
    start: int
    stop: int
    clean: bool = False


def rates(means: Floats, buckets: int, rng: np.random.Generator) -> Floats:
    """[m, buckets]: expected counts. Night is half of the mean, a weekend 0.8 of a week that comes in three hours."""
    t = np.arange(buckets)
    hour = 2 * np.pi * (t % PER_DAY - NIGHT) / PER_DAY
    weekend = np.convolve(np.where((t - 6) // PER_DAY % 7 >= 5, 0.8, 1.0), np.full(12, 1 / 12))[: len(t)]
    weekend[:12] = 1.0
    amplitude = rng.uniform(0.45, 0.6, len(means))[:, None]
    return np.asarray(means[:, None] * (1 - amplitude * np.cos(hour)) * weekend)


def block_of(values: Floats) -> Block:
    """Counts on ordinary days, from a Monday's midnight."""
    return Block.plain(START + STEP * np.arange(values.shape[1]), values)


def counts(series: int, days: int, seed: int, low: float = 100.0, high: float = 5000.0) -> Block:
    """Clean Poisson counts whose means run from `low` to `high` a bucket."""
    rng = np.random.default_rng(seed)
    return block_of(rng.poisson(rates(np.geomspace(low, high, series), days * PER_DAY, rng)).astype(float))


Plant = Callable[[Floats, int, np.random.Generator], Floats]


def scaled(factor: float, length: int) -> Plant:
    """The rate times `factor` for `length` buckets."""

    def plant(rate: Floats, at: int, _: np.random.Generator) -> Floats:
        rate[:, at : at + length] *= factor
        return rate

    return plant


def sliding(to: float, length: int, stay: int) -> Plant:
    """The rate slides to `to` of itself within `length` buckets and stays there for `stay`."""

    def plant(rate: Floats, at: int, _: np.random.Generator) -> Floats:
        rate[:, at : at + length] *= np.linspace(1.0, to, length)
        rate[:, at + length : at + length + stay] *= to
        return rate

    return plant


def planted(plant: Plant, series: int, seed: int, length: int, *, night: bool = False, low: float = 100.0) -> Case:
    """28 clean days and then an incident at a random time of the two following days, found within `length` buckets."""
    rng = np.random.default_rng(seed)
    day = HISTORY + PER_DAY * int(rng.integers(0, 7))
    at = day + (NIGHT - 2 if night else int(rng.integers(9 * 4, 22 * 4)))
    rate = rates(np.geomspace(low, 50 * low, series), at + length + PER_DAY, rng)
    block = block_of(rng.poisson(plant(rate, at, rng)).astype(float))
    return Case(block, at, at + length)


def frozen(series: int, seed: int, length: int) -> Case:
    """The value of a bucket is delivered again and again."""
    case = planted(scaled(1.0, 1), series, seed, length)
    values = case.block.values.copy()
    values[:, case.start : case.stop] = values[:, case.start - 1 : case.start]
    return replace(case, block=block_of(values))


def low_counts(series: int, seed: int) -> Case:
    """One to six a bucket; nothing at all for six hours of the day."""
    rng = np.random.default_rng(seed)
    at = HISTORY + 10 * 4
    rate = rates(np.linspace(1.5, 6.0, series), at + 2 * PER_DAY, rng)
    return Case(block_of(rng.poisson(scaled(0.0, 24)(rate, at, rng)).astype(float)), at, at + 24)


def holiday(series: int, seed: int, *, outage: bool) -> Case:
    """A marked day (slack 2, not learnt from) with 0.6 of the usual, which comes and goes within three hours. With an
    outage of an hour on it, or clean."""
    rng = np.random.default_rng(seed)
    day = HISTORY + 2 * PER_DAY
    at = day + 15 * 4
    rate = rates(np.geomspace(100, 5000, series), day + 2 * PER_DAY, rng)
    rate[:, day : day + PER_DAY] *= 1 - np.convolve(np.full(PER_DAY - 11, 0.4), np.full(12, 1 / 12))
    if outage:
        rate = scaled(0.0, 4)(rate, at, rng)
    block = block_of(rng.poisson(rate).astype(float))
    block.learn[:, day : day + PER_DAY] = False
    block.slack[day : day + PER_DAY] = 2.0
    return Case(block, at if outage else day, at + 4 if outage else block.buckets, clean=not outage)


def polluted(series: int, seed: int) -> Case:
    """Three unmarked incidents of -60 % for six hours in the fortnight before, and then -50 % for an hour."""
    rng = np.random.default_rng(seed)
    at = HISTORY + PER_DAY + 14 * 4
    rate = rates(np.geomspace(100, 5000, series), at + PER_DAY, rng)
    for days in (3, 7, 10):
        rate = scaled(0.4, 24)(rate, at - days * PER_DAY - 12, rng)
    rate = scaled(0.5, 4)(rate, at, rng)
    return Case(block_of(rng.poisson(rate).astype(float)), at, at + 5)


def ratio_drop(series: int, seed: int, factor: float) -> Case:
    """A share of 0.2 of a base of 500 to 10,000 a bucket falls to `factor` of itself for two hours."""
    rng = np.random.default_rng(seed)
    at = HISTORY + PER_DAY + int(rng.integers(9 * 4, 22 * 4))
    base = rng.poisson(rates(np.geomspace(500, 10_000, series), at + PER_DAY, rng)).astype(float)
    hour = 2 * np.pi * np.arange(base.shape[1]) / PER_DAY
    share = np.tile(0.2 + 0.02 * np.cos(hour), (series, 1))
    share[:, at : at + 8] *= factor
    value = rng.binomial(base.astype(int), share) / np.where(base > 0, base, np.nan)
    block = replace(block_of(value), base=base, ratio=np.ones(series, bool))
    return Case(block, at, at + 8, clean=factor == 1.0)


def new_normal(series: int, seed: int, *, accepted: bool) -> Case:
    """A level of 0.65 comes and stays: clean from the fourth day on, or from the first bucket that was accepted."""
    rng = np.random.default_rng(seed)
    at = HISTORY + 11 * 4
    rate = scaled(0.65, 9 * PER_DAY)(rates(np.geomspace(100, 5000, series), at + 9 * PER_DAY, rng), at, rng)
    block = block_of(rng.poisson(rate).astype(float))
    if accepted:
        block.accepted[:, at + 8] = True
    return Case(block, at + 9 if accepted else at + 3 * PER_DAY, block.buckets, clean=True)
