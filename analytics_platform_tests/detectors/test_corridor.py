"""The user's corridor: its thresholds by hand, its rules once more as the document words them, and what was mended."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import LocalOutlierFactor

from analytics_platform.detectors import detector
from analytics_platform.detectors.base import PER_DAY, STEP, Block, Floats, Sign, Verdicts
from analytics_platform.detectors.corridor import HIGHEST, Corridor, Parameters, make, make_for, parameters_of
from analytics_platform.detectors.line_lof import newest_factor

MONDAY = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
FIELDS = ("score", "expected", "low", "high", "sign")


def grid(values: Floats, start: int = MONDAY) -> Block:
    """Counts in UTC from midnight on."""
    return Block.plain(start + STEP * np.arange(np.shape(values)[-1]), values)


def steady(newest: float, level: float = 100.0, buckets: int = 2 * PER_DAY) -> Block:
    """Two days of the very same value, and then another one."""
    return grid(np.append(np.full(buckets - 1, level), newest))


def daily(days: int, seed: int, series: int = 1, level: float = 500.0) -> Floats:
    """A day's curve with noise, no value twice."""
    rng = np.random.default_rng(seed)
    curve = 1.3 - np.cos(2 * np.pi * (np.arange(days * PER_DAY) - 16) / PER_DAY)
    return level * curve * np.exp(rng.normal(0, 0.06, (series, days * PER_DAY)))


def newest_score(metric: str | Parameters, block: Block) -> float:
    """The score of the last bucket of the only series."""
    corridor = Corridor(parameters_of(metric) if isinstance(metric, str) else metric)
    return float(corridor.judge(block, block.buckets - 1).score[0, 0])


def same(left: Verdicts, right: Verdicts) -> None:
    """Bit for bit."""
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@pytest.mark.parametrize(
    ("percent", "mirrored"), [(7, -6.54), (10, -9.09), (25, -20.00), (30, -23.08), (35, -25.93), (50, -33.33)]
)
def test_a_fall_counts_as_far_as_the_rise_that_undoes_it(percent: float, mirrored: float) -> None:
    change_only = Parameters(lof=1e9, change=percent, bound=1)
    bound_only = Parameters(lof=1e-9, change=1, bound=percent)
    for parameters in (change_only, bound_only):
        assert newest_score(parameters, steady(100 + percent)) == 1
        assert newest_score(parameters, steady(100 + percent - 0.01)) < 1
        assert newest_score(parameters, steady(100 + mirrored - 0.01)) > 1
        assert newest_score(parameters, steady(100 + mirrored + 0.01)) < 1
        assert newest_score(parameters, steady(100 / (1 + percent / 100))) == 1


@pytest.mark.parametrize(
    ("metric", "row"),
    [
        ("feed_users", (5, 3, 10, 2.5, 30, 25)),
        ("views", (5, 3, 10, 2.5, 30, 25)),
        ("likes", (5, 3, 10, 2, 30, 25)),
        ("ctr", (3, 2, 10, 2, 10, 7)),
        ("messages_sent", (5, 3, 10, 2, 30, 25)),
        ("senders", (5, 3, 10, 2, 30, 25)),
        ("users_sent", (5, 3, 10, 2, 50, 35)),
    ],
)
def test_every_metric_has_the_row_of_the_document(metric: str, row: tuple[float, ...]) -> None:
    p = parameters_of(metric)
    assert (p.window, p.width, p.neighbours, p.lof, p.change, p.bound) == row


def test_the_samples_of_the_document_are_found() -> None:
    users = daily(2, seed=1)[0] / 900 * 590
    likes, views = users * 3.8, users * 17.7
    at = PER_DAY + 13 * 4 + 1  # 13:15 of the second day
    for series, before, now, then, day in (
        (users, 589, 1303, 1241, (588, 568)),
        (likes, 2212, 2248, 2987, (1700, 1701)),
        (views, 10_390, 10_448, 13_828, (7_960, 7_966)),
    ):
        series[at - PER_DAY : at - PER_DAY + 2] = day
        series[at - 6 : at] = np.array([0.985, 1.01, 0.99, 1.005, 0.995, 1]) * before
        series[at : at + 2] = now, then
    block = grid(np.stack([users, likes, views])[:, : at + 2])
    score = make_for(["feed_users", "likes", "views"]).judge(block, at).score
    assert (score >= 1).tolist() == [[True, True], [False, True], [False, True]]


