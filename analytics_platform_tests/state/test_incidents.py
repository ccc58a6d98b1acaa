"""The incident ledger: steps taken once, what readers know, what people do."""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.incident import Incident, Mute, Reason, Status, Step
from analytics_platform.alerts.incident_json import decode, encode
from analytics_platform.alerts.incidents import advance, late
from analytics_platform.alerts.occasions import Occasion, OccasionKind
from analytics_platform.state.alert_calendar import AlertCalendar
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.detector_models import DetectorModels
from analytics_platform.state.feedback import Feedback
from analytics_platform.state.incidents import Cursor, Incidents
from analytics_platform.state.mutes import Mutes
from analytics_platform_tests.alerts.scenes import CTR, IOS, LIKES, VIEWS, at, finding, play, reading

SOURCE = "feed_actions"
DAY = timedelta(days=1)


@pytest.fixture
def incidents(database: Database) -> Incidents:
    """None yet."""
    return Incidents(database)


def judge(incidents: Incidents, bucket: int, sign: str) -> bool:
    """One bucket of likes."""
    before, there = incidents.cursor(SOURCE), incidents.open()
    findings = [finding(LIKES, bucket, sign)] if sign != "." else []
    readings = [reading(LIKES, bucket)] if sign == "." else []
    step = advance(there, at(bucket), findings, readings)
    return incidents.commit({SOURCE: before}, {SOURCE: Cursor(SOURCE, at(bucket + 1))}, step, at(bucket + 1))


def opened(incidents: Incidents) -> int:
    """The id of an incident that is open since the first bucket."""
    assert judge(incidents, 0, "D")
    [one] = incidents.listing()
    assert one.id is not None
    return one.id


def get(incidents: Incidents, which: int) -> Incident:
    found = incidents.find(which)
    assert found
    return found


def test_a_step_moves_the_cursor_and_changes_incidents_together(incidents: Incidents) -> None:
    assert incidents.cursor(SOURCE) is None
    assert incidents.standing() == ({}, [])
    which = opened(incidents)
    assert incidents.cursor(SOURCE) == Cursor(SOURCE, at(1), version=1)
    stored = get(incidents, which)
    assert (stored.status, stored.revision, stored.said_revision, stored.version) == (Status.OPEN, 1, 0, 1)
    assert incidents.find(stored.key) == stored
    assert incidents.find("another") is None
    assert incidents.find(which + 1) is None
    for bucket in range(1, 4):
        assert judge(incidents, bucket, ".")
    assert get(incidents, which).status is Status.RECOVERED
    assert [(line.revision, line.what, line.loud) for line in incidents.history(which)] == [
        (1, Reason.OPENED, True),
        (2, Reason.RECOVERED, False),
    ]
    for bucket in range(4, 12):
        assert judge(incidents, bucket, ".")
    assert incidents.open() == []
    assert get(incidents, which).status is Status.CLOSED


def test_what_is_stored_comes_back_as_it_was(incidents: Incidents) -> None:
    done = play({LIKES: "DXD-.", CTR: ".DD..", IOS: "..d"})
    there = replace(done.one, muted_until=at(5), muted_by="Ann", acknowledged_by="Bob", acknowledged_at=at(4))
    endless = replace(there.members[0], worst_score=float("inf"))
    there = replace(there, members=(endless, *there.members[1:]))
    assert decode(encode(there)) == there
    assert incidents.commit({SOURCE: None}, {SOURCE: Cursor(SOURCE, at(5))}, Step((there,)), at(5))
    [stored] = incidents.open()
    assert replace(stored, id=None, version=0) == there


def test_the_second_of_two_steps_from_the_same_place_writes_nothing(incidents: Incidents) -> None:
    first = advance([], at(0), [finding(LIKES, 0)], [])
    second = advance([], at(0), [finding(VIEWS, 0)], [])
    new = {SOURCE: Cursor(SOURCE, at(1))}
    assert incidents.commit({SOURCE: None}, new, first, at(1))
    assert not incidents.commit({SOURCE: None}, new, second, at(1))
    assert [one.lead for one in incidents.listing()] == [LIKES]
    assert [line.what for line in incidents.history(incidents.listing()[0].id or 0)] == [Reason.OPENED]


