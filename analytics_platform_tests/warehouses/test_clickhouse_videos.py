"""Events of videos and of pages as other programs keep them in ClickHouse: every kind of column in every type."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from analytics_platform.metrics.events import EVENT_TABLES, PAGE_EVENTS, USER_EVENTS, arrow_schema
from analytics_platform.metrics.tables import FEED_DAILY, RANKINGS_POPULAR
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query, compose
from analytics_platform.warehouses.base import Complaint, EventLoad, WarehouseError
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses import clickhouse_sources
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.made import results_of
from analytics_platform_tests.warehouses.rows import DAY, at, figures

UTC = ZoneInfo("UTC")
UUID = "00000000-0000-0000-0000-00000000000a"
NOON = at(DAY)
WHOLE = Window(at(DAY, 0), at(DAY, 0) + timedelta(days=1))
# As the program that writes them makes it.
VIDEOS = """
    event_id UInt64, event_type LowCardinality(String), timestamp DateTime64(3, 'UTC'),
    user_type LowCardinality(String), cagnotte_id String, video_id Nullable(String), post_id Nullable(String),
    id_categorie LowCardinality(String),
    pays LowCardinality(String), user_id Nullable(String), phone Nullable(String), session_id Nullable(String),
    video_duration Nullable(Float32), watch_duration Nullable(Float32), completion_rate Nullable(Float32),
    device Nullable(String), video_width Nullable(UInt32), video_height Nullable(UInt32), file_size Nullable(UInt64),
    mime_type Nullable(String), thumbnail_url Nullable(String), skip_time Nullable(Float32), raw_data String,
    inserted_at DateTime DEFAULT now()
"""


@pytest.fixture
def theirs(clickhouse: ClickHouse) -> str:
    """A database of another program's."""
    clickhouse.empty_database("theirs")
    clickhouse.empty_database()
    return clickhouse.name("theirs")


def opened(clickhouse: ClickHouse, database: str, **mapping: str) -> ClickHouseWarehouse:
    """A warehouse whose events of videos are in that database."""
    entries = {name.replace("__", "."): theirs for name, theirs in mapping.items()}
    return open_at(clickhouse.url("tests"), mapping={"user_events": f"{database}.user_events", **entries})


def make(warehouse: ClickHouseWarehouse, place: str, body: str, key: str = "timestamp") -> None:
    warehouse.server.command(f"CREATE TABLE {place} ({body}) ENGINE = MergeTree ORDER BY {key}", name="make")


def add(warehouse: ClickHouseWarehouse, place: str, **values: str) -> None:
    """A row of those expressions."""
    listed = ", ".join(values)
    warehouse.server.command(f"INSERT INTO {place} ({listed}) SELECT {', '.join(values.values())}", name="add")


def test_video_events_are_read_where_their_program_keeps_them(clickhouse: ClickHouse, theirs: str) -> None:
    warehouse, place = opened(clickhouse, theirs), f"{theirs}.user_events"
    make(warehouse, place, VIDEOS)
    assert [c for c in warehouse.check() if "user_events" in c.what] == []
    moment = f"toDateTime64('{NOON}.125', 3, 'UTC')"
    add(
        warehouse,
        place,
        event_id="18446744073709551615",
        event_type="'video_view'",
        timestamp=moment,
        pays="'Mali'",
        video_id="'v'",
        completion_rate="0.5",
        watch_duration="nan",
        file_size="5",
        raw_data="'{}'",
    )
    [row] = [row for batch in warehouse.event_batches(USER_EVENTS, WHOLE) for row in batch.to_pylist()]
    inserted = row.pop("inserted_at")
    assert isinstance(inserted, datetime)
    expected = dict.fromkeys((c.name for c in USER_EVENTS.columns if c.name != "inserted_at"), None) | {
        "event_id": 2**64 - 1,
        "event_type": "video_view",
        "time": NOON + timedelta(milliseconds=125),
        "video_id": "v",
        "country": "Mali",
        "completion_rate": 0.5,
        "file_size": 5,
        "raw_data": "{}",
    }
    expected |= dict.fromkeys(("user_type", "category", "device", "mime_type"), "unknown")
    assert row == expected


