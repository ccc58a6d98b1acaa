"""Events that other programs write into ClickHouse, in their types and under their names, give the rows of ours."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.availability import hourly_counts, last_event
from analytics_platform.metrics import facts, slices
from analytics_platform.metrics.dimensions import Labels
from analytics_platform.metrics.events import EVENT_TABLES, FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.metrics.tables import STANDARD_TABLES
from analytics_platform.metrics.windows import Gap, Window, day_start, day_window
from analytics_platform.queries import Query, compose
from analytics_platform.warehouses.base import WarehouseError
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform.warehouses.clickhouse_events import sources
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.metrics.product import Events, feed, message
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.clickhouse_sources import (
    DAY,
    FIRST,
    KINDS,
    ZONE,
    Kept,
    Row,
    fill,
    make,
    mapping,
    some_events,
)

NAMES = {
    "half of the columns, Moscow time": {"feed_actions": "Лента `1`", "message_actions": "theirs.messages"},
    "everything may be NULL": {"feed_actions": "theirs.feed-2026", "message_actions": "theirs.message_actions"},
}
DAYS = [DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)]
USER_DAY, DAILY_SLICES = STANDARD_TABLES[:2]
PLAIN = KINDS["as we would keep them"]


@pytest.fixture
def theirs(clickhouse: ClickHouse) -> str:
    """A database of another program's."""
    clickhouse.empty_database("theirs")
    clickhouse.empty_database()
    return clickhouse.name("theirs")


@cache
def events() -> Events:
    return some_events()


def opened(clickhouse: ClickHouse, database: str, kept: Kept, names: Mapping[str, str] | None = None) -> Any:
    """A warehouse that reads tables of that kind in another database, by one setting or by the other."""
    chosen = mapping(kept, names or {})
    return open_at(clickhouse.url("tests"), mapping=chosen, events_database=database)


