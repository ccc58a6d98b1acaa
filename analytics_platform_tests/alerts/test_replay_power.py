"""Power: planted changes are of the size they claim, larger ones are seen more often, and words keep to the count."""

from collections.abc import Sequence

import numpy as np
import pytest

from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.replay import Replayed, replay
from analytics_platform.alerts.replay_power import (
    LASTS,
    SIZES,
    TIMES,
    Measured,
    Power,
    moments,
    plant,
    power,
    rows,
    unusual,
)
from analytics_platform.alerts.watch import Rule, Watch
from analytics_platform.detectors.base import Block, Detector
from analytics_platform_tests.alerts.yesterday import CTR, IOS, LIKES, VIEWS, Yesterday, at, days, with_ratio

KEYS, WATCH = (VIEWS, IOS, CTR), Watch(Rule(min_change=0.05))


def made(_name: str, _metrics: Sequence[str]) -> Detector:
    return Yesterday()


@pytest.fixture(scope="module")
def block() -> Block:
    return with_ratio(days(6, 800.0, 400.0), 0.3)


@pytest.fixture(scope="module")
def measured(block: Block) -> Measured:
    return power(block, KEYS, WATCH, at(2, 0), unusual=np.zeros(at(4, 0), bool), detectors=made)


def test_larger_changes_are_seen_more_often_and_later_never_less(measured: Measured) -> None:
    assert {one.series for one in measured.powers} == {VIEWS, CTR}, "slices are not planted into"
    assert len(measured.times) == TIMES
    for series in (VIEWS, CTR):
        found = {one.size: one for one in measured.powers if one.series == series}
        assert list(found) == list(SIZES)
        for sizes in ([-0.1, -0.2, -0.3, -0.5, -1.0], [0.3, 1.0]):
            for minutes in (15, 30, 60):
                shares = [found[size].share(minutes) for size in sizes]
                assert shares == sorted(shares)
        for one in found.values():
            assert list(one.seen) == sorted(one.seen)
            assert one.cases == TIMES
        assert found[-1.0].share(15) == 1
        assert found[-0.1].share(15) < 0.5 < found[-0.5].share(30)


def test_the_same_seed_plants_the_same(block: Block, measured: Measured) -> None:
    values = block.values.copy()
    again = power(block, KEYS, WATCH, at(2, 0), unusual=np.zeros(at(4, 0), bool), detectors=made)
    assert again == measured
    assert (block.values == values).all(), "history stays as it was"
    other = power(block, KEYS, WATCH, at(2, 0), unusual=np.zeros(at(4, 0), bool), seed=2, detectors=made)
    assert other.times != measured.times


def test_a_rule_that_looks_up_only_sees_no_drop(block: Block) -> None:
    watch = Watch(Rule(direction=Direction.UP))
    found = power(block.rows(np.array([0])), [VIEWS], watch, at(2, 0), unusual=np.zeros(at(4, 0), bool), detectors=made)
    assert [one.size for one in found.powers if any(one.seen)] == [0.3, 1.0]


def test_nothing_is_planted_near_what_was_unusual() -> None:
    bad = np.zeros(at(4, 0), bool)
    bad[at(1, 6) : at(1, 18)] = True
    for column in moments(bad, 100, seed=7):
        assert not bad[column - 100 : column - 100 + LASTS].any()
        assert not bad[max(column - 108, 0) : column - 100].any()
        assert column - 100 + LASTS <= len(bad)
    assert moments(np.ones(at(4, 0), bool), 100, seed=7) == []


def test_what_was_unusual_or_could_not_be_judged_is_left_alone(block: Block) -> None:
    found: Replayed = replay(block, KEYS, WATCH, 0, detectors=made)
    left = unusual(found)
    assert left[: at(1, 0)].all(), "there is no yesterday"
    assert left[at(1, 0) :].mean() < 0.2


@pytest.mark.parametrize("size", SIZES)
def test_a_planted_change_is_of_its_size(size: float) -> None:
    wide = with_ratio(days(40, 2000.0), 0.3)
    planted = plant(wide, size, [np.random.default_rng(k) for k in range(2)])
    assert planted.values[0].sum() / wide.values[0].sum() == pytest.approx(1 + size, abs=0.002)
    before, after = ((block.values[1] * block.base[1]).sum() for block in (wide, planted))
    assert after / before == pytest.approx(1 + size, abs=0.005)
    assert planted.values[1].max() <= 1
    assert (planted.values[0] == np.rint(planted.values[0])).all()
    assert (planted.base[1] == wide.base[1]).all()


def test_a_ratio_grows_no_further_than_it_can_and_gaps_stay_gaps() -> None:
    wide = with_ratio(days(1, 500.0), 0.8)
    wide.values[1, 5], wide.base[1, 6], wide.values[0, 7] = np.nan, 0, np.nan
    planted = plant(wide, 1.0, [np.random.default_rng(k) for k in range(2)])
    assert np.nanmax(planted.values[1]) <= 1
    assert np.isnan(planted.values[1, 5])
    assert np.isnan(planted.values[0, 7])
    assert planted.values[1, 6] == wide.values[1, 6]


def test_sentences_say_the_smallest_drop_that_is_surely_seen() -> None:
    def one(size: float, seen: int, cases: int = 30) -> Power:
        return Power(LIKES, size, cases, (0, seen, seen))

    seen = Measured((one(-0.1, 12), one(-0.2, 28), one(-0.3, 30), one(-1, 30), one(0.3, 30)), ())
    assert seen.sentences() == ("A 20 % drop of likes is seen within 30 min in 9 of 10 cases.",)
    assert Measured((one(-0.1, 30), one(-1, 30)), ()).sentences() == (
        "A 10 % drop of likes is seen within 30 min in all cases.",
    )
    assert Measured((one(-0.5, 26), one(-1, 26)), ()).sentences() == (
        "A fall to zero of likes is seen within 30 min in 8 of 10 cases.",
    )
    assert Measured((one(-0.5, 1), one(-1, 1)), ()).sentences() == (
        "A fall to zero of likes is seen within 30 min in fewer than 1 of 10 cases.",
    )
    assert Measured((one(-1, 0),), ()).sentences() == ("A fall to zero of likes is seen within 30 min in no case.",)
    assert Measured((one(-1, 0, cases=0),), ()).sentences() == (
        "Of likes nothing can be said: there was no time to plant a change at.",
    )
    assert list(rows(Measured((one(0.3, 3),), ()))) == [
        {"metric": "likes", "planted": "30 % rise", "15_min": "0 of 30", "30_min": "3 of 30", "60_min": "3 of 30"}
    ]
