"""The app's tables over an engine, as the graph computes them, and their answers beside the oracle's.

Belongs here: computing days, changing events between them, the comparison. Does not: any expected number.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.metrics import app_queries, facts
from analytics_platform.metrics.app import AppFrame
from analytics_platform.metrics.app_reading import read_app_frame
from analytics_platform.metrics.events import METRIC_TABLES
from analytics_platform.metrics.tables import APP_DAILY, FIRST_SEEN, POST_DAY, ResultTable, user_day_table
from analytics_platform.queries import Query
from analytics_platform_tests.metrics.app_oracle import AppOracle
from analytics_platform_tests.metrics.product import Events
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.queries.ledgers import LEDGERS

USER_DAY = user_day_table()
TABLES = (USER_DAY, POST_DAY, FIRST_SEEN, APP_DAILY)
BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 3, 31)  # two days after a day of 23 hours
WORLD = ["Chad", "Peru", "Oman", "Mali", "Cuba", "Fiji", "Iran"]  # countries, two more than get a line of their own
# Of a day that was there before, nothing.
_WRITTEN = """
SELECT $name AS table_name, $day AS event_date, 0 AS "rows", TIMESTAMP '2026-01-01' AS computed_at, '' AS basis
WHERE NOT EXISTS (SELECT 1 FROM results.computed_days WHERE table_name = $name AND event_date = $day)
"""
_LONG_AGO, _FAR = date(2000, 1, 1), date(2100, 1, 1)


class Engine(Protocol):
    """What computing and reading need of a warehouse."""

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> object: ...

    def current_days(self, table: ResultTable, first: date, last: date) -> Collection[date]: ...

    def rows(self, query: Query) -> Sequence[Mapping[str, object]]: ...


@dataclass
class Rewritable:
    """DuckDB in memory whose days can be replaced and whose events can be changed."""

    engine: DuckDB

    def start(self) -> None:
        """Forget everything."""
        self.engine.clear()

    def hold(self, events: Events) -> None:
        """These events instead of those before; results stay."""
        for table in METRIC_TABLES:
            self.engine.remove(f"events.{table.name}")
            if rows := events.of(table):
                self.engine.put(f"events.{table.name}", rows)

    def replace_day(self, table: ResultTable, day: date, query: Query, *, also: Query | None = None) -> None:
        """As the port has it, with the ledger."""
        if also:
            self.engine.write(table, also)
        self.engine.remove(f"results.{table.name}", day)
        self.engine.write(table, query)
        self.engine.write(LEDGERS["computed_days"], Query("written", _WRITTEN, {"name": table.name, "day": day}))

    def current_days(self, table: ResultTable, first: date, last: date) -> Collection[date]:
        """Those computed; attributes of users who only received are nothing to the app."""
        text = "SELECT DISTINCT event_date FROM results.computed_days WHERE table_name = $name"
        found = [row["event_date"] for row in self.engine.rows(Query("days", text, {"name": table.name}))]
        return {day for day in found if isinstance(day, date) and first <= day <= last}

    def rows(self, query: Query) -> list[dict[str, object]]:
        """The answer."""
        return self.engine.rows(query)


@dataclass(frozen=True)
class App:
    """The app's tables over an engine, and what they must be."""

    engine: Engine
    zone: ZoneInfo
    oracle: AppOracle

    def compute(self, events: Events, *days: date) -> None:
        """All tables of those days in the order of the graph, a day at a time; `events` are those the engine holds."""
        for day in days:
            current = self.engine.current_days(USER_DAY, *facts.lookback(day))
            self.engine.replace_day(USER_DAY, day, facts.user_day(day, self.zone, current))
            self.engine.replace_day(POST_DAY, day, app_queries.post_day(day, self.zone))
            left = app_queries.first_seen_left(day)
            self.engine.replace_day(FIRST_SEEN, day, app_queries.first_seen(day), also=left)
            self.engine.replace_day(APP_DAILY, day, app_queries.app_daily(day))
        self.oracle.compute(events, *days)

    def frame(self, day: date) -> AppFrame:
        """As the product reads it."""
        return read_app_frame(self.engine, day)

    def assert_frame(self, *days: date) -> None:
        """The frame of each day is the oracle's."""
        for day in days:
            found, expected = self.frame(day), self.oracle.frame(day)
            assert set(found.series) == set(expected.series), f"slices of {day}"
            for where, figures in expected.series.items():
                for at, left, right in zip(found.days, found.series[where], figures, strict=True):
                    assert left == right, f"frame of {day}: {where} on {at}"
            assert found == expected, f"frame of {day}"

    def assert_table(self, first: date = _LONG_AGO, last: date = _FAR) -> None:
        """The table's rows are the oracle's, in order, with the same types."""
        found: list[dict[str, Any]] = [dict(r) for r in self.engine.rows(app_queries.app_table(first, last))]
        expected = self.oracle.table(first, last)
        for left, right in zip(found, expected, strict=False):
            assert list(left.items()) == list(right.items())
            assert [type(v) for v in left.values()] == [type(v) for v in right.values()]
        assert len(found) == len(expected)


def fresh(engine: Rewritable) -> App:
    """Nothing computed."""
    engine.start()
    return App(engine, BERLIN, AppOracle(BERLIN))


def at(ago: int, hour: int = 12, minute: int = 0) -> datetime:
    """A time on Berlin's clock some days before DAY, as naive UTC."""
    day = DAY - timedelta(days=ago)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=BERLIN).astimezone(UTC).replace(tzinfo=None)


def computed(engine: Rewritable, events: Events, *ago: int) -> App:
    """Those days before DAY, in that order."""
    app = fresh(engine)
    engine.hold(events)
    app.compute(events, *(DAY - timedelta(days=k) for k in ago))
    return app
