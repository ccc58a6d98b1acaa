"""What a verdict changes in thresholds, and what a week of them says."""

from dataclasses import replace
from datetime import timedelta

import pytest

from analytics_platform.alerts.feedback import (
    FADES,
    Judgement,
    Precision,
    Verdict,
    latest,
    precision,
    sensitivities,
    sentences,
    thresholds,
    worst_scores,
)
from analytics_platform.alerts.incident import Kind
from analytics_platform.metrics.series import SeriesKey
from analytics_platform_tests.alerts.scenes import IOS, LIKES, NOON, VIEWS, at, play

DAY = timedelta(days=1)


def said(
    verdict: Verdict, day: float = 0, *, worst: float = 1.1, name: str = "", series: SeriesKey = LIKES
) -> Judgement:
    return Judgement(name or f"{series} {day}", verdict, NOON + day * DAY, "Ann", {series: worst})


def test_after_a_false_alarm_the_same_score_would_not_alert() -> None:
    changed = thresholds([said(Verdict.FALSE_ALARM, worst=1.1)], NOON)
    assert changed == {"likes": pytest.approx(1.1 * 1.02)}
    assert 1.1 / changed["likes"] < 1
    assert sensitivities([said(Verdict.FALSE_ALARM, worst=1.1)], NOON) == {"likes": pytest.approx(1 / 1.122)}


def test_one_verdict_changes_a_threshold_by_a_fifth_and_all_of_them_by_two_and_a_half() -> None:
    many = [said(Verdict.FALSE_ALARM, n / 1000, worst=50) for n in range(20)]
    assert thresholds(many[:1], NOON)["likes"] == pytest.approx(1.2)
    assert thresholds(many[:2], NOON + DAY)["likes"] == pytest.approx(1.44, rel=0.02)
    assert thresholds(many, NOON + 0.02 * DAY)["likes"] == pytest.approx(2.5, rel=0.01)
    assert thresholds(many, NOON + 0.02 * DAY)["likes"] <= 2.5


def test_real_ones_lower_it_again_and_no_further_than_to_four_fifths() -> None:
    both = [said(Verdict.FALSE_ALARM, 0, worst=5), said(Verdict.REAL, 0.001)]
    assert thresholds(both, NOON + DAY / 100)["likes"] == pytest.approx(1.2 * 0.95, rel=0.01)
    many = [said(Verdict.REAL, n / 1000) for n in range(20)]
    assert thresholds(many, NOON + DAY / 50)["likes"] == pytest.approx(0.8, rel=0.01)
    assert thresholds(many, NOON + DAY / 50)["likes"] >= 0.8


def test_what_was_said_fades_within_sixty_days() -> None:
    one = [said(Verdict.FALSE_ALARM, worst=5)]
    half = thresholds(one, NOON + FADES / 2)["likes"]
    assert half == pytest.approx(1.2**0.5)
    assert thresholds(one, NOON + FADES)["likes"] == 1.0
    assert thresholds(one, NOON + 2 * FADES)["likes"] == 1.0
    assert thresholds(one, NOON - DAY) == {}  # not said yet


def test_only_the_last_verdict_on_an_incident_counts() -> None:
    mind = [said(Verdict.FALSE_ALARM, 0, worst=5, name="x"), said(Verdict.EXPECTED, 1, name="x")]
    assert thresholds(mind, NOON + 2 * DAY) == {}
    assert [one.verdict for one in latest(reversed(mind))] == [Verdict.EXPECTED]


def test_a_judgement_is_about_the_totals_or_about_the_slices_when_there_is_none() -> None:
    both = Judgement("x", Verdict.FALSE_ALARM, NOON, "", {LIKES: 1.1, SeriesKey("feed", "views", "os", "iOS"): 3.0})
    assert set(thresholds([both], NOON)) == {"likes"}
    assert set(thresholds([said(Verdict.FALSE_ALARM, series=IOS)], NOON)) == {"likes"}


def test_expected_and_new_normal_say_nothing_against_the_detector() -> None:
    assert thresholds([said(Verdict.EXPECTED), said(Verdict.NEW_NORMAL, 1)], NOON + DAY) == {}


def test_a_judgement_remembers_the_worst_scores() -> None:
    assert worst_scores(play({LIKES: "DD", VIEWS: ".d"}).one) == {LIKES: 2.0, VIEWS: 1.2}


def test_the_week_counts_what_was_told_aloud_and_opened_in_it() -> None:
    told = play({LIKES: "DD"}).one
    every = [
        *(replace(told, verdict=verdict) for verdict in ("real", "real", "real", "false_alarm", "expected", "", "")),
        replace(told, verdict="real", opened_at=at(-1)),
        replace(told, verdict="real", loud_revision=0),
        replace(told, verdict="real", kind=Kind.LATE_DATA),
    ]
    week = precision(every, NOON, NOON + 7 * DAY)
    assert week == Precision(NOON, NOON + 7 * DAY, real=3, false_alarms=1, expected=1, unjudged=2)
    assert (week.value, week.told) == (0.75, 7)
    assert sentences(week, {"likes": 1.2, "views": 1.0, "ctr": 0.9}) == [
        "7 incidents were told.",
        "3 of 4 judged were real: precision 75%.",
        "1 was right, but expected or the new normal; they do not count in it.",
        "2 were not judged; each verdict makes the next alert better.",
        "By these and earlier verdicts likes alerts less easily: threshold times 1.20.",
        "By these and earlier verdicts ctr alerts more easily: threshold times 0.90.",
    ]


def test_a_week_without_verdicts_has_no_precision() -> None:
    assert sentences(precision([], NOON, NOON + DAY)) == ["No incident was told."]
    week = precision([play({LIKES: "DD"}).one], NOON, NOON + DAY)
    assert week.value is None
    assert sentences(week) == [
        "1 incident was told.",
        "None was judged real or a false alarm, so the precision is not known.",
        "1 was not judged; each verdict makes the next alert better.",
    ]
