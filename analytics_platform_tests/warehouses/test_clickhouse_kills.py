"""Processes that are killed at every statement, and several at once: old rows or new ones, and a true ledger."""

import atexit
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from analytics_platform.metrics.events import EVENT_TABLES, METRIC_TABLES
from analytics_platform.metrics.tables import FEED_DAILY, STANDARD_TABLES
from analytics_platform.metrics.windows import Gap, local_day
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import WarehouseBusyError
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.clickhouse_worker import BERLIN, loads
from analytics_platform_tests.warehouses.rows import DAY, figures, stored

KILLED = 9
# Statements of a replacement by name, and how they are recognised.
STEPS = {"figures": "INSERT INTO .*staged_", "replace_feed_daily": "REPLACE PARTITION", "end_feed_daily": "version . 1"}
DAYS = [DAY + timedelta(days=k) for k in range(3)]


class Worker:
    """Another process; each order is carried out by a child of its own."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "analytics_platform_tests.warehouses.clickhouse_worker", url]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self._answer() == "ready"

    def begin(self, job: str, **order: Any) -> None:
        """Give an order."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"job": job, **order}, default=str) + "\n")

    def end(self) -> dict[str, Any]:
        """What became of it."""
        told: dict[str, Any] = json.loads(self._answer())
        assert "error" not in told, told["error"]
        return told

    def do(self, job: str, **order: Any) -> dict[str, Any]:
        """Give an order and wait."""
        self.begin(job, **order)
        return self.end()

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


# Those that wait for an order, by the database: a start costs more than most tests.
_IDLE: dict[str, list[Worker]] = {}


@contextmanager
def workers(url: str, number: int = 1) -> Iterator[list[Worker]]:
    """Some other processes, kept for the next test unless this one fails in the middle of an order."""
    idle = _IDLE.setdefault(url, [])
    found = [idle.pop() if idle else Worker(url) for _ in range(number)]
    try:
        yield found
    except BaseException:
        stop(found)
        raise
    idle += found


def stop(found: list[Worker]) -> None:
    """They are gone."""
    for worker in found:
        worker.process.kill()
        worker.process.communicate()


@atexit.register
def _stop_all() -> None:
    for found in _IDLE.values():
        stop(found)


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    return clickhouse.empty_database()


@pytest.fixture
def warehouse(url: str) -> ClickHouseWarehouse:
    """Prepared, without events or results."""
    made = open_at(url)
    made.prepare()
    return made


def entry(warehouse: ClickHouseWarehouse, day: date) -> tuple[object, object] | None:
    """What the ledger says of the day of feed_daily: rows and basis."""
    asked = "SELECT rows, basis FROM results.computed_days WHERE table_name = 'feed_daily' AND event_date = $day"
    found = warehouse.rows(Query("entry", asked, {"day": day}))
    return (found[0]["rows"], found[0]["basis"]) if found else None


def wait_for(clickhouse: ClickHouse, step: str, thread: threading.Thread) -> None:
    """Until the server has received that statement of the thread's."""
    while not any(f"/{step}/" in request.query_id for request in clickhouse.log()):
        assert thread.is_alive()
        time.sleep(0.02)


def leftovers(warehouse: ClickHouseWarehouse) -> list[str]:
    known = {*(t.name for t in EVENT_TABLES), *(t.name for t in STANDARD_TABLES), "computed_days", "loaded_days"}
    return [name for name in warehouse._engines() if name not in known]


def clean(warehouse: ClickHouseWarehouse) -> None:
    for name in leftovers(warehouse):
        warehouse.server.command(f"DROP TABLE {warehouse.layout.database}.{name}", name="clean")


# ------------------------------------------------------------------- killed


