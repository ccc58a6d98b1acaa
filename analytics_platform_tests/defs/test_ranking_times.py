"""When rankings are due, when they are stale, and who hears of it."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from analytics_platform.defs.ranking_times import Due, Standing, due, stale
from analytics_platform.defs.rankings import lifetime
from analytics_platform.settings import Settings

NOW = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
SLOT = datetime(2026, 3, 10, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = Settings()
RANKED = Standing(stored=SLOT, published=SLOT, newest=NOW, redis=True)


def test_at_its_time_a_day_is_ranked_as_of_that_time_however_late_the_tick_is() -> None:
    yesterdays = replace(RANKED, stored=SLOT - 24 * HOUR, newest=SLOT)
    assert due(yesterdays, SETTINGS, SLOT).as_of == SLOT
    assert due(yesterdays, SETTINGS, SLOT + timedelta(minutes=59)).as_of == SLOT


def test_what_was_missed_is_ranked_as_of_now() -> None:
    for stored in (None, SLOT - 24 * HOUR, SLOT - timedelta(days=9)):
        assert due(replace(RANKED, stored=stored), SETTINGS, NOW).as_of == NOW


def test_before_todays_time_yesterdays_ranking_is_enough() -> None:
    early = SLOT - HOUR
    assert due(replace(RANKED, stored=SLOT - 24 * HOUR, published=SLOT - 24 * HOUR), SETTINGS, early).as_of is None
    assert due(replace(RANKED, stored=SLOT - 25 * HOUR), SETTINGS, early).as_of == early


def test_the_time_is_a_wall_clocks_in_the_zone() -> None:
    settings = Settings(timezone="Asia/Tokyo", ranking_time=time(4, 30))
    slot = datetime(2026, 3, 9, 19, 30, tzinfo=UTC)  # 04:30 of 10 March in Tokyo
    earlier = replace(RANKED, stored=slot - HOUR, newest=slot)
    assert due(earlier, settings, slot - timedelta(seconds=1)).as_of is None
    assert due(earlier, settings, slot).as_of == slot


def test_with_one_ranking_a_day_the_hour_that_clocks_skip_is_none_to_wait_for() -> None:
    settings = Settings(timezone="Europe/Berlin", ranking_time=time(2, 30))
    changed = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 02:30 does not exist on that day
    earlier = replace(RANKED, stored=changed - 24 * HOUR, newest=changed)
    assert due(earlier, settings, changed + timedelta(minutes=1)).as_of == changed


def test_without_events_there_is_nothing_to_rank() -> None:
    assert due(replace(RANKED, newest=None), SETTINGS, NOW).said == "user_events is empty: there is nothing to rank"


def test_a_time_shortly_before_midnight_is_not_missed_at_midnight() -> None:
    settings = Settings(ranking_time=time(23, 58))
    slot = datetime(2026, 3, 9, 23, 58, tzinfo=UTC)
    assert due(replace(RANKED, stored=slot - 24 * HOUR), settings, slot + timedelta(minutes=3)).as_of == slot


@pytest.mark.parametrize("published", [None, SLOT - 24 * HOUR])
def test_a_ranking_that_is_not_in_redis_is_published_without_being_made_again(published: datetime | None) -> None:
    assert due(replace(RANKED, published=published), SETTINGS, NOW).publish
    assert not due(replace(RANKED, published=published, redis=False), SETTINGS, NOW).publish
    # Nobody knows what is there while it does not answer.
    silent = replace(RANKED, published=published, trouble="Redis does not answer")
    assert due(silent, SETTINGS, NOW) == Due(said="Redis does not answer")


def test_an_old_ranking_is_not_published() -> None:
    old = replace(RANKED, stored=SLOT, published=None, newest=SLOT)
    assert not due(old, SETTINGS, SLOT + 24 * HOUR - timedelta(seconds=1)).as_of
    assert not due(old, SETTINGS, SLOT + 24 * HOUR + timedelta(minutes=1)).publish


def test_fresh_for_a_day_and_the_time_that_making_the_next_one_takes() -> None:
    assert stale(RANKED, SETTINGS, SLOT + timedelta(hours=24, minutes=14)) == ("", "")
    stored, published = stale(RANKED, SETTINGS, SLOT + timedelta(hours=24, minutes=15))
    assert stored == "the newest ranking is as of 2026-03-10 02:00 UTC, a day and more ago"
    assert published == "the newest ranking in Redis is as of 2026-03-10 02:00 UTC, a day and more ago"


def test_what_is_stale_for_want_of_events_says_so() -> None:
    stored, _ = stale(replace(RANKED, newest=SLOT - HOUR), SETTINGS, SLOT + 30 * HOUR)
    assert stored.endswith("; user_events has no event since 2026-03-10 01:00 UTC")


def test_each_place_is_judged_by_itself() -> None:
    def of(**other: object) -> tuple[str, str]:
        return stale(replace(RANKED, **other), SETTINGS, NOW)  # type: ignore[arg-type]  # by name, as replace takes them

    assert of(published=None) == ("", "there is no ranking in Redis")
    assert of(published=None, trouble="Redis does not answer") == ("", "Redis does not answer")
    assert of(published=None, redis=False) == ("", "")
    assert of(stored=None, published=None, newest=None) == ("", "")
    assert of(stored=None)[0] == "there is no ranking"


def test_a_day_of_25_hours_makes_no_ranking_stale() -> None:
    settings = Settings(timezone="Europe/Berlin")
    made = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)  # 02:00 in Berlin, an hour before clocks are set back
    last = replace(RANKED, stored=made, published=made)
    assert stale(last, settings, made + timedelta(hours=25, minutes=14)) == ("", "")
    assert all(stale(last, settings, made + timedelta(hours=25, minutes=15)))
    assert lifetime(settings, made) == timedelta(hours=26)
    assert lifetime(settings, made - 24 * HOUR) == timedelta(hours=25)
