"""What people do to an incident, and what follows from it."""

import pytest

from analytics_platform.alerts import by_hand
from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.incident import Reason, Status
from analytics_platform_tests.alerts.scenes import LIKES, SENT, VIEWS, at, play


def test_what_is_acknowledged_is_not_reminded_of_but_told_when_it_is_worse() -> None:
    done = play({LIKES: "DD"})
    after, event = by_hand.acknowledged(done.one, "Ann", at(1))
    assert event
    assert (event.reason, event.loud, event.by, event.about) == (Reason.ACKNOWLEDGED, False, "Ann", "by Ann")
    assert (after.acknowledged_by, after.acknowledged_at, after.revision) == ("Ann", at(1), 2)
    assert by_hand.acknowledged(after, "Bob", at(2)) == (after, None)
    done.change(after)
    done.run({LIKES: "D" * 60})
    assert [word for word in done.said if "!" in word] == ["0 opened!"]
    done.run({LIKES: "X"})
    assert done.said[-1] == "62 worsened!"


def test_a_muted_incident_is_kept_up_without_a_sound() -> None:
    done = play({LIKES: "DD"})
    after, event = by_hand.muted(done.one, at(40), "Ann", at(1))
    assert event
    assert event.about == "until 2026-11-20 22:00 UTC"
    done.change(after)
    done.run({LIKES: "D" * 20 + "X" * 25})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "39 worsened!"]
    again, event = by_hand.unmuted(after, "Ann", at(3))
    assert event
    assert (again.muted_until, again.revision) == (None, after.revision + 1)
    assert by_hand.unmuted(again, "Ann", at(3))[1] is None


def test_what_a_person_closed_is_no_news_while_it_goes_on_as_it_was() -> None:
    done = play({LIKES: "DD"})
    after, event = by_hand.closed(done.one, "Ann", at(2))
    assert event
    assert (after.status, after.ended, after.over) == (Status.CLOSED, Reason.BY_HAND, False)
    assert by_hand.closed(after, "Bob", at(2)) == (after, None)
    done.change(after)
    done.run({LIKES: "D" * 20})
    assert done.said == ["0 opened!"]
    assert done.one.revision == after.revision
    done.run({LIKES: "." * 9})
    assert done.one.over


@pytest.mark.parametrize("worse", ["X", "0"])
def test_what_a_person_closed_is_told_anew_when_it_is_worse(worse: str) -> None:
    done = play({LIKES: "DD"})
    done.change(by_hand.closed(done.one, "Ann", at(2))[0])
    done.run({LIKES: "DD" + worse * 2})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "4 worsened!"]
    assert done.one.status is Status.OPEN


def test_what_a_person_closed_is_not_forgotten_while_its_data_does_not_come() -> None:
    done = play({LIKES: "DD"})
    done.change(by_hand.closed(done.one, "Ann", at(2))[0])
    done.run({LIKES: " " * 20 + "DD", SENT: "." * 22})
    assert done.said == ["0 opened!"]
    assert len(done.every) == 1


def test_another_total_is_a_new_incident_for_who_closed_the_old_one() -> None:
    done = play({LIKES: "DD"})
    done.change(by_hand.closed(done.one, "Ann", at(2))[0])
    done.run({LIKES: "DDD", VIEWS: "DDD"})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "2 opened!"]
    assert len(done.every) == 2


def test_a_false_alarm_and_a_new_normal_are_closed_by_being_called_so() -> None:
    told = play({LIKES: "DD"}).one
    false, event = by_hand.judged(told, Verdict.FALSE_ALARM, "Ann", at(2))
    assert event
    assert (false.status, false.ended, false.verdict) == (Status.CLOSED, Reason.BY_HAND, "false_alarm")
    assert (event.reason, event.about, event.loud) == (Reason.BY_HAND, "false_alarm", False)
    normal, _ = by_hand.judged(told, Verdict.NEW_NORMAL, "Ann", at(2))
    assert (normal.status, normal.ended) == (Status.CLOSED, Reason.NEW_NORMAL)


def test_a_real_one_stays_open_and_the_same_verdict_is_no_news() -> None:
    told = play({LIKES: "DD"}).one
    real, event = by_hand.judged(told, Verdict.REAL, "Ann", at(2))
    assert event
    assert (real.status, event.reason, real.revision) == (Status.OPEN, Reason.JUDGED, told.revision + 1)
    assert by_hand.judged(real, Verdict.REAL, "Bob", at(3)) == (real, None)
    changed, event = by_hand.judged(real, Verdict.EXPECTED, "Ann", at(3))
    assert event
    assert changed.verdict == "expected"


def test_what_nobody_has_heard_of_cannot_be_handled() -> None:
    pending = play({LIKES: "d"}).one
    assert by_hand.acknowledged(pending, "Ann", at(1)) == (pending, None)
    assert by_hand.muted(pending, at(9), "Ann", at(1)) == (pending, None)
    assert by_hand.closed(pending, "Ann", at(1)) == (pending, None)
    assert by_hand.judged(pending, Verdict.REAL, "Ann", at(1)) == (pending, None)