def test_what_is_held_counts_as_a_step_even_if_no_bucket_was_judged(incidents: Incidents) -> None:
    opened(incidents)
    before = incidents.cursor(SOURCE)
    assert before
    held = replace(before, held={"pending": [1, 2.5, None]}, lateness={"p90": 4})
    assert incidents.commit({SOURCE: before}, {SOURCE: held}, Step(()), at(1))
    assert not incidents.commit({SOURCE: before}, {SOURCE: held}, Step(()), at(1))
    assert incidents.cursor(SOURCE) == replace(held, version=2)
    # Only looked at, not moved.
    assert incidents.commit({SOURCE: replace(held, version=2), "message_actions": None}, {}, Step(()), at(1))
    assert not incidents.commit({SOURCE: before}, {}, Step(()), at(1))


def test_a_cursor_never_goes_back(incidents: Incidents) -> None:
    opened(incidents)
    before = incidents.cursor(SOURCE)
    with pytest.raises(ValueError, match="would go back"):
        incidents.commit({SOURCE: before}, {SOURCE: Cursor(SOURCE, at(0))}, Step(()), at(1))
    with pytest.raises(ValueError, match="without saying from where"):
        incidents.commit({}, {SOURCE: Cursor(SOURCE, at(5))}, Step(()), at(1))


def test_nothing_is_opened_twice_even_if_a_bucket_is_judged_again(incidents: Incidents) -> None:
    opened(incidents)
    for bucket in range(1, 13):
        assert judge(incidents, bucket, ".")
    [over] = incidents.listing()
    again = advance([], at(0), [finding(LIKES, 0)], [])
    assert incidents.commit({SOURCE: incidents.cursor(SOURCE)}, {}, again, at(13))
    assert incidents.listing() == [over]
    assert len(incidents.history(over.id or 0)) == 3


def test_pending_signs_are_kept_between_two_buckets_and_shown_to_nobody(incidents: Incidents) -> None:
    assert judge(incidents, 0, "d")
    assert incidents.listing() == incidents.unsaid() == []
    assert [one.status for one in incidents.open()] == [Status.PENDING]
    assert len(incidents.listing(statuses=[Status.PENDING])) == 1
    assert judge(incidents, 1, "d")
    assert [one.status for one in incidents.listing()] == [Status.OPEN]


def test_pending_signs_that_came_to_nothing_leave_nothing(incidents: Incidents) -> None:
    for bucket, sign in enumerate("d.."):
        assert judge(incidents, bucket, sign)
    assert incidents.open() == incidents.listing(statuses=tuple(Status)) == []


def test_late_data_is_stored_without_a_cursor(incidents: Incidents) -> None:
    step = late(incidents.open(), SOURCE, at(0), at(3))
    assert incidents.commit({}, {}, step, at(3))
    assert not incidents.commit({}, {}, step, at(3))  # by somebody else who saw the same
    [one] = incidents.unsaid()
    assert (one.source, one.loud) == (SOURCE, True)
    assert len(incidents.history(one.id or 0)) == 1


def test_a_person_in_between_is_not_overwritten(incidents: Incidents) -> None:
    which = opened(incidents)
    before, there = incidents.cursor(SOURCE), incidents.open()
    step = advance(there, at(1), [finding(LIKES, 1)], [])
    incidents.acknowledge(which, "Ann", at(1))
    new = {SOURCE: Cursor(SOURCE, at(2))}
    assert not incidents.commit({SOURCE: before}, new, step, at(2))
    assert judge(incidents, 1, "D")
    assert get(incidents, which).acknowledged_by == "Ann"


