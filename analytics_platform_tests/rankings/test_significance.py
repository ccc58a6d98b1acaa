"""Noise is not called a trend, and trends are found: by simulation, with fixed seeds."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from analytics_platform.rankings.significance import Bools, Floats, Line, Spread, discoveries, p_values, spread

Draw = Callable[[np.random.Generator, Floats], Floats]

SLICES = 2
LEAST = 20
MEANS = np.exp(np.random.default_rng(0).normal(3, 1.3, 4000))  # from a few to thousands a day, most about 20


def poisson(chance: np.random.Generator, means: Floats) -> Floats:
    return chance.poisson(means).astype(np.float64)


def uneven_days(wide: float) -> Draw:
    """Each item's day is multiplied by chance, the same for a tiny and for a large one."""

    def draw(chance: np.random.Generator, means: Floats) -> Floats:
        return chance.poisson(means * chance.gamma(1 / wide, wide, means.shape)).astype(np.float64)

    return draw


def bursts(chance: np.random.Generator, means: Floats) -> Floats:
    """People come four at a time."""
    return 4 * chance.poisson(means / 4).astype(np.float64)


NOISE = {"poisson": poisson, "days by 15 %": uneven_days(0.02), "days by 50 %": uneven_days(0.25), "bursts": bursts}


def called(recent: Floats, slices: Floats, false_share: float = 0.05) -> tuple[Bools, Bools]:
    """Which items rise and which fall."""
    before = slices.sum(axis=0)
    heard = recent + before >= LEAST
    rises = recent > before / SLICES
    p = np.full(recent.size, np.nan)
    noise = spread(before[heard], (slices**2).sum(axis=0)[heard], SLICES)
    p[heard] = p_values(recent[heard], before[heard], rises[heard], SLICES, noise)
    found = discoveries(p, false_share)
    return found & rises, found & ~rises


@pytest.mark.parametrize("noise", NOISE)
def test_under_steady_traffic_hardly_anything_is_called_rising(noise: str) -> None:
    """Among 4,000 items, with an error rate of 5 %: anything at all in at most one of ten windows, and then not ten."""
    rising = []
    for seed in range(10):
        chance = np.random.default_rng(seed)
        up, down = called(NOISE[noise](chance, MEANS), np.stack([NOISE[noise](chance, MEANS) for _ in range(SLICES)]))
        rising.append(int(up.sum() + down.sum()))
    assert sum(many > 0 for many in rising) <= 1, rising
    assert sum(rising) < 10, rising


@pytest.mark.parametrize(("noise", "least"), [("poisson", 0.6), ("days by 15 %", 0.5), ("bursts", 0.25)])
def test_planted_doublings_are_found_and_little_else_is(noise: str, least: float) -> None:
    """A tenth of the items doubles; of those with 50 persons a day and more, at least this share is found."""
    chance = np.random.default_rng(5)
    means = MEANS.copy()
    doubled = np.arange(means.size) % 10 == 0
    slices = np.stack([NOISE[noise](chance, means) for _ in range(SLICES)])
    up, down = called(NOISE[noise](chance, np.where(doubled, 2 * means, means)), slices)
    large = means >= 50
    assert (up & doubled & large).sum() / (doubled & large).sum() >= least
    assert (up & ~doubled).sum() <= 0.1 * up.sum()
    assert down.sum() <= 0.02 * up.sum()


def test_large_items_are_not_judged_by_the_calm_of_the_small_ones() -> None:
    """Days that differ by 20 % hide in items of ten persons, and would make trends of those of thousands."""
    means = np.concatenate([np.full(3000, 12.0), np.full(60, 5000.0)])
    draw = uneven_days(0.04)
    found = 0
    for seed in range(10):
        chance = np.random.default_rng(seed)
        up, down = called(draw(chance, means), np.stack([draw(chance, means) for _ in range(SLICES)]))
        found += int((up | down).sum())
    assert found <= 2


@pytest.mark.parametrize("many", [1, 3, 10])
def test_of_a_few_countries_little_is_known_and_little_is_said(many: int) -> None:
    """Days differ by 30 %. In at most 8 of 100 windows something is called a trend, where 5 are accepted."""
    means = np.linspace(300, 20_000, many)
    draw = uneven_days(0.09)
    windows = 200
    chance = np.random.default_rng(1)
    false = 0
    for _ in range(windows):
        up, down = called(draw(chance, means), np.stack([draw(chance, means) for _ in range(SLICES)]))
        false += bool((up | down).any())
    assert false <= 0.08 * windows


