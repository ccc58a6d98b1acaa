"""A window of a day is replaced, and the day's other windows stay: whoever writes, whoever is killed."""

import signal
import threading
import time
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from analytics_platform.metrics.tables import EVENT_REPORTS
from analytics_platform.warehouses.base import Warehouse, WarehouseError
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.forked import Parent
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.parts import entry, rows_of, store, stored, window
from analytics_platform_tests.warehouses.rows import DAY, open_in
from analytics_platform_tests.warehouses.test_clickhouse_kills import KILLED, clean, leftovers, wait_for, workers
from analytics_platform_tests.warehouses.test_processes import is_at_work, outcome, start, stopped_after

NEXT = DAY + timedelta(days=1)


@pytest.fixture(params=["duckdb", "clickhouse"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        return open_in(tmp_path)
    clickhouse: ClickHouse = request.getfixturevalue("clickhouse")
    return open_at(clickhouse.empty_database())


@pytest.fixture
def server(clickhouse: ClickHouse) -> ClickHouseWarehouse:
    """Prepared and empty."""
    made = open_at(clickhouse.empty_database())
    made.prepare()
    return made


def test_a_part_is_replaced_and_the_other_parts_stay(warehouse: Warehouse) -> None:
    assert (store(warehouse, 9, 3), stored(warehouse), entry(warehouse)) == (3, {9: (3, "first")}, [3])
    assert (store(warehouse, 10, 4), entry(warehouse)) == (4, [7])
    assert warehouse.computed_days(EVENT_REPORTS, DAY, NEXT) == {DAY}
    assert warehouse.current_days(EVENT_REPORTS, DAY, NEXT) == {DAY}
    # Again, with fewer rows: those that are there no more are gone.
    assert store(warehouse, 9, 2, "second") == 2
    assert (stored(warehouse), entry(warehouse)) == ({9: (2, "second"), 10: (4, "first")}, [6])
    assert warehouse.stored_rows(EVENT_REPORTS, DAY).num_rows == 6
    # A moment with a zone is the same moment.
    aware = {name: moment.replace(tzinfo=UTC) for name, moment in window(9).items()}
    assert warehouse.store_part(EVENT_REPORTS, DAY, aware, rows_of(9, 1, "third")) == 1
    assert stored(warehouse) == {9: (1, "third"), 10: (4, "first")}


def test_no_rows_empty_the_part_and_the_last_one_the_day(warehouse: Warehouse) -> None:
    store(warehouse, 9, 3)
    store(warehouse, 10, 1)
    assert (store(warehouse, 9, 0), stored(warehouse), entry(warehouse)) == (0, {10: (1, "first")}, [1])
    assert (store(warehouse, 10, 0), stored(warehouse), entry(warehouse)) == (0, {}, [0])
    assert store(warehouse, 11, 0) == 0
    assert warehouse.current_days(EVENT_REPORTS, DAY, NEXT) == {DAY}, "a day without rows is not a missing one"
    assert (store(warehouse, 9, 2), stored(warehouse)) == (2, {9: (2, "first")})


def test_a_whole_day_replaces_all_its_parts(warehouse: Warehouse) -> None:
    store(warehouse, 9, 3)
    assert warehouse.store_day(EVENT_REPORTS, DAY, rows_of(10, 2)) == 2
    assert (stored(warehouse), entry(warehouse)) == ({10: (2, "first")}, [2])


def test_rows_of_another_day_or_part_are_refused_in_one_sentence(warehouse: Warehouse) -> None:
    store(warehouse, 9, 3)
    where = "window_start 2026-11-20 09:00:00, window_end 2026-11-20 10:00:00"
    for day, hour in ((DAY, 10), (NEXT, 9)):
        with pytest.raises(WarehouseError) as caught:
            warehouse.store_part(EVENT_REPORTS, day, window(9), rows_of(hour, 2))
        assert str(caught.value) == f"event_reports of {day}: 2 of 2 rows are of another day or part than {where}"
    with pytest.raises(ValueError, match=r"event_reports has no moment 'visitor'; it has window_start, window_end, "):
        warehouse.store_part(EVENT_REPORTS, DAY, {"visitor": window(9)["window_start"]}, rows_of(9, 1))
    assert (stored(warehouse), entry(warehouse)) == ({9: (3, "first")}, [3])


# ------------------------------------------------------------ several at once


def test_two_processes_that_store_parts_of_one_day_lose_nothing_in_files(tmp_path: Path, processes: Parent) -> None:
    open_in(tmp_path).prepare()
    writers = [start(processes, "parts", tmp_path, 20, hour) for hour in (9, 10)]
    with stopped_after(*writers):
        assert [outcome(writer) for writer in writers] == [20, 20]
    warehouse = open_in(tmp_path)
    assert (stored(warehouse), entry(warehouse)) == ({9: (20, "19"), 10: (20, "19")}, [40])


def test_two_processes_that_store_parts_of_one_day_lose_nothing_on_a_server(
    clickhouse: ClickHouse, server: ClickHouseWarehouse
) -> None:
    store(server, 8, 5)
    with workers(clickhouse.url("tests"), 2) as pair:
        for hour, worker in zip((9, 10), pair, strict=True):
            worker.begin("part", first=hour, turns=20)
        for worker in pair:
            assert worker.end()["signal"] == 0
    assert stored(server) == {8: (5, "first"), 9: (20, "19"), 10: (20, "19")}
    assert (entry(server), leftovers(server)) == ([45], [])
    assert server.current_days(EVENT_REPORTS, DAY, DAY) == {DAY}


# The first waits in front of one of its statements, with what it has read, until the second has done all of its own.
# It adds a window that has no rows yet, or replaces one and takes the other rows along.
ADDING = {"attach": "ATTACH PARTITION", "end": "version . 1"}
REPLACING = {"keep": "INSERT INTO .*staged_.*SELECT", "count": "SELECT count.. AS rows FROM .*staged_"}
REPLACING |= {"replace": "REPLACE PARTITION", "end": "version . 1"}


@pytest.mark.parametrize(
    ("before", "step", "other"),
    [
        *((1, step, other) for step in REPLACING for other in ("other part", "day")),
        *((0, step, "same part") for step in ADDING),
        (0, "attach", "day"),
    ],
)
def test_who_falls_behind_brings_nothing_back_and_adds_nothing_twice(
    clickhouse: ClickHouse, server: ClickHouseWarehouse, before: int, step: str, other: str
) -> None:
    store(server, 9, 3, "old")
    store(server, 10, before, "old")
    second = open_at(clickhouse.url("tests"))
    second.patience_seconds = 0.0
    second.prepare()
    clickhouse.clear()
    clickhouse.delay((REPLACING if before else ADDING)[step], seconds=60)
    thread = threading.Thread(target=lambda: store(server, 10, 2, "first"))
    thread.start()
    wait_for(clickhouse, f"{step}_event_reports", thread)
    changed = 10 if other == "same part" else 9
    if other == "day":
        second.store_day(EVENT_REPORTS, DAY, rows_of(9, 4, "second"))
    else:
        store(second, changed, 4, "second")
    assert thread.is_alive(), "the first waits for as long as the second needs"
    assert stored(second)[changed] == (4, "second")
    clickhouse.release()
    thread.join(30)
    kept = (3, "old") if other == "same part" else (4, "second")
    assert (stored(server), entry(server)) == ({9: kept, 10: (2, "first")}, [kept[0] + 2])
    assert leftovers(server) == []


def test_a_window_that_is_stored_for_the_first_time_writes_no_other_rows_again(
    clickhouse: ClickHouse, server: ClickHouseWarehouse
) -> None:
    store(server, 9, 3)
    clickhouse.clear()
    assert (store(server, 10, 2), stored(server)) == (2, {9: (3, "first"), 10: (2, "first")})
    sent = [request.query_id.split("/")[1] for request in clickhouse.log()]
    assert "attach_event_reports" in sent
    assert not {"keep_event_reports", "replace_event_reports"} & set(sent)


# ------------------------------------------------------------------- killed


@pytest.mark.parametrize("before", [3, 0])
def test_killed_at_any_statement_a_part_is_old_or_new(
    clickhouse: ClickHouse, server: ClickHouseWarehouse, before: int
) -> None:
    old = (before, "old") if before else None
    seen: list[tuple[object, bool]] = []
    with workers(clickhouse.url("tests")) as [worker]:
        store(server, 10, 2, "other")
        # A part without rows is stored in the same way up to its rows' being sent.
        for number in range(0 if before else 6, 40):
            store(server, 9, before, "old")
            told = worker.do("part", first=9, turns=1, kill_at=number)
            found = stored(server)
            assert found.get(9) in (old, (1, "0")), number
            assert found[10] == (2, "other"), number
            current = bool(server.current_days(EVENT_REPORTS, DAY, DAY))
            if current:
                assert entry(server) == [2 + (before if found.get(9) == old else 1)], number
            seen.append((found.get(9), current))
            if not told["signal"]:
                break
            assert told["signal"] == KILLED
            clean(server)
    assert (seen[0], seen[-1]) == ((old, before > 0), ((1, "0"), True))
    assert number > 8, "it was killed at every one of its statements"
    assert {current for _, current in seen} == {True, False}


def test_what_a_killed_process_left_keeps_nobody_waiting_for_long(
    clickhouse: ClickHouse, server: ClickHouseWarehouse
) -> None:
    server.patience_seconds = 0.5
    with workers(clickhouse.url("tests")) as [worker]:
        assert worker.do("part", first=9, turns=1, kill_at=6)["signal"] == KILLED
    assert [name[:20] for name in leftovers(server)] == ["staged_event_reports"]
    assert (store(server, 10, 2), stored(server), leftovers(server)) == (2, {10: (2, "first")}, [])


def test_a_killed_writer_of_parts_leaves_whole_parts_in_files(tmp_path: Path, processes: Parent) -> None:
    store(open_in(tmp_path), 10, 2, "other")
    for pause in (0.05, 0.2):
        writer = start(processes, "parts", tmp_path, 100_000, 9)
        with stopped_after(writer):
            time.sleep(pause)
            assert is_at_work(writer)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        found = stored(open_in(tmp_path, lock_timeout_seconds=2))
        rows, version = found.get(9, (1, "0"))
        assert version == str(int(str(rows)) - 1), "all rows of one turn"
        assert found[10] == (2, "other")