def test_what_was_said_is_known_and_never_less(incidents: Incidents) -> None:
    which = opened(incidents)
    [one] = incidents.unsaid()
    assert (one.unsaid, one.loud, one.revision) == (True, True, 1)
    assert not incidents.said(which, 2, at(1))  # there is no such revision
    assert incidents.said(which, 1, at(1))
    assert not incidents.said(which, 1, at(1))
    assert incidents.unsaid() == []
    # A step that began before it was said is not refused for it.
    before = incidents.cursor(SOURCE)
    assert before
    step = advance([replace(one, said_revision=0)], at(1), [finding(LIKES, 1, "X")], [])
    assert incidents.commit({SOURCE: before}, {SOURCE: Cursor(SOURCE, at(2))}, step, at(2))
    [again] = incidents.unsaid()
    assert (again.said_revision, again.revision, again.reason) == (1, 2, Reason.WORSENED)
    assert incidents.said(which, 2, at(2))
    assert not incidents.said(which, 1, at(2))
    assert get(incidents, which).said_revision == 2


def test_each_thing_a_person_does_is_a_line_and_a_silent_revision(incidents: Incidents) -> None:
    which = opened(incidents)
    assert incidents.acknowledge(which, "Ann", at(1)).acknowledged_at == at(1)
    assert incidents.acknowledge(which, "Bob", at(1)).acknowledged_by == "Ann"
    assert incidents.mute(which, at(9), "Ann", at(2)).muted_until == at(9)
    assert incidents.unmute(which, "Ann", at(3)).muted_until is None
    closed = incidents.close_by_hand(which, "Ann", at(4))
    assert (closed.status, closed.ended, closed.revision, closed.loud_revision) == (
        Status.CLOSED,
        Reason.BY_HAND,
        5,
        1,
    )
    assert [(line.what, line.by) for line in incidents.history(which)] == [
        (Reason.OPENED, ""),
        (Reason.ACKNOWLEDGED, "Ann"),
        (Reason.MUTED, "Ann"),
        (Reason.UNMUTED, "Ann"),
        (Reason.BY_HAND, "Ann"),
    ]
    assert [one.id for one in incidents.open()] == [which]  # it lingers, so that the same is no news


def test_an_unknown_incident_is_named(incidents: Incidents) -> None:
    with pytest.raises(StateError, match=r"no incident 7; `alerts list` shows"):
        incidents.acknowledge(7, "Ann", at(0))


def test_a_verdict_goes_into_the_incident_the_judgements_and_the_calendar(
    incidents: Incidents, database: Database
) -> None:
    which = opened(incidents)
    incidents.feedback(which, Verdict.REAL, "Ann", at(1))
    incidents.feedback(which, Verdict.REAL, "Bob", at(1))
    after = incidents.feedback(which, Verdict.EXPECTED, "Ann", at(2))
    assert (after.verdict, after.revision) == ("expected", 3)
    judgements = Feedback(database).judgements()
    assert [(one.verdict, one.by, one.moment) for one in judgements] == [
        (Verdict.REAL, "Ann", at(1)),
        (Verdict.EXPECTED, "Ann", at(2)),
    ]
    assert judgements[0].scores == {LIKES: 2.0}
    assert judgements[0].incident == after.key
    [entry] = AlertCalendar(database).entries()
    assert (entry.starts, entry.ends, entry.metrics, entry.kind) == (at(0), at(2), ("likes",), OccasionKind.EXPECTED)
    assert Feedback(database).judgements(at(2)) == judgements[1:]
    assert Feedback(database).forget(at(2)) == 1


def test_lists_are_of_a_time_and_of_statuses_the_newest_first(incidents: Incidents) -> None:
    for bucket, sign in enumerate("D..........."):
        assert judge(incidents, bucket, sign)
    assert judge(incidents, 20, "D")
    newest, oldest = incidents.listing()
    assert (newest.started, oldest.started) == (at(20), at(0))
    assert incidents.listing(limit=1) == [newest]
    assert incidents.listing(at(1)) == [newest]
    assert incidents.listing(until=at(20)) == [oldest]
    assert incidents.listing(statuses=[Status.CLOSED]) == [oldest]