def questions() -> list[Query]:
    """What everything else is made of, for days of 23 and 24 hours."""
    every = set(DAYS) | {FIRST - timedelta(days=k) for k in range(60)}
    windows = [day_window(DAY, ZoneInfo(z)) for z in ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu")]
    return [
        *(facts.user_day(day, ZONE, known) for day in DAYS for known in (set[Any](), every)),
        *(facts.event_totals(day, ZONE) for day in DAYS),
        *(hourly_counts(t.name, window) for t in EVENT_TABLES for window in windows),
        *(last_event(t.name, day_start(FIRST, ZONE), day_start(d, ZONE)) for t in EVENT_TABLES for d in (FIRST, *DAYS)),
        *(compose("event_span", table=t.name) for t in EVENT_TABLES),
    ]


def exact(rows: list[Row]) -> list[str]:
    """Names, types and values of every cell, in any order."""
    return sorted(repr([(name, type(value).__name__, value) for name, value in row.items()]) for row in rows)


@pytest.mark.parametrize("kind", KINDS)
def test_events_in_any_type_give_the_same_rows_as_through_duckdb(
    clickhouse: ClickHouse, theirs: str, kind: str
) -> None:
    kept, names = KINDS[kind], {ours: name.replace("theirs", theirs) for ours, name in NAMES.get(kind, {}).items()}
    bare = {ours: name.rpartition(".")[2] if name.startswith(theirs) else name for ours, name in names.items()}
    warehouse = opened(clickhouse, theirs, kept, bare if "Moscow" in kind else names)
    make(warehouse.server, kept, bare, theirs)
    fill(warehouse.server, kept, bare, events(), theirs)
    assert [c for c in warehouse.check() if c.fatal] == []
    wanted = {table.name: kept.ours(events().of(table)) for table in EVENT_TABLES}

    window = Gap(FIRST - timedelta(days=1), FIRST + timedelta(days=9)).window(ZONE)
    for table in EVENT_TABLES:
        found = [row for b in warehouse.event_batches(table, window) for row in b.to_pylist()]
        names_of = [c.name for c in table.columns]
        assert exact(found) == exact([{n: row.get(n) for n in names_of} for row in wanted[table.name]])
    with DuckDB(STANDARD_TABLES) as duckdb:
        for name, rows in wanted.items():
            duckdb.put(f"events.{name}", rows)
        for query in questions():
            assert exact(warehouse.rows(query)) == exact(duckdb.rows(query)), (query.name, dict(query.params))
        query = facts.user_day(DAY, ZONE, set())
        duckdb.write(USER_DAY, query)
        warehouse.replace_day(USER_DAY, DAY, query)
        for query in (slices.daily_slices(DAY, Labels()), facts.stored_totals(DAY)):
            assert exact(warehouse.rows(query)) == exact(duckdb.rows(query)), query.name


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_of_their_table_still_leaves_out_other_days(clickhouse: ClickHouse, theirs: str, kind: str) -> None:
    kept = KINDS[kind]
    warehouse = opened(clickhouse, theirs, kept)
    make(warehouse.server, kept, {}, theirs, granularity=16)
    fill(warehouse.server, kept, {}, events(), theirs)
    for query in (facts.event_totals(DAY, ZONE), hourly_counts("feed_actions", day_window(DAY, ZONE))):
        text, bound = warehouse._statement(query)
        plan = [
            str(row["explain"]) for row in warehouse.server.rows(f"EXPLAIN indexes = 1 {text}", bound, name="explain")
        ]
        granules = [line.split(": ")[1].split("/") for line in plan if re.search(r"Granules: \d+/\d+", line)]
        assert granules, plan
        assert all(int(read) < 0.6 * int(every) for read, every in granules), plan


# ------------------------------------------------------- what does not fit


def test_an_id_that_does_not_fit_stops_the_statement(clickhouse: ClickHouse, theirs: str) -> None:
    noon = datetime.combine(DAY, datetime.min.time()) + timedelta(hours=12)
    for kind, user, said in (
        ("wide numbers, texts that are empty", 2**32, "cannot be safely converted into type UInt32"),
        ("half of the columns, Moscow time", -1, "cannot be safely converted into type UInt32"),
        ("everything may be NULL", None, "user_id is NULL in an event"),
    ):
        kept = replace(KINDS[kind], blank={**KINDS[kind].blank, "user_id": None})
        warehouse = opened(clickhouse, theirs, kept)
        make(warehouse.server, kept, {}, theirs)
        fill(warehouse.server, kept, {}, Events([{**feed(1, noon), "user_id": user}], [message(1, 2, noon)]), theirs)
        with pytest.raises(WarehouseError, match=said):
            warehouse.replace_day(USER_DAY, DAY, facts.user_day(DAY, ZONE, set()))
        assert warehouse.computed_days(USER_DAY, DAY, DAY) == set()
        # What does not ask for the id is not stopped by it.
        [counted] = warehouse.rows(hourly_counts("feed_actions", day_window(DAY, ZONE)))
        assert counted["events"] == 1


def test_a_number_that_does_not_fit_is_unknown(clickhouse: ClickHouse, theirs: str) -> None:
    kept = Kept(dict(PLAIN.types) | {"age": "Int32", "gender": "String", "exp_group": "Float64"})
    warehouse = opened(clickhouse, theirs, kept)
    make(warehouse.server, kept, {}, theirs)
    noon = datetime.combine(DAY, datetime.min.time())
    rows = [
        {**feed(1, noon), "age": 40_000, "gender": "m", "exp_group": 1.5},
        {**feed(2, noon), "age": 7, "gender": "1", "exp_group": 2.0},
    ]
    fill(warehouse.server, kept, {}, Events(rows, []), theirs)
    asked = Query("q", "SELECT user_id, age, gender, exp_group FROM events.feed_actions ORDER BY 1")
    assert [tuple(r.values()) for r in warehouse.rows(asked)] == [(1, None, None, None), (2, 7, 1, 2)]


def complaints(warehouse: ClickHouseWarehouse) -> list[tuple[str, str, bool]]:
    return [(c.what, c.remedy, c.fatal) for c in warehouse.check()]


def test_each_complaint_is_a_sentence_with_its_remedy(clickhouse: ClickHouse, theirs: str) -> None:
    warehouse = open_at(clickhouse.url("tests"), events_database=theirs)
    missing, other, *empty = complaints(warehouse)
    assert empty == [
        (
            f"{name}: there is no table {theirs}.{name}: it reads as empty",
            f"set EVENTS_MAPPING={name}=DATABASE.TABLE if such events are kept elsewhere",
            False,
        )
        for name in ("user_events", "page_events")
    ]
    assert missing[0] == f"feed_actions: there is no table {theirs}.feed_actions for this user"
    assert "EVENTS_DATABASE" in missing[1]
    assert f"GRANT SELECT ON {theirs}.feed_actions" in missing[1]
    assert (missing[2], other[0]) == (True, missing[0].replace("feed", "message"))
    with pytest.raises(WarehouseError, match=r"^query event_span: feed_actions: there is no table .* GRANT SELECT"):
        warehouse.rows(compose("event_span", table="feed_actions"))

    body = "users_id Int64, reciever_id String, time String, gender Array(Int8), country Map(String, String), age Date"
    warehouse.server.command(f"CREATE TABLE {theirs}.message_actions ({body}) ENGINE = Memory", name="make")
    told = {
        what.split(" (it has")[0]: (remedy, fatal) for what, remedy, fatal in complaints(warehouse) if "message" in what
    }
    place = f"{theirs}.message_actions"
    assert {what for what, (_, fatal) in told.items() if fatal} == {
        f"{place} has no column user_id",
        f"{place}.reciever_id is String, message_actions.receiver_id needs a whole number",
        f"{place}.time is String, message_actions.time needs DateTime or DateTime64",
        f"{place}.gender is Array(Int8), message_actions.gender needs a number or a text with one",
        f"{place}.country is Map(String, String), message_actions.country needs a text or a number",
        f"{place}.age is Date, message_actions.age needs a number or a text with one",
    }
    assert "message_actions.user_id=users_id" in told[f"{place} has no column user_id"][0]
    assert {what for what, (_, fatal) in told.items() if not fatal} == {
        f"{place} has no column {name}: it reads unknown" for name in ("city", "os", "source", "exp_group")
    }

    # Mended while the process lives; the first table is not there yet, and the second can be read.
    make(warehouse.server, PLAIN, {"feed_actions": "other"}, theirs)
    assert warehouse.rows(compose("event_span", table="message_actions"))[0]["rows"] == 0
    with pytest.raises(WarehouseError, match="there is no table"):
        warehouse.rows(compose("event_span", table="feed_actions"))
    make(warehouse.server, PLAIN, {}, theirs)
    assert warehouse.rows(compose("event_span", table="feed_actions"))[0]["rows"] == 0
    assert complaints(warehouse) == empty


def test_a_name_that_is_not_there_is_a_complaint(clickhouse: ClickHouse, theirs: str) -> None:
    chosen = {"feed_actions.os": "operating_system", "feed_actions.inserted_at": "written"}
    warehouse = open_at(clickhouse.url("tests"), mapping=chosen, events_database=theirs)
    make(warehouse.server, PLAIN, {}, theirs)
    column, moment, *_ = complaints(warehouse)
    assert column[0].startswith(f"{theirs}.feed_actions has no column operating_system (it has user_id, post_id, ")
    assert "feed_actions.os=" in column[1]
    assert moment[:2] == (
        f"{theirs}.feed_actions has no column written",
        "correct feed_actions.inserted_at in EVENTS_MAPPING",
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("feed_action", "there is no 'feed_action' to be mapped; 'feed_actions' is meant?"),
        ("feed_actions.reciever_id", "'feed_actions.reciever_id' to be mapped; '.*' is meant"),
        ("message_actions.reciever_id", "'message_actions.receiver_id' is meant"),
        ("xyz", "there is no 'xyz' to be mapped; tables are feed_actions, message_actions"),
    ],
)
def test_an_entry_without_a_meaning_is_refused(entry: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sources({entry: "x"}, None, "results")


def test_where_a_table_is(clickhouse: ClickHouse) -> None:
    def of(mapping: Mapping[str, str], database: str | None = None) -> list[tuple[str, bool]]:
        return [(str(source), source.own) for source in sources(mapping, database, "results").values()][:2]

    assert of({}) == [("results.feed_actions", True), ("results.message_actions", True)]
    assert of({}, "prod") == [("prod.feed_actions", False), ("prod.message_actions", False)]
    assert of({}, "results") == of({})
    assert of({"feed_actions": "feed"}, "prod") == [("prod.feed", False), ("prod.message_actions", False)]
    assert of({"feed_actions": "a.b.feed"})[0] == ("a.b.feed", False)
    # Whoever maps a table says that it is theirs, also when it is where ours would be.
    assert of({"feed_actions": "feed_actions"})[0] == ("results.feed_actions", False)
    assert of({"feed_actions.os": "system"})[0] == ("results.feed_actions", False)
    assert of({"feed_actions.inserted_at": "at"})[0] == ("results.feed_actions", False)
    mapped = open_at(clickhouse.url("tests"), mapping={"feed_actions": "elsewhere.feed"})
    assert mapped.place.endswith(", events in elsewhere.feed")


# ------------------------------------------------------- views, and shards


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW {d}.shown AS SELECT * FROM {d}.feed_actions",
        "CREATE TABLE {d}.shown AS merge('{d}', '^feed_actions$')",
        # The storage of a Distributed table, with this server as its shard.
        "CREATE TABLE {d}.shown AS remote('127.0.0.1', '{d}', 'feed_actions')",
    ],
)
def test_a_view_and_a_distributed_table_are_read_as_tables(clickhouse: ClickHouse, theirs: str, made: str) -> None:
    plain = opened(clickhouse, theirs, PLAIN)
    make(plain.server, PLAIN, {}, theirs)
    fill(plain.server, PLAIN, {}, events(), theirs)
    plain.server.command(made.format(d=theirs), name="make")
    warehouse = opened(clickhouse, theirs, PLAIN, {"feed_actions": "shown"})
    for query in (facts.user_day(DAY, ZONE, set()), compose("event_span", table="feed_actions")):
        assert exact(warehouse.rows(query)) == exact(plain.rows(query))
    window = Window(day_start(DAY, ZONE), day_start(DAY, ZONE) + timedelta(hours=3))
    read = [sum(b.num_rows for b in w.event_batches(FEED_ACTIONS, window)) for w in (plain, warehouse)]
    assert read[0] == read[1] > 0
    assert list(warehouse.event_batches(MESSAGE_ACTIONS, window)) == list(plain.event_batches(MESSAGE_ACTIONS, window))
