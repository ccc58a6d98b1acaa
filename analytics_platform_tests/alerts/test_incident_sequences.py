"""Whatever is found in whatever order: each finding has one incident, nothing is told twice, readers have peace."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

import pytest

from analytics_platform.alerts import by_hand
from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.incident import HOUR, Incident, Kind, Reason, Status
from analytics_platform.alerts.incident_json import decode, encode
from analytics_platform.alerts.incidents import advance
from analytics_platform.metrics.series import BUCKET, SeriesKey
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
    reading,
)

SERIES = (LIKES, VIEWS, USERS, CTR, IOS, ANDROID, SENT, SENDERS, SeriesKey("messenger", "senders", "os", "iOS"))
BUCKETS = 300
# How lively a series is: mostly usual, weak signs, flapping, one long level.
MOODS = ("." * 40 + "d", "." * 12 + "du", "..DD", "....X0", "D" * 30 + ".", "." * 9 + "UuDd-+?F ")


def stream(random: Random) -> Iterator[dict[SeriesKey, str]]:
    """Signs by bucket; each series changes its mood now and then."""
    moods = {series: random.choice(MOODS) for series in SERIES}
    for _ in range(BUCKETS):
        for series in SERIES:
            if random.random() < 0.05:
                moods[series] = random.choice(MOODS)
        yield {series: random.choice(moods[series]) for series in SERIES}


def check(done: Play, found: set[SeriesKey]) -> None:
    """What holds after every bucket."""
    step = done.steps[-1]
    keys = [one.key for one in (*step.incidents, *step.dropped)]
    assert len(keys) == len(set(keys))
    assert set(step.belongs) == found
    assert set(step.belongs.values()) <= set(keys)
    groups = Counter(
        (service, one.direction)
        for one in step.incidents
        if one.living and one.kind is Kind.ANOMALY
        for service in one.services
    )
    assert all(many == 1 for many in groups.values()), groups
    checked = {id(one) for one in done.steps[-2].incidents} if len(done.steps) > 1 else set()
    for one in step.incidents:
        if id(one) not in checked:  # the very same is what it was
            coherent(one)


def coherent(one: Incident) -> None:
    """What holds of any incident."""
    assert decode(encode(one), id=one.id) == one
    assert one.started <= one.last_bad
    assert (one.status is Status.PENDING) == (one.revision == 0)
    assert 0 <= one.loud_revision <= one.revision
    assert (one.loud_at is None) == (one.loud_revision == 0)
    assert (one.status is Status.CLOSED) == (one.ended is not None)
    assert not one.over or one.status is Status.CLOSED
    assert one.lead is not None
    assert one.member(one.lead) is not None
    assert one.services == tuple(sorted({member.series.service for member in one.members}))
    if one.status is Status.RECOVERED:
        assert one.duration is not None
        assert one.duration >= BUCKET
    totals = any(member.series.is_total for member in one.members)
    assert one.lead.is_total == totals


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_rules_hold(seed: int) -> None:
    random, done = Random(seed), Play()
    for signs in stream(random):
        before = {one.key: one for one in done.incidents}
        done.bucket(signs)
        check(done, {series for series, sign in signs.items() if sign not in ".-+? "})
        for one in done.steps[-1].incidents:
            if one.key in before:
                grown = one.revision - before[one.key].revision
                assert grown == len([event for event in done.steps[-1].events if event.key == one.key])
                assert one.loud_revision >= before[one.key].loud_revision
    assert len(done.every) > 3


@pytest.mark.parametrize("seed", range(12))
def test_readers_hear_of_a_service_and_direction_at_most_twice_an_hour(seed: int) -> None:
    random, done = Random(100 + seed), Play()
    loud: dict[tuple[str, Direction | None], list[datetime]] = {}
    for signs in stream(random):
        step = done.bucket(signs)
        for event in step.events:
            if event.loud:
                one = done.every[event.key]
                for service in one.services:
                    loud.setdefault((service, one.direction), []).append(event.moment)
    for moments in loud.values():
        for moment in moments:
            assert sum(moment <= other < moment + HOUR for other in moments) <= 2, moments
    # A whole day of nine series in every mood.
    assert sum(map(len, loud.values())) < 4 * BUCKETS / 96 * 24


@pytest.mark.parametrize("seed", range(4))
def test_a_series_that_flaps_for_days_is_told_a_few_times(seed: int) -> None:
    random, done = Random(seed), Play()
    for _ in range(3 * 96):
        done.bucket({LIKES: random.choice("DD....")})
    loud = [word for word in done.said if "!" in word]
    assert len(loud) <= 1 + 3 * 4 + 1, loud
    assert len(done.every) <= 8


@pytest.mark.parametrize("seed", range(6))
def test_two_services_at_different_paces_come_to_coherent_incidents(seed: int) -> None:
    random, done = Random(seed), Play()
    signs = list(stream(random))
    heads = {"feed": 0, "messenger": 0}
    while min(heads.values()) < BUCKETS:
        service = random.choice([name for name, head in heads.items() if head < BUCKETS])
        k = heads[service]
        mine = {series: sign for series, sign in signs[k].items() if series.service == service}
        found = [finding(series, k, sign) for series, sign in mine.items() if sign not in ".-+? "]
        heard = [reading(series, k, sign) for series, sign in mine.items() if sign in ".-+?"]
        done.keep(advance(done.incidents, at(k), found, heard))
        heads[service] += 1
        check(done, {one.series for one in found})


def handled(one: Incident, now: datetime, random: Random) -> by_hand.Changed:
    """Somebody does something."""
    match random.randrange(5):
        case 0:
            return by_hand.acknowledged(one, "Ann", now)
        case 1:
            return by_hand.muted(one, now + random.randint(1, 8) * HOUR, "Ann", now)
        case 2:
            return by_hand.unmuted(one, "Ann", now)
        case 3:
            return by_hand.closed(one, "Ann", now)
    return by_hand.judged(one, random.choice(list(Verdict)), "Ann", now)


@pytest.mark.parametrize("seed", range(8))
def test_people_in_the_midst_of_it_break_nothing(seed: int) -> None:
    random, done = Random(seed), Play()
    for signs in stream(random):
        done.bucket(signs)
        for event in done.steps[-1].events:
            one = done.every[event.key]
            assert not event.loud or one.muted_until is None or one.muted_until <= event.moment + BUCKET
            assert event.reason is not Reason.REMINDER or not one.acknowledged_by
        for one in done.incidents:
            if random.random() < 0.05:
                now = at(done.now)
                after, made = handled(one, now, random)
                assert (after == one) == (made is None)
                assert made is None or (made.revision == after.revision == one.revision + 1 and not made.loud)
                done.change(after)
        for one in done.incidents:
            coherent(one)


def test_the_end_of_everything_is_calm() -> None:
    done = Play()
    for signs in stream(Random(1)):
        done.bucket(signs)
    for _ in range(4 * 24):
        done.bucket(dict.fromkeys(SERIES, "."))
    assert done.incidents == ()
    assert all(one.status is Status.CLOSED and one.over for one in done.every.values())
    assert all(one.recovered_at is not None for one in done.every.values() if one.ended is Reason.CLOSED)
    assert max(one.closed_at for one in done.every.values() if one.closed_at) <= at(BUCKETS) + timedelta(hours=6)
