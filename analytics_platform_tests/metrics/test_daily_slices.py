"""facts/user_day and metrics/daily_slices against the oracle: every row, every cell.

Simulated days in zones whose days are not 24 hours, hand-made events that break naive statements, days computed in any
order, and small random tables.
"""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_platform.simulate.scenario import Scenario
from analytics_platform_tests.metrics.conftest import Stored
from analytics_platform_tests.metrics.oracle import Oracle
from analytics_platform_tests.metrics.product import (
    Events,
    InMemory,
    Product,
    Row,
    assert_same,
    dates,
    feed,
    message,
    simulated,
)

BERLIN, KATHMANDU, SAO_PAULO = (ZoneInfo(z) for z in ("Europe/Berlin", "Asia/Kathmandu", "America/Sao_Paulo"))
MOMENT = timedelta(microseconds=1)

SPRING = Scenario(
    date(2026, 3, 25),
    7,
    300,
    1,
    BERLIN,
    empty_days=frozenset({date(2026, 3, 27)}),
    messages_only_days=frozenset({date(2026, 3, 30)}),
)
SCENARIOS = {
    "23 hours, an empty day, a day of messages only": SPRING,
    "25 hours": Scenario(date(2026, 10, 23), 4, 150, 2, BERLIN),
    "45 minutes off": Scenario(date(2026, 5, 1), 4, 150, 3, KATHMANDU),
    "no midnight": Scenario(date(2018, 11, 2), 4, 150, 4, SAO_PAULO),
}
MONTH = Scenario(date(2026, 3, 1), 34, 50, 12, BERLIN)


def at(day: date, hour: int = 0) -> datetime:
    """That hour on Berlin's clock, as naive UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=BERLIN).astimezone(UTC).replace(tzinfo=None)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_simulated_days_agree_in_every_cell(stored: Stored, scenario: Scenario) -> None:
    events = simulated(scenario)
    days = dates(scenario.first_day - timedelta(days=1), scenario.days + 2)  # an empty day before and after
    product = stored(events, scenario.zone)
    product.compute(*days)
    product.assert_right(Oracle(events.feed, events.messages, scenario.zone), *days)


def test_the_simulated_days_hold_the_difficult_users() -> None:
    events = simulated(MONTH)
    oracle = Oracle(events.feed, events.messages, BERLIN)
    rows = [row for day in MONTH.dates for row in oracle.user_day(day).values()]
    silent = [r for r in rows if r["feed_actions"] == r["messages_sent"] == 0]
    systems = Counter(user for user, _ in {(r["user_id"], r["os"]) for r in simulated(SPRING).feed})
    assert sum(r["os"] == "unknown" for r in silent) > 9
    assert sum(r["os"] != "unknown" for r in silent) > 9
    assert all(r["attributes_time"] is None for r in silent)
    assert sum(n == 2 for n in systems.values()) > 1
    assert sum(r["messages_sent"] for r in rows) == sum(r["messages_received"] for r in rows) == len(events.messages)


# ------------------------------------------------------------------ hand-made

DAY = date(2026, 3, 29)  # 23 hours in Berlin
NOON = at(DAY, 12)


def before(days: int, hour: int = 12) -> datetime:
    """Some days before DAY, on Berlin's clock."""
    return at(DAY - timedelta(days=days), hour)


