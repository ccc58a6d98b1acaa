"""Statements with a text of their own for ClickHouse give DuckDB's rows for random small days.

Five weeks of a dozen users who change at every event and mostly act at the same few instants: ties in and between
tables, NULL and extreme values, texts that sort apart by code point, days without events, users who only received and
were last seen long ago, results that are there for some of the days.
"""

import importlib.util
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics import app_queries, facts, slices
from analytics_platform.metrics.catalog import METRICS
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, Labels
from analytics_platform.metrics.events import METRIC_TABLES
from analytics_platform.metrics.tables import APP_DAILY, FIRST_SEEN, POST_DAY
from analytics_platform.queries import Query
from analytics_platform_tests.metrics.product import Events, dates, feed, message
from analytics_platform_tests.queries import cases
from analytics_platform_tests.queries.clickhouse import ClickHouse
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.services import absent

ZONE = ZoneInfo("Europe/Berlin")
FIRST, DAYS = date(2026, 2, 24), 36  # with the day of 23 hours
ASKED = dates(FIRST, DAYS + 1)
USERS, LOUD = range(1, 13), range(1, 5)
INSTANTS = (time(0, 0), time(12, 0), time(12, 0, 0, 1), time(21, 59, 59, 999_999))
VALUES: dict[str, Sequence[object]] = {
    "gender": (None, -128, 0, 1, 127),
    "age": (None, -32_768, -1, 0, 19, 20, 32_767),
    "country": ("unknown", "", "Zz", "zz", "Åland", "日本", "😀"),
    "city": ("unknown", "a", "aa", "a b"),
    "os": ("iOS", "Android"),
    "source": ("ads", "organic", "x'; --"),
    "exp_group": (None, 0, 4),
}
# Numbers after texts, one text alone: the attributes in other places of a user's last moment.
OTHER_ORDERS: tuple[tuple[Dimension, ...], ...] = (
    tuple(Dimension(name, (name,), "") for name in ("source", "exp_group", "city", "age", "gender")),
    (Dimension("country", ("country",), ""),),
    (Dimension("age", ("age",), ""), Dimension("city", ("city",), ""), Dimension("gender", ("gender",), "")),
    tuple(Dimension(name, (name,), "") for name in ("city", "country", "os", "source")),
)


@dataclass(frozen=True)
class Both:
    """Two engines with the same events, the same results and what of them is stored."""

    duckdb: DuckDB
    clickhouse: ClickHouse
    stored: frozenset[date]
    rng: random.Random

    def some_stored(self) -> set[date]:
        """Any part of the days with results."""
        keep = self.rng.choice((0.0, 0.5, 0.9, 1.0))
        return {day for day in sorted(self.stored) if self.rng.random() < keep}

    def agree(self, questions: Sequence[Query]) -> int:
        """Fails at the first row that differs in a name, type or value; gives the number of rows."""
        answered = 0
        for query in questions:
            assert query.clickhouse, f"{query.name} has no text of its own"
            expected, found = (sorted(map(_exact, e.rows(query))) for e in (self.duckdb, self.clickhouse))
            for left, right in zip(expected, found, strict=False):
                assert right == left, f"{query.name} of {dict(query.params)}"
            assert len(found) == len(expected), f"{query.name} of {dict(query.params)}"
            answered += len(found)
        return answered


def _exact(row: dict[str, object]) -> str:
    return repr([(name, type(value).__name__, value) for name, value in row.items()])


def _events(rng: random.Random) -> Events:
    events = Events()
    for day in dates(FIRST, DAYS):
        if rng.random() < 0.1:
            continue
        # On some days many act and each a few times; on others nearly everybody only receives.
        awake = USERS if rng.random() < 0.5 else rng.sample(LOUD, 2)
        for _ in range(rng.choice((0, 3, 40))):
            action = rng.choice(("view", "view", "like", "share"))
            events.feed.append(feed(rng.choice(awake), _moment(rng, day), action, rng.randrange(1, 6), **_person(rng)))
        for _ in range(rng.choice((0, 2, 30))):
            events.messages.append(message(rng.choice(awake), rng.choice(USERS), _moment(rng, day), **_person(rng)))
    return events


