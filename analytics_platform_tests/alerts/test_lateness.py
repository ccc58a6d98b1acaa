"""How late events come is learned from looks; what does not come at all holds back the judging, an outage does not."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from analytics_platform.alerts.lateness import Arrivals, Standing, late_since, lateness
from analytics_platform.metrics.series import BUCKET, bucket_of

START = datetime(2026, 5, 5, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BUSY, QUIET = [1000.0] * 96, [2.0] * 96


def looked(days: float, late: Mapping[int, float], every: int = 15, offset: int = 1) -> Arrivals:
    """What is learned in that time. `late`: share of a bucket's 1,000 rows by the minutes after its end they come."""
    learned, now = Arrivals(), START + offset * MINUTE
    while now < START + timedelta(days=days):
        counts = {}
        for k in range(20):
            bucket = bucket_of(now) - k * BUCKET
            since = (now - bucket - BUCKET) / MINUTE
            counts[bucket] = round(1000 * sum(share for minutes, share in late.items() if since >= minutes))
        learned = learned.seen({bucket: rows for bucket, rows in counts.items() if rows}, now)
        now += every * MINUTE
    return learned


@pytest.mark.parametrize(
    ("late", "every", "minutes"),
    [
        ({0: 1.0}, 15, 0),
        ({0: 0.9, 10: 0.1}, 15, 16),  # as exactly as looks come
        ({0: 0.9, 10: 0.1}, 1, 10),
        ({0: 0.5, 20: 0.3, 50: 0.2}, 5, 51),
        ({0: 0.997, 100: 0.003}, 15, 0),  # a few latecomers are nobody's outage
        ({40: 1.0}, 5, 41),  # exported as a whole
    ],
)
def test_lateness_is_when_nearly_all_rows_of_nearly_all_buckets_were_there(
    late: Mapping[int, float], every: int, minutes: int
) -> None:
    assert lateness(looked(0.5, late, every)) == minutes * MINUTE


def test_a_source_that_is_loaded_as_a_whole_is_not_late() -> None:
    everything = {START - k * BUCKET: 500 for k in range(-20, 200)}
    learned = Arrivals()
    for hours in (0, 1, 7, 30):
        learned = learned.seen(everything, START + timedelta(hours=hours, minutes=3))
    assert lateness(learned) == timedelta()
    assert lateness(Arrivals()) == timedelta()


def test_no_bucket_is_left_alone_for_more_than_two_hours_and_a_person_overrules() -> None:
    learned = looked(1, {0: 0.5, 150: 0.5})
    assert lateness(learned) == timedelta(minutes=120)
    assert lateness(learned, timedelta(minutes=7)) == timedelta(minutes=7)


def test_one_bad_hour_does_not_make_a_source_late_and_is_forgotten_after_a_week() -> None:
    learned = looked(2, {0: 1.0})
    bad = dict.fromkeys(list(learned.settled)[:4], 90)
    assert lateness(Arrivals(learned.watched, {**learned.settled, **bad})) == timedelta()
    later = Arrivals(learned.watched, bad).seen({}, START + timedelta(days=9))
    assert not later.settled


def test_what_was_learned_survives_as_json_and_stays_small() -> None:
    learned = looked(8, {0: 0.9, 10: 0.1})
    text = json.dumps(learned.as_json())
    assert Arrivals.from_json(json.loads(text)) == learned
    assert Arrivals.from_json({}) == Arrivals()
    assert len(learned.settled) <= 7 * 96
    assert len(text) < 20_000


def standing(newest: datetime | None, closed: datetime, usual: list[float]) -> Standing:
    return late_since({"feed_actions": newest}, {"feed_actions": usual}, {"feed_actions": closed})["feed_actions"]


def test_a_source_that_comes_as_usual_is_judged_to_its_newest_bucket() -> None:
    assert standing(START + 2 * MINUTE, START, BUSY) == Standing(START)


def test_buckets_after_the_newest_event_are_held_where_many_would_have_come() -> None:
    newest = START + 14 * MINUTE  # of that bucket, 67 are missing
    assert standing(newest, START + BUCKET, BUSY) == Standing(START, newest)
    assert standing(newest, START + 8 * BUCKET, BUSY) == Standing(START, newest)


def test_a_bucket_that_lacks_next_to_nothing_is_judged_and_the_next_is_held() -> None:
    newest = START + 14.5 * MINUTE
    assert standing(newest, START + BUCKET, BUSY) == Standing(START + BUCKET)
    assert standing(newest, START + 3 * BUCKET, BUSY) == Standing(START + BUCKET, newest)


def test_a_newer_event_shows_that_the_source_lives_and_the_gap_is_judged() -> None:
    """Nothing came for two hours, then one event: the zeros between are real."""
    assert standing(START + 8 * BUCKET, START + 8 * BUCKET, BUSY) == Standing(START + 8 * BUCKET)


def test_a_source_of_few_events_is_judged_until_many_are_missing() -> None:
    assert standing(START, START + 24 * BUCKET, QUIET) == Standing(START + 24 * BUCKET)
    assert standing(START, START + 40 * BUCKET, QUIET) == Standing(START + 24 * BUCKET, START)
    assert standing(None, START, QUIET) == Standing(START)
    assert standing(START - timedelta(days=30), START, [0.0] * 96) == Standing(START)


def test_the_night_in_which_nobody_comes_holds_nothing() -> None:
    by_day = [0.0] * 24 + [400.0] * 72  # nobody before 6:00 UTC
    evening = START - timedelta(hours=6, minutes=1)
    assert standing(evening, START, by_day) == Standing(START)
    assert standing(evening, START + BUCKET, by_day) == Standing(START, evening)


def test_whether_the_other_sources_come_is_told() -> None:
    closed = {"feed_actions": START, "message_actions": START}
    usual = {"feed_actions": BUSY, "message_actions": BUSY}
    old = START - timedelta(hours=1)
    found = late_since({"feed_actions": old, "message_actions": START}, usual, closed)
    assert found["feed_actions"] == Standing(old, old, True)
    assert found["message_actions"] == Standing(START, None, False)
    both = late_since({"feed_actions": old, "message_actions": old}, usual, closed)
    assert [s.others_arrive for s in both.values()] == [False, False]