@pytest.mark.parametrize(("job", "before", "after"), [("replace", 3, 5), ("replace", 3, 0), ("store", None, 5)])
def test_killed_at_any_statement_a_day_is_old_or_new_and_the_ledger_tells_which(
    url: str, warehouse: ClickHouseWarehouse, job: str, before: int | None, after: int
) -> None:
    old = [before] * before if before else []
    wanted = {"version": 5, "day": DAY} | ({"rows": after} if job == "replace" else {})
    seen: list[tuple[bool, bool]] = []
    with workers(url) as [worker]:
        for number in range(40):
            if before:
                warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, before, before))
            else:
                warehouse.server.command(f"TRUNCATE TABLE {warehouse.layout.database}.feed_daily", name="empty")
                warehouse.server.command(f"TRUNCATE TABLE {warehouse.layout.database}.computed_days", name="empty")
            told = worker.do(job, **wanted, kill_at=number)
            found = stored(warehouse, DAY)
            assert found in (old, [5] * after), number
            current = bool(warehouse.current_days(FEED_DAILY, DAY, DAY))
            if current:
                assert entry(warehouse, DAY) == (len(found), "UTC"), number
            assert current or not (before and found == old) or "way" in str(entry(warehouse, DAY)), number
            # Nothing is said to be computed that never was.
            assert before or found or not warehouse.computed_days(FEED_DAILY, DAY, DAY) or after == 0, number
            assert [name[:17] for name in leftovers(warehouse)] in ([], ["staged_feed_daily"]), number
            seen.append((found == old, current))
            if not told["signal"]:
                break
            assert told["signal"] == KILLED
            # Whoever comes next gets it right.
            warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 5, after))
            assert stored(warehouse, DAY) == [5] * after, number
            assert warehouse.current_days(FEED_DAILY, DAY, DAY) == {DAY}, number
            clean(warehouse)
    assert leftovers(warehouse) == []
    assert (seen[0], seen[-1]) == ((True, before is not None), (old == [5] * after, True))
    assert len(seen) > 6, "it was killed at every one of its statements"
    assert {current for _, current in seen} == {True, False}


@pytest.mark.parametrize(("append", "tables"), [(False, 2), (True, 1)])
def test_killed_at_any_statement_a_load_is_done_or_not_and_what_hangs_on_it_outdated(
    url: str, warehouse: ClickHouseWarehouse, append: bool, tables: int
) -> None:
    # Three days for each statement: the first two are loaded again. Their UTC days hold an hour of the third.
    groups = [[DAY + timedelta(days=3 * k + n) for n in range(3)] for k in range(34)]
    warehouse.load(loads([day for group in groups for day in group], 1, tables), BERLIN)
    old, new = "1" * 12, ("1" * 12 if append else "") + "2" * 12
    outcomes: set[tuple[str, ...]] = set()
    killed: list[date] = []
    computed = {"table_name": "feed_daily", "rows": 0, "basis": "UTC"}
    with workers(url) as [worker]:
        for number, (first, second, other) in enumerate(groups):
            warehouse.ledger("computed_days", [{**computed, "event_date": first, "computed_at": warehouse.now()}])
            assert first in warehouse.current_days(FEED_DAILY, first, first)
            told = worker.do("load", days=[first, second], version=2, tables=tables, append=append, kill_at=number)

            found = versions(warehouse, first)[:tables]
            whole = ({first: old, second: old, other: old}, {first: new, second: new, other: old})
            assert all(days in whole for days in found), number
            if whole[1] in found:
                assert first not in warehouse.current_days(FEED_DAILY, first, first), number
            outcomes.add(tuple(days[first] for days in found))
            if not told["signal"]:
                break
            killed += [first, second]
    assert number > 10, "it was killed at every one of its statements"
    # Both, none, and one of the tables alone: those two have no transaction in common.
    assert len(outcomes) == tables + 1
    left = {name.rpartition("_")[0] for name in leftovers(warehouse)}
    assert left == {f"staged_{table.name}" for table in METRIC_TABLES[:tables]}

    warehouse.load(loads(killed, 2, tables), BERLIN)
    for first, second, other in groups[:number]:
        again = {first: "2" * 12, second: "2" * 12, other: old}
        assert versions(warehouse, first)[:tables] == [again] * tables
        assert first not in warehouse.current_days(FEED_DAILY, first, first)


def versions(warehouse: ClickHouseWarehouse, first: date) -> list[dict[date, str]]:
    """By table and local day of Berlin the users of the events of three days, sorted, in one text."""
    window = Gap(first, first + timedelta(days=2)).window(BERLIN)
    found: list[dict[date, str]] = []
    for table in METRIC_TABLES:
        asked = f"SELECT time, user_id FROM events.{table.name} WHERE time >= $start AND time < $end ORDER BY user_id"
        days: dict[date, str] = {}
        for row in warehouse.rows(Query("v", asked, {"start": window.start, "end": window.end})):
            assert isinstance(row["time"], datetime)
            day = local_day(row["time"], BERLIN)
            days[day] = days.get(day, "") + str(row["user_id"])
        found.append(days)
    return found


