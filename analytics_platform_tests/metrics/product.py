"""The product's own way from events to stored tables, and how its answers are held against the oracle's.

Belongs here: making events, running the composed queries, the comparison. Does not: any expected number.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa

from analytics_platform.metrics import facts, slices
from analytics_platform.metrics.catalog import METRICS, Metric
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, Labels
from analytics_platform.metrics.events import METRIC_TABLES, EventTable, arrow_schema
from analytics_platform.metrics.tables import ResultTable, daily_slices_table, user_day_table
from analytics_platform.queries import Query
from analytics_platform.simulate.generator import generate
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.base import EventLoad, Warehouse
from analytics_platform_tests.metrics.oracle import Oracle
from analytics_platform_tests.queries.duck import DuckDB

Row = dict[str, Any]

LABELS = Labels({"gender": {"1": "male", "0": "female"}})
PERSON: Row = {
    "gender": 1,
    "age": 25,
    "country": "Russia",
    "city": "Moscow",
    "os": "iOS",
    "source": "ads",
    "exp_group": 2,
}


def feed(user: int, time: datetime, action: str = "view", post: int = 1, **attributes: object) -> Row:
    """One row of feed_actions; attributes not named are those of PERSON."""
    return {"user_id": user, "post_id": post, "action": action, "time": time} | PERSON | attributes


def message(user: int, receiver: int, time: datetime, **attributes: object) -> Row:
    """One row of message_actions; attributes not named are those of PERSON."""
    return {"user_id": user, "receiver_id": receiver, "time": time} | PERSON | attributes


@dataclass(frozen=True)
class Events:
    """Rows of the event tables, in any order."""

    feed: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    videos: list[Row] = field(default_factory=list)
    pages: list[Row] = field(default_factory=list)

    def of(self, table: EventTable) -> list[Row]:
        """The rows of that table."""
        held = {
            "feed_actions": self.feed,
            "message_actions": self.messages,
            "user_events": self.videos,
            "page_events": self.pages,
        }
        return held[table.name]


def simulated(scenario: Scenario) -> Events:
    """All rows of a scenario."""
    events = Events()
    for day in generate(scenario):
        events.feed.extend(day.feed.to_pylist())
        events.messages.extend(day.messages.to_pylist())
    return events


class Engine(Protocol):
    """Where the product's queries run: the real warehouse, or an engine in memory for many small cases."""

    def replace_day(self, table: ResultTable, day: date, query: Query) -> object: ...

    def computed_days(self, table: ResultTable, first: date, last: date) -> Collection[date]: ...

    def current_days(self, table: ResultTable, first: date, last: date) -> Collection[date]: ...

    def rows(self, query: Query) -> Sequence[Mapping[str, object]]: ...


@dataclass
class InMemory:
    """DuckDB in memory, as far as computing days needs a warehouse."""

    engine: DuckDB
    written: set[tuple[str, date]] = field(default_factory=set)

    def start(self, events: Events) -> None:
        """Forget everything and hold those events."""
        self.engine.clear()
        self.written.clear()
        for table in METRIC_TABLES:
            if rows := events.of(table):
                self.engine.put(f"events.{table.name}", rows)

    def replace_day(self, table: ResultTable, day: date, query: Query) -> None:
        """Add the day; these cases write each day once."""
        if (table.name, day) in self.written:
            raise ValueError(f"{table.name} of {day} is there already")
        self.engine.write(table, query)
        self.written.add((table.name, day))

    def computed_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        """As the warehouse port has it."""
        return {day for name, day in self.written if name == table.name and first <= day <= last}

    def current_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        """Events never change here."""
        return self.computed_days(table, first, last)

    def rows(self, query: Query) -> list[dict[str, object]]:
        """As the warehouse port has it."""
        return self.engine.rows(query)


def load(warehouse: Warehouse, events: Events, zone: ZoneInfo, only: EventTable | None = None) -> None:
    """Write the events as the loader does, of both tables or of one."""
    loads = []
    for table in (only,) if only else METRIC_TABLES:
        rows = pa.Table.from_pylist(events.of(table), schema=arrow_schema(table))
        loads.append(EventLoad(table, rows.to_batches()))
    warehouse.load(loads, zone)


@dataclass(frozen=True)
class Product:
    """The two assets of a catalogue over an engine, as the graph computes them: a day at a time."""

    engine: Engine
    zone: ZoneInfo
    metrics: tuple[Metric, ...] = METRICS
    dimensions: tuple[Dimension, ...] = DIMENSIONS

    @property
    def tables(self) -> tuple[ResultTable, ResultTable]:
        """facts/user_day and metrics/daily_slices."""
        return user_day_table(self.metrics, self.dimensions), daily_slices_table(self.metrics)

    def compute(self, *days: date) -> None:
        """Both tables, one day after another, in the order given."""
        user_days, sliced = self.tables
        for day in days:
            current = self.engine.current_days(user_days, *facts.lookback(day))
            query = facts.user_day(day, self.zone, current, self.metrics, self.dimensions)
            self.engine.replace_day(user_days, day, query)
            self.engine.replace_day(sliced, day, slices.daily_slices(day, LABELS, self.metrics, self.dimensions))

    def user_day(self, day: date) -> dict[int, Row]:
        """Stored rows of facts/user_day by user; fails when a user has two."""
        query = Query("stored", "SELECT * FROM results.user_day WHERE event_date = $day", {"day": day})
        return _by_key(self.engine.rows(query), "user_id")

    def daily_slices(self, day: date) -> dict[tuple[str, str], Row]:
        """Stored rows of metrics/daily_slices by dimension and value; fails when one is there twice."""
        rows = self.engine.rows(slices.slices_between(day, day, metrics=self.metrics))
        return _by_key(rows, "dimension", "dimension_value")

    def assert_right(self, oracle: Oracle, *days: date) -> None:
        """Every cell of every row of both tables is the oracle's, and there is no other row."""
        for day in days:
            assert_same(self.user_day(day), oracle.user_day(day), f"facts/user_day of {day}")
            assert_same(self.daily_slices(day), oracle.daily_slices(day), f"metrics/daily_slices of {day}")


def assert_same(found: Mapping[Any, Row], expected: Mapping[Any, Row], what: str) -> None:
    """Equality that names the first row and the cells that differ."""
    assert set(found) == set(expected), f"{what}: {set(found) ^ set(expected)} is on one side only"
    for key, row in expected.items():
        wrong = {c: (found[key].get(c, "no such column"), v) for c, v in row.items() if found[key].get(c, ...) != v}
        assert not wrong, f"{what}, {key}: (found, expected) {wrong}"
        assert set(found[key]) == set(row), f"{what}: columns {set(found[key]) ^ set(row)}"
        strange = {c: v for c, v in found[key].items() if type(v) is not type(row[c])}
        assert not strange, f"{what}, {key}: types of {strange}"


def dates(first: date, count: int) -> list[date]:
    """`count` days from `first` on."""
    return [first + timedelta(days=k) for k in range(count)]


def _by_key(rows: Sequence[Mapping[str, object]], *key: str) -> dict[Any, Row]:
    found: dict[Any, Row] = {}
    for row in rows:
        at: Any = tuple(row[k] for k in key) if len(key) > 1 else row[key[0]]
        assert at not in found, f"{at} is there twice"
        found[at] = dict(row)
    return found