NIGHT, NEXT_NIGHT = at(DAY), at(DAY + timedelta(days=1))
HOSTILE: dict[str, Events] = {
    "ties within a table: the greatest, attribute by attribute": Events(
        [feed(1, NOON, gender=0, age=60), feed(1, NOON, gender=1, age=20), feed(1, NOON, gender=1, age=19, os="zzz")],
    ),
    "ties between tables": Events(
        [feed(1, NOON, os="Android", source="organic"), feed(2, NOON, country="Украина")],
        [message(1, 9, NOON, os="iOS"), message(2, 9, NOON, country="Zambia")],
    ),
    "ties with a missing value: the value wins": Events(
        [feed(1, NOON, gender=None, age=99), feed(1, NOON, gender=0, age=None), feed(1, NOON, gender=0, age=3)],
        [message(2, 1, NOON, age=None, os="iOS"), message(2, 1, NOON, age=-1, os="Android")],
    ),
    "ties of texts go by code point, beyond the basic plane too": Events(
        [feed(1, NOON, country=c) for c in ("Åland", "Zz", "zz", "日本", "\uffee", "😀", "Côte d’Ivoire")],
    ),
    "one microsecond later wins over greater values": Events(
        [feed(1, NOON, gender=1, age=90), feed(1, NOON + MOMENT, gender=0, age=None, os="Android")],
        [message(1, 2, NOON - MOMENT, gender=1, age=99)],
    ),
    "all numbers missing, all texts unknown": Events(
        [feed(1, NOON, gender=None, age=None, country="unknown", os="unknown", source="unknown")],
        [message(1, 2, NOON, gender=None, age=None, country="unknown", os="unknown", source="unknown")],
    ),
    "a receiver whose last known values are missing does not fall back further": Events(
        [feed(2, before(2), gender=None, age=None, os="unknown"), feed(2, before(3), gender=1, age=30)],
        [message(1, 2, NOON)],
    ),
    "messages to oneself": Events(
        [], [message(1, 1, NOON), message(1, 1, NOON, os="Android"), message(1, 2, NOON), message(2, 2, NOON)]
    ),
    "the same pair many times, both ways": Events(
        [], [message(a, b, NOON + n * MOMENT) for n in range(5) for a, b in ((1, 2), (2, 1), (1, 3), (3, 4))]
    ),
    "exactly on the borders": Events(
        [feed(n, t) for n, t in enumerate((NIGHT - MOMENT, NIGHT, NEXT_NIGHT - MOMENT, NEXT_NIGHT))],
        [message(n, n + 10, t) for n, t in enumerate((NIGHT - MOMENT, NIGHT, NEXT_NIGHT - MOMENT, NEXT_NIGHT))],
    ),
    "own events after the day are not known yet": Events(
        [feed(2, NEXT_NIGHT, os="Android"), feed(2, NIGHT - MOMENT, os="iOS", age=44)], [message(1, 2, NOON)]
    ),
    "30 days back is known, 31 is not": Events(
        [
            feed(2, at(DAY - timedelta(days=30)), age=41),
            feed(3, at(DAY - timedelta(days=30)) - MOMENT, age=42),
            feed(4, before(31, 23), age=43),
            feed(5, before(31), age=44),
            feed(5, before(30, 23), age=45),
        ],
        [message(1, n, NOON) for n in (2, 3, 4, 5)] + [message(6, 1, before(30)), message(1, 6, NOON)],
    ),
    "receiving tells nothing: known from own events through days of only receiving": Events(
        [feed(2, before(29), age=51), feed(3, before(31), age=52)],
        [message(1, n, before(k)) for n in (2, 3) for k in (0, 1, 5, 28)],
    ),
    "ties of a receiver in the past": Events(
        [feed(2, before(4), age=20, os="iOS"), feed(2, before(4), age=20, os="Android", source="organic")],
        [message(2, 1, before(4), age=20, os="iOS", country="Ghana"), message(1, 2, NOON)],
    ),
    "strange values": Events(
        [
            feed(1, NOON, age=-5, gender=7, country="O'Brien; -- $x {{ y }} {z:String}", os="a\nb"),
            feed(2, NOON, age=0, gender=-1, os="total", source=" "),
            feed(3, NOON, age=32767, action="share", country="male"),
            feed(4_294_967_295, NOON, age=60, post=4_294_967_295),
        ],
        [message(0, 4_294_967_295, NOON, age=59), message(4_294_967_295, 0, NOON, age=60)],
    ),
    "likes without a view": Events([feed(1, NOON, "like"), feed(2, NOON, "LIKE"), feed(3, NOON, "view ")]),
    "nothing": Events(),
}