@pytest.mark.parametrize(
    ("column", "kind", "told"),
    [
        ("video_id", "UUID", ([f"toUUID('{UUID}')"], [UUID])),
        ("video_id", "Nullable(Int64)", (["-7", "NULL"], ["-7", None])),
        ("video_id", "LowCardinality(String)", (["'a'", "''"], ["a", None])),
        ("video_id", "FixedString(4)", (["'ab'", "''"], ["ab", None])),
        ("raw_data", "Map(String, Int8)", (["map('a', 1)"], ['{"a":1}'])),
        ("raw_data", "Array(String)", (["['b']"], ['["b"]'])),
        ("completion_rate", "Nullable(Float64)", (["0.1", "inf", "NULL"], [0.1, None, None])),
        ("completion_rate", "Decimal(9, 2)", (["toDecimal32('0.25', 2)"], [0.25])),
        ("completion_rate", "String", (["'0.5'", "'x'", "'nan'"], [0.5, None, None])),
        ("completion_rate", "UInt8", (["1"], [1.0])),
        ("file_size", "UInt64", (["18446744073709551615", "7"], [None, 7])),
        ("file_size", "LowCardinality(Nullable(String))", (["'12'", "'x'", "NULL"], [12, None, None])),
        ("inserted_at", "Nullable(DateTime)", ([f"toDateTime('{NOON}', 'UTC')", "NULL"], [NOON, None])),
    ],
)  # fmt: skip
def test_any_type_that_can_hold_it(
    clickhouse: ClickHouse, theirs: str, column: str, kind: str, told: tuple[list[str], list[object]]
) -> None:
    warehouse, place = opened(clickhouse, theirs), f"{theirs}.user_events"
    make(warehouse, place, f"n Int32, event_id UInt32, event_type String, timestamp DateTime('UTC'), {column} {kind}")
    values, expected = told
    for n, value in enumerate(values):
        usual = {"n": f"{n}", "event_id": f"{n}", "event_type": "'e'", "timestamp": f"toDateTime('{NOON}', 'UTC')"}
        add(warehouse, place, **usual, **{column: value})
    found = [row for batch in warehouse.event_batches(USER_EVENTS, WHOLE) for row in batch.to_pylist()]
    assert [row[column] for row in sorted(found, key=lambda row: row["event_id"])] == expected


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("Bool", ["true", "false"], [True, False]),
        ("Nullable(UInt8)", ["1", "0", "2", "NULL"], [True, False, None, None]),
        ("String", ["'TRUE'", "'no'", "'maybe'", "''"], [True, False, None, None]),
        ("Enum8('yes' = 1, 'no' = 2)", ["'yes'", "'no'"], [True, False]),
    ],
)
def test_any_type_that_says_yes_or_no(
    clickhouse: ClickHouse, theirs: str, kind: str, values: list[str], expected: list[object]
) -> None:
    warehouse = open_at(clickhouse.url("tests"), mapping={"page_events": f"{theirs}.page_events"})
    place = f"{theirs}.page_events"
    make(warehouse, place, f"request_id Int32, created DateTime, visitor Nullable(UUID), adblock {kind}", "created")
    for n, value in enumerate(values):
        usual = {"request_id": f"{n}", "created": f"toDateTime('{NOON}', 'UTC')", "visitor": "toUUID(generateUUIDv4())"}
        add(warehouse, place, **usual, adblock=value)
    found = [row for batch in warehouse.event_batches(PAGE_EVENTS, WHOLE) for row in batch.to_pylist()]
    assert [row["adblock"] for row in sorted(found, key=lambda row: row["request_id"])] == expected
    assert all(len(row["visitor"]) == 36 for row in found)
    add(warehouse, place, request_id="9", created=f"toDateTime('{NOON}', 'UTC')", visitor="NULL")
    with pytest.raises(WarehouseError, match="visitor is NULL in an event"):
        warehouse.rows(Query("visitors", "SELECT visitor FROM events.page_events"))


