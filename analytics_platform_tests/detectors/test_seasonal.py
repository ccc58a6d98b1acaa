"""The detector `seasonal` on simulated series: exact kept state, causality, and what it finds."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from analytics_platform.detectors import detector
from analytics_platform.detectors.base import PER_DAY, STEP, Block, Floats, Sign, Verdicts
from analytics_platform.detectors.seasonal import MEMORY, Seasonal, make
from benchmarks.detection import simulated
from benchmarks.detection.simulated import HISTORY, Case, planted, scaled

NAMES = ("score", "expected", "low", "high", "sign")


def same(one: Verdicts, other: Verdicts) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in NAMES)


def cut(verdicts: Verdicts, a: int, b: int) -> Verdicts:
    return Verdicts(*(getattr(verdicts, name)[:, a:b] for name in NAMES))


def mixed(days: int) -> Block:
    """Counts large and small, a ratio, a series of other values; gaps, marks, an accepted level, clocks that change."""
    rng = np.random.default_rng(4)
    n = days * PER_DAY
    rate = simulated.rates(np.array([0.5, 4.0, 300.0, 4000.0, 300.0, 50.0]), n, rng)
    rate[2, 20 * PER_DAY :] *= 0.7
    values = rng.poisson(rate).astype(float)
    values[4] = values[4] / values[3]
    values[5] = np.sqrt(values[5]) - 4
    values[:, 1500:1510] = np.nan
    values[3, 2000:2030] = values[3, 1999]
    block = simulated.block_of(values)
    base = block.base.copy()
    base[4] = values[3]
    block.accepted[2, 20 * PER_DAY + 30] = True
    block.learn[:, 1000:1096] = False
    block.slack[1000:1096] = 1.5
    block.offset[25 * PER_DAY :] = 3600
    return replace(block, base=base, ratio=np.array([False, False, False, False, True, False]))


def test_the_kept_state_says_the_same_as_judging_the_whole_history() -> None:
    block = mixed(33)
    known = 31 * PER_DAY + 5
    whole = make().judge(block, known)
    kept = make().follow(block.columns(0, known))
    steps = [known, known + 1, known + 2, known + 40, known + 41, block.buckets]
    for a, b in pairwise(steps):
        assert same(kept.next(block.columns(a, b)), cut(whole, a - known, b - known))


def test_a_verdict_depends_on_28_days_and_no_more() -> None:
    block = mixed(34)
    first = 33 * PER_DAY
    assert same(make().judge(block, first), cut(make().judge(block), first, block.buckets))
    assert same(make().judge(block, first), make().judge(block.columns(first - MEMORY, block.buckets), MEMORY))


def test_a_verdict_does_not_depend_on_what_comes_later_nor_on_other_series() -> None:
    block = mixed(24)
    until = 22 * PER_DAY + 7
    assert same(make().judge(block.columns(0, until), until - 100), cut(make().judge(block, until - 100), 0, 100))
    whole, alone = make().judge(block, until), make().judge(block.rows(np.array([2, 4])), until)
    assert np.array_equal(whole.score[[2, 4]], alone.score, equal_nan=True)


def test_a_long_followed_state_lets_the_oldest_go() -> None:
    block = simulated.counts(2, 40, 8)
    kept = make().follow(block.columns(0, MEMORY))
    told = kept.next(block.columns(MEMORY, block.buckets))
    assert same(told, make().judge(block, MEMORY))


def test_a_block_that_does_not_go_on_is_refused() -> None:
    block = simulated.counts(1, 5, 1)
    kept = make().follow(block.columns(0, 300))
    with pytest.raises(ValueError, match="the bucket after the last"):
        kept.next(block.columns(301, 302))


def test_it_says_nothing_before_it_knows_three_days() -> None:
    score = make().judge(simulated.counts(3, 6, 1)).score
    assert np.isnan(score[:, : 3 * PER_DAY]).all()
    assert np.isfinite(score[:, 4 * PER_DAY :]).all()


def found(case: Case, seasonal: Seasonal | None = None) -> tuple[float, Verdicts]:
    """Share of series with an alert in the case's buckets, and the verdicts on them."""
    told = cut((seasonal or make()).judge(case.block, case.start), 0, case.stop - case.start)
    return float((np.nan_to_num(told.score) >= 1).any(axis=1).mean()), told