def test_what_is_over_and_said_is_forgotten_in_time(incidents: Incidents) -> None:
    which = opened(incidents)
    for bucket in range(1, 13):
        assert judge(incidents, bucket, ".")
    assert incidents.forget(at(100)) == 0  # readers do not know it yet
    assert incidents.said(which, get(incidents, which).revision, at(13))
    assert incidents.forget(at(5)) == 0
    assert incidents.forget(at(100)) == 0  # the newest stays, so that no number is given twice
    assert judge(incidents, 20, "D")
    assert incidents.forget(at(100)) == 1
    assert incidents.find(which) is None
    assert incidents.history(which) == []


def test_moments_without_a_zone_are_refused(incidents: Incidents) -> None:
    which, naive = opened(incidents), at(1).replace(tzinfo=None)
    with pytest.raises(ValueError, match="no time zone"):
        incidents.acknowledge(which, "Ann", naive)
    with pytest.raises(ValueError, match="no time zone"):
        incidents.mute(which, naive, "Ann", at(1))
    with pytest.raises(ValueError, match="no time zone"):
        incidents.said(which, 1, naive)
    with pytest.raises(ValueError, match="no time zone"):
        incidents.listing(naive)


# ------------------------------------------------------------------------------------ calendar, mutes, fitted detectors


def test_the_calendar_keeps_entries_and_replaces_the_same_one(database: Database) -> None:
    calendar = AlertCalendar(database)
    moscow = ZoneInfo("Europe/Moscow")
    day = Occasion(
        "Новый год", OccasionKind.HOLIDAY, datetime(2027, 1, 1, tzinfo=moscow), datetime(2027, 1, 2, tzinfo=moscow)
    )
    first = calendar.add(day, at(0))
    assert first.id is not None
    again = calendar.add(replace(day, slack=3.5, services=("feed",)), at(1))
    assert again.id == first.id
    [stored] = calendar.entries()
    assert stored == replace(again, starts=stored.starts, ends=stored.ends)
    assert (stored.slack, stored.services, stored.starts) == (3.5, ("feed",), day.starts)
    assert calendar.entries(since=day.ends) == []
    assert calendar.entries(until=day.starts) == []
    assert calendar.entries(since=day.ends - DAY / 24, until=day.ends) == [stored]
    assert calendar.remove(first.id)
    assert not calendar.remove(first.id)


def test_mutes_end_by_themselves_and_the_same_series_has_one(database: Database) -> None:
    mutes = Mutes(database)
    first = mutes.add(Mute(at(4), metric="likes", by="Ann", reason="release"), at(0))
    longer = mutes.add(Mute(at(8), metric="likes", by="Bob"), at(1))
    other = mutes.add(Mute(at(6), service="feed", dimension="os", value="iOS"), at(1))
    assert mutes.active(at(2)) == (other, longer)
    assert mutes.active(at(6)) == (longer,)
    assert first.id is not None
    with pytest.raises(ValueError, match="is over already"):
        mutes.add(Mute(at(1)), at(1))
    assert longer.id is not None
    assert mutes.remove(longer.id)
    assert not mutes.remove(longer.id)
    assert mutes.forget(at(50)) == 1
    assert mutes.active(at(2)) == ()


def test_a_metric_has_one_fitted_detector_at_a_time(database: Database) -> None:
    models = DetectorModels(database)
    first = models.add("trees", {"weights": [0.5, 1e-9]}, at(0), ["likes", "views"])
    second = models.add("trees", {"weights": []}, at(1))
    assert models.used() == {"likes": first, "views": first}
    second = models.use(second.version, ["views"])
    first, second = replace(first, used_for=("likes",)), replace(second, used_for=("views",))
    assert models.all() == [second, first]
    assert models.used() == {"likes": first, "views": second}
    assert first.trained_at == at(0)
    with pytest.raises(StateError, match="no fitted detector of version 99"):
        models.use(99, ["likes"])
    assert models.used() == {"likes": first, "views": second}
