"""The replay: what live ticks would have made of history, in one go."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analytics_platform.alerts.findings import Direction, Severity, What
from analytics_platform.alerts.incident import Event, Incident, Policy, Reason, Status
from analytics_platform.alerts.incidents import advance, of_interest
from analytics_platform.alerts.judging import alarms, judge
from analytics_platform.alerts.occasions import Occasion, OccasionKind
from analytics_platform.alerts.replay import judge_all, replay, run, steps
from analytics_platform.alerts.watch import Rule, Watch
from analytics_platform.detectors.base import Block, Detector
from analytics_platform.detectors.fitted import FEATURES, FittedModel, MetricTest, Quality
from analytics_platform.metrics.series import SeriesKey
from analytics_platform_tests.alerts.yesterday import IOS, LIKES, SENT, START, VIEWS, Yesterday, at, days

WATCH, KEYS = Watch(), (VIEWS, LIKES, SENT)


def made(_name: str, _metrics: Sequence[str]) -> Detector:
    return Yesterday()


def moment(column: int) -> datetime:
    return datetime.fromtimestamp(START + 900 * column, UTC)


@pytest.fixture
def block() -> Block:
    """Five days; on the fourth the feed is gone from noon to one, on the fifth messages double in the evening."""
    block = days(5, 800.0, 200.0, 150.0)
    block.values[:2, at(3, 12) : at(3, 13)] = 0
    block.values[2, at(4, 20) : at(4, 21)] *= 2.5
    return block


def test_planted_incidents_are_told_and_closed(block: Block) -> None:
    replayed = replay(block, KEYS, WATCH, at(2, 0), detectors=made)
    assert replayed.weeks == pytest.approx(3 / 7)
    outage, doubled = replayed.told
    assert outage.incident.started == moment(at(3, 12))
    assert outage.opened == moment(at(3, 12)) + timedelta(minutes=15)
    assert outage.ended == moment(at(3, 13))
    assert {m.series for m in outage.incident.members} == {VIEWS, LIKES}
    assert (outage.incident.severity, outage.incident.members[0].what) == (Severity.CRITICAL, What.ZERO)
    assert outage.loud[0] == outage.opened
    assert [len(outage.findings), len(doubled.findings)] == [8, 4]
    assert doubled.incident.direction is Direction.UP
    assert doubled.incident.services == ("messenger",)
    assert replayed.by_metric() == {"views": 1, "likes": 0, "messages_sent": 1}
    assert replayed.loud == len(outage.loud) + len(doubled.loud)
    assert outage.overlaps(moment(at(3, 12.5)), moment(at(3, 12.75)))
    assert not outage.overlaps(moment(at(3, 13)), moment(at(3, 14)))


def test_an_outage_is_not_learned_from_so_the_day_after_is_no_incident(block: Block) -> None:
    columns = block.columns(at(2, 0), block.buckets)
    once = run(judge_all(block, KEYS, WATCH, at(2, 0), made), columns, KEYS, WATCH, Policy())
    again = replay(block, KEYS, WATCH, at(2, 0), detectors=made)
    echo = moment(at(4, 12))
    assert echo in [told.incident.started for told in once.told]
    assert echo not in [told.incident.started for told in again.told]
    assert block.learn.all(), "the caller's history stays as it was"


def test_bucket_by_bucket_a_live_tick_comes_to_the_same(block: Block) -> None:
    first = at(2, 0)
    columns = block.columns(first, block.buckets)
    replayed = run(judge_all(block, KEYS, WATCH, first, made), columns, KEYS, WATCH, Policy())

    follower = Yesterday().follow(block.columns(0, first))
    living: tuple[Incident, ...] = ()
    events: list[Event] = []
    ended: dict[str, Incident] = {}
    for column in range(first, block.buckets):
        cells = block.columns(column, column + 1)
        [one] = judge(follower.next(cells), cells, KEYS, WATCH, of_interest(living))
        step = advance(living, one.bucket, one.findings, one.readings, Policy())
        events += step.events
        ended |= {incident.key: incident for incident in step.incidents if incident.status is not Status.PENDING}
        living = step.living
    assert {told.incident.key: told.incident for told in replayed.told} == ended
    assert sorted((e for told in replayed.told for e in told.events), key=_order) == sorted(events, key=_order)


def _order(event: Event) -> tuple[datetime, str, int]:
    return event.moment, event.key, event.revision


def test_buckets_in_which_nothing_is_the_matter_are_passed_over(block: Block) -> None:
    verdicts = judge_all(block, KEYS, WATCH, at(2, 0), made)
    columns = block.columns(at(2, 0), block.buckets)
    found = alarms(verdicts, columns, KEYS, WATCH)
    taken = list(steps(verdicts, columns, KEYS, WATCH, policy=Policy(), found=found))
    assert len(taken) < 50 < columns.buckets


def test_each_metric_is_judged_by_its_own_rule_s_detector() -> None:
    block = days(3, 800.0, 200.0, 400.0)
    asked: list[tuple[str, list[str]]] = []

    def noted(name: str, metrics: Sequence[str]) -> Detector:
        asked.append((name, list(metrics)))
        return Yesterday()

    watch = Watch(Rule(detector="corridor"), {"likes": Rule(detector="lof"), "views": Rule("corridor", slices=False)})
    replayed = replay(block, (VIEWS, LIKES, IOS), watch, at(1, 0), detectors=noted)
    assert asked == [("corridor", ["views"]), ("lof", ["likes"])]
    assert np.isnan(replayed.verdicts.score[2]).all(), "slices that are not watched are not judged"


def test_a_fitted_model_has_the_last_word_on_its_metric(block: Block) -> None:
    width, none = len(FEATURES), Quality(None, None, None)
    doubtful = FittedModel(
        version="1",
        trained_at=moment(0),
        features=FEATURES,
        weights=(0.0,) * width,
        bias=-5.0,
        means=(0.0,) * width,
        scales=(1.0,) * width,
        threshold=0.5,
        labels_used=99,
        back_test=(MetricTest("messages_sent", 99, none, none, 9, 0, True),),
    )
    told = replay(block, KEYS, WATCH, at(2, 0), fitted={"messages_sent": doubtful}, detectors=made).told
    assert [one.incident.services for one in told] == [("feed",)]


def test_an_expected_event_of_a_service_gives_it_more_room(block: Block) -> None:
    party = Occasion("party", OccasionKind.EXPECTED, moment(at(4, 20)), moment(at(4, 21)), ("messenger",), slack=9)
    told = replay(block, KEYS, WATCH, at(2, 0), occasions=[party], detectors=made).told
    assert [one.incident.services for one in told] == [("feed",)]


def test_an_incident_that_lasts_is_told_without_an_end() -> None:
    block = days(3, 800.0)
    block.values[0, at(2, 23) :] = 0
    [told] = replay(block, (VIEWS,), WATCH, at(1, 0), detectors=made).told
    assert told.ended is None
    assert told.events[0].reason is Reason.OPENED
    assert told.overlaps(moment(at(2, 23)), moment(at(2, 23.25)))


def test_without_enough_history_nothing_is_known() -> None:
    replayed = replay(days(3, 800.0), (VIEWS,), WATCH, 0, detectors=made)
    assert replayed.since == moment(at(1, 0))
    assert (replayed.first, replayed.last) == (moment(0), moment(at(3, 0)))
    assert replay(days(1, 800.0), (VIEWS,), WATCH, 0, detectors=made).since is None


def test_a_replay_of_no_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 96 buckets of history, so none after 96 to be judged"):
        replay(days(1, 800.0), (VIEWS,), WATCH, 96, detectors=made)


def test_real_detectors_find_what_is_planted_into_a_month() -> None:
    block = days(20, 900.0, 300.0)
    block.values[:, at(18, 14) : at(18, 15)] = 0
    for name in ("corridor", "seasonal"):
        told = replay(block, (VIEWS, SeriesKey("feed", "likes")), Watch(Rule(name)), at(17, 0)).told
        assert moment(at(18, 14)) in [one.incident.started for one in told], name
