"""Days that the embedded warehouse hands on and takes in, what it says of itself, and who may work meanwhile."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, arrow_schema
from analytics_platform.metrics.tables import FEED_DAILY, STANDARD_TABLES, ResultTable, Type, result_schema
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import EventLoad, WarehouseError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.forked import Parent
from analytics_platform_tests.warehouses.rows import (
    DAY,
    UTC,
    at,
    batch,
    feed,
    figures,
    hours,
    messages,
    open_in,
    stored,
    times_of,
)
from analytics_platform_tests.warehouses.test_processes import outcome, start, stopped_after

WHOLE = day_window(DAY, UTC)
MANY = 150_000  # more than a batch


def many(warehouse: DuckDBWarehouse) -> None:
    warehouse.load([feed([at(DAY, 1) + timedelta(microseconds=k) for k in range(MANY)], os="Android")], UTC)


@contextmanager
def reading(warehouse: DuckDBWarehouse) -> Iterator[Iterator[pa.RecordBatch]]:
    """Batches that are let go of at the end, read or not."""
    batches = warehouse.event_batches(FEED_ACTIONS, WHOLE)
    assert isinstance(batches, Generator)
    try:
        yield batches
    finally:
        batches.close()


# ----------------------------------------------------------- event_batches


def test_every_event_of_the_window_comes_and_none_besides(warehouse: DuckDBWarehouse) -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    window = day_window(DAY, zone)
    edges = [window.start - timedelta(microseconds=1), window.start, window.end - timedelta(microseconds=1), window.end]
    rows = batch(FEED_ACTIONS, edges, country="Côte d’Ivoire 😀", gender=None, age=-1, user_id=4_294_967_295)
    warehouse.load([EventLoad(FEED_ACTIONS, [rows]), messages(edges[:1])], zone)

    [found] = warehouse.event_batches(FEED_ACTIONS, window)

    assert found.schema.equals(arrow_schema(FEED_ACTIONS))
    assert found.to_pylist() == rows.to_pylist()[1:3]
    assert list(warehouse.event_batches(MESSAGE_ACTIONS, window)) == []


def test_many_events_come_in_batches_and_in_order(warehouse: DuckDBWarehouse) -> None:
    many(warehouse)
    found = list(warehouse.event_batches(FEED_ACTIONS, WHOLE))
    assert len(found) > 1
    times = pa.Table.from_batches(found)["time"].to_pylist()
    assert times == [at(DAY, 1) + timedelta(microseconds=k) for k in range(MANY)]


def test_nobody_waits_for_a_slow_reader_and_it_reads_one_moment(
    warehouse: DuckDBWarehouse, tmp_path: Path, processes: Parent
) -> None:
    many(warehouse)
    with reading(warehouse) as batches:
        first = next(batches)
        # Another process writes the file, other threads read and write with the same warehouse.
        writer = start(processes, "events", tmp_path, 1, 7)
        with stopped_after(writer):
            assert outcome(writer) == 1
        others = [
            threading.Thread(target=warehouse.replace_day, args=(FEED_DAILY, DAY, figures(DAY, 3))),
            threading.Thread(target=warehouse.load, args=([feed([at(DAY, 5)])], UTC)),
        ]
        for other in others:
            other.start()
        for other in others:
            other.join(60)
        rest = list(batches)

    assert sum(b.num_rows for b in (first, *rest)) == MANY
    assert {v for b in rest for v in b["os"].unique().to_pylist()} == {"Android"}
    assert stored(warehouse, DAY) == [3]
    assert times_of(warehouse) == [at(DAY, 5)]


def test_a_reader_that_goes_away_leaves_nothing_behind(warehouse: DuckDBWarehouse) -> None:
    many(warehouse)
    with reading(warehouse) as batches:
        next(batches)
    databases = Query("databases", "SELECT database_name FROM duckdb_databases() WHERE NOT internal")
    assert {row["database_name"] for row in warehouse.rows(databases)} == {"memory", "events", "results"}


def test_a_reader_may_go_on_in_another_thread(warehouse: DuckDBWarehouse) -> None:
    many(warehouse)
    counted: list[int] = []
    with reading(warehouse) as batches:
        counted.append(next(batches).num_rows)
        other = threading.Thread(target=lambda: counted.extend(b.num_rows for b in batches))
        other.start()
        other.join(60)
    assert sum(counted) == MANY


def test_one_warehouse_loads_what_another_of_the_process_reads(tmp_path: Path) -> None:
    source, target = open_in(tmp_path / "source"), open_in(tmp_path / "target")
    many(source)
    [loaded] = target.load([EventLoad(FEED_ACTIONS, source.event_batches(FEED_ACTIONS, WHOLE))], UTC)
    assert loaded.rows == MANY
    # Back into the file that they come from: the file is closed when it is to be written.
    [again] = source.load([EventLoad(FEED_ACTIONS, source.event_batches(FEED_ACTIONS, WHOLE))], UTC)
    assert again.rows == MANY


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    warehouse = open_in(tmp_path)
    many(warehouse)
    path = tmp_path / "events.duckdb"
    path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096))
    with pytest.raises(WarehouseError, match=r"events\.duckdb"):
        list(warehouse.event_batches(FEED_ACTIONS, WHOLE))
    path.unlink()
    open_in(tmp_path).prepare()
    assert list(warehouse.event_batches(FEED_ACTIONS, WHOLE)) == []


# ------------------------------------------------------- stored days


ANY = ResultTable("any", tuple((f"{kind.name.lower()}_1", kind) for kind in Type))
OTHER = ResultTable("any", (("event_date", Type.DATE), *ANY.columns))


def rows_of(table: ResultTable, count: int) -> pa.Table:
    """Rows of every type, the last of NULLs."""
    full: dict[str, object] = {
        "event_date": DAY,
        "date_1": DAY,
        "user_1": 4_294_967_295,
        "small_1": -32768,
        "count_1": 2_147_483_647,
        "total_1": -(2**63),
        "share_1": 0.1 + 0.2,
        "text_1": "Санкт-Петербург 😀 \x00'\"\\",
        "time_1": datetime(2026, 11, 20, 1, 2, 3, 4),  # noqa: DTZ001
    }
    rows = [full] * (count - 1) + [{"event_date": DAY}]
    return pa.Table.from_pylist(rows, schema=result_schema(table))


def test_a_day_comes_out_as_it_was_put_in(tmp_path: Path) -> None:
    warehouse = open_in(tmp_path, result_tables=(OTHER,), basis="zone")
    rows = rows_of(OTHER, 3)

    assert warehouse.store_day(OTHER, DAY, rows) == 3
    assert warehouse.stored_rows(OTHER, DAY).equals(rows)
    assert warehouse.current_days(OTHER, DAY, DAY) == {DAY}
    assert open_in(tmp_path, result_tables=(OTHER,), basis="other").current_days(OTHER, DAY, DAY) == set()

    nothing = rows.slice(0, 0)
    assert warehouse.store_day(OTHER, DAY, nothing) == 0
    assert warehouse.stored_rows(OTHER, DAY).equals(nothing)
    assert warehouse.computed_days(OTHER, DAY, DAY) == {DAY}


@pytest.mark.parametrize("table", STANDARD_TABLES, ids=lambda t: t.name)
def test_a_day_without_rows_has_every_column(warehouse: DuckDBWarehouse, table: ResultTable) -> None:
    assert warehouse.stored_rows(table, DAY).schema.equals(result_schema(table))


def test_columns_go_by_name_where_the_file_has_another_order(tmp_path: Path) -> None:
    open_in(tmp_path, result_tables=(ResultTable("any", OTHER.columns[:4]),)).prepare()
    turned = ResultTable("any", tuple(reversed(OTHER.columns)))
    rows = rows_of(turned, 2)
    open_in(tmp_path, result_tables=(turned,)).store_day(turned, DAY, rows)
    assert (
        open_in(tmp_path, result_tables=(OTHER,))
        .stored_rows(OTHER, DAY)
        .equals(rows.select(rows_of(OTHER, 1).column_names))
    )


def test_rows_of_another_day_are_refused_and_the_day_stays(warehouse: DuckDBWarehouse) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 4))
    rows = warehouse.stored_rows(FEED_DAILY, DAY)
    before = DAY - timedelta(days=1)
    with pytest.raises(WarehouseError, match=f"feed_daily of {before}: 1 of 1 rows are of another day"):
        warehouse.store_day(FEED_DAILY, before, rows)
    with pytest.raises(WarehouseError, match="dau"):
        warehouse.store_day(FEED_DAILY, DAY, rows.drop_columns(["dau"]))
    assert stored(warehouse, DAY) == [4]


# --------------------------------------------------------- what it says


def test_prepare_says_what_it_made_and_check_what_is_missing(tmp_path: Path) -> None:
    few, more = ResultTable("any", OTHER.columns[:2]), ResultTable("any", OTHER.columns[:3])
    first = open_in(tmp_path, result_tables=(few,))
    assert [c.what for c in first.check()] == [
        f"{tmp_path}/events.duckdb does not exist",
        f"{tmp_path}/results.duckdb does not exist",
    ]
    assert list(tmp_path.glob("*.duckdb")) == []

    assert first.prepare() == [
        "table feed_actions created",
        "table message_actions created",
        "table user_events created",
        "table page_events created",
        "table loaded_days created",
        "table any created",
        "table computed_days created",
    ]
    assert (list(first.prepare()), list(first.check())) == ([], [])

    second = open_in(tmp_path, result_tables=(more,))
    [complaint] = second.check()
    assert complaint.fatal
    assert complaint.what == f"{tmp_path}/results.duckdb has no column any.user_1"
    assert (second.prepare(), list(second.check())) == (["column any.user_1 added"], [])
    assert list(open_in(tmp_path, result_tables=(more,)).prepare()) == []


def test_it_says_where_it_is(tmp_path: Path) -> None:
    warehouse = open_in(tmp_path / "home")
    warehouse.prepare()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert warehouse.engine == "duckdb"
    assert warehouse.place == f"{tmp_path}/home/events.duckdb and {tmp_path}/home/results.duckdb"
    assert open_in(tmp_path / "link").place == warehouse.place


def test_no_other_program_changes_events_unnoticed(warehouse: DuckDBWarehouse) -> None:
    warehouse.load([feed(hours(DAY, [1]))], UTC)
    with duckdb.connect(warehouse.events):  # held by somebody: nothing is read
        assert list(warehouse.note_changes(DAY, DAY, UTC)) == []


def test_a_day_is_handed_on_by_a_warehouse_that_was_asked_nothing_before(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 2))
    assert open_in(tmp_path).stored_rows(FEED_DAILY, DAY).num_rows == 1
    assert list(open_in(tmp_path).event_batches(FEED_ACTIONS, WHOLE)) == []
