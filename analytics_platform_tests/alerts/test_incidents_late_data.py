"""Late data: an incident of its source, which says nothing of metrics, and keeps theirs from being lost."""

from datetime import datetime, timedelta

import pytest

from analytics_platform.alerts import by_hand
from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.incident import HOUR, Incident, Kind, Mute, Policy, Reason, Status
from analytics_platform.alerts.incidents import advance, late
from analytics_platform.metrics.series import BUCKET, SeriesKey
from analytics_platform_tests.alerts.scenes import LIKES, at, finding, play

FEED = "feed_actions"


def gap(opened: int = 0, policy: Policy | None = None) -> Incident:
    """Late data of the feed, with a gap from that bucket on."""
    [one] = late([], FEED, at(opened), at(opened + 3), services=("feed",), policy=policy or Policy()).incidents
    return one


def test_late_data_is_an_incident_of_its_source() -> None:
    told = at(0) + timedelta(minutes=40)
    first = late([], "feed_actions", at(0), told, services=("feed",))
    [one] = first.incidents
    assert (one.kind, one.status, one.started, one.opened_at) == (Kind.LATE_DATA, Status.OPEN, at(0), told)
    assert (one.services, one.source, one.members) == (("feed",), "feed_actions", ())
    assert [(e.reason, e.loud) for e in first.events] == [(Reason.OPENED, True)]

    again = late(first.living, "feed_actions", at(0), told + BUCKET)
    assert again.events == ()
    reminded = late(again.living, "feed_actions", at(0), told + 6 * HOUR)
    assert [(e.reason, e.loud) for e in reminded.events] == [(Reason.REMINDER, True)]
    there = late(reminded.living, "feed_actions", None, told + 7 * HOUR, resumed=at(25))
    [one] = there.incidents
    assert (one.status, one.recovered_at, one.duration) == (Status.RECOVERED, at(25), 25 * BUCKET)
    relapsed = late(there.living, "feed_actions", at(27), told + 8 * HOUR)
    assert [(e.reason, e.loud) for e in relapsed.events] == [(Reason.REOPENED, False)]
    assert relapsed.incidents[0].started == at(0)


def test_late_data_is_closed_by_time_alone_and_says_nothing_of_metrics() -> None:
    open_late = late([], "feed_actions", at(0), at(3)).living
    there = late(open_late, "feed_actions", None, at(5), resumed=at(1))
    step = advance([*there.living], at(6), [finding(LIKES, 6)], [])
    assert len(step.incidents) == 2
    assert step.belongs[LIKES] != there.incidents[0].key
    done = advance(step.living, at(9), [finding(LIKES, 9)], [])
    assert {(one.kind, one.status) for one in done.incidents} == {
        (Kind.LATE_DATA, Status.CLOSED),
        (Kind.ANOMALY, Status.OPEN),
    }
    assert late([], "feed_actions", None, at(0)).incidents == ()


def test_one_source_that_is_late_says_nothing_of_another() -> None:
    feed = late([], "feed_actions", at(0), at(3))
    both = late(feed.living, "message_actions", at(1), at(3))
    assert [one.source for one in both.incidents] == ["message_actions"]
    with pytest.raises(ValueError, match="lateness of feed_actions has no time zone"):
        late([], "feed_actions", at(0).replace(tzinfo=None), at(1))


@pytest.mark.parametrize("how", ["closed", "judged"])
def test_late_data_that_a_person_closed_is_no_news_while_it_is_the_same_gap_and_the_next_gap_is(how: str) -> None:
    if how == "closed":
        one, _ = by_hand.closed(gap(), "Ann", at(4))
    else:
        one, _ = by_hand.judged(gap(), Verdict.FALSE_ALARM, "Ann", at(4))
    for k in range(5, 60):
        step = late([one], FEED, at(0), at(k))
        assert step.events == ()
        [one] = step.living
        [one] = advance([one], at(k), [], []).living
    there = late([one], FEED, None, at(60), resumed=None)
    [over] = there.incidents
    assert (over.over, over.revision, there.events) == (True, one.revision, ())
    again = late(there.living, FEED, at(61), at(64), services=("feed",))
    assert [(event.reason, event.loud) for event in again.events] == [(Reason.OPENED, True)]
    assert again.incidents[0].key != one.key