def as_documented(x: Floats, p: Parameters) -> tuple[bool, float, float]:
    """The rules as the document words them, of the last point of `x`: yesterday 00:00 until now."""
    values = pd.Series(x)
    past = values.shift(1).rolling(p.window)
    q1, q3 = past.quantile(0.25), past.quantile(0.75)
    low = (q1 - p.width * (q3 - q1)).ewm(span=p.window, adjust=False).mean().iloc[-1]
    high = (q3 + p.width * (q3 - q1)).ewm(span=p.window, adjust=False).mean().iloc[-1]
    nof = abs(LocalOutlierFactor(p.neighbours).fit(x[:, None]).negative_outlier_factor_[-1])
    now = x[-1]
    dev_bound = (now / high - 1) * 100 if now > high else (now / low - 1) * 100 if now < low else np.nan
    dev_prev, dev_day = (now / x[-2] - 1) * 100, (now / x[-1 - PER_DAY] - 1) * 100

    def beyond(dev: float, t: float) -> bool:
        return bool(dev >= t or dev <= (1 / (1 + t / 100) - 1) * 100)

    out = beyond(dev_bound, p.bound)
    return out and (nof >= p.lof or beyond(dev_prev, p.change) or beyond(dev_day, p.change)), float(low), float(high)


@pytest.mark.parametrize("metric", ["views", "likes", "ctr"])
def test_it_says_what_the_rules_of_the_document_say(metric: str) -> None:
    p = replace(parameters_of(metric), width=0.4)  # narrow, so that there is something to say
    x = daily(4, seed=5)[0]
    x[3 * PER_DAY + 30 : 3 * PER_DAY + 40 : 3] *= 1.4
    x[3 * PER_DAY + 60 : 3 * PER_DAY + 64] *= 0.7
    said = Corridor(p).judge(grid(x), 3 * PER_DAY)
    alerts = 0
    for column in range(PER_DAY):
        anomaly, low, high = as_documented(x[2 * PER_DAY : 3 * PER_DAY + column + 1], p)
        assert (said.score[0, column] >= 1) == anomaly
        assert said.low[0, column] == pytest.approx(max(low, 0) / (1 + p.bound / 100))
        assert said.high[0, column] == pytest.approx(high * (1 + p.bound / 100))
        alerts += anomaly
    assert 4 <= alerts <= 60


def test_the_factor_is_that_of_scikit_learn_where_nothing_is_tied() -> None:
    rng = np.random.default_rng(3)
    lines = rng.normal(size=(60, 150)) * np.exp(rng.normal(size=(60, 1)))
    lines[:20, -1] *= 3
    theirs = [-LocalOutlierFactor(10).fit(line[:, None]).negative_outlier_factor_[-1] for line in lines]
    np.testing.assert_allclose(newest_factor(lines, 10), theirs, rtol=1e-6)


def test_many_equal_values_do_not_make_the_factor_explode() -> None:
    tied = np.append(np.repeat([3.0, 4.0, 7.0], 40), 5.0)
    assert newest_factor(tied[None], 10)[0] == pytest.approx(1.0)
    night = np.append(np.zeros(120), 2.0)
    assert newest_factor(night[None], 10)[0] == pytest.approx(2.0)
    shares = np.append(np.repeat([0.0, 0.5], 60), 0.6)
    assert 1 < newest_factor(shares[None], 10)[0] < 1000
    assert np.isnan(newest_factor(np.ones((1, 10)), 10)[0])  # nine others are not ten
    assert len(newest_factor(np.empty((0, 20)), 10)) == 0


def test_a_series_that_never_changes_is_usual() -> None:
    for level in (1.0, 100.0, 0.21):
        said = make().judge(grid(np.full(4 * PER_DAY, level)), PER_DAY)
        assert (said.score == 0).all()
        assert (said.sign == Sign.NONE).all()


def test_zero_is_told_at_once_also_after_a_gap() -> None:
    x = daily(3, seed=2)[0]
    x[2 * PER_DAY + 10 : 2 * PER_DAY + 20] = np.nan  # held back
    x[2 * PER_DAY + 20] = 0
    said = make().judge(grid(x), 2 * PER_DAY)
    assert np.isnan(said.score[0, 10:20]).all()
    assert said.score[0, 20] == HIGHEST
    assert said.sign[0, 20] == Sign.ZERO
    assert (said.sign[0, :20] != Sign.ZERO).all()


def test_nothing_is_said_of_the_first_day_and_of_absent_values() -> None:
    x = daily(3, seed=3)[0]
    x[2 * PER_DAY + 5] = np.nan
    said = make().judge(grid(x))
    assert np.isnan(said.score[0, :PER_DAY]).all()
    assert np.isnan(said.score[0, 2 * PER_DAY + 5])
    assert np.isfinite(np.delete(said.score[0, PER_DAY:], PER_DAY + 5)).all()