def test_what_cannot_hold_it_is_a_complaint(clickhouse: ClickHouse, theirs: str) -> None:
    warehouse = opened(clickhouse, theirs, user_events__inserted_at="written")
    body = "event_id String, event_type String, timestamp DateTime, watch_duration Date, written String, phone IPv4"
    make(warehouse, f"{theirs}.user_events", body)
    told = [c for c in warehouse.check() if "user_events" in c.what]
    assert [c.what for c in told if c.fatal] == [
        f"{theirs}.user_events.event_id is String, user_events.event_id needs a whole number",
        f"{theirs}.user_events.watch_duration is Date, user_events.watch_duration needs a number or a text with one",
        f"{theirs}.user_events.written is String, user_events.inserted_at needs DateTime or DateTime64",
    ]
    absent = {c.what.partition(" has no column ")[2] for c in told if not c.fatal}
    assert {"country: it reads unknown", "video_id: it reads NULL", "skip_time: it reads NULL"} <= absent


def test_a_table_that_need_not_be_there_is_empty_until_it_is(clickhouse: ClickHouse, theirs: str) -> None:
    warehouse = open_at(clickhouse.url("tests"), events_database=theirs)
    assert warehouse.rows(compose("event_span", table="user_events"))[0]["rows"] == 0
    assert list(warehouse.event_batches(USER_EVENTS, WHOLE)) == list(warehouse.event_batches(PAGE_EVENTS, WHOLE)) == []
    make(warehouse, f"{theirs}.user_events", VIDEOS)
    add(warehouse, f"{theirs}.user_events", event_id="1", event_type="'e'", timestamp=f"toDateTime('{NOON}', 'UTC')")
    assert warehouse.rows(compose("event_span", table="user_events"))[0]["rows"] == 1
    # Who names it says that it is there.
    mapped = open_at(clickhouse.url("tests"), mapping={"page_events": f"{theirs}.pages"})
    fatal = [c.what for c in mapped.check() if c.fatal]
    assert fatal == [f"page_events: there is no table {theirs}.pages for this user"]


# Somebody else's table that is called like ours.
OTHER = "id UInt32, name String, time Date"


def test_a_table_of_another_shape_that_nobody_mapped_reads_as_empty(clickhouse: ClickHouse, theirs: str) -> None:
    warehouse = open_at(clickhouse.url("tests"), events_database=theirs)
    clickhouse_sources.make(warehouse.server, clickhouse_sources.KINDS["as we would keep them"], {}, theirs)
    make(warehouse, f"{theirs}.user_events", OTHER, "time")
    place = f"{theirs}.user_events"
    [complaint] = [c for c in warehouse.check() if c.what.startswith("user_events")]
    assert complaint == Complaint(
        f"user_events: {place} has no column event_id; {place} has no column event_type; {place}.time is Date, "
        "user_events.time needs DateTime or DateTime64: it reads as empty",
        f"set EVENTS_MAPPING=user_events=DATABASE.TABLE if such events are kept elsewhere, or user_events={place} "
        "with its columns (user_events.COLUMN=THEIRS) if they are these",
        fatal=False,
    )
    assert [warehouse.rows(compose("event_span", table=table.name))[0]["rows"] for table in EVENT_TABLES] == [0] * 4
    # Late data of the other tables are found.
    assert list(warehouse.note_changes(DAY, DAY, UTC)) == []
    text = f"INSERT INTO {theirs}.feed_actions (user_id, post_id, action, time) SELECT 1, 1, 'like', '{NOON}'"
    warehouse.server.command(text, name="add")
    assert list(warehouse.note_changes(DAY, DAY, UTC)) == [DAY]
    # Whoever maps it says that it is ours to read: what reads it says what is wrong, and nothing else does.
    mapped = open_at(clickhouse.url("tests"), events_database=theirs, mapping={"user_events": "user_events"})
    assert {c.what.partition(" (it has")[0] for c in mapped.check() if c.fatal} >= {f"{place} has no column event_id"}
    with pytest.raises(WarehouseError, match=r"^query event_span: .* has no column event_id .* -> add user_events\."):
        mapped.rows(compose("event_span", table="user_events"))
    assert mapped.rows(compose("event_span", table="feed_actions"))[0]["rows"] == 1
    warehouse.server.command(text, name="add")
    assert list(mapped.note_changes(DAY, DAY, UTC)) == [DAY]


