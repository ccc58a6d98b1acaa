"""First days stay right in whatever order days are computed, more than once, and over events that change in between."""

import random
from collections.abc import Sequence
from datetime import UTC, date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_platform.metrics import app_queries
from analytics_platform.metrics.app import OTHER, Service, Slice
from analytics_platform.metrics.tables import FIRST_SEEN
from analytics_platform.queries import Query
from analytics_platform_tests.metrics.app_product import (
    BERLIN,
    DAY,
    USER_DAY,
    WORLD,
    App,
    Rewritable,
    at,
    computed,
    fresh,
)
from analytics_platform_tests.metrics.product import Events, Row, dates, feed, message

FEED = Slice(Service.FEED)


def without(events: Events, days: Sequence[date], chance: random.Random) -> Events:
    """The events without half of the users and posts on those days."""
    users, posts = ({k for k in range(2_000) if chance.random() < 0.5} for _ in range(2))

    def kept(row: Row) -> bool:
        day = row["time"].replace(tzinfo=UTC).astimezone(BERLIN).date()
        return day not in days or (row["user_id"] in users and row.get("post_id", -1) not in posts)

    return Events([r for r in events.feed if kept(r)], [r for r in events.messages if kept(r)])


@pytest.mark.parametrize("seed", range(2))
def test_days_in_any_order_with_repeats_and_reloads_agree(engine: Rewritable, weeks: Events, seed: int) -> None:
    chance = random.Random(seed)
    days = dates(DAY - timedelta(days=13), 14)
    fewer = without(weeks, chance.sample(days, 3), chance)
    app = fresh(engine)
    engine.hold(weeks)
    shuffled = chance.sample(days, 12)
    app.compute(weeks, *shuffled, *chance.sample(shuffled, 3))
    app.assert_frame(DAY)
    engine.hold(fewer)  # users and posts are gone from three days
    for day in chance.sample(days, 9):
        app.compute(fewer, day)
        app.assert_frame(DAY)
    engine.hold(weeks)  # and come back
    app.compute(weeks, *chance.sample(days, 14))
    app.assert_frame(DAY, *days[-3:])
    app.assert_table()


def first_rows(app: App) -> list[tuple[object, ...]]:
    """What facts/first_seen stores."""
    text = f"SELECT event_date, kind, id FROM results.{FIRST_SEEN.name} ORDER BY ALL"
    return [tuple(row.values()) for row in app.engine.rows(Query("rows", text))]


def test_days_in_order_store_each_id_once(engine: Rewritable, weeks: Events) -> None:
    app = computed(engine, weeks, *range(17, -1, -1))
    rows = first_rows(app)
    assert len({row[1:] for row in rows}) == len(rows)
    assert [r for r in rows if r[1] == "post"]
    app.compute(weeks, *(DAY - timedelta(days=k) for k in (17, 3, 0, 9)))
    assert first_rows(app) == rows


def test_a_half_done_replacement_does_no_harm(engine: Rewritable, weeks: Events) -> None:
    """The rows for later days are there and the day itself is not replaced: a warehouse without transactions died."""
    app = computed(engine, weeks, *range(10, -1, -1))
    gone = without(weeks, [DAY - timedelta(days=10)], random.Random(3))
    engine.hold(gone)
    before = first_rows(app)
    frame = app.frame(DAY)
    day = DAY - timedelta(days=10)
    engine.replace_day(USER_DAY, day, Query("none", f"SELECT * FROM results.{USER_DAY.name} WHERE false"))
    for _ in range(2):  # and died again: nothing is added twice
        engine.engine.write(FIRST_SEEN, app_queries.first_seen_left(day))
    assert len(first_rows(app)) > len(before)
    assert len(set(first_rows(app))) == len(first_rows(app))
    assert app.frame(DAY).series[FEED][-10:] == frame.series[FEED][-10:]
    app.compute(gone, day)
    app.assert_frame(DAY)


def test_a_post_has_no_attributes_though_a_user_has_its_number(engine: Rewritable) -> None:
    first = Events([feed(7, at(2), post=7), feed(7, at(1), post=7)])
    app = computed(engine, first, 2, 1)
    engine.hold(Events(first.feed[1:]))
    app.compute(Events(first.feed[1:]), DAY - timedelta(days=2))
    text = f"SELECT kind, event_date, source, os, country FROM results.{FIRST_SEEN.name} ORDER BY kind"
    yesterday = DAY - timedelta(days=1)
    assert [tuple(row.values()) for row in engine.rows(Query("rows", text))] == [
        ("feed", yesterday, "ads", "iOS", "Russia"),
        ("post", yesterday, "unknown", "unknown", "unknown"),
    ]
    app.assert_frame(DAY)


_TIMES = [at(ago, hour) for ago in (0, 1, 7, 8) for hour in (0, 23)]
_WHO = st.fixed_dictionaries(
    {
        "os": st.sampled_from(["iOS", "Android"]),
        "country": st.sampled_from([*WORLD, OTHER]),
        "source": st.sampled_from(["ads", "organic"]),
    }
)
_FEED = st.builds(
    lambda user, time, action, post, who: feed(user, time, action, post, **who),
    st.integers(1, 4),
    st.sampled_from(_TIMES),
    st.sampled_from(["view", "like", "share"]),
    st.integers(1, 4),
    _WHO,
)
_MESSAGES = st.builds(
    lambda user, to, time, who: message(user, to, time, **who),
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from(_TIMES),
    _WHO,
)
_EVENTS = st.builds(Events, st.lists(_FEED, max_size=8), st.lists(_MESSAGES, max_size=6))
_ORDER = st.lists(st.sampled_from([0, 1, 7, 8]), min_size=1, max_size=4)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(loads=st.lists(st.tuples(_EVENTS, _ORDER), min_size=1, max_size=3))
def test_random_events_loaded_and_computed_in_random_order_agree(
    engine: Rewritable, loads: list[tuple[Events, list[int]]]
) -> None:
    app = fresh(engine)
    for events, order in loads:
        engine.hold(events)
        app.compute(events, *(DAY - timedelta(days=k) for k in order))
        app.assert_frame(DAY)
    app.assert_table()
