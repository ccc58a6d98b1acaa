"""Events that come after their day was computed: the look finds the days, the run mends them, and then all is quiet.

On ClickHouse another program writes them behind the platform's back; the embedded warehouse gets them by `load`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from analytics_platform.defs import late
from analytics_platform.defs.schedules import METRICS_JOB
from analytics_platform.metrics.events import METRIC_TABLES, EventTable, arrow_schema
from analytics_platform.metrics.windows import day_start
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.engines.places import ZONE, Place, place, written
from analytics_platform_tests.metrics.app_oracle import AppOracle
from analytics_platform_tests.metrics.app_product import App
from analytics_platform_tests.metrics.oracle import Oracle
from analytics_platform_tests.metrics.product import LABELS, Events, Product, feed, message
from analytics_platform_tests.queries.foreign import Foreign

DAY = date(2026, 3, 29)  # 23 hours
# Before DAY; the last that looks back to it, and the first that does not.
BEFORE, EDGE, FAR = DAY - timedelta(days=2), DAY + timedelta(days=30), DAY + timedelta(days=31)
COMPUTED = (BEFORE, DAY, EDGE, FAR)
MOMENT = datetime.combine(FAR + timedelta(days=1), time(12), tzinfo=ZONE)


def noon(day: date, seconds: int = 0) -> datetime:
    """A moment of that day, naive UTC."""
    return day_start(day, ZONE) + timedelta(hours=11, seconds=seconds)


def first_events() -> Events:
    """A few users every day; 7 only receives after the first, and takes attributes from where it was last active."""
    found = Events()
    for day in COMPUTED:
        for user in range(1, 5):
            found.feed.append(feed(user, noon(day, user), country=f"Land {user}", post=user))
            found.feed.append(feed(user, noon(day, 60 + user), "like", age=20 + user))
        found.messages.append(message(1, 7, noon(day)))
    found.feed.append(feed(7, noon(BEFORE), country="Before"))
    return found


def late_events() -> Events:
    """On DAY, from its first to its last moment: new users, and user 7 elsewhere than before."""
    end = day_start(DAY + timedelta(days=1), ZONE) - timedelta(seconds=1)
    return Events(
        [feed(7, noon(DAY), country="Late"), feed(99, day_start(DAY, ZONE)), feed(98, end, "like", post=9)],
        [message(98, 97, end, os="")],
    )


@dataclass
class Home:
    """A home, how events come into it, and what came."""

    place: Place
    bring: Callable[[EventTable, list[dict[str, object]]], None]
    events: Events

    def add(self, more: Events) -> None:
        """They come."""
        for table in METRIC_TABLES:
            self.bring(table, more.of(table))
            self.events.of(table).extend(more.of(table))

    def look(self) -> late.Late:
        """As the sensor does on the day after FAR."""
        with dg.DagsterInstance.ephemeral() as instance:
            return late.look(self.place.warehouse, self.place.settings, instance, MOMENT)

    def assert_right(self) -> None:
        """All computed days are the oracles'."""
        oracle = Oracle(self._unknown(self.events.feed), self._unknown(self.events.messages), ZONE)
        Product(self.place.warehouse, ZONE).assert_right(oracle, *COMPUTED)
        app = App(self.place.warehouse, ZONE, AppOracle(ZONE))
        app.oracle.compute(Events(self._unknown(self.events.feed), self._unknown(self.events.messages)), *COMPUTED)
        app.assert_table()
        app.assert_frame(*COMPUTED)

    @staticmethod
    def _unknown(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [{**row, "os": row["os"] or "unknown"} for row in rows]


@pytest.fixture(params=["DuckDB, loaded", "ClickHouse, written by another program"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    settings = {"gender_labels": dict(LABELS.by_dimension["gender"]), "start_date": BEFORE, "late_data_days": 60}
    if request.param.startswith("DuckDB"):
        embedded = place(tmp_path, None, **settings)

        def load(table: EventTable, rows: list[dict[str, object]]) -> None:
            embedded.load({table: [written(tmp_path / f"{table.name}.parquet", table, rows)]}, "--append")

        return Home(embedded, load, Events())
    server: ClickHouse = request.getfixturevalue("clickhouse")
    theirs = Foreign(server.name("product"))
    url = server.empty_database("late")
    made = place(tmp_path, url, events_mapping=dict(theirs.mapping), **settings)
    assert isinstance(made.warehouse, ClickHouseWarehouse)
    client = made.warehouse.server
    theirs.create(client)

    def write(table: EventTable, rows: list[dict[str, object]]) -> None:
        theirs.write(client, table, pa.Table.from_pylist(rows, schema=arrow_schema(table)))

    return Home(made, write, Events())


def test_late_events_are_found_computed_and_then_all_is_quiet(home: Home) -> None:
    home.add(first_events())
    for day in COMPUTED:
        home.place.run(day)
    home.assert_right()
    assert home.look().requests == []

    home.add(late_events())
    found = home.look()
    spans = [[r.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")] for r in found.requests]
    assert spans == [[str(DAY)] * 2, [str(EDGE)] * 2]
    for request in found.requests:
        assert request.job_name == METRICS_JOB
        home.place.run(*(date.fromisoformat(day) for day in spans.pop(0)))
    home.assert_right()
    assert home.look().requests == []
