"""A table in memory answers as a warehouse does, keeps to its memory, and leaves nothing behind."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from analytics_platform.metrics.events import EVENT_TABLES, PAGE_EVENTS, EventTable, Kind, arrow_schema
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import WarehouseError
from analytics_platform.warehouses.scratch import Scratch

NOON = datetime.fromisoformat("2019-06-24T13:48:34.201263")
ALL = Query("all", f"SELECT * FROM events.{PAGE_EVENTS.name} ORDER BY time")


def batch(count: int, start: int = 0, width: int = 10) -> pa.RecordBatch:
    rows = [
        {
            "request_id": f"{k:036}",
            "time": NOON + timedelta(seconds=k),
            "visitor": f"{k % 7}",
            "adblock": (None, True, False)[k % 3],
            "user_agent": f"{k:0{width}}",
        }
        for k in range(start, start + count)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(PAGE_EVENTS))


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    given = [batch(5), batch(0), batch(3, start=5)]
    with Scratch.of(PAGE_EVENTS, given, "100MB", tmp_path) as scratch:
        assert scratch.rows == 8
        found = scratch.table(ALL)
        assert scratch.table(ALL) == found  # asked as often as one likes
        [[last]] = scratch.table(
            Query("last", "SELECT max(time) FROM events.page_events WHERE time < $end", {"end": NOON})
        ).columns
    assert found.schema.equals(arrow_schema(PAGE_EVENTS))
    assert found == pa.Table.from_batches(given)
    assert last.as_py() is None


def _extreme(kind: Kind) -> tuple[object, ...]:
    match kind:
        case Kind.TIME:
            return (NOON, datetime.fromisoformat("1969-12-31T23:59:59.999999"))
        case Kind.BOOL:
            return (True, False)
        case Kind.FLOAT:
            return (0.1, -1e308)
        case Kind.TEXT | Kind.LONG_TEXT:
            return ("", "'; DROP TABLE events.page_events; -- \\ 😀")
        case _:
            bits = {Kind.UINT64: 64, Kind.UINT32: 32, Kind.INT64: 63, Kind.INT16: 15, Kind.INT8: 7}[kind]
            return (0, 2**bits - 1)


@pytest.mark.parametrize("table", EVENT_TABLES, ids=lambda table: table.name)
def test_every_table_of_events_with_the_ends_of_its_types(table: EventTable) -> None:
    rows = [{c.name: _extreme(c.kind)[k] for c in table.columns} for k in range(2)]
    rows.append({c.name: rows[0][c.name] if c.required else None for c in table.columns})
    given = pa.Table.from_pylist(rows, schema=arrow_schema(table))
    with Scratch.of(table, given.to_batches(), "100MB") as scratch:
        assert scratch.table(Query("all", f"SELECT * FROM events.{table.name}")) == given


def test_no_batch_at_all_is_an_empty_table() -> None:
    with Scratch.of(PAGE_EVENTS, [], "100MB") as scratch:
        assert scratch.rows == 0
        assert scratch.table(ALL) == arrow_schema(PAGE_EVENTS).empty_table()


def test_what_does_not_fit_is_kept_in_a_folder_that_goes_at_the_end(tmp_path: Path) -> None:
    def given() -> Iterator[pa.RecordBatch]:
        for k in range(20):
            yield batch(2000, start=2000 * k, width=1000)

    with Scratch.of(PAGE_EVENTS, given(), "20MB", tmp_path) as scratch:
        spilled = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in spilled) > 1_000_000
        assert scratch.rows == 40_000
        question = "SELECT count(*) AS n, CAST(sum(length(user_agent)) AS BIGINT) AS letters FROM events.page_events"
        assert scratch.table(Query("size", question)).to_pylist() == [{"n": 40_000, "letters": 40_000_000}]
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_source_comes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield batch(3)
        raise ConnectionError("the table is gone")

    with pytest.raises(ConnectionError, match="the table is gone"), Scratch.of(PAGE_EVENTS, broken(), "1GB", tmp_path):
        raise AssertionError("it never opens")
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_user_comes_through_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Scratch.of(PAGE_EVENTS, [batch(3)], "1GB", tmp_path):
        _ = 1 // 0
    assert not list(tmp_path.iterdir())


def test_several_are_open_at_once_and_do_not_see_each_other() -> None:
    with (
        Scratch.of(PAGE_EVENTS, [batch(3)], "100MB") as first,
        Scratch.of(PAGE_EVENTS, [batch(5)], "100MB") as second,
    ):
        assert (first.table(ALL).num_rows, second.table(ALL).num_rows) == (3, 5)


def test_what_the_engine_cannot_do_is_said_in_one_sentence(tmp_path: Path) -> None:
    with Scratch.of(PAGE_EVENTS, [batch(3)], "1GB") as scratch:
        with pytest.raises(WarehouseError, match="query wrong on page_events in memory failed: "):
            scratch.table(Query("wrong", "SELECT nothing FROM events.page_events"))
        assert scratch.table(ALL).num_rows == 3
    with (
        pytest.raises(WarehouseError, match="a table in memory cannot be opened: "),
        Scratch.of(PAGE_EVENTS, [], "a lot", tmp_path),
    ):
        raise AssertionError("it never opens")
    with (
        pytest.raises(WarehouseError, match=r"page_events cannot be held in memory: Out of Memory Error: [^\n]*$"),
        Scratch.of(PAGE_EVENTS, [batch(1, width=10_000_000)], "2MB", tmp_path),
    ):
        raise AssertionError("it never opens")
    other = pa.RecordBatch.from_pydict({"request_id": ["1"]})
    with (
        pytest.raises(WarehouseError, match="page_events cannot be held in memory: "),
        Scratch.of(PAGE_EVENTS, [other], "1GB", tmp_path),
    ):
        raise AssertionError("it never opens")
    assert not list(tmp_path.iterdir())