# ------------------------------------------------------------ several at once


@pytest.mark.slow
def test_a_reader_sees_whole_days_only_while_they_are_replaced(url: str, warehouse: ClickHouseWarehouse) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    with workers(url, 2) as [writer, reader]:
        reader.begin("look", day=DAY, until=100)
        writer.do("replace", day=DAY, version=1, turns=100)
        told = reader.end()["result"]
        assert told["torn"] == []
        assert told["versions"] > 20, told


def test_processes_that_replace_the_same_day_leave_one_of_their_versions_and_its_entry(
    url: str, warehouse: ClickHouseWarehouse
) -> None:
    with workers(url, 2) as pair:
        for start, worker in zip((100, 200), pair, strict=True):
            worker.begin("replace", day=DAY, version=start, turns=10)
        for worker in pair:
            assert worker.end()["signal"] == 0
    found = stored(warehouse, DAY)
    assert len(set(found)) == 1
    assert found[0] in (109, 209)
    assert entry(warehouse, DAY) == (found[0], "UTC")
    assert len(found) == found[0]
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == {DAY}
    assert leftovers(warehouse) == []


def test_processes_that_replace_different_days_do_not_meet(url: str, warehouse: ClickHouseWarehouse) -> None:
    with workers(url, 2) as pair:
        for day, worker in zip(DAYS, pair, strict=False):
            worker.begin("replace", day=day, version=1, turns=5)
        for worker in pair:
            assert worker.end()["signal"] == 0
    for day in DAYS[:2]:
        assert stored(warehouse, day) == [5] * 5
        assert entry(warehouse, day) == (5, "UTC")


@pytest.mark.parametrize("step", ["replace_feed_daily", "end_feed_daily"])
def test_an_entry_is_that_of_the_rows_whichever_process_falls_behind(
    clickhouse: ClickHouse, url: str, warehouse: ClickHouseWarehouse, step: str
) -> None:
    # The first waits in front of a statement, until the second has done all of its own.
    first, second = warehouse, open_at(url)
    second.prepare()
    clickhouse.clear()
    clickhouse.delay(STEPS[step], seconds=60)
    thread = threading.Thread(target=lambda: first.replace_day(FEED_DAILY, DAY, figures(DAY, 3, 3)))
    thread.start()
    wait_for(clickhouse, step, thread)
    second.replace_day(FEED_DAILY, DAY, figures(DAY, 4, 4))
    assert thread.is_alive(), "the first has waited long enough"
    assert entry(second, DAY) == (len(stored(second, DAY)), "UTC")
    clickhouse.release()
    thread.join(60)
    assert entry(second, DAY) == (len(stored(second, DAY)), "UTC")


# -------------------------------------------------------- the server killed


@pytest.mark.parametrize("step", ["figures", "replace_feed_daily", "end_feed_daily"])
def test_a_server_that_dies_in_the_middle_is_one_sentence_and_what_it_left_is_whole(
    clickhouse: ClickHouse, url: str, warehouse: ClickHouseWarehouse, step: str
) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 3, 3))
    if clickhouse.folder is None:
        pytest.skip("a real server is not killed")
    clickhouse.clear()
    clickhouse.delay(STEPS[step], seconds=60)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 5, 5))
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(clickhouse, step, thread)
    clickhouse.kill()
    thread.join(60)
    [error] = failures
    assert isinstance(error, WarehouseBusyError)
    assert str(error).startswith(f"ClickHouse at 127.0.0.1:{clickhouse.port} does not answer (")

    with pytest.raises(WarehouseBusyError, match="Connection refused"):
        stored(warehouse, DAY)
    clickhouse.start()
    assert stored(warehouse, DAY) == ([5] * 5 if step == "end_feed_daily" else [3] * 3)
    assert bool(warehouse.current_days(FEED_DAILY, DAY, DAY)) == (step == "figures")
    # The warehouse goes on, without being made anew.
    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 6, 6)) == 6
    assert (stored(warehouse, DAY), entry(open_at(url), DAY)) == ([6] * 6, (6, "UTC"))
