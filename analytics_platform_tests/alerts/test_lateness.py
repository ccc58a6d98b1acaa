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
        ({0: 0.9, 10: 0.1}, 15, 2),  # looks that far apart show no more than that the first was too early
        ({0: 0.9, 17: 0.1}, 15, 17),
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


def lived(seconds: float, days: float = 1, *, finely: bool = True) -> tuple[Arrivals, int]:
    """What is learned, and the number of looks, where a process looks when it says that it will, a little late. Rows
    happen evenly and come evenly up to so many seconds later.
    """

    def share(since: float) -> float:
        """Of a bucket's rows, those that have come so long after its start."""
        area = max(0.0, since) ** 2 - max(0.0, since - 900) ** 2 - max(0.0, since - seconds) ** 2
        return (area + max(0.0, since - 900 - seconds) ** 2) / (2 * 900 * seconds)

    learned, now, count = Arrivals(), START + timedelta(seconds=20), 0
    while now < START + timedelta(days=days):
        closed = bucket_of(now)
        starts = [closed - k * BUCKET for k in range(1, 13)]
        learned = learned.seen({start: round(4000 * share((now - start).total_seconds())) for start in starts}, now)
        count, wait = count + 1, lateness(learned)
        again = learned.look_again_at(now) if finely else None
        due = min(filter(None, (bucket_of(now - wait) + BUCKET + wait, again)))
        assert due > now
        now = due + timedelta(seconds=20)
    return learned, count


@pytest.mark.parametrize(
    ("seconds", "least", "most"), [(60, 1, 2), (120, 2, 4), (300, 5, 8), (780, 12, 16), (1200, 18, 20)]
)
def test_looks_soon_after_the_end_learn_a_lateness_of_minutes_as_such(seconds: int, least: int, most: int) -> None:
    for days in (0.25, 1, 2):  # and it stays so, though buckets are mostly judged when they are complete
        learned, looks = lived(seconds, days)
        assert least * MINUTE <= lateness(learned) <= most * MINUTE
        assert looks <= days * 7 * 96
        assert len(json.dumps(learned.as_json())) < 6_000


@pytest.mark.parametrize("seconds", [60, 300, 780, 1200])
def test_without_them_it_is_approached_from_below_look_by_look(seconds: int) -> None:
    """Never a wait of another quarter of an hour for rows that are a minute late."""
    learned, looks = lived(seconds, finely=False)
    assert looks < 1.3 * 96
    assert (seconds * 0.6) <= lateness(learned).total_seconds() <= seconds + 4 * 60


def test_a_bucket_that_still_grew_was_not_complete_before() -> None:
    bucket, learned = START, Arrivals()
    for after, rows in ((1, 900), (16, 950), (31, 1000), (46, 1000), (70, 1000), (200, 0)):
        learned = learned.seen({bucket: rows} if after < 180 else {}, bucket + BUCKET + after * MINUTE)
    assert learned.settled == {int(bucket.timestamp()): 17}


@pytest.mark.parametrize(
    "looks",
    [
        ((1, 900), (50, 1000), (65, 1000)),  # grew while nobody looked
        ((1, 900), (2, 950)),  # nobody has looked since
    ],
)
def test_a_process_that_was_asleep_learns_nothing_of_the_time(looks: tuple[tuple[int, int], ...]) -> None:
    learned = Arrivals()
    for after, rows in looks:
        learned = learned.seen({START: rows}, START + BUCKET + after * MINUTE)
    assert not learned.seen({}, START + timedelta(hours=4)).settled


def test_it_is_looked_again_soon_where_the_newest_bucket_grows_or_those_before_it_did() -> None:
    end = START + BUCKET
    one = Arrivals().seen({START: 990}, end + 0.3 * MINUTE)
    assert one.look_again_at(end + 0.3 * MINUTE) is None  # nothing says that it grows
    next_one = one.seen({START: 1000, end: 900}, end + BUCKET)  # there were more rows than at the first look
    assert next_one.look_again_at(end + BUCKET) == end + BUCKET + MINUTE
    grown = next_one.seen({START: 1000, end: 950}, end + BUCKET + 1.2 * MINUTE)
    assert grown.look_again_at(end + BUCKET + 1.2 * MINUTE) == end + BUCKET + 2 * MINUTE
    still = grown.seen({START: 1000, end: 950}, end + BUCKET + 2.2 * MINUTE)
    # Right after its end, or the wait that was learned would find it complete and show nothing.
    assert still.look_again_at(end + BUCKET + 2.2 * MINUTE) == end + 2 * BUCKET
    late = grown.seen({START: 1000, end: 990}, end + BUCKET + 12 * MINUTE)
    assert late.look_again_at(end + BUCKET + 12 * MINUTE) == end + 2 * BUCKET
    assert Arrivals().look_again_at(end) is None


def test_a_bucket_that_is_complete_when_it_is_first_looked_at_confirms_what_was_learned() -> None:
    learned, _ = lived(300)
    wait = lateness(learned)
    for k in range(200):  # as if looks came only when buckets are to be judged
        bucket = START + timedelta(days=1) + k * BUCKET
        counts = {bucket - j * BUCKET: 1000 for j in range(12)}
        learned = learned.seen(counts, bucket + BUCKET + wait)
    assert lateness(learned) == wait
    for k in range(1000):  # looks right after the end show that it has become quicker
        bucket = START + timedelta(days=4) + k * BUCKET
        learned = learned.seen({bucket - j * BUCKET: 1000 for j in range(12)}, bucket + BUCKET)
    assert lateness(learned) == timedelta()


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