@pytest.mark.parametrize("means", [(5000.0, 900.0, 300.0), (170.0, 170.0, 172.0), (50.0, 60.0, 70.0)])
def test_a_country_that_triples_is_found_among_three(means: tuple[float, ...]) -> None:
    chance = np.random.default_rng(2)
    usual = np.array(means)
    up, _ = called(poisson(chance, usual * [1, 3, 1]), np.stack([poisson(chance, usual) for _ in range(SLICES)]))
    assert up.tolist() == [False, True, False]


def test_one_video_that_was_new_yesterday_does_not_hide_the_trends_of_others() -> None:
    chance = np.random.default_rng(3)
    means = np.full(300, 100.0)
    slices = np.stack([poisson(chance, means) for _ in range(SLICES)])
    calm = spread(slices.sum(axis=0), (slices**2).sum(axis=0), SLICES)
    slices[0, :15] = 0  # one of twenty was published in between
    slices[1, :15] = 2000
    wild = spread(slices.sum(axis=0), (slices**2).sum(axis=0), SLICES)
    mean = np.array([100.0])
    assert calm.over(mean)[0] < 1.2
    assert wild.over(mean)[0] < 2.4  # their own multiple is 2,000


def test_without_excess_the_test_is_the_exact_binomial_one_doubled() -> None:
    recent, before = np.array([30.0, 5.0, 0.0, 40.0]), np.array([30.0, 40.0, 25.0, 0.0])
    rises = np.array([True, False, False, True])
    expected = [
        2 * stats.binomtest(int(x), int(x + y), 1 / 3, alternative="greater" if up else "less").pvalue
        for x, y, up in zip(recent, before, rises, strict=True)
    ]
    assert p_values(recent, before, rises, SLICES, Spread()) == pytest.approx(expected, rel=1e-6)


def test_who_comes_as_often_as_before_proves_nothing() -> None:
    recent, before = np.array([50.0, 0.0]), np.array([100.0, 30.0])
    assert p_values(recent, before, np.array([True, True]), SLICES, Spread()) == pytest.approx([1.0, 1.0])


def test_probabilities_are_numbers_for_any_audience() -> None:
    sizes = np.array([0.0, 1.0, 20.0, 1e4, 1e9])
    recent, before = (grid.ravel() for grid in np.meshgrid(sizes, sizes))
    lines = Line(3.0, 0.2, (0.1, 0.01, -0.001)), Line(5.0), Line(1.0, 50.0, (0.0, 4000.0, 0.0))
    for noise in (Spread(), Spread(*lines, free=7.0), Spread(*lines[::-1], free=1.0)):
        for rises in (True, False):
            p = p_values(recent, before, np.full(recent.size, rises), SLICES, noise)
            assert np.isfinite(p).all()
            assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_spread_is_never_below_chance_and_needs_something_to_compare(size: int) -> None:
    audience, squares = np.full(size, 40.0), np.full(size, 800.0)  # 20 and 20: calmer than chance
    noise = spread(audience, squares, SLICES)
    assert (noise.over(np.array([1.0, 20.0])) >= 1).all()
    assert (noise.best.bursts, noise.best.days) == (1.0, 0.0)
    assert spread(audience, audience**2, 1) == Spread()
    assert spread(np.zeros(size), np.zeros(size), SLICES) == Spread()


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    # The example of their paper of 1995, section 3.2: fifteen tests, four of which are significant at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590]
    found = discoveries(np.array([*p, 1.0]), 0.05)
    assert found.tolist() == [True] * 4 + [False] * 11
    shuffled = np.random.default_rng(0).permutation(15)
    assert discoveries(np.array([*p, 1.0])[shuffled], 0.05).tolist() == found[shuffled].tolist()


def test_what_was_not_tested_is_no_discovery_and_does_not_count() -> None:
    assert discoveries(np.array([math.nan, 0.04, math.nan]), 0.05).tolist() == [False, True, False]
    assert discoveries(np.array([math.nan]), 0.05).tolist() == [False]
    assert discoveries(np.array([]), 0.05).tolist() == []
