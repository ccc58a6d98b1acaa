"""What no baseline learns from, what is usual from now on, and the calendar."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.alerts import by_hand, occasions
from analytics_platform.alerts.baseline import accepted_at, excluded_spans
from analytics_platform.alerts.feedback import Judgement, Verdict
from analytics_platform.alerts.incidents import late
from analytics_platform.alerts.occasions import Occasion, OccasionKind
from analytics_platform.metrics.series import BUCKET
from analytics_platform_tests.alerts.scenes import IOS, LIKES, NOON, SENT, VIEWS, at, play

DAY = timedelta(days=1)


def test_an_incident_is_kept_out_from_its_first_unusual_bucket_to_its_first_usual_one() -> None:
    done = play({LIKES: ".DD-...", VIEWS: "..D...."})
    assert excluded_spans([done.one]) == {LIKES: ((at(1), at(4)),), VIEWS: ((at(2), at(3)),)}


def test_one_that_lasts_is_kept_out_to_its_newest_bucket() -> None:
    assert excluded_spans([play({LIKES: "DD--"}).one]) == {LIKES: ((at(0), at(4)),)}


def test_spans_of_several_incidents_are_joined_where_they_touch() -> None:
    first, second = play({LIKES: "DD...."}).one, play({LIKES: "..D.D...."}).one
    later = play({LIKES: "." * 20 + "DD...."}).one
    assert excluded_spans([later, second, first]) == {LIKES: ((at(0), at(5)), (at(20), at(22)))}


def test_false_alarms_and_what_was_never_confirmed_are_learned_from() -> None:
    told = play({LIKES: "DD...."}).one
    assert excluded_spans([by_hand.judged(told, Verdict.FALSE_ALARM, "Ann", at(9))[0]]) == {}
    assert excluded_spans([told], [Judgement(told.key, Verdict.FALSE_ALARM, at(9))]) == {}
    assert excluded_spans([told], [Judgement(told.key, Verdict.EXPECTED, at(9))]) != {}
    assert excluded_spans([play({LIKES: "d"}).one]) == {}
    assert excluded_spans(late([], "feed_actions", at(0), at(2)).incidents) == {}


def test_a_new_normal_is_learned_from_its_first_bucket_on() -> None:
    told = play({LIKES: "DD--", VIEWS: "D...D..."[:4]}).one
    normal = by_hand.judged(told, Verdict.NEW_NORMAL, "Ann", at(9))[0]
    assert excluded_spans([normal]) == {}
    assert accepted_at([normal]) == {LIKES: (at(0),)}  # views are as usual again
    assert accepted_at([told]) == {}
    assert accepted_at([told], [Judgement(told.key, Verdict.NEW_NORMAL, at(9))]) == {LIKES: (at(0),)}


def test_what_lasted_for_days_is_accepted_unless_a_person_says_otherwise() -> None:
    lasted = play({LIKES: "D" * 300}).one
    assert accepted_at([lasted]) == {LIKES: (at(0),)}
    assert excluded_spans([lasted]) == {}
    assert accepted_at([lasted], [Judgement(lasted.key, Verdict.REAL, at(400))]) == {}


def test_the_calendar_is_kept_out_for_the_series_it_concerns() -> None:
    sale = Occasion("sale", OccasionKind.EXPECTED, at(0), at(8), services=("feed",), metrics=("likes",))
    everybody = Occasion("new year", OccasionKind.HOLIDAY, at(6), at(12))
    found = excluded_spans([], occasions=[sale, everybody], series=[LIKES, IOS, SENT])
    assert found == {LIKES: ((at(0), at(12)),), IOS: ((at(0), at(12)),), SENT: ((at(6), at(12)),)}


def test_an_occasion_gives_more_room_while_it_lasts() -> None:
    day = Occasion("holiday", OccasionKind.HOLIDAY, at(0), at(0) + DAY, slack=1.5)
    release = Occasion("2.0", OccasionKind.RELEASE, at(4) + BUCKET / 3, at(6), metrics=("ctr", "likes"), slack=3)
    assert occasions.slack([day, release], at(4)) == 1.5
    assert occasions.slack([day, release], at(4), LIKES) == 3  # in part of that bucket
    assert occasions.slack([day, release], at(3), LIKES) == 1.5
    assert occasions.slack([day, release], at(4), VIEWS) == 1.5
    assert occasions.slack([day, release], at(6), LIKES) == 1.5
    assert occasions.slack([day], at(96), LIKES) == 1.0


def test_what_was_expected_is_left_in_the_calendar() -> None:
    over = play({LIKES: "DD....", VIEWS: "D....."}).one
    entry = occasions.expected(over, "Ann", at(50))
    assert entry == Occasion(
        "expected: feed likes",
        OccasionKind.EXPECTED,
        at(0),
        at(2),
        ("feed",),
        ("likes", "views"),
        created_by="Ann",
    )
    assert occasions.expected(play({LIKES: "DD"}).one, "Ann", at(50)).ends == at(50)


def test_an_entry_that_makes_no_sense_is_refused() -> None:
    good = Occasion("x", OccasionKind.HOLIDAY, at(0), at(1))
    with pytest.raises(ValueError, match="not after its start"):
        replace(good, ends=at(0))
    with pytest.raises(ValueError, match="with a time zone"):
        replace(good, starts=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match=r"slack 0\.5 is less than 1"):
        replace(good, slack=0.5)
    moscow = ZoneInfo("Europe/Moscow")
    assert replace(good, starts=at(0).astimezone(moscow)).touches(at(0))
