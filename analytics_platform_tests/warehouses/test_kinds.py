"""Events and results of every kind of column, on both engines: cells as they were, and a home that was there before."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_platform.metrics.events import EVENT_TABLES, METRIC_TABLES, PAGE_EVENTS, USER_EVENTS, EventTable
from analytics_platform.metrics.lineage import lineage
from analytics_platform.metrics.tables import (
    FEED_DAILY,
    FUNNEL_CONVERSIONS,
    METRIC_RESULTS,
    RANKINGS_POPULAR,
    SERIES,
    STANDARD_TABLES,
    VISITOR_REPORTS,
    ResultTable,
)
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import compose
from analytics_platform.warehouses.base import EventLoad, Warehouse, WarehouseError
from analytics_platform.warehouses.copying import copy, event_fingerprint
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.made import batch_of, events_of, results_of
from analytics_platform_tests.warehouses.rows import DAY, UTC, at, feed, figures, hours, open_in, stored

OTHERS = [table for table in STANDARD_TABLES if table not in METRIC_RESULTS]
BEFORE, NEXT = DAY - timedelta(days=1), DAY + timedelta(days=1)


@pytest.fixture(params=["duckdb", "clickhouse"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        return open_in(tmp_path)
    clickhouse: ClickHouse = request.getfixturevalue("clickhouse")
    return open_at(clickhouse.empty_database())


def handed_on(warehouse: Warehouse, table: EventTable) -> list[str]:
    window = Window(at(DAY, 0), at(NEXT, 0))
    return sorted(repr(row) for b in warehouse.event_batches(table, window) for row in b.to_pylist())


def test_events_of_every_kind_come_out_as_they_went_in(warehouse: Warehouse) -> None:
    for table in (USER_EVENTS, PAGE_EVENTS):
        wanted = [repr(row) for row in events_of(table, at(DAY))]
        [loaded] = warehouse.load([EventLoad(table, [batch_of(table, at(DAY))])], UTC)
        assert (loaded.rows, loaded.days) == (30, (DAY,))
        assert handed_on(warehouse, table) == sorted(wanted)
        # Loaded again, the day is replaced.
        warehouse.load([EventLoad(table, [batch_of(table, at(DAY), 3)])], UTC)
        assert len(handed_on(warehouse, table)) == 3


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.name)
def test_results_of_every_kind_come_out_as_they_went_in(warehouse: Warehouse, table: ResultTable) -> None:
    rows = results_of(table, DAY)
    assert warehouse.store_day(table, DAY, rows) == 30
    found = warehouse.stored_rows(table, DAY)
    assert found.schema == rows.schema
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, rows.to_pylist()))


def test_a_result_is_outdated_by_its_own_events_alone(warehouse: Warehouse) -> None:
    def current() -> list[str]:
        made = (FEED_DAILY, SERIES, RANKINGS_POPULAR, VISITOR_REPORTS)
        return [table.name for table in made if warehouse.current_days(table, DAY, DAY)]

    def compute() -> list[str]:
        warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
        for table in (SERIES, RANKINGS_POPULAR, VISITOR_REPORTS):
            warehouse.store_day(table, DAY, results_of(table, DAY))
        return current()

    every = [FEED_DAILY.name, SERIES.name, RANKINGS_POPULAR.name, VISITOR_REPORTS.name]
    snapshots = [RANKINGS_POPULAR.name, VISITOR_REPORTS.name]
    assert compute() == every
    # As of a moment of the day, or of a window: what comes later leaves them true.
    for table in (USER_EVENTS, PAGE_EVENTS):
        warehouse.load([EventLoad(table, [batch_of(table, at(DAY))])], UTC)
    assert current() == every
    warehouse.load([feed(hours(DAY, [9]))], UTC)
    assert current() == snapshots
    assert compute() == every


def test_results_of_metrics_are_outdated_by_the_metrics_events() -> None:
    of = {table.name: lineage(table.name).events for table in STANDARD_TABLES}
    metric = tuple(table.name for table in METRIC_TABLES)
    assert {name for name, events in of.items() if events == metric} == {table.name for table in METRIC_RESULTS}


# ------------------------------------------------------- a home from before

NEW_EVENTS, NEW_RESULTS = (USER_EVENTS.name, PAGE_EVENTS.name), tuple(table.name for table in OTHERS)


def test_files_from_before_get_the_new_tables_and_keep_their_rows(tmp_path: Path) -> None:
    old = open_in(tmp_path, result_tables=METRIC_RESULTS)
    old.load([feed(hours(DAY, [1, 2]))], UTC)
    old.replace_day(FEED_DAILY, DAY, figures(DAY, 7))
    with duckdb.connect(tmp_path / "events.duckdb") as con:
        for name in NEW_EVENTS:
            con.execute(f"DROP TABLE {name}")
    again = open_in(tmp_path)
    assert [c.what for c in again.check()] == [
        f"{tmp_path}/events.duckdb has no {', '.join(f'table {name}' for name in NEW_EVENTS)}",
        f"{tmp_path}/results.duckdb has no {', '.join(f'table {name}' for name in NEW_RESULTS)}",
    ]
    assert again.prepare() == [f"table {name} created" for name in (*NEW_EVENTS, *NEW_RESULTS)]
    assert (list(open_in(tmp_path).prepare()), list(again.check())) == ([], [])
    kept(again)


def test_a_database_from_before_gets_the_new_tables_and_keeps_its_rows(clickhouse: ClickHouse) -> None:
    url = clickhouse.empty_database()
    old = open_at(url, tables=METRIC_RESULTS)
    old.load([feed(hours(DAY, [1, 2]))], UTC)
    old.replace_day(FEED_DAILY, DAY, figures(DAY, 7))
    for name in NEW_EVENTS:
        old.server.command(f"DROP TABLE {old.layout.database}.{name} SYNC", name="drop")
    again = open_at(url)
    assert list(again.check()) == []
    assert again.prepare() == [f"table {name} created" for name in (*NEW_RESULTS, *NEW_EVENTS)]
    assert list(open_at(url).prepare()) == []
    kept(again)


def kept(warehouse: Any) -> None:
    """What was there before is there, and current; the new tables work."""
    assert stored(warehouse, DAY) == [7]
    assert warehouse.current_days(FEED_DAILY, BEFORE, NEXT) == {DAY}
    warehouse.load([EventLoad(USER_EVENTS, [batch_of(USER_EVENTS, at(DAY))])], UTC)
    assert len(handed_on(warehouse, USER_EVENTS)) == 30
    assert warehouse.current_days(FEED_DAILY, BEFORE, NEXT) == {DAY}


@pytest.mark.parametrize("engine", ["duckdb", "clickhouse"])
def test_a_home_from_before_conversions_gets_their_table_with_the_first_day_that_is_stored(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    older = tuple(table for table in STANDARD_TABLES if table != FUNNEL_CONVERSIONS)

    def opened(tables: tuple[ResultTable, ...]) -> Warehouse:
        return open_in(tmp_path / "home", result_tables=tables) if engine == "duckdb" else open_at(url, tables=tables)

    url = request.getfixturevalue("clickhouse").empty_database() if engine == "clickhouse" else ""
    old = opened(older)
    old.replace_day(FEED_DAILY, DAY, figures(DAY, 7))
    old.store_day(VISITOR_REPORTS, DAY, results_of(VISITOR_REPORTS, DAY))
    again = opened(STANDARD_TABLES)
    rows = results_of(FUNNEL_CONVERSIONS, DAY)
    assert again.store_day(FUNNEL_CONVERSIONS, DAY, rows) == 30
    assert sorted(map(repr, again.stored_rows(FUNNEL_CONVERSIONS, DAY).to_pylist())) == sorted(
        map(repr, rows.to_pylist())
    )
    for table in (FEED_DAILY, VISITOR_REPORTS, FUNNEL_CONVERSIONS):
        assert again.current_days(table, BEFORE, NEXT) == {DAY}, table.name
    assert list(opened(STANDARD_TABLES).prepare()) == []
    # The program of before goes on with the same home, as after going back to it.
    assert opened(older).stored_rows(VISITOR_REPORTS, DAY).num_rows == 30
    # And from there elsewhere.
    target = open_in(tmp_path / "target")
    [done] = copy(again, target, BEFORE, NEXT, UTC, tables=[FUNNEL_CONVERSIONS.name]).tables
    assert (done.copied, done.rows) == ([DAY], 30)
    assert target.stored_rows(FUNNEL_CONVERSIONS, DAY).num_rows == 30


def test_somebody_elses_table_of_that_name_in_a_file_is_left_alone(tmp_path: Path) -> None:
    made = open_in(tmp_path)
    made.events.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(made.events)) as con:
        con.execute("CREATE TABLE page_events AS SELECT 1 AS id, 'x' AS name, 'never' AS time")
        con.execute("CREATE TABLE user_events AS SELECT 1 AS event_id, 'x' AS event_type, 'never' AS time")
    assert "table feed_actions created" in made.prepare()
    complaints = made.check()
    assert [(c.what, c.fatal) for c in complaints] == [
        (f"{name}: the table of {made.events} is not as we make it ({why}): it reads as empty", False)
        for name, why in (
            ("user_events", "event_id is INTEGER, UBIGINT is needed"),
            ("page_events", "it has no column request_id"),
        )
    ]
    again = open_in(tmp_path)
    for table in EVENT_TABLES:
        assert again.rows(compose("event_span", table=table.name))[0]["rows"] == 0
        window = Window(at(DAY, 0), at(DAY, 0) + timedelta(days=1))
        assert again.table(event_fingerprint(table, window))["rows"].to_pylist() == [0]
        assert list(again.event_batches(table, window)) == []
    with pytest.raises(WarehouseError) as caught:
        again.load([feed(hours(DAY, [3])), EventLoad(PAGE_EVENTS, [batch_of(PAGE_EVENTS, at(DAY))])], UTC)
    assert str(caught.value) == f"{complaints[1].what} -> {complaints[1].remedy}"
    assert [loaded.rows for loaded in again.load([feed(hours(DAY, [3]))], UTC)] == [1]
    with duckdb.connect(str(made.events)) as con:
        assert con.execute("SELECT * FROM page_events").fetchall() == [(1, "x", "never")]
        con.execute("ALTER TABLE page_events RENAME TO theirs")
    assert open_in(tmp_path).prepare() == ["table page_events created"]
