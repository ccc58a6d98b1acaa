"""ClickHouse as the warehouse, over HTTP: what is stored, replaced, kept on failure, and what is current."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from analytics_platform.metrics.catalog import METRICS, Count, Source
from analytics_platform.metrics.events import EVENT_TABLES, FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.metrics.tables import (
    FEED_DAILY,
    FIRST_SEEN,
    STANDARD_TABLES,
    Type,
    daily_slices_table,
    result_schema,
    user_day_table,
)
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query
from analytics_platform.sources.problems import EventFileError
from analytics_platform.warehouses.base import EventLoad, WarehouseError
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform.warehouses.clickhouse_text import quoted
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.rows import (
    DAY,
    UTC,
    at,
    batch,
    feed,
    figures,
    hours,
    messages,
    stored,
    times_of,
)

NEXT = DAY + timedelta(days=1)
USER_DAY = user_day_table()


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    return clickhouse.empty_database()


@pytest.fixture
def warehouse(url: str) -> ClickHouseWarehouse:
    """Prepared, without events or results."""
    made = open_at(url)
    made.prepare()
    return made


def count(warehouse: ClickHouseWarehouse, table: str) -> object:
    return warehouse.rows(Query("count", f"SELECT count(*) AS n FROM {table}"))[0]["n"]


def tables_of(warehouse: ClickHouseWarehouse) -> list[str]:
    query = Query(
        "t", "SELECT name FROM system.tables WHERE database = $d ORDER BY 1", {"d": warehouse.layout.database}
    )
    return [str(row["name"]) for row in warehouse.rows(query)]


# ------------------------------------------------------------------ schemas


def test_prepare_creates_everything_and_only_reads_the_second_time(clickhouse: ClickHouse, url: str) -> None:
    first = open_at(url)
    done = first.prepare()
    assert sorted(done) == sorted(f"table {name} created" for name in tables_of(first))
    assert first.prepare() == ()
    clickhouse.clear()

    again = open_at(url)
    assert (again.prepare(), again.prepare(), again.check()) == ([], (), [])

    assert {request.statement.split()[0] for request in clickhouse.log()} == {"SELECT"}
    assert [count(again, f"events.{table.name}") for table in EVENT_TABLES] == [0, 0, 0, 0]
    assert [count(again, f"results.{table.name}") for table in STANDARD_TABLES] == [0] * len(STANDARD_TABLES)


def test_a_database_that_is_not_there_is_made(clickhouse: ClickHouse) -> None:
    odd = open_at(clickhouse.url("it's `odd` \\ é"))
    odd.server.command(f"DROP DATABASE IF EXISTS {quoted(odd.layout.database)}", name="drop")
    odd.load([feed([at(DAY)])], UTC)
    odd.replace_day(FEED_DAILY, DAY, figures(DAY, 4))
    assert (stored(odd, DAY), times_of(odd)) == ([4], [at(DAY)])
    assert odd.place.endswith(f"database {odd.layout.database}")


def a_user(views: int, more: str = "") -> Query:
    known = {"user_id": "7", "views": str(views), "os": "'iOS'"}
    blank = {Type.TEXT: "'unknown'", Type.COUNT: "0", Type.SMALL: "NULL", Type.TIME: "NULL"}
    columns = [(name, known.get(name) or blank[kind]) for name, kind in USER_DAY.columns if name != "event_date"]
    listed = ", ".join(f"{value} AS {name}" for name, value in columns)
    return Query("row", f"SELECT CAST($day AS DATE) AS event_date, {listed}{more}")


def test_a_metric_new_in_the_catalogue_becomes_a_column_and_keeps_the_rows(
    url: str, warehouse: ClickHouseWarehouse
) -> None:
    def row(day: Any, views: int, more: str = "") -> Query:
        return Query("row", a_user(views, more).sql, {"day": day})

    warehouse.replace_day(USER_DAY, DAY, row(DAY, 3))
    shares = Count("shares", Source.FEED, "posts shared", "action = 'share'")
    # In front, so that the catalogue's order and the table's differ.
    tables = (user_day_table((shares, *METRICS)), daily_slices_table((shares, *METRICS)), FEED_DAILY)
    new = open_at(url, tables=tables)

    assert new.prepare() == ["column user_day.shares added", "column daily_slices.shares added"]
    query = Query("all", "SELECT user_id, views, os, shares FROM results.user_day ORDER BY event_date")
    assert new.rows(query) == [{"user_id": 7, "views": 3, "os": "iOS", "shares": None}]
    new.replace_day(tables[0], NEXT, row(NEXT, 5, ", 9 AS shares"))
    assert new.rows(query)[1] == {"user_id": 7, "views": 5, "os": "iOS", "shares": 9}
    # A home is also opened by a version that does not know the metric.
    old = open_at(url)
    assert old.prepare() == []
    old.replace_day(USER_DAY, DAY, row(DAY, 4))
    assert old.rows(Query("old", "SELECT sum(views) AS n FROM results.user_day"))[0]["n"] == 9


def test_a_column_of_another_type_is_one_sentence(url: str, warehouse: ClickHouseWarehouse) -> None:
    place = warehouse.layout.database
    warehouse.server.command(f"ALTER TABLE {place}.feed_daily MODIFY COLUMN views Float64", name="alter")
    said = (
        rf"^{place}\.feed_daily\.views is Float64, Int64 is needed: name another database in WAREHOUSE_URL, "
        "or drop that table and compute its days again$"
    )
    with pytest.raises(WarehouseError, match=said):
        open_at(url).prepare()


def test_somebody_elses_table_of_that_name_is_left_alone_and_the_remedy_is_to_map_it(
    clickhouse: ClickHouse, url: str
) -> None:
    database = clickhouse.name("tests")
    theirs = open_at(url)
    body = "user_id UInt32, post_id UInt32, action String, time DateTime"
    theirs.server.command(
        f"CREATE TABLE {database}.feed_actions ({body}) ENGINE = MergeTree ORDER BY time PARTITION BY toYYYYMM(time)",
        name="theirs",
    )
    said = (
        rf"^{database}\.feed_actions is not as we make it .*: set EVENTS_MAPPING=feed_actions={database}\.feed_actions"
    )
    for _ in range(2):
        with pytest.raises(WarehouseError, match=said):
            theirs.prepare()
    columns = theirs.server.rows(f"DESCRIBE {database}.feed_actions", name="describe")
    assert [c["name"] for c in columns] == ["user_id", "post_id", "action", "time"]

    mapped = open_at(url, mapping={"feed_actions": f"{database}.feed_actions"})
    mapped.prepare()
    with pytest.raises(WarehouseError, match="which other programs write"):
        mapped.load([feed([at(DAY)])], UTC)
    assert {c.what.rpartition(" ")[2] for c in mapped.check()} == {"unknown"}


# ------------------------------------------------------------- replace_day


def test_a_day_is_replaced_alone_and_an_empty_day_is_computed(warehouse: ClickHouseWarehouse) -> None:
    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1, rows=3)) == 3
    warehouse.replace_day(FEED_DAILY, NEXT, figures(NEXT, 2))
    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 5, rows=2)) == 2
    assert (stored(warehouse, DAY), stored(warehouse, NEXT)) == ([5, 5], [2])

    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 5, rows=0)) == 0
    assert stored(warehouse, DAY) == []
    assert warehouse.computed_days(FEED_DAILY, DAY, NEXT) == {DAY, NEXT}
    assert warehouse.current_days(FEED_DAILY, DAY, NEXT) == {DAY, NEXT}
    assert warehouse.computed_days(FEED_DAILY, NEXT, NEXT) == {NEXT}
    assert warehouse.computed_days(USER_DAY, DAY, NEXT) == set()
    # Empty from the first time on: there is no partition yet.
    assert warehouse.replace_day(FEED_DAILY, NEXT + timedelta(days=1), figures(DAY, 5, rows=0)) == 0
    assert [t for t in tables_of(warehouse) if "staged" in t] == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nonsense", "nonsense"),
        # Fails after rows were made, and in the column's type only when they are written.
        (
            "SELECT $day AS event_date, throwIf(number = 200000, 'halfway') AS dau, 1 AS views, 1 AS likes, 0.1 AS ctr "
            "FROM numbers(300000)",
            "halfway",
        ),
        ("SELECT CAST($day AS DATE) AS event_date, 'x' AS dau, 1 AS views, 1 AS likes, 0.1 AS ctr", "'x'"),
        ("SELECT CAST($day AS DATE) AS event_date, 1 AS dau", "views"),
        ("SELECT CAST($day AS DATE) + 1 AS event_date, 1 AS dau, 1 AS views, 1 AS likes, 0.1 AS ctr", "another day"),
        ("SELECT 1 FROM events.feed", r"there is no table 'events\.feed'"),
    ],
)
def test_a_failing_query_leaves_the_old_rows_and_no_table(warehouse: ClickHouseWarehouse, sql: str, said: str) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))

    with pytest.raises(WarehouseError, match=said):
        warehouse.replace_day(FEED_DAILY, DAY, Query("broken", sql, {"day": DAY} if "$day" in sql else {}))

    assert stored(warehouse, DAY) == [1]
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == {DAY}
    assert [t for t in tables_of(warehouse) if "staged" in t] == []
    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 2)) == 1
    assert stored(warehouse, DAY) == [2]


def test_a_query_reads_the_day_it_replaces(warehouse: ClickHouseWarehouse) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    more = "SELECT event_date, dau + 1 AS dau, views, likes, ctr FROM results.feed_daily"
    for _ in range(3):
        warehouse.replace_day(FEED_DAILY, DAY, Query("more", more))
    assert stored(warehouse, DAY) == [4]


def test_rows_of_other_days_are_added_from_what_was_stored_before(warehouse: ClickHouseWarehouse) -> None:
    def row(day: Any, number: int) -> Query:
        sql = "SELECT CAST($day AS DATE) AS event_date, 'feed' AS kind, $n AS id, '' AS source, '' AS os, '' AS country"
        return Query("row", sql, {"day": day, "n": number})

    warehouse.replace_day(FIRST_SEEN, DAY, row(DAY, 1))
    left = "SELECT event_date + 1 AS event_date, kind, id + 10 AS id, source, os, country FROM results.first_seen"
    assert warehouse.replace_day(FIRST_SEEN, DAY, row(DAY, 2), also=Query("left", left)) == 1

    query = Query("all", "SELECT event_date, id FROM results.first_seen ORDER BY 1")
    assert [tuple(r.values()) for r in warehouse.rows(query)] == [(DAY, 2), (NEXT, 11)]
    assert warehouse.computed_days(FIRST_SEEN, DAY, NEXT) == {DAY}


# -------------------------------------------------------------------- load


def test_all_tables_or_none_are_loaded(warehouse: ClickHouseWarehouse) -> None:
    warehouse.load([feed([at(DAY, 1)]), messages([at(DAY, 1)])], UTC)

    def torn() -> Iterator[pa.RecordBatch]:
        yield batch(MESSAGE_ACTIONS, [at(DAY, 2)])
        raise EventFileError("messages.csv, line 3: broken")

    with pytest.raises(EventFileError, match="line 3"):
        warehouse.load([feed([at(DAY, 2)]), EventLoad(MESSAGE_ACTIONS, torn())], UTC)
    with pytest.raises(EventFileError, match="line 3"):
        warehouse.load([EventLoad(MESSAGE_ACTIONS, torn()), feed([at(DAY, 2)])], UTC, append=True)
    assert (times_of(warehouse), times_of(warehouse, MESSAGE_ACTIONS)) == ([at(DAY, 1)], [at(DAY, 1)])
    assert [t for t in tables_of(warehouse) if "staged" in t] == []
    # The failures left nothing behind that keeps the next load from working.
    warehouse.load([feed([at(DAY, 2)]), messages([at(DAY, 2)])], UTC)
    assert (times_of(warehouse), times_of(warehouse, MESSAGE_ACTIONS)) == ([at(DAY, 2)], [at(DAY, 2)])


def test_an_empty_load_changes_nothing(warehouse: ClickHouseWarehouse) -> None:
    warehouse.load([feed([at(DAY)])], UTC)
    [loaded] = warehouse.load([EventLoad(FEED_ACTIONS, [])], UTC)
    assert (loaded.rows, loaded.days, times_of(warehouse)) == (0, (), [at(DAY)])
    assert warehouse.load([], UTC) == []


def test_progress_ends_with_all_days(warehouse: ClickHouseWarehouse) -> None:
    told: list[tuple[str, int, int]] = []
    warehouse.load([feed(hours(DAY, [1, 25, 80]))], UTC, progress=lambda *heard: told.append(heard))
    assert told[-1] == ("feed_actions", 3, 3)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


# ------------------------------------------------------------- current days


def test_a_day_is_current_until_its_events_are_loaded_again(url: str, warehouse: ClickHouseWarehouse) -> None:
    def current() -> set[Any]:
        return set(warehouse.current_days(FEED_DAILY, DAY, NEXT))

    assert current() == set()
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert current() == {DAY}, "a day without any events is current as well"
    warehouse.load([feed([at(DAY), at(NEXT)])], UTC)
    assert current() == set()
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    warehouse.replace_day(FEED_DAILY, NEXT, figures(NEXT, 1))
    assert current() == {DAY, NEXT}
    warehouse.load([messages([at(NEXT)])], UTC, append=True)
    assert current() == {DAY}, "either table counts"
    assert open_at(url, basis="Europe/Berlin").current_days(FEED_DAILY, DAY, NEXT) == set()
    computed = warehouse.computed_at(FEED_DAILY, DAY, NEXT)
    assert set(computed) == {DAY, NEXT}
    assert computed[DAY] < computed[NEXT] < warehouse.now() < computed[DAY] + timedelta(minutes=1)
    assert computed[DAY].tzinfo is None


def test_figures_from_outdated_facts_are_not_current(warehouse: ClickHouseWarehouse) -> None:
    facts = Query("facts", f"SELECT * FROM ({a_user(1).sql}) WHERE false", {"day": DAY})
    warehouse.replace_day(USER_DAY, DAY, facts)
    warehouse.load([feed([at(DAY)])], UTC)  # between the two steps of a run
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == set()

    warehouse.replace_day(USER_DAY, DAY, facts)
    assert warehouse.current_days(USER_DAY, DAY, DAY) == {DAY}
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == set(), "facts newer than what comes from them"
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == {DAY}


# -------------------------------------------------------------- handing on


def test_stored_rows_come_out_as_they_went_in(warehouse: ClickHouseWarehouse) -> None:
    values: dict[Type, list[Any]] = {
        Type.DATE: [DAY, DAY],
        Type.USER: [4_294_967_295, 0],
        Type.SMALL: [-32768, None],
        Type.COUNT: [2**31 - 1, 0],
        Type.TOTAL: [-(2**63), 2**63 - 1],
        Type.BASE: [2**63 - 1, None],
        Type.SHARE: [0.1 + 0.2, None],
        Type.FLAG: [False, None],
        Type.TEXT: ["it's \\ `x` 😀", ""],
        Type.LONG_TEXT: ["", None],
        Type.TIME: [at(DAY) + timedelta(microseconds=1), None],
    }
    for table in STANDARD_TABLES:
        rows = pa.table({name: values[kind] for name, kind in table.columns}, schema=result_schema(table))
        assert warehouse.store_day(table, DAY, rows) == 2
        found = warehouse.stored_rows(table, DAY)
        assert found.schema == rows.schema
        assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, rows.to_pylist()))
        assert warehouse.computed_days(table, DAY, NEXT) == {DAY}
        assert warehouse.stored_rows(table, NEXT) == rows.slice(0, 0)
        with pytest.raises(WarehouseError, match=f"{table.name} of {NEXT}: 2 of 2 rows are of another day"):
            warehouse.store_day(table, NEXT, rows)
        assert warehouse.store_day(table, DAY, rows.slice(0, 0)) == 0
        assert warehouse.stored_rows(table, DAY).num_rows == 0


def test_what_was_not_known_when_a_day_was_computed_elsewhere_stays_unknown(
    url: str, warehouse: ClickHouseWarehouse
) -> None:
    # As a metric and an attribute that are younger than the day.
    row: dict[str, Any] = {name: 1 for name, kind in USER_DAY.columns if kind not in (Type.TEXT, Type.TIME)}
    row |= {"event_date": DAY, "os": "iOS", "country": "Russia", "source": "ads"}
    rows = [row, {**row, "user_id": 2, "likes": None, "source": None}]
    given = pa.Table.from_pylist(rows, schema=result_schema(USER_DAY))
    for _ in range(2):
        warehouse.store_day(USER_DAY, DAY, given)
        found = warehouse.stored_rows(USER_DAY, DAY)
        assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, given.to_pylist()))
    assert open_at(url).prepare() == []
    warehouse.replace_day(USER_DAY, DAY, Query("row", a_user(3).sql, {"day": DAY}))
    assert count(warehouse, "results.user_day") == 1


def test_events_come_out_as_they_went_in(warehouse: ClickHouseWarehouse) -> None:
    odd = {"user_id": 4_294_967_295, "action": "", "gender": None, "age": -1, "country": "Côte d’Ivoire \\ 😀"}
    whole = {"gender": 1, "age": 25, "city": "Moscow", "source": "ads", "exp_group": 3, "country": "unknown"}
    last = at(NEXT, 0) - timedelta(microseconds=1)
    given = [batch(FEED_ACTIONS, [at(DAY, 0), last], **whole), batch(FEED_ACTIONS, [at(NEXT, 0)], **whole)]
    texts = {"country": "unknown", "city": "unknown", "source": "unknown"}
    given.append(batch(FEED_ACTIONS, [at(DAY, 5)], **texts | odd))
    warehouse.load([EventLoad(FEED_ACTIONS, given)], UTC)

    found = list(warehouse.event_batches(FEED_ACTIONS, Window(at(DAY, 0), at(NEXT, 0))))
    assert {b.schema for b in found} == {given[0].schema}
    wanted = [row for b in (given[0], given[2]) for row in b.to_pylist()]
    assert sorted(map(repr, (row for b in found for row in b.to_pylist()))) == sorted(map(repr, wanted))
    assert list(warehouse.event_batches(MESSAGE_ACTIONS, Window(at(DAY, 0), at(NEXT, 0)))) == []


def test_a_text_that_is_null_becomes_unknown(warehouse: ClickHouseWarehouse) -> None:
    warehouse.load([feed([at(DAY)], os=None, city=None)], UTC)
    [found] = warehouse.event_batches(FEED_ACTIONS, Window(at(DAY, 0), at(NEXT, 0)))
    assert {found.to_pylist()[0][name] for name in ("os", "country", "city", "source")} == {"unknown"}
