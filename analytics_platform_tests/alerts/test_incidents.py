"""What opens, lasts, recovers, comes back and is closed, and what of it makes a sound."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from analytics_platform.alerts.findings import Reading, Severity
from analytics_platform.alerts.incident import Mute, Policy, Reason, Status, key_of
from analytics_platform.alerts.incident_json import decode, encode
from analytics_platform.alerts.incidents import advance, of_interest
from analytics_platform.metrics.series import BUCKET, SeriesKey
from analytics_platform_tests.alerts.scenes import CTR, IOS, LIKES, NOON, VIEWS, Play, at, finding, play, reading

HOURS = 4  # buckets of one


def test_a_strong_move_opens_at_once_recovers_and_is_closed_with_duration_and_loss() -> None:
    done = play({LIKES: ".DDD" + "." * 3 + "." * 8})
    assert done.said == ["1 opened!", "6 recovered", "12 closed"]
    told = done.one
    assert (told.status, told.ended, told.over) == (Status.CLOSED, Reason.CLOSED, True)
    assert (told.started, told.opened_at, told.last_bad, told.recovered_at) == (at(1), at(1), at(3), at(4))
    assert told.duration == 3 * BUCKET
    [member] = told.members
    assert (member.loss, member.bad, member.first, member.last) == (-150.0, 3, at(1), at(3))
    assert (told.revision, told.loud_revision) == (3, 1)


def test_a_zero_opens_at_once_however_weak() -> None:
    step = advance([], at(0), [finding(LIKES, 0, "0", score=1.0)], [])
    [told] = step.incidents
    assert (told.status, told.severity) == (Status.OPEN, Severity.CRITICAL)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("d..." + "." * 9, []),
        ("dd.", ["1 opened!"]),
        ("d.d", ["2 opened!"]),
        ("d..d..d..d..", []),
        ("dD.", ["1 opened!"]),
    ],
)
def test_a_weak_sign_is_told_only_when_a_second_confirms_it(line: str, said: list[str]) -> None:
    done = play({LIKES: line})
    assert [word for word in done.said if "opened" in word] == said
    assert all(one.started == at(0) for one in done.every.values())


def test_an_unconfirmed_sign_vanishes_and_nobody_has_heard_of_it() -> None:
    done = play({LIKES: "d.."})
    assert done.incidents == ()
    [gone] = done.steps[-1].dropped
    assert (gone.status, gone.revision, gone.said_revision) == (Status.PENDING, 0, 0)


def test_an_incident_that_lasts_is_renewed_silently_and_told_again_after_six_hours() -> None:
    done = play({LIKES: "D" * (13 * HOURS)})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "24 reminder!", "48 reminder!"]
    silent = [word for word in done.said if "!" not in word]
    assert silent[:3] == ["4 updated", "8 updated", "12 updated"]
    assert done.one.loud_at == at(48)


def test_a_turn_to_the_critical_is_told_at_once_and_once() -> None:
    done = play({LIKES: "DXXDX" + "X" * 3 * HOURS})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "1 worsened!"]
    assert done.one.severity is Severity.CRITICAL


def test_a_doubled_deviation_is_told_but_not_within_the_hour() -> None:
    done = Play()
    for k in range(12):
        step = advance(done.incidents, at(k), [finding(LIKES, k, "D", score=2.0 if k == 0 else 4.5)], [])
        done.keep(step)
    assert [word for word in done.said if "!" in word] == ["0 opened!", "4 worsened!"]
    assert done.one.told_score == 4.5


def test_a_relapse_goes_on_with_the_old_incident_and_makes_no_sound() -> None:
    done = play({LIKES: "DD....DD..."})
    assert done.said == ["0 opened!", "4 recovered", "6 reopened", "10 recovered"]
    assert done.one.reopenings == 1
    assert done.one.started == at(0)
    assert done.one.recovered_at == at(8)


def test_a_weak_blip_after_the_recovery_is_no_relapse() -> None:
    done = play({LIKES: "DD....d" + "." * 10})
    assert [word for word in done.said if "reopened" in word] == []
    assert done.one.status is Status.CLOSED
    assert done.one.recovered_at == at(2)


def test_after_the_time_to_reopen_it_is_a_new_incident() -> None:
    done = play({LIKES: "DD" + "." * 9 + "DD"})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "11 opened!"]
    assert len(done.every) == 2


def test_what_flaps_stays_open_until_it_is_calm_for_four_times_as_long() -> None:
    flap = "DD....."
    done = play({LIKES: flap * 5 + "." * 10})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "28 reminder!"]
    assert done.one.reopenings == 3
    recovered = [int(word.split()[0]) for word in done.said if "recovered" in word]
    assert recovered == [4, 11, 18, 41]  # after the third reopening, 12 usual buckets
    assert done.one.recovered_at == at(30)


def test_buckets_that_are_neither_findings_nor_usual_keep_it_open_and_count_as_loss() -> None:
    done = play({LIKES: "D----...."})
    assert done.one.recovered_at == at(5)
    [member] = done.one.members
    assert member.loss == -50 - 4 * 25
    assert member.bad == 1


def test_what_is_not_known_is_neither_calm_nor_bad() -> None:
    done = play({LIKES: "D..???"})
    assert done.said == ["0 opened!"]
    done.run({LIKES: "."})
    assert (done.one.status, done.one.recovered_at) == (Status.RECOVERED, at(1))


def test_a_series_that_is_not_heard_of_for_a_day_no_longer_holds_it_open() -> None:
    done = play({LIKES: "D...", VIEWS: "D   "})
    assert done.said == ["0 opened!"]
    done.run({LIKES: "." * 96})
    assert done.one.status is Status.CLOSED
    assert done.one.recovered_at == at(1)


def test_an_incident_of_which_nothing_is_heard_is_not_told_of_and_after_a_day_it_is_lost() -> None:
    sent = SeriesKey("messenger", "messages_sent")
    done = play({LIKES: "X" + " " * 95, sent: "." * 96})
    assert done.said == ["0 opened!"]
    done.run({sent: "." * 4, LIKES: " " * 4})
    assert done.said == ["0 opened!", "96 lost"]
    assert (done.one.status, done.one.ended, done.one.over) == (Status.CLOSED, Reason.LOST, True)
    assert done.one.recovered_at is None
    assert decode(encode(done.one)) == done.one


def test_what_was_not_heard_of_is_renewed_when_it_is_and_only_then() -> None:
    sent = SeriesKey("messenger", "messages_sent")
    done = play({LIKES: "X" + " " * 40 + "D", sent: "." * 42})
    assert done.said == ["0 opened!", "41 reminder!"]


def test_the_loss_of_a_ratio_is_in_its_numerator() -> None:
    done = play({CTR: "DD..."})
    [member] = done.one.members
    assert member.loss == pytest.approx(-2 * 0.1 * 1000)
    assert member.is_ratio


def test_the_way_back_that_goes_a_little_too_far_is_no_incident() -> None:
    done = play({LIKES: "XXXUu..."})
    assert len(done.every) == 1
    assert done.one.recovered_at == at(3)
    assert done.steps[3].belongs == {LIKES: done.one.key}


def test_an_outage_right_after_a_peak_is_heard() -> None:
    done = play({LIKES: "UU00"})
    assert [word for word in done.said if "!" in word] == ["0 opened!", "2 opened!"]
    assert {one.direction for one in done.every.values()} == {"up", "down"}


def test_a_frozen_series_is_one_incident_whichever_side_of_the_usual_it_is_on() -> None:
    below = finding(LIKES, 0, "F", score=2)
    above = replace(finding(LIKES, 1, "F", score=2), direction=finding(LIKES, 1, "U").direction, value=110.0)
    done = Play()
    done.keep(advance([], at(0), [below], []))
    done.keep(advance(done.incidents, at(1), [above], []))
    assert len(done.every) == 1
    assert done.one.members[0].bad == 2


def test_a_level_of_three_days_is_the_new_normal_and_no_news_afterwards() -> None:
    done = play({LIKES: "D" * (4 * 96)}, remind_after=timedelta(days=2))
    assert [word for word in done.said if "!" in word] == ["0 opened!", "192 reminder!"]
    assert done.said[-1] == "288 new_normal"
    assert (done.one.status, done.one.ended, done.one.recovered_at) == (Status.CLOSED, Reason.NEW_NORMAL, None)
    # It lingers while it goes on, and is over when the detector has learned it.
    assert not done.one.over
    done.run({LIKES: "." * 9})
    assert done.one.over


def test_nothing_at_all_is_never_the_new_normal() -> None:
    done = play({LIKES: "0" * (4 * 96)})
    assert done.one.status is Status.OPEN


def test_a_muted_incident_goes_on_without_a_sound_and_is_told_when_that_is_over() -> None:
    mute = Mute(until=at(10), metric="likes")
    done = play({LIKES: "D" * 12}, mutes=(mute,))
    # By the end of the bucket, which is when it is known.
    assert [word for word in done.said if "!" in word] == ["9 opened!"]
    assert done.said[0] == "0 opened"
    short = play({LIKES: "DD...."}, mutes=(mute,))
    assert short.one.loud_revision == 0


def test_a_mute_of_one_metric_does_not_silence_another() -> None:
    mute = Mute(until=at(100), service="feed", metric="likes")
    assert play({LIKES: "DD", VIEWS: "DD"}, mutes=(mute,)).said[0] == "0 opened!"
    assert mute.covers(SeriesKey("feed", "likes", "os", "iOS"), at(0))
    assert not replace(mute, dimension="total").covers(SeriesKey("feed", "likes", "os", "iOS"), at(0))
    assert not mute.covers(LIKES, at(100))


def test_in_quiet_hours_only_what_is_critical_is_loud_and_the_rest_waits() -> None:
    def quiet(_: SeriesKey, moment: datetime) -> bool:
        return moment < at(6)

    assert [w for w in play({LIKES: "D" * 8}, quiet=quiet).said if "!" in w] == ["5 opened!"]
    assert play({LIKES: "X"}, quiet=quiet).said == ["0 opened!"]
    assert not any("!" in w for w in play({LIKES: "D..." + "." * 10}, quiet=quiet).said)


def test_what_is_known_late_is_loud_only_where_neither_the_bucket_nor_the_moment_of_telling_is_quiet() -> None:
    def loud(bucket: int, spoken_at: datetime | None) -> bool:
        def quiet(_: SeriesKey, moment: datetime) -> bool:
            return at(10) <= moment < at(20)

        step = advance([], at(bucket), [finding(LIKES, bucket)], [], Policy(quiet=quiet), spoken_at=spoken_at)
        return step.events[0].loud

    assert loud(8, None)
    assert not loud(9, None)  # it ends when the quiet hours begin
    assert loud(19, None)
    assert not loud(5, at(12))
    assert not loud(12, at(25))
    assert loud(5, at(8))
    assert loud(5, at(25))


def test_a_mute_is_asked_at_the_moment_of_telling() -> None:
    policy = Policy(mutes=(Mute(until=at(10), metric="likes"),))
    for spoken_at, loud in ((at(9), False), (at(10), True)):
        step = advance([], at(5), [finding(LIKES, 5)], [], policy, spoken_at=spoken_at)
        assert step.events[0].loud is loud


def test_the_same_findings_make_the_same_keys_and_the_same_incidents() -> None:
    scene = {LIKES: ".dD-..DD......", VIEWS: ".dd........DD.", CTR: "..uU......u.u."}
    first, second = play(scene), play(dict(reversed(scene.items())))
    assert first.every == second.every
    assert first.events == second.events
    assert key_of(finding(LIKES, 1)) == "2026-11-20 12:15 feed down likes"
    assert key_of(finding(SeriesKey("feed", "likes", "os", "iOS"), 1)) == "2026-11-20 12:15 feed down likes os=iOS"


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        advance([], NOON.replace(tzinfo=None), [], [])
    with pytest.raises(ValueError, match="of telling, has no time zone"):
        advance([], NOON, [], [], spoken_at=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="findings of another bucket"):
        advance([], at(1), [finding(LIKES, 0)], [])
    with pytest.raises(ValueError, match="two findings"):
        advance([], at(0), [finding(LIKES, 0), finding(LIKES, 0, "U")], [])
    with pytest.raises(ValueError, match="at least 1"):
        Policy(calm=0)
    with pytest.raises(ValueError, match="more often"):
        Policy(remind_after=timedelta(minutes=5))
    with pytest.raises(ValueError, match="less than"):
        Policy(reopen=timedelta(minutes=5))


def test_readings_are_wanted_of_every_member_of_what_is_not_over() -> None:
    done = play({LIKES: "DD", VIEWS: ".D"})
    assert of_interest(done.incidents) == {LIKES, VIEWS}
    done.run({LIKES: "." * 20, VIEWS: "." * 20})
    assert of_interest(done.incidents) == set()


def test_two_services_may_be_judged_at_their_own_pace() -> None:
    sent = SeriesKey("messenger", "messages_sent")
    done = Play()
    done.keep(advance([], at(0), [finding(sent, 0, "d")], []))
    for k in range(6):  # the feed runs ahead: the other's weak sign is not forgotten for it
        done.keep(advance(done.incidents, at(k), [], [reading(LIKES, k)]))
    done.keep(advance(done.incidents, at(1), [finding(sent, 1, "d")], []))
    assert done.said == ["1 opened!"]
    assert done.one.started == at(0)


# --------------------------------------------------------------------------------------------------------- what lasts


def test_a_weak_onset_is_confirmed_by_what_stays_away_within_the_band() -> None:
    # An onset is a finding once; the band is wide enough for what happens once, not for what goes on.
    gone, first = at(1), finding(LIKES, 0, "d", score=1.1)
    step = advance([], at(0), [first], [])
    away = first.value + 0.2 * (first.expected - first.value)
    stays = Reading(LIKES, gone, away, first.expected, usual=True)
    confirmed = advance(step.living, gone, [], [stays])
    assert [e.reason for e in confirmed.events] == [Reason.OPENED]
    back = Reading(LIKES, gone, first.expected, first.expected, usual=True)
    assert advance(step.living, gone, [], [back]).events == ()


def test_what_is_half_as_bad_as_at_the_worst_has_not_recovered() -> None:
    first = finding(LIKES, 0, "d", score=9.0)
    living = advance([], at(0), [first], []).living
    for k in range(1, 8):
        away = first.value + 0.4 * (first.expected - first.value)
        living = advance(living, at(k), [], [Reading(LIKES, at(k), away, first.expected, usual=True)]).living
    assert living[0].status is Status.OPEN
    for k in range(8, 11):
        living = advance(living, at(k), [], [reading(LIKES, k)]).living
    assert (living[0].status, living[0].recovered_at) == (Status.RECOVERED, at(8))


def test_of_a_noisy_slice_the_band_decides_whether_it_is_back() -> None:
    noisy = replace(finding(IOS, 0, score=2.0), low=20.0, high=180.0)
    steady = replace(finding(IOS, 0, score=2.0), low=60.0, high=140.0)
    for first, status in ((noisy, Status.RECOVERED), (steady, Status.OPEN)):
        living = advance([], at(0), [first], []).living
        for k in range(1, 4):
            living = advance(living, at(k), [], [Reading(IOS, at(k), 70.0, 100.0, usual=True)]).living
        assert living[0].status is status


def test_a_slice_that_lingers_does_not_keep_the_incident_of_its_total_open() -> None:
    done = play({LIKES: "DD" + "." * 6, IOS: "DD" + "-" * 6})
    assert done.said == ["0 opened!", "4 recovered"]
    assert done.one.recovered_at == at(2)
    # Where no total takes part, it does.
    alone = play({IOS: "DD" + "-" * 6})
    assert alone.one.status is Status.OPEN


def test_a_slice_that_is_still_found_unusual_is_not_called_over_with_its_total() -> None:
    done = play({LIKES: "DD" + "." * 10, IOS: "D" * 6 + "-" * 6})
    assert [word for word in done.said if "updated" not in word] == ["0 opened!", "8 recovered"]
    assert done.one.recovered_at == at(6)
    done.run({LIKES: "....", IOS: "DD..."})
    assert [word for word in done.said if "updated" not in word][2:] == ["12 reopened", "16 recovered"]
