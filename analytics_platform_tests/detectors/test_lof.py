"""Windows among their neighbours: scikit-learn's factor, ties, the band, and that only the past counts."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor

from analytics_platform.detectors import detector
from analytics_platform.detectors.base import PER_DAY, STEP, Block, Floats, Sign, Verdicts
from analytics_platform.detectors.lof import HIGHEST, make

MONDAY = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
FIELDS = ("score", "expected", "low", "high", "sign")
DAYS = 5


def daily(days: int = DAYS, seed: int = 1, series: int = 1, level: float = 500.0) -> Block:
    """Counts of a daily curve, from a midnight in UTC on."""
    rng = np.random.default_rng(seed)
    curve = 1.3 - np.cos(2 * np.pi * (np.arange(days * PER_DAY) - 16) / PER_DAY)
    return grid(rng.poisson(np.broadcast_to(level * curve, (series, days * PER_DAY))).astype(np.float64))


def grid(values: Floats) -> Block:
    return Block.plain(MONDAY + STEP * np.arange(np.shape(values)[-1]), values)


def with_values(block: Block, column: int, *values: float) -> Block:
    """The block with other values in the first series, from that column on."""
    changed = block.values.copy()
    changed[0, column : column + len(values)] = values
    return replace(block, values=changed)


def same(left: Verdicts, right: Verdicts) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def test_the_factor_is_that_of_scikit_learn_where_nothing_is_near_enough_to_be_the_same() -> None:
    rng = np.random.default_rng(4)
    # Independent values: windows in four dimensions are far apart, so the floor is never reached.
    x = rng.normal(10, 3, 4 * PER_DAY)
    x[-40] = 40
    windows = np.lib.stride_tricks.sliding_window_view(x, 4)
    theirs = LocalOutlierFactor(20, novelty=True).fit(windows[: 3 * PER_DAY - 3])
    factor = -theirs.score_samples(windows[3 * PER_DAY - 3 :])
    said = make().judge(grid(x), 3 * PER_DAY).score[0]
    np.testing.assert_allclose(said, np.clip((factor - 1) / 1.5, 0, HIGHEST), rtol=1e-6, atol=1e-9)
    assert said.max() > 1


@pytest.mark.parametrize(("change", "least"), [(2.0, 1.0), (0.4, 1.0), (0.0, 1.0)])
def test_an_onset_is_seen_in_its_first_bucket(change: float, least: float) -> None:
    block = daily()
    at = 4 * PER_DAY + 60
    quiet = make().judge(block, 4 * PER_DAY)
    assert (quiet.score < 1).all()
    planted = with_values(block, at, change * block.values[0, at])
    said = make().judge(planted, at)
    assert said.score[0, 0] >= least
    assert said.sign[0, 0] == (Sign.JUMP if change else Sign.ZERO)
    assert not said.low[0, 0] < planted.values[0, at] < said.high[0, 0]


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(DAYS * PER_DAY),
        np.full(DAYS * PER_DAY, 7.0),
        np.full(DAYS * PER_DAY, 0.21),
    ],
)
def test_ties_never_make_a_score_infinite(values: Floats) -> None:
    said = make().judge(grid(values), 2 * PER_DAY)
    assert (said.score == 0).all()
    for other in (1.0, 0.21001, 5000.0):
        moved = make().judge(with_values(grid(values), 4 * PER_DAY + 11, other), 4 * PER_DAY)
        assert np.isfinite(moved.score).all()
        assert (moved.score <= HIGHEST).all()
    assert moved.score[0, 11] == HIGHEST


@pytest.mark.parametrize("steps", [(0.0, 0.0, 1.0, 3.0), (0.0, 0.2), (500.0, 900.0, 450.0)])
def test_what_comes_every_day_at_its_time_is_usual_and_ties_stay_finite(steps: tuple[float, ...]) -> None:
    block = grid(np.tile(np.repeat(steps, PER_DAY // len(steps)), 23))
    said = make().judge(block, 22 * PER_DAY)
    assert (said.score == 0).all()
    planted = make().judge(with_values(block, 22 * PER_DAY + 70, 5000.0), 22 * PER_DAY)
    assert np.isfinite(planted.score).all()
    assert planted.score[0, 70] == HIGHEST


def test_one_more_where_there_are_few_is_no_event() -> None:
    rng = np.random.default_rng(5)
    x = rng.poisson(0.3, 20 * PER_DAY).astype(np.float64)
    said = make().judge(grid(x), 15 * PER_DAY)
    assert (said.score >= 1).mean() < 0.01
    busy = make().judge(with_values(grid(x), 19 * PER_DAY, 12.0), 19 * PER_DAY)
    assert busy.score[0, 0] > 1


def test_a_window_with_a_gap_is_not_judged() -> None:
    block = with_values(daily(), 4 * PER_DAY + 20, np.nan)
    said = make().judge(block, 4 * PER_DAY)
    assert np.flatnonzero(np.isnan(said.score[0])).tolist() == [20, 21, 22, 23]
    assert np.isnan(said.high[0, 20:24]).all()


def test_the_first_day_is_not_judged() -> None:
    said = make().judge(daily(3))
    assert np.isnan(said.score[0, : 2 * PER_DAY]).all()  # 93 windows are not a day of them
    assert np.isfinite(said.score[0, 2 * PER_DAY :]).all()


def test_the_band_agrees_with_the_score() -> None:
    block = daily(series=3, seed=9)
    rng = np.random.default_rng(2)
    values = block.values.copy()
    values[:, 4 * PER_DAY :: 7] *= rng.uniform(0.3, 2.5, values[:, 4 * PER_DAY :: 7].shape)
    block = replace(block, values=values)
    said = make().judge(block, 4 * PER_DAY)
    value, unusual = values[:, 4 * PER_DAY :], said.score >= 1
    assert unusual.sum() > 10
    outside = (value <= said.low) | (value >= said.high)
    assert outside[unusual].all()
    assert ((value >= said.low) & (value <= said.high))[~unusual].all()
    quiet = ~unusual & (said.low < said.expected) & (said.expected < said.high)
    assert quiet.mean() > 0.7
    # A value just within the band is usual and one well beyond it is not.
    row, column = 1, int(np.flatnonzero(quiet[1])[30])
    for factor, told in ((0.9, False), (1.3, True)):
        probe = values.copy()
        reach = said.high[row, column] - said.expected[row, column]
        probe[row, 4 * PER_DAY + column] = said.expected[row, column] + factor * reach
        again = make().judge(replace(block, values=probe), 4 * PER_DAY + column)
        assert bool(again.score[row, 0] >= 1) is told


def test_a_holiday_needs_more() -> None:
    at = 4 * PER_DAY + 60
    block = daily()
    block = with_values(block, at, 1.45 * block.values[0, at])
    usual = make().judge(block, at)
    wide = make().judge(replace(block, slack=np.full(block.buckets, 3.0)), at)
    assert wide.score[0, 0] == pytest.approx(usual.score[0, 0] / 3)
    assert wide.high[0, 0] > usual.high[0, 0]


def test_an_incident_known_as_such_does_not_make_the_next_one_usual() -> None:
    block = daily(6)
    values = block.values.copy()
    values[0, 4 * PER_DAY + 40 : 4 * PER_DAY + 90] *= 2.2
    values[0, 5 * PER_DAY + 40 : 5 * PER_DAY + 90] *= 2.2
    learn = block.learn.copy()
    learn[0, 4 * PER_DAY + 40 : 4 * PER_DAY + 90] = False
    within = slice(5 * PER_DAY + 44, 5 * PER_DAY + 86)
    taught = make().judge(replace(block, values=values)).score[0, within]
    spared = make().judge(replace(block, values=values, learn=learn)).score[0, within]
    assert np.median(spared) > np.median(taught)
    assert spared.max() > 1 > taught.max()


def test_a_level_declared_normal_is_learned_before_it_is_judged() -> None:
    block = daily(8)
    values = block.values.copy()
    values[0, 4 * PER_DAY + 40 :] *= 3
    accepted = block.accepted.copy()
    accepted[0, 4 * PER_DAY + 50] = True
    said = make().judge(replace(block, values=values, accepted=accepted))
    assert said.score[0, 4 * PER_DAY + 40] > 1
    assert np.isfinite(said.score[0, 4 * PER_DAY + 49])
    assert np.isnan(said.score[0, 4 * PER_DAY + 50 : 6 * PER_DAY]).all()
    assert (said.score[0, 6 * PER_DAY :] < 1).mean() > 0.95


def awkward() -> Block:
    """Four series with gaps, ties, incidents and a new normal."""
    block = daily(series=4, seed=7)
    values, learn, accepted = block.values.copy(), block.learn.copy(), block.accepted.copy()
    values[0, 300:310] = np.nan
    values[1] = np.round(values[1] / 200)
    values[2, 400:420] = 0
    values[3] = np.nan
    learn[2, 200:230] = False
    accepted[1, 100] = True
    return replace(block, values=values, learn=learn, accepted=accepted)


def test_what_is_followed_is_what_is_judged() -> None:
    block = awkward()
    whole = make().judge(block)
    for begin, widths in ((250, (1, 1, 37, 96, 1)), (383, (1, 1, 1)), (0, (200, 150)), (2, (1, 290))):
        follower, first = make().follow(block.columns(0, begin)), begin
        for width in widths:
            said = follower.next(block.columns(first, first + width))
            for name in FIELDS:
                np.testing.assert_array_equal(getattr(said, name), getattr(whole, name)[:, first : first + width])
            first += width


def test_the_future_does_not_matter_and_nor_does_what_is_older_than_its_memory() -> None:
    short = make()
    block = daily(24, seed=12)
    for column in (23 * PER_DAY, 23 * PER_DAY + 50, 24 * PER_DAY - 1):
        whole = short.judge(block.columns(0, column + 1), column)
        future = block.values.copy()
        future[:, column + 1 :] = 1
        late = short.judge(replace(block, values=future), column)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(late, name)[:, :1], getattr(whole, name))
        recent = block.columns(column - short.memory, column + 1)
        same(short.judge(recent, short.memory), whole)


def test_it_is_made_by_name() -> None:
    assert detector("lof").name == "lof"
    assert detector("lof", ["views", "ctr"]).memory == 22 * PER_DAY + 2