@pytest.mark.parametrize("holes", [False, True], ids=["from facts", "from events"])
@pytest.mark.parametrize("events", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_events_agree_in_every_cell(memory: InMemory, events: Events, holes: bool) -> None:
    memory.start(events)
    days = {DAY}
    if not holes:
        moments = [row["time"] for row in (*events.feed, *events.messages)]
        days |= {m.replace(tzinfo=UTC).astimezone(BERLIN).date() for m in moments}
    product = Product(memory, BERLIN)
    product.compute(*sorted(days))
    product.assert_right(Oracle(events.feed, events.messages, BERLIN), *days)


def test_the_oracle_itself_says_what_the_definitions_say() -> None:
    """Spot values worked out by hand, so that oracle and product cannot drift together."""
    events = HOSTILE["30 days back is known, 31 is not"]
    rows = Oracle(events.feed, events.messages, BERLIN).user_day(DAY)
    assert {user: rows[user]["age"] for user in rows} == {1: 25, 2: 41, 3: None, 4: None, 5: 45, 6: 25}
    assert {user: rows[user]["country"] for user in (3, 4)} == {3: "unknown", 4: "unknown"}
    assert (rows[1]["messages_sent"], rows[1]["users_sent"], rows[1]["messages_received"]) == (5, 5, 0)

    events = HOSTILE["messages to oneself"]
    slices = Oracle(events.feed, events.messages, BERLIN).daily_slices(DAY)
    total = slices["total", "total"]
    assert (total["messages_sent"], total["messages_received"], total["users_sent"]) == (4, 4, 3)
    assert (total["active_users"], total["feed_users"], total["senders"], total["ctr"]) == (2, 0, 2, None)
    assert slices["age_group", "20-29"]["active_users"] == slices["gender", "male"]["active_users"] == 2

    events = HOSTILE["ties within a table: the greatest, attribute by attribute"]
    assert Oracle(events.feed, events.messages, BERLIN).user_day(DAY)[1]["age"] == 20
    assert set(Oracle([], [], BERLIN).daily_slices(DAY)) == {("total", "total")}


def test_a_text_that_is_missing_in_the_warehouse_reads_unknown(memory: InMemory) -> None:
    # The loader writes `unknown`; a warehouse filled by others may hold NULL.
    events = Events([feed(1, NOON, country=None, os=None)], [message(1, 2, NOON - MOMENT)])
    memory.start(events)
    product = Product(memory, BERLIN)
    product.compute(DAY)
    assert_same(
        product.daily_slices(DAY),
        Oracle(events.feed, events.messages, BERLIN).daily_slices(DAY),
        "metrics/daily_slices",
    )


# ---------------------------------------------------------- order


@pytest.mark.parametrize("computed", [34, 15], ids=["all days", "with holes"])
def test_any_order_of_days_gives_the_same(memory: InMemory, computed: int) -> None:
    events = simulated(MONTH)
    shuffled = random.Random(computed).sample(list(MONTH.dates), computed)
    memory.start(events)
    product = Product(memory, BERLIN)
    product.compute(*shuffled)
    product.assert_right(Oracle(events.feed, events.messages, BERLIN), *shuffled)


# ---------------------------------------------------------------- random

_FOCUS = (0, 1, 2, 28, 29, 30, 31)  # days before DAY at which something may happen
_TIMES = [t for k in _FOCUS for t in (at(DAY - timedelta(days=k)), before(k))]
_ATTRIBUTES = st.fixed_dictionaries(
    {
        "gender": st.sampled_from([None, 0, 1, 2]),
        "age": st.sampled_from([None, -1, 19, 20, 60]),
        "os": st.sampled_from(["iOS", "Android", "unknown"]),
        "country": st.sampled_from(["unknown", "Россия", "Россия"]),
        "source": st.sampled_from(["ads", "organic"]),
    }
)
_MOMENTS = st.builds(lambda t, shift: t + shift * MOMENT, st.sampled_from(_TIMES), st.sampled_from([0, 0, -1, 1]))
_USERS = st.integers(1, 4)
_FEED = st.builds(
    lambda user, time, action, who: feed(user, time, action, **who),
    _USERS,
    _MOMENTS,
    st.sampled_from(["view", "like", "share"]),
    _ATTRIBUTES,
)
_MESSAGES = st.builds(
    lambda user, to, time, who: message(user, to, time, **who), _USERS, st.integers(1, 6), _MOMENTS, _ATTRIBUTES
)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    feed_rows=st.lists(_FEED, max_size=8),
    messages=st.lists(_MESSAGES, max_size=10),
    order=st.permutations(_FOCUS).map(lambda p: p[:4]),
)
def test_random_events_computed_in_random_order_agree(
    memory: InMemory, feed_rows: list[Row], messages: list[Row], order: list[int]
) -> None:
    memory.start(Events(feed_rows, messages))
    product = Product(memory, BERLIN)
    days = [DAY - timedelta(days=k) for k in order]
    product.compute(*days)
    product.assert_right(Oracle(feed_rows, messages, BERLIN), *days)