def test_a_percentage_of_nothing_silences_its_rule() -> None:
    x = np.full(2 * PER_DAY, 100.0)
    x[-2] = 0  # the bucket before
    x[-1 - PER_DAY] = 0  # yesterday
    x[-1] = 130
    no_factor = Parameters(lof=1e9, change=30, bound=25)
    assert newest_score(no_factor, grid(x)) < 1
    x[-2] = 100
    assert newest_score(no_factor, grid(x)) == 1
    assert np.isnan(newest_score(no_factor, grid(np.append(np.zeros(2 * PER_DAY - 1), 7.0))))


def test_a_lower_bound_below_zero_is_none() -> None:
    x = np.tile([1.0, 400.0, 30.0, 900.0], PER_DAY)[: 2 * PER_DAY]
    said = make().judge(grid(x), PER_DAY)
    assert (said.low >= 0).all()
    assert (said.low == 0).any()
    assert (said.score[0] < 1).all()


def test_the_band_is_where_out_begins() -> None:
    x = daily(8, seed=8, series=6)
    x[:, 5 * PER_DAY :: 37] *= 2
    x[:, 5 * PER_DAY + 3 :: 41] *= 0.4
    block = grid(x)
    said = make_for(["views", "likes", "ctr"] * 2).judge(block, PER_DAY)
    value = block.values[:, PER_DAY:]
    tell = said.score >= 1
    assert tell.sum() > 50
    assert ((value >= said.high) | (value <= said.low))[tell].all()
    assert (said.low <= said.expected).all()
    assert (said.expected <= said.high).all()


def test_a_holiday_needs_more() -> None:
    block = steady(140)
    assert newest_score("views", block) > 1
    assert newest_score("views", replace(block, slack=np.full(block.buckets, 2.0))) < 1


def test_an_incident_known_as_such_makes_no_baseline() -> None:
    x = np.full(2 * PER_DAY, 100.0)
    x[-20:-1] = 300  # it lasted until the bucket before
    x[-1 - PER_DAY] = 300  # and there was one yesterday
    block = grid(x)
    learn = np.ones_like(block.learn)
    learn[0, -20:-1] = learn[0, -1 - PER_DAY] = False
    assert newest_score("views", block) > 1
    assert newest_score("views", replace(block, learn=learn)) == 0


def test_a_level_declared_normal_begins_anew() -> None:
    x = np.full(2 * PER_DAY, 100.0)
    x[-20:] = 300
    block = grid(x)
    said = make_for(["views"]).judge(block, 2 * PER_DAY - 20).score[0]
    assert said[0] > 1
    accepted = np.zeros_like(block.accepted)
    accepted[0, -20] = True
    said = make_for(["views"]).judge(replace(block, accepted=accepted), 2 * PER_DAY - 20).score[0]
    assert np.isnan(said[:3]).all()
    assert (said[3:] == 0).all()


def test_what_was_before_a_level_declared_normal_is_no_yesterday_and_no_neighbour() -> None:
    x = np.full(2 * PER_DAY, 320.0)
    x[-40:-1] = 300  # accepted; the value before that is no yesterday of the newest one
    block = grid(x)
    accepted = np.zeros_like(block.accepted)
    accepted[0, -40] = True
    x[-1 - PER_DAY] = 100
    block = replace(block, values=x[None])
    change_only, factor_only = Parameters(lof=1e9, change=30, bound=5), Parameters(lof=2.5, change=1e9, bound=5)
    assert newest_score(change_only, block) > 1
    assert newest_score(change_only, replace(block, accepted=accepted)) < 1
    # 320 was there for a day and a half, but that was another level.
    assert newest_score(factor_only, block) < 1
    assert newest_score(factor_only, replace(block, accepted=accepted)) > 1


def test_values_of_an_incident_are_no_neighbours() -> None:
    x = np.full(2 * PER_DAY, 100.0)
    x[60:90] = x[-1] = 150
    block = grid(x)
    learn = np.ones_like(block.learn)
    learn[0, 60:90] = False
    factor_only = Parameters(lof=2.5, change=1e9, bound=25)
    assert newest_score(factor_only, block) < 1
    assert newest_score(factor_only, replace(block, learn=learn)) > 1