def test_a_table_of_another_shape_where_ours_would_be_is_left_alone(clickhouse: ClickHouse, theirs: str) -> None:
    warehouse = open_at(clickhouse.url("tests"))
    database = warehouse.layout.database
    place = f"{database}.page_events"
    make(warehouse, place, OTHER, "time")
    add(warehouse, place, id="1", name="'theirs'", time="'2026-11-20'")
    assert "table user_events created" in warehouse.prepare()
    assert warehouse._columns({(warehouse.layout.database, "page_events")}).popitem()[1].keys() == {
        "id",
        "name",
        "time",
    }
    assert warehouse.rows(compose("event_span", table="page_events"))[0]["rows"] == 0
    assert list(warehouse.note_changes(DAY, DAY, UTC)) == []
    [complaint] = warehouse.check()
    assert (
        complaint.what == f"page_events: {place} is not as we make it (it has no column request_id): it reads as empty"
    )
    assert complaint.remedy.endswith("or name another database in WAREHOUSE_URL to keep them in a table of ours")
    assert not complaint.fatal
    visit = {"request_id": "r", "time": NOON, "visitor": "v"}
    batch = pa.RecordBatch.from_pylist([visit], schema=arrow_schema(PAGE_EVENTS))
    with pytest.raises(WarehouseError) as caught:
        warehouse.load([EventLoad(PAGE_EVENTS, [batch])], UTC)
    assert str(caught.value) == f"{complaint.what} -> {complaint.remedy}"
    assert warehouse.server.rows(f"SELECT name FROM {place}", name="look") == [{"name": "theirs"}]
    # When it has gone, ours is made.
    warehouse.server.command(f"DROP TABLE {place} SYNC", name="drop")
    assert [loaded.rows for loaded in warehouse.load([EventLoad(PAGE_EVENTS, [batch])], UTC)] == [1]
    assert warehouse.rows(compose("event_span", table="page_events"))[0]["rows"] == 1
    assert warehouse.check() == []


def test_replaced_events_are_noticed_by_the_moment_at_which_they_were_written(
    clickhouse: ClickHouse, theirs: str
) -> None:
    warehouse, place = opened(clickhouse, theirs, user_events__inserted_at="inserted_at"), f"{theirs}.user_events"
    make(warehouse, place, VIDEOS)
    event = {"event_id": "1", "event_type": "'e'", "timestamp": f"toDateTime('{NOON}', 'UTC')"}
    add(warehouse, place, **event, inserted_at="'2026-11-21 00:00:00'")
    assert list(warehouse.note_changes(DAY, DAY, UTC)) == []
    warehouse.store_day(RANKINGS_POPULAR, DAY, results_of(RANKINGS_POPULAR, DAY))
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    warehouse.server.command(f"TRUNCATE TABLE {place}", name="truncate")
    add(warehouse, place, **event, inserted_at="'2026-11-22 00:00:00'")
    assert list(warehouse.note_changes(DAY, DAY, UTC)) == [DAY]
    assert list(warehouse.note_changes(DAY, DAY, UTC)) == []
    # What comes from other events is not outdated by them, nor is a ranking as of a moment.
    assert warehouse.current_days(RANKINGS_POPULAR, DAY, DAY) == warehouse.current_days(FEED_DAILY, DAY, DAY) == {DAY}
    [batch] = warehouse.event_batches(USER_EVENTS, WHOLE)
    assert batch.column("inserted_at").to_pylist() == [at(DAY + timedelta(days=2), 0)]


def test_statements_over_one_table_do_not_look_for_another(clickhouse: ClickHouse, theirs: str) -> None:
    warehouse = open_at(clickhouse.url("tests"), events_database=theirs)
    warehouse.prepare()
    asked = warehouse.rows(Query("one", "SELECT 1 AS one"))
    clickhouse.clear()
    assert warehouse.rows(Query("one", "SELECT 1 AS one")) == asked
    assert len([request for request in clickhouse.log() if "/one/" in request.query_id]) == len(clickhouse.log()) == 1