@pytest.mark.parametrize(
    ("case", "least"),
    [
        pytest.param(planted(scaled(0.0, 4), 12, 1, 2), 1.0, id="zero"),
        pytest.param(planted(scaled(0.5, 4), 12, 2, 5), 0.95, id="half"),
        pytest.param(planted(scaled(0.7, 8), 12, 3, 9), 0.95, id="-30 %"),
        pytest.param(planted(scaled(2.0, 1), 12, 4, 1), 0.95, id="one point twice as high"),
        pytest.param(planted(scaled(0.5, 4), 12, 5, 5, night=True), 0.95, id="half at night"),
        pytest.param(planted(simulated.sliding(0.6, 48, 48), 12, 6, 96), 0.95, id="slide"),
        pytest.param(simulated.frozen(12, 7, 24), 0.95, id="freeze"),
        pytest.param(simulated.low_counts(12, 8), 0.95, id="low counts"),
        pytest.param(simulated.holiday(12, 9, outage=True), 1.0, id="outage on a holiday"),
        pytest.param(simulated.polluted(12, 10), 0.95, id="polluted past"),
        pytest.param(simulated.ratio_drop(12, 11, 0.7), 0.95, id="ratio"),
    ],
)
def test_planted_incidents_are_found(case: Case, least: float) -> None:
    assert found(case)[0] >= least


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(simulated.counts(12, 40, 1), HISTORY, 40 * PER_DAY), id="clean"),
        pytest.param(Case(simulated.counts(12, 40, 2, 0.3, 20), HISTORY, 40 * PER_DAY), id="low counts"),
        pytest.param(simulated.holiday(12, 3, outage=False), id="marked holiday"),
        pytest.param(simulated.ratio_drop(12, 4, 1.0), id="ratio"),
        pytest.param(simulated.new_normal(12, 5, accepted=False), id="a level that stayed"),
        pytest.param(simulated.new_normal(12, 6, accepted=True), id="an accepted level"),
    ],
)
def test_ordinary_days_stay_quiet(case: Case) -> None:
    _, told = found(case)
    alerts = np.nan_to_num(told.score) >= 1
    said = alerts[:, 0].sum() + (alerts[:, 1:] & ~alerts[:, :-1]).sum()
    assert said / (alerts.size / PER_DAY) <= 0.05


def test_each_incident_is_called_by_its_name() -> None:
    def signs(case: Case) -> set[int]:
        told = found(case)[1]
        return set(told.sign[np.nan_to_num(told.score) >= 1].tolist())

    assert Sign.ZERO in signs(planted(scaled(0.0, 4), 4, 1, 2))
    assert signs(planted(scaled(2.0, 1), 4, 2, 1)) == {Sign.JUMP}
    assert Sign.LEVEL in signs(planted(scaled(0.6, 24), 4, 3, 24))
    assert Sign.SLIDE in signs(planted(simulated.sliding(0.7, 90, 6), 4, 4, 96))
    assert Sign.FREEZE in signs(simulated.frozen(4, 5, 24))


def test_a_long_outage_does_not_become_news_again_every_hour() -> None:
    case = planted(scaled(0.4, 12 * 4), 6, 12, 12 * 4)
    alerts = np.nan_to_num(found(case)[1].score) >= 1
    for row in alerts:
        assert (np.diff(np.flatnonzero(row)) <= 4).all()


def test_a_zero_at_night_is_nothing_where_few_are_expected() -> None:
    rng = np.random.default_rng(2)
    rate = simulated.rates(np.array([1.5]), 30 * PER_DAY, rng)
    values = rng.poisson(rate).astype(float)
    night = 29 * PER_DAY + simulated.NIGHT
    values[:, night : night + 4] = 0
    told = make().judge(simulated.block_of(values), night)
    assert (np.nan_to_num(told.score[:, :4]) < 1).all()


def test_a_ratio_of_a_tiny_base_cannot_alert() -> None:
    case = simulated.ratio_drop(3, 5, 1.0)
    base = np.full_like(case.block.base, 6.0)
    share = np.random.default_rng(1).binomial(6, 0.2, base.shape) / 6
    share[:, case.start : case.stop] = 0.0
    block = replace(case.block, values=share, base=base)
    assert (np.nan_to_num(make().judge(block, case.start).score) < 1).all()


def test_a_marked_incident_leaves_no_trace_in_what_is_usual() -> None:
    clean = simulated.counts(2, 12, 3)
    hurt = replace(clean, values=clean.values.copy(), learn=clean.learn.copy())
    dark = slice(10 * PER_DAY, 10 * PER_DAY + 48)
    hurt.values[:, dark] = 0
    hurt.learn[:, dark] = False
    day = 11 * PER_DAY
    usual, after = make().judge(clean, day).expected, make().judge(hurt, day).expected
    assert np.abs(after / usual - 1).max() < 0.1


def test_what_leaves_the_band_from_within_is_an_onset_and_what_stays_is_none() -> None:
    block = simulated.counts(4, 30, 6, 200, 5000)
    at = 29 * PER_DAY + 60
    told = make().judge(block.columns(0, at + 1), at)

    def score(value: Floats) -> Floats:
        values = block.values[:, : at + 1].copy()
        values[:, at - 1] = make().judge(block.columns(0, at), at - 1).expected[:, 0]  # it comes from the usual
        values[:, at] = value
        return make().judge(simulated.block_of(values), at).score[:, 0]

    expected, low, high = told.expected[:, 0], told.low[:, 0], told.high[:, 0]
    assert (score(expected) < 0.5).all()
    assert (score(expected - 1.3 * (expected - low)) >= 1).all()
    assert (score(expected + 1.3 * (high - expected)) >= 1).all()
    assert (score(expected - 0.7 * (expected - low)) < 1).all()
    assert (score(expected + 0.7 * (high - expected)) < 1).all()


def test_the_registry_knows_it() -> None:
    seasonal = detector("seasonal")
    assert (seasonal.name, seasonal.memory) == ("seasonal", 28 * PER_DAY)
    empty = seasonal.judge(Block.plain(np.arange(0, dtype=np.int64) * STEP, np.empty((2, 0))))
    assert empty.score.shape == (2, 0)