def test_its_memory_holds_two_days_of_which_one_is_an_hour_longer() -> None:
    zone = ZoneInfo("Europe/Berlin")
    block = grid(daily(6, seed=4), int(datetime(2026, 10, 23, tzinfo=zone).timestamp()))
    block = replace(block, offset=np.where(block.times < datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp(), 7200, 3600))
    midnights = np.flatnonzero((block.times + block.offset) % 86400 == 0)
    assert np.diff(midnights).tolist() == [96, 96, 100, 96, 96]
    corridor = make_for(["views"])
    for column in (*(midnights[3:] - 1), *midnights[3:]):
        recent = block.columns(int(column) - corridor.memory, int(column) + 1)
        same(corridor.judge(recent, corridor.memory), corridor.judge(block.columns(0, int(column) + 1), int(column)))


def test_yesterday_is_the_same_local_time_where_the_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = int(datetime(2026, 3, 27, tzinfo=zone).timestamp())
    times = start + STEP * np.arange(4 * PER_DAY)
    local = [datetime.fromtimestamp(int(t), zone) for t in times]
    offset = np.array([int((t.utcoffset() or UTC.utcoffset(None)).total_seconds()) for t in local])
    hour = np.array([t.hour for t in local])
    x = np.where(hour >= 12, 500.0, 100.0)  # a step at noon, by the clock on the wall
    block = replace(grid(x), times=times, offset=offset)
    noon = [column for column, t in enumerate(local) if (t.day, t.hour, t.minute) == (29, 12, 0)]
    changes = Parameters(lof=1e9, change=30, bound=25)
    score = Corridor(changes).judge(block, noon[0]).score[0]
    assert score[0] > 1  # from the bucket before
    assert score[1] < 1  # as yesterday, by the wall; 96 buckets before it was still morning
    assert np.isnan(Corridor(changes).judge(block).score[0, :PER_DAY]).all()


def awkward() -> Block:
    """Three series over five days with gaps, zeros, ties, incidents and a new normal."""
    x = daily(5, seed=11, series=3)
    x[1] = np.round(x[1] / 300)
    x[2] /= 1e4
    x[2, 200:215] = np.nan
    x[0, 300:304] = 0
    block = grid(x)
    learn, accepted = block.learn.copy(), block.accepted.copy()
    learn[0, 300:304] = False
    accepted[1, 390] = True
    return replace(block, learn=learn, accepted=accepted, ratio=np.array([False, False, True]))


def test_what_is_followed_is_what_is_judged() -> None:
    block, corridor = awkward(), make_for(["views", "users_sent", "ctr"])
    for begin, widths in ((150, (1, 1, 2, 40, 96, 1)), (0, (100, 200)), (310, (1,) * 60)):
        follower, first = corridor.follow(block.columns(0, begin)), begin
        for width in widths:
            said = follower.next(block.columns(first, first + width))
            same(said, corridor.judge(block.columns(0, first + width), first))
            first += width


def test_buckets_are_followed_in_order_none_twice() -> None:
    block = awkward()
    follower = make().follow(block.columns(0, 300))
    with pytest.raises(ValueError, match="in order, none twice and none left out"):
        follower.next(block.columns(301, 302))
    with pytest.raises(ValueError, match="3 series were followed and 2 came"):
        follower.next(block.columns(300, 301).rows(np.array([0, 1])))


def test_the_future_does_not_matter_and_nor_does_what_is_older_than_its_memory() -> None:
    block, corridor = awkward(), make_for(["views", "users_sent", "ctr"])
    whole = corridor.judge(block)
    for column in (250, 303, 400):
        future = block.values.copy()
        future[:, column + 1 :] = 77
        late = corridor.judge(replace(block, values=future))
        recent = corridor.judge(block.columns(column - corridor.memory, column + 1), corridor.memory)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(late, name)[:, column], getattr(whole, name)[:, column])
            np.testing.assert_array_equal(getattr(recent, name)[:, 0], getattr(whole, name)[:, column])


def test_it_is_made_by_name_for_the_metrics_of_its_series() -> None:
    block = grid(np.stack([steady(120).values[0]] * 2))
    by_metric = detector("corridor", ["views", "ctr"]).judge(block, 2 * PER_DAY - 1).score[:, 0]
    assert by_metric[0] < 1 < by_metric[1]
    plain = detector("corridor").judge(block, 2 * PER_DAY - 1).score[:, 0]
    assert plain[0] == plain[1] < by_metric[0]
    with pytest.raises(ValueError, match="parameters for 1 series and was given 2"):
        detector("corridor", ["views"]).judge(block)
    with pytest.raises(ValueError, match="no detector is called 'none'"):
        detector("none")
