"""From verdicts to findings: each word of a metric's rule, severity, and readings of what is waited for."""

from datetime import UTC, datetime

import numpy as np

from analytics_platform.alerts.findings import Direction, Severity, What
from analytics_platform.alerts.judging import alarms, judge
from analytics_platform.alerts.watch import Rule, Watch
from analytics_platform.detectors.base import STEP, Block, Sign, Verdicts
from analytics_platform.metrics.series import SeriesKey

LIKES, VIEWS, CTR = SeriesKey("feed", "likes"), SeriesKey("feed", "views"), SeriesKey("feed", "ctr")
IOS = SeriesKey("feed", "likes", "os", "iOS")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def block(values: list[list[float]], base: list[list[float]] | None = None) -> Block:
    grid = np.array(values)
    times = int(NOON.timestamp()) + STEP * np.arange(grid.shape[1])
    made = Block.plain(times, grid)
    if base is None:
        return made
    made.base[:] = base
    made.ratio[:] = True
    return made


def verdicts(score: list[list[float]], expected: float, width: float, sign: Sign = Sign.JUMP) -> Verdicts:
    scores = np.array(score)
    middle = np.full(scores.shape, expected)
    return Verdicts(scores, middle, middle - width, middle + width, np.full(scores.shape, sign, np.int8))


def test_a_score_of_one_alerts_and_sensitivity_moves_that() -> None:
    seen, said = block([[50.0, 50.0, 50.0]]), verdicts([[0.9, 1.0, np.nan]], 100, 40)
    assert alarms(said, seen, [LIKES], Watch()).tolist() == [[False, True, False]]
    assert alarms(said, seen, [LIKES], Watch(Rule(sensitivity=2))).tolist() == [[True, True, False]]
    assert alarms(said, seen, [LIKES], Watch(Rule(sensitivity=0.5))).tolist() == [[False, False, False]]


def test_only_the_direction_asked_for_alerts() -> None:
    seen, said = block([[50.0, 150.0]]), verdicts([[2.0, 2.0]], 100, 25)
    assert alarms(said, seen, [LIKES], Watch(Rule(direction=Direction.DOWN))).tolist() == [[True, False]]
    assert alarms(said, seen, [LIKES], Watch(Rule(direction=Direction.UP))).tolist() == [[False, True]]


def test_small_changes_and_small_numbers_are_ignored() -> None:
    said = verdicts([[3.0]], 100, 2)
    assert not alarms(said, block([[95.0]]), [LIKES], Watch(Rule(min_change=0.1))).any()
    assert alarms(said, block([[95.0]]), [LIKES], Watch(Rule(min_change=0.05))).all()
    assert not alarms(said, block([[20.0]]), [LIKES], Watch(Rule(min_base=101))).any()
    # A count that rises from nearly nothing is judged by what it has become.
    assert alarms(verdicts([[3.0]], 2, 2), block([[300.0]]), [LIKES], Watch(Rule(min_base=101))).all()


def test_a_ratio_is_judged_by_its_denominator() -> None:
    said = verdicts([[3.0, 3.0]], 0.2, 0.01)
    seen = block([[0.1, 0.1]], base=[[190.0, 500.0]])
    assert alarms(said, seen, [CTR], Watch()).tolist() == [[False, True]]
    [first, second] = judge(said, seen, [CTR], Watch())
    assert not first.findings
    assert second.findings[0].base == 500.0


def test_a_freeze_alerts_though_nothing_moved() -> None:
    said = verdicts([[2.0]], 100, 25, Sign.FREEZE)
    assert alarms(said, block([[100.0]]), [LIKES], Watch(Rule(min_change=0))).all()


def test_a_finding_says_what_which_way_and_how_bad() -> None:
    [one] = judge(verdicts([[3.5]], 100, 25), block([[20.0]]), [LIKES], Watch(Rule(sensitivity=2)))
    [finding] = one.findings
    assert one.bucket == NOON
    assert (finding.series, finding.what, finding.direction) == (LIKES, What.JUMP, Direction.DOWN)
    assert (finding.score, finding.value, finding.expected) == (7.0, 20.0, 100.0)
    assert (finding.low, finding.high) == (87.5, 112.5)  # at twice the sensitivity the band is half as wide
    assert finding.severity is Severity.CRITICAL
    assert finding.base is None


def test_a_slice_or_a_moderate_change_is_no_emergency_and_a_total_at_zero_is() -> None:
    said = verdicts([[3.5]], 100, 25)
    assert judge(said, block([[20.0]]), [IOS], Watch())[0].findings[0].severity is Severity.WARNING
    assert judge(said, block([[70.0]]), [LIKES], Watch())[0].findings[0].severity is Severity.WARNING
    gone = verdicts([[1.1]], 100, 25, Sign.ZERO)
    assert judge(gone, block([[0.0]]), [LIKES], Watch())[0].findings[0].severity is Severity.CRITICAL


def test_what_is_waited_for_is_read_in_every_bucket() -> None:
    seen = block([[100.0, 20.0, 60.0, 90.0], [100.0, 100.0, 100.0, np.nan]])
    said = verdicts([[0, 3, 0.5, 0], [0, 0, 0, 0]], 100, 25)
    buckets = judge(said, seen, [LIKES, VIEWS], Watch(), of_interest={VIEWS})
    assert [[r.series for r in b.readings] for b in buckets] == [[VIEWS], [VIEWS], [LIKES, VIEWS], [LIKES, VIEWS]]
    likes = [r.usual for b in buckets for r in b.readings if r.series == LIKES]
    assert likes == [False, True]  # 60 is outside of 75..125, 90 within
    last = buckets[-1].readings[-1]
    assert (last.value, last.usual) == (None, False)


def test_slices_that_are_not_watched_are_not_judged() -> None:
    said = verdicts([[3.0], [3.0]], 100, 25)
    found = alarms(said, block([[20.0], [20.0]]), [LIKES, IOS], Watch(Rule(slices=False)))
    assert found.tolist() == [[True], [False]]


def test_the_way_back_of_what_is_waited_for_is_no_finding() -> None:
    seen, said = block([[40.0, 88.0, 30.0]]), verdicts([[3.0, 2.0, 3.0]], 100, 25)
    fell, back, again = judge(said, seen, [LIKES], Watch())
    assert [len(one.findings) for one in (fell, back, again)] == [1, 0, 1]
    assert [r.usual for r in back.readings] == [True]
    # Of a series that nobody waits for, such a jump is one.
    assert judge(verdicts([[2.0]], 100, 25), seen.columns(1, 2), [LIKES], Watch())[0].findings
