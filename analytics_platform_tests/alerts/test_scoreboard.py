"""The scoreboard's rules, one by one: what is the same incident, what found it, what is false, what was blamed."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from analytics_platform.alerts.explanation import Explanation, Part, Slice, Verdict
from analytics_platform.alerts.findings import Direction, Finding, Severity, What
from analytics_platform.alerts.grouping import joined
from analytics_platform.alerts.incident import Event, Incident, Kind, Reason, Status
from analytics_platform.alerts.replay import Replayed, Told
from analytics_platform.alerts.scoreboard import Planted, Score, Scoreboard, blame, planted, rows, score, span, summary
from analytics_platform.detectors.base import PER_WEEK, STEP, Block, Verdicts
from analytics_platform.language import Language
from analytics_platform.metrics.series import BUCKET, SeriesKey
from analytics_platform_tests.alerts.yesterday import CTR, LIKES, SENT, VIEWS

NOON = datetime(2026, 10, 9, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
UTC_ZONE, ENGLISH = ZoneInfo("UTC"), Language("en")


@dataclass(frozen=True)
class Row:
    """A row of the truth."""

    kind: str
    metric: str
    slice: str = ""
    start: datetime = NOON
    end: datetime = NOON + 1.5 * HOUR
    size: float = 0.0


OUTAGE = Row("outage", "feed_actions")


def told(
    *series: SeriesKey,
    start: datetime = NOON,
    lasts: timedelta = HOUR,
    opened: timedelta = timedelta(),
    way: Direction = Direction.DOWN,
) -> Told:
    """An incident of these series that opened that long after its start."""
    finding = Finding(series[0], start, What.JUMP, way, Severity.WARNING, 3, 0, 100, 80, 120)
    last = start + lasts - BUCKET
    members = tuple(replace(joined(None, replace(finding, series=key)), last=last) for key in series)
    incident = Incident(
        key=f"{start} {series[0]}",
        kind=Kind.ANOMALY,
        status=Status.CLOSED,
        started=start,
        last_bad=last,
        services=tuple(sorted({key.service for key in series})),
        direction=way,
        lead=series[0],
        members=members,
        opened_at=start + opened,
        recovered_at=start + lasts,
    )
    return Told(incident, (Event(incident.key, 1, Reason.OPENED, True, start + opened),))


def replayed(*every: Told) -> Replayed:
    """Two weeks from a week before noon on."""
    times = int((NOON - timedelta(weeks=1)).timestamp()) + STEP * np.arange(2 * PER_WEEK)
    block = Block.plain(times, np.full((1, len(times)), 100.0))
    return Replayed((VIEWS,), block, Verdicts.unknown(1, len(times)), np.zeros((1, len(times)), bool), every)


def board(*every: Told, truth: tuple[Row, ...] = (OUTAGE,), since: datetime = NOON - timedelta(days=1)) -> Scoreboard:
    """Without explanations."""
    return score(truth, replayed(*every), lambda _incident: None, since)


def test_rows_of_one_thing_are_one_incident_and_daily_figures_are_none() -> None:
    dark = [Row("dark_city", m, f"city={c}") for c in ("Moscow", "Kazan") for m in ("feed_actions", "message_actions")]
    campaign = [Row("campaign", "new_users", "source=ads", size=6), Row("campaign", "retention_day_1", "source=ads")]
    found = {one.kind: one for one in planted([*dark, *campaign])}
    assert found["dark_city"].slices == ("city=Kazan", "city=Moscow")
    assert found["dark_city"].services == ("feed", "messenger")
    assert found["dark_city"].direction is Direction.DOWN
    assert (found["campaign"].metrics, found["campaign"].direction) == (("new_users",), Direction.UP)
    assert planted([campaign[1]]) == ()


def test_an_incident_in_the_time_the_service_and_the_direction_found_it() -> None:
    found = board(told(VIEWS, LIKES, start=NOON + BUCKET, opened=BUCKET))
    assert found.found == 1
    assert found.scores[0].delay == timedelta(minutes=45), "to the end of the bucket that opened it"
    assert (found.false, found.beside) == ((), ())


@pytest.mark.parametrize(
    "wrong",
    [
        told(SENT),
        told(VIEWS, way=Direction.UP),
        told(VIEWS, start=NOON - 2 * BUCKET),
        told(VIEWS, start=NOON + 1.5 * HOUR),
        told(VIEWS, start=NOON + HOUR, lasts=3 * HOUR, opened=HOUR),
    ],
    ids=["another service", "the other way", "open before", "after it", "told when it was over"],
)
def test_any_other_has_not(wrong: Told) -> None:
    assert board(wrong).found == 0


def test_of_several_the_first_told_found_it() -> None:
    late, early = told(VIEWS, opened=HOUR), told(LIKES, start=NOON + BUCKET)
    found = board(late, early)
    assert found.scores[0].told == early
    assert found.beside == (late,)


def test_a_slide_of_the_click_rate_is_found_by_ctr_or_likes_alone() -> None:
    slide = Row("ctr_slide", "ctr", size=0.82, end=NOON + timedelta(days=5))
    assert board(told(VIEWS), truth=(slide,)).found == 0
    assert board(told(CTR), truth=(slide,)).found == 1
    assert board(told(LIKES), truth=(slide,)).found == 1


def test_false_is_what_overlaps_nothing_of_its_service_nor_the_hour_after() -> None:
    echo, other = told(VIEWS, start=NOON + 2 * HOUR, way=Direction.UP), told(SENT, start=NOON + 0.5 * HOUR)
    later = told(VIEWS, start=NOON + 3 * HOUR)
    found = board(echo, other, later)
    assert found.beside == (echo,)
    assert set(found.false) == {other, later}


def test_what_began_before_the_detector_could_tell_is_left_out_and_said() -> None:
    later = replace(OUTAGE, start=NOON + timedelta(days=2), end=NOON + timedelta(days=3))
    found = board(told(VIEWS), truth=(OUTAGE, later), since=NOON + timedelta(days=1))
    assert [one.start for one in found.skipped] == [NOON]
    assert len(found.scores) == 1
    assert found.weeks == pytest.approx(6 / 7)
    assert "are learned from and not judged; 1 planted incident lay there." in summary(found, UTC_ZONE)[1]


def test_what_is_planted_after_the_replay_is_not_asked_for() -> None:
    assert board(truth=(replace(OUTAGE, start=NOON + timedelta(weeks=1), end=NOON + timedelta(weeks=2)),)).scores == ()


def explanation(verdict: Verdict, *parts: Part) -> Explanation:
    slices = tuple(Slice((part,), 0, 100, 1, 9) for part in parts)
    return Explanation(verdict, Direction.DOWN, False, 0, 100, slices)


@pytest.mark.parametrize(
    ("slices", "said", "right", "words"),
    [
        ((), explanation(Verdict.BROAD), True, "everybody"),
        ((), explanation(Verdict.SLICE, Part("os", ("iOS",))), False, "OS: iOS"),
        (("city=Moscow",), explanation(Verdict.SLICE, Part("city", ("Kazan", "Moscow"))), True, "city: Kazan, Moscow"),
        (("city=Moscow",), explanation(Verdict.BROAD), False, "everybody"),
        (("city=Moscow",), explanation(Verdict.NOT_ENOUGH), None, "too little to tell"),
        ((), explanation(Verdict.MIX), True, "mix"),
    ],
)
def test_blame(slices: tuple[str, ...], said: Explanation, right: bool | None, words: str) -> None:
    one = Planted("outage", NOON, NOON + HOUR, ("feed_actions",), slices, Direction.DOWN)
    assert Score(one, told(VIEWS), said).right is right
    assert blame(said, ENGLISH) == words


def test_the_board_as_it_is_shown() -> None:
    dark = Row("dark_city", "feed_actions", "city=Moscow", NOON + timedelta(days=2), NOON + timedelta(days=3))
    false = told(SENT, start=NOON + timedelta(days=1))
    found = score(
        (OUTAGE, dark),
        replayed(told(VIEWS, LIKES, opened=BUCKET), false),
        lambda _incident: explanation(Verdict.BROAD),
        NOON - timedelta(days=1),
    )
    assert list(rows(found, UTC_ZONE, ENGLISH)) == [
        {
            "planted": "outage",
            "in": "feed_actions",
            "from": "2026-10-09 12:00",
            "lasted": "1 h 30 min",
            "told after": "30 min",
            "told as": "feed views down and 1 more",
            "blamed on": "everybody",
            "right": "yes",
        },
        {
            "planted": "dark city",
            "in": "Moscow",
            "from": "2026-10-11 12:00",
            "lasted": "1 d",
            "told after": "not seen",
            "told as": "",
            "blamed on": "",
            "right": "",
        },
    ]
    assert summary(found, UTC_ZONE) == (
        "1 of 2 planted incidents was told, half of them within 30 min; 1 false alarm in 1.1 weeks (0.9 a week, all "
        "metrics and slices together).",
        "The days before 2026-10-08 are learned from and not judged.",
        "False: 2026-10-10 12:00 messenger messages_sent down.",
    )


def test_lengths_of_time() -> None:
    assert [span(timedelta(minutes=m)) for m in (0, 45, 60, 90, 1440, 3645)] == [
        "0 min",
        "45 min",
        "1 h",
        "1 h 30 min",
        "1 d",
        "2 d 12 h 45 min",
    ]
