"""What moves together is one incident, told by the series that says most."""

from dataclasses import replace

from analytics_platform.alerts.findings import Severity
from analytics_platform.alerts.incident import Status
from analytics_platform.alerts.incidents import advance
from analytics_platform.metrics.series import SeriesKey
from analytics_platform_tests.alerts.scenes import (
    ANDROID,
    CTR,
    IOS,
    LIKES,
    SENDERS,
    SENT,
    USERS,
    VIEWS,
    Play,
    at,
    finding,
    play,
)


def members(done: Play) -> set[SeriesKey]:
    return {member.series for member in done.one.members}


def test_views_likes_and_users_that_fall_together_are_one_incident() -> None:
    done = play({VIEWS: "DDD", LIKES: ".DD", USERS: "..d"})
    assert done.said == ["0 opened!", "1 more_metrics", "2 more_metrics"]
    assert members(done) == {VIEWS, LIKES, USERS}
    assert done.one.lead == VIEWS


def test_weak_signs_of_two_metrics_confirm_each_other_in_the_next_bucket() -> None:
    done = play({VIEWS: "d.", LIKES: ".d"})
    assert done.said == ["1 opened!"]
    assert members(done) == {VIEWS, LIKES}


def test_a_ratio_goes_with_its_numerator() -> None:
    done = play({LIKES: "DD", CTR: "DD"})
    assert members(done) == {LIKES, CTR}
    assert done.one.lead == LIKES  # a count is told before a ratio


def test_a_ratio_that_rises_because_its_base_is_gone_is_no_incident_of_its_own() -> None:
    done = play({VIEWS: "DDD", CTR: ".UU"})
    assert members(done) == {VIEWS, CTR}
    assert done.one.direction == "down"
    # And the other way round: the base is seen later.
    assert members(play({CTR: "DDD", VIEWS: ".UU"})) == {VIEWS, CTR}


def test_a_move_the_other_way_is_another_incident() -> None:
    done = play({USERS: "DDD", LIKES: "UUU"})
    assert sorted(one.direction or "" for one in done.every.values()) == ["down", "up"]


def test_the_total_is_told_before_the_slice_even_if_that_is_stronger() -> None:
    step = advance([], at(0), [finding(IOS, 0, score=9), finding(LIKES, 0, score=2), finding(VIEWS, 0, score=3)], [])
    [one] = step.incidents
    assert one.lead == VIEWS
    assert [m.series for m in one.shown(2)] == [VIEWS, LIKES]
    assert [m.series for m in one.shown(9)] == [VIEWS, LIKES, IOS]


def test_the_lead_stays_unless_a_total_takes_over_from_a_slice() -> None:
    assert play({LIKES: "DDDD", VIEWS: "..DD"}).one.lead == LIKES
    done = play({IOS: "DDDDDD", LIKES: "..DDDD"})
    assert done.one.lead == LIKES
    # A total that moves where only a slice was told is news, when the hour is over.
    assert [word for word in done.said if "!" in word] == ["0 opened!", "4 worsened!"]


def test_slices_of_one_service_are_one_incident_and_more_of_them_make_no_sound() -> None:
    done = play({IOS: "DDDDDDDD", ANDROID: "......DD"})
    assert done.said == ["0 opened!", "4 updated", "6 more_metrics"]


def test_a_total_that_joins_hours_later_is_told_aloud() -> None:
    done = play({LIKES: "D" * 12, VIEWS: "." * 8 + "DDDD"})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "8 worsened!"]
    soon = play({LIKES: "D" * 12, VIEWS: ".." + "D" * 10})
    assert [word for word in soon.said if "!" in word] == ["0 opened!"]


def test_more_members_than_are_shown_are_no_news() -> None:
    many = {SeriesKey("feed", "likes", "city", str(n)): "." * (n // 3) + "D" * 5 for n in range(12)}
    done = play({**many, LIKES: "DDDDD"}, shown=4)
    assert [word for word in done.said if "more" in word] == []
    assert len(done.one.members) == 13
    assert len(done.one.shown(4)) == 4


def test_both_services_at_the_same_time_are_one_incident_of_the_app() -> None:
    done = play({VIEWS: "DDD", SENT: ".DD"})
    assert done.one.services == ("feed", "messenger")
    assert done.one.lead == VIEWS
    # It is over when both are.
    done.run({VIEWS: "....", SENT: "D..."})
    assert done.one.status is Status.RECOVERED
    assert done.one.recovered_at == at(4)


def test_the_other_service_hours_later_is_another_incident() -> None:
    done = play({VIEWS: "D" * 8, SENT: "." * 6 + "DD"})
    assert [one.services for one in done.every.values()] == [("feed",), ("messenger",)]


def test_a_slice_of_the_other_service_alone_does_not_make_it_the_app() -> None:
    done = play({VIEWS: "DD", SeriesKey("messenger", "senders", "os", "iOS"): "DD"})
    assert len(done.every) == 2
    opposite = play({VIEWS: "DD", SENT: "UU"})
    assert len(opposite.every) == 2


def test_the_slices_of_the_app_follow_their_totals() -> None:
    messenger_ios = SeriesKey("messenger", "messages_sent", "os", "iOS")
    done = play({VIEWS: "D", SENT: "D", messenger_ios: "D", SENDERS: "d", IOS: "d"})
    assert members(done) == {VIEWS, SENT, messenger_ios, SENDERS, IOS}


def test_weak_signs_of_the_other_service_become_part_of_the_app_when_they_are_confirmed() -> None:
    slice_first = SeriesKey("messenger", "messages_sent", "os", "iOS")
    done = play({slice_first: "d...", SENT: ".d..", VIEWS: ".D.."})
    # The weak slice was there first, so its total went to it; once confirmed, all are one.
    assert members(done) == {slice_first, SENT, VIEWS}
    assert [word for word in done.said if "!" in word] == ["1 opened!"]
    assert set(done.steps[1].belongs.values()) == {done.one.key}


def test_every_finding_belongs_to_one_incident() -> None:
    scene = {VIEWS: "DdDu0", LIKES: ".uDDd", CTR: "UUd.d", SENT: "DuDdD", IOS: "dddUU"}
    done = play(scene)
    for k, step in enumerate(done.steps):
        found = {key for key, line in scene.items() if line[k] not in ".-+"}
        assert set(step.belongs) == found
        assert set(step.belongs.values()) <= {one.key for one in (*step.incidents, *step.dropped)}


def test_severity_is_that_of_the_gravest_and_never_falls() -> None:
    done = play({VIEWS: "DXDDD"})
    assert done.one.severity is Severity.CRITICAL
    assert done.one.members[0].worst_at == at(1)  # the farthest bucket, whatever its score


def test_the_worst_of_a_member_is_kept_beside_its_newest() -> None:
    done = Play()
    for k, (value, score) in enumerate([(60.0, 2.0), (20.0, 4.0), (50.0, 3.0)]):
        step = advance(done.incidents, at(k), [replace(finding(LIKES, k, score=score), value=value)], [])
        done.keep(step)
    [member] = done.one.members
    assert (member.worst_value, member.worst_score, member.worst_at) == (20.0, 4.0, at(1))
    assert (member.value, member.score, member.at) == (50.0, 3.0, at(2))
    assert member.loss == -40 - 80 - 50
    assert done.one.worst_score == 4.0
    assert done.one.member(VIEWS) is None