def test_the_next_gap_is_an_incident_of_its_own_even_if_nobody_looked_between() -> None:
    one, _ = by_hand.closed(gap(), "Ann", at(4))
    step = late([one], FEED, at(6), at(9), services=("feed",))
    assert [event.reason for event in step.events] == [Reason.OPENED]
    assert [(i.key == one.key, i.over) for i in step.incidents] == [(True, True), (False, False)]
    assert [event.reason for event in late(step.living, FEED, None, at(12), resumed=at(10)).events] == [
        Reason.RECOVERED
    ]


def test_late_data_that_is_closed_after_it_has_come_is_over() -> None:
    [there] = late([gap()], FEED, None, at(6), resumed=at(1)).incidents
    after, _ = by_hand.closed(there, "Ann", at(7))
    assert (after.status, after.over) == (Status.CLOSED, True)
    recovered = play({LIKES: "D..."}).one
    assert not by_hand.closed(recovered, "Ann", at(4))[0].over


def test_late_data_is_muted_with_its_service_and_not_with_one_of_its_metrics() -> None:
    def loud(mute: Mute) -> bool:
        policy = Policy(mutes=(mute,))
        return bool(gap(policy=policy).loud_revision)

    assert not loud(Mute(until=at(9), service="feed"))
    assert not loud(Mute(until=at(9)))
    assert loud(Mute(until=at(9), service="messenger"))
    assert loud(Mute(until=at(9), service="feed", metric="likes"))
    assert loud(Mute(until=at(9), service="feed", dimension="os", value="iOS"))
    # When the mute is over, what still lasts is told.
    policy = Policy(mutes=(Mute(until=at(9), service="feed"),))
    held = late([gap(policy=policy)], FEED, at(0), at(8), policy=policy)
    told = late(held.living, FEED, at(0), at(9), policy=policy)
    assert held.events == ()
    assert [(event.reason, event.loud) for event in told.events] == [(Reason.OPENED, True)]


def test_late_data_keeps_the_quiet_hours_of_its_service() -> None:
    asked = set()

    def quiet(series: SeriesKey, moment: datetime) -> bool:
        asked.add(series)
        return series.service == "feed" and moment < at(10)

    policy = Policy(quiet=quiet)
    held = late([], "feed_actions", at(0), at(3), policy=policy, services=("feed",))
    assert [event.loud for event in held.events] == [False]
    still = late(held.living, "feed_actions", at(0), at(11), policy=policy, spoken_at=at(9))
    assert still.events == ()
    told = late(still.living, "feed_actions", at(0), at(11), policy=policy)
    assert [(event.reason, event.loud) for event in told.events] == [(Reason.OPENED, True)]
    other = late([], "message_actions", at(0), at(3), policy=policy, services=("messenger",))
    assert [event.loud for event in other.events] == [True]
    assert asked == {SeriesKey("feed", ""), SeriesKey("messenger", "")}


def test_what_is_not_heard_of_for_late_data_is_never_lost() -> None:
    sent = SeriesKey("messenger", "messages_sent")
    done = play({LIKES: "X"})
    [gap] = late([], "feed_actions", at(1), at(3), services=("feed",)).incidents
    done.incidents = (*done.incidents, gap)
    done.run({sent: "." * 200, LIKES: " " * 200})
    assert done.said == ["0 opened!"]
    # A person who closed the late data has not brought it.
    done.incidents = tuple(by_hand.closed(one, "Ann", at(200))[0] if one.source else one for one in done.incidents)
    done.run({sent: "." * 50, LIKES: " " * 50})
    assert done.said == ["0 opened!"]
    done.run({LIKES: "...."})
    assert done.said[-1] == "253 recovered"


def test_late_data_of_one_service_does_not_hold_the_incident_of_another() -> None:
    sent = SeriesKey("messenger", "messages_sent")
    done = play({sent: "X"})
    [gap] = late([], "feed_actions", at(1), at(3), services=("feed",)).incidents
    done.incidents = (*done.incidents, gap)
    done.run({sent: " " * 100})
    assert done.said == ["0 opened!", "96 lost"]