def _moment(rng: random.Random, day: date) -> datetime:
    return datetime.combine(day, rng.choice(INSTANTS))


def _person(rng: random.Random) -> dict[str, Any]:
    return {name: rng.choice(values) for name, values in VALUES.items()}


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    if importlib.util.find_spec("chdb") is None:
        absent("ClickHouse's embedded engine not installed (pip install chdb)")
    rng = random.Random(20_260_220)
    events = _events(rng)
    with DuckDB(cases.TABLES) as duckdb, ClickHouse(cases.TABLES) as clickhouse:
        for table in METRIC_TABLES:
            for engine in (duckdb, clickhouse):
                engine.put(f"events.{table.name}", events.of(table))
        stored = [day for day in ASKED if rng.random() < 0.7]
        done: set[date] = set()
        for day in rng.sample(stored, len(stored)):
            everything = facts.user_day(day, ZONE, done, cases.MORE_METRICS, cases.MORE_DIMENSIONS)
            duckdb.write(cases.TABLES[0], everything)
            duckdb.write(POST_DAY, app_queries.post_day(day, ZONE))
            duckdb.write(FIRST_SEEN, app_queries.first_seen(day))
            duckdb.write(APP_DAILY, app_queries.app_daily(day))
            done.add(day)
        # Some that only an earlier load of the day had.
        gone = [
            {"event_date": day, "kind": kind, "id": user, "source": "ads", "os": "iOS", "country": "unknown"}
            for day in stored[::3]
            for kind in ("feed", "message", "post")
            for user in rng.sample(USERS, 3)
        ]
        duckdb.put(f"results.{FIRST_SEEN.name}", gone)
        for result in (cases.TABLES[0], POST_DAY, FIRST_SEEN, APP_DAILY):
            name = f"results.{result.name}"
            clickhouse.put(name, duckdb.rows(Query("stored", f"SELECT * FROM {name}")))
        yield Both(duckdb, clickhouse, frozenset(stored), rng)


def test_facts_of_every_day_whatever_is_stored(both: Both) -> None:
    assert both.agree([facts.user_day(day, ZONE, both.some_stored()) for day in ASKED[1::3]]) > 40


def test_facts_of_every_metric_and_attribute(both: Both) -> None:
    more = (cases.MORE_METRICS, cases.MORE_DIMENSIONS)
    assert both.agree([facts.user_day(day, ZONE, both.some_stored(), *more) for day in ASKED[1::13]]) > 5


@pytest.mark.parametrize("dimensions", OTHER_ORDERS, ids=lambda found: "-".join(d.name for d in found))
def test_facts_of_other_attributes_in_other_orders(both: Both, dimensions: tuple[Dimension, ...]) -> None:
    questions = [facts.user_day(day, ZONE, both.some_stored(), METRICS, dimensions) for day in ASKED[1::14]]
    assert both.agree(questions) > 5


def test_slices(both: Both) -> None:
    labels = Labels({"gender": {"1": "male", "0": "female", "-128": "it's"}})
    assert both.agree([slices.daily_slices(day, labels) for day in ASKED[::7]]) > 20
    more = (cases.MORE_METRICS, (*DIMENSIONS, *cases.MORE_DIMENSIONS[-3:]))
    assert both.agree([slices.daily_slices(day, Labels(), *more) for day in ASKED[2::15]]) > 10


def test_the_tables_of_the_app(both: Both) -> None:
    days = sorted(both.stored)[:5]  # later nobody is new
    for asked in (app_queries.first_seen, app_queries.first_seen_left, app_queries.app_daily):
        assert both.agree([asked(day) for day in days]) > 0
    spans = [sorted(both.rng.sample(ASKED, 2)) for _ in range(4)]
    assert both.agree([app_queries.app_table(first, last) for first, last in spans]) > 50
