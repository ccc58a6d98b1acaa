"""One warehouse in one process: what is stored, replaced, kept on failure, and how a bad file reads."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from analytics_platform.metrics.catalog import METRICS, Count, Source
from analytics_platform.metrics.events import EVENT_TABLES, FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.metrics.tables import FEED_DAILY, daily_slices_table, user_day_table
from analytics_platform.queries import Query
from analytics_platform.sources.problems import EventFileError
from analytics_platform.warehouses.base import EventLoad, WarehouseBusyError, WarehouseError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
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
from analytics_platform_tests.work import calls_of

NEXT = DAY + timedelta(days=1)
USER_DAY = user_day_table()


def count(warehouse: DuckDBWarehouse, table: str) -> object:
    return warehouse.rows(Query("count", f"SELECT count(*) AS n FROM {table}"))[0]["n"]


# ------------------------------------------------------------------ schemas


def test_prepare_creates_everything_and_changes_nothing_the_second_time(tmp_path: Path) -> None:
    open_in(tmp_path).prepare()
    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.glob("*.duckdb")}

    again = open_in(tmp_path)
    again.prepare()
    again.prepare()

    assert {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in tmp_path.glob("*.duckdb")} == before
    assert [count(again, f"events.{table.name}") for table in EVENT_TABLES] == [0, 0, 0, 0]
    assert [count(again, f"results.{name}") for name in ("user_day", "daily_slices", "feed_daily")] == [0, 0, 0]


def test_a_metric_new_in_the_catalogue_becomes_a_column_and_keeps_the_rows(tmp_path: Path) -> None:
    old = open_in(tmp_path)
    row = Query("row", "SELECT DATE '2026-11-20' AS event_date, 7 AS user_id, 3 AS views, 'iOS' AS os")
    nothing = {name: "NULL" for name, _ in USER_DAY.columns if name not in ("event_date", "user_id", "views", "os")}
    full = Query("row", f"SELECT *, {', '.join(f'{v} AS {n}' for n, v in nothing.items())} FROM ({row.sql})")
    old.replace_day(USER_DAY, DAY, full)

    shares = Count("shares", Source.FEED, "posts shared", "action = 'share'")
    # In front, so that the catalogue's order and the file's differ.
    tables = (user_day_table((shares, *METRICS)), daily_slices_table((shares, *METRICS)), FEED_DAILY)
    new = open_in(tmp_path, result_tables=tables)

    query = Query("all", "SELECT user_id, views, os, shares FROM results.user_day ORDER BY event_date")
    assert new.rows(query) == [{"user_id": 7, "views": 3, "os": "iOS", "shares": None}]
    new.replace_day(
        tables[0],
        NEXT,
        Query("row", f"SELECT * REPLACE (DATE '{NEXT}' AS event_date, 5 AS views), 9 AS shares FROM ({full.sql})"),
    )
    assert new.rows(query)[1] == {"user_id": 7, "views": 5, "os": "iOS", "shares": 9}
    # A home is also opened by a version that does not know the metric.
    assert old.rows(Query("old", "SELECT sum(views) AS n FROM results.user_day"))[0]["n"] == 8


def test_paths_with_quotes_blanks_and_other_alphabets(tmp_path: Path) -> None:
    warehouse = open_in(tmp_path / 'it\'s "дом" %s; DROP é')

    warehouse.load([feed([at(DAY)])], UTC)
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 4))

    assert stored(warehouse, DAY) == [4]
    assert times_of(warehouse) == [at(DAY)]


# ------------------------------------------------------------- replace_day


def test_a_day_is_replaced_alone_and_an_empty_day_is_computed(warehouse: DuckDBWarehouse) -> None:
    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1, rows=3)) == 3
    warehouse.replace_day(FEED_DAILY, NEXT, figures(NEXT, 2))
    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 5, rows=2)) == 2
    assert (stored(warehouse, DAY), stored(warehouse, NEXT)) == ([5, 5], [2])

    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 5, rows=0)) == 0
    assert stored(warehouse, DAY) == []
    assert warehouse.computed_days(FEED_DAILY, DAY, NEXT) == {DAY, NEXT}
    assert warehouse.computed_days(FEED_DAILY, NEXT, NEXT) == {NEXT}
    assert warehouse.computed_days(USER_DAY, DAY, NEXT) == set()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nonsense", "nonsense"),
        # Fails after rows were made, and in the column's type only when they are written.
        ("SELECT $day AS event_date, error('halfway') AS dau FROM range(3000)", "halfway"),
        (
            "SELECT CAST($day AS DATE) AS event_date, 'x' AS dau, 1 AS views, 1 AS likes, 0.1 AS ctr",
            "Could not convert string 'x'",
        ),
        ("SELECT CAST($day AS DATE) AS event_date, 1 AS dau", "views"),
    ],
)
def test_a_failing_query_leaves_the_old_rows(warehouse: DuckDBWarehouse, sql: str, said: str) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))

    with pytest.raises(WarehouseError, match=said):
        warehouse.replace_day(FEED_DAILY, DAY, Query("broken", sql, {"day": DAY} if "$day" in sql else {}))

    assert stored(warehouse, DAY) == [1]
    assert warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 2)) == 1
    assert stored(warehouse, DAY) == [2]


def test_a_query_reads_the_day_it_replaces(warehouse: DuckDBWarehouse) -> None:
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    more = "SELECT event_date, dau + 1 AS dau, views, likes, ctr FROM results.feed_daily"
    for _ in range(3):
        warehouse.replace_day(FEED_DAILY, DAY, Query("more", more))
    assert stored(warehouse, DAY) == [4]


# -------------------------------------------------------------------- load


def test_loading_replaces_the_days_it_brings_and_no_others(warehouse: DuckDBWarehouse) -> None:
    warehouse.load([feed(hours(DAY, [3, 1, 25, 50])), messages([at(DAY)])], UTC)

    [loaded] = warehouse.load([feed(hours(NEXT, [5, 4]))], UTC)

    assert (loaded.table, loaded.rows, loaded.days) == (FEED_ACTIONS, 2, (NEXT,))
    assert sorted(map(str, times_of(warehouse))) == [str(t) for t in hours(DAY, [1, 3, 28, 29, 50])]
    assert times_of(warehouse, MESSAGE_ACTIONS) == [at(DAY)]


def test_each_load_is_stored_sorted_by_time(warehouse: DuckDBWarehouse) -> None:
    pieces = [batch(FEED_ACTIONS, hours(DAY, [h, h + 30, h - 2])) for h in (20, 5, 11)]
    [loaded] = warehouse.load([EventLoad(FEED_ACTIONS, pieces)], UTC)

    stored_times = times_of(warehouse)
    assert stored_times == sorted(stored_times, key=str)
    assert (loaded.rows, loaded.days) == (9, (DAY, NEXT, DAY + timedelta(days=2)))


def test_append_adds_and_keeps_the_day_sorted(warehouse: DuckDBWarehouse) -> None:
    warehouse.load([feed(hours(DAY, [1, 9, 30]))], UTC)

    [added] = warehouse.load([feed(hours(DAY, [12, 5]))], UTC, append=True)

    assert added.rows == 2
    of_the_day = [time for time in times_of(warehouse) if isinstance(time, datetime) and time.date() == DAY]
    assert of_the_day == hours(DAY, [1, 5, 9, 12])
    assert len(times_of(warehouse)) == 5
    ledger = Query("ledger", "SELECT event_date, rows FROM events.loaded_days ORDER BY event_date")
    assert [tuple(row.values()) for row in warehouse.rows(ledger)] == [(DAY, 4), (NEXT, 1)]


def test_all_tables_or_none_are_loaded(warehouse: DuckDBWarehouse) -> None:
    warehouse.load([feed([at(DAY, 1)]), messages([at(DAY, 1)])], UTC)

    def torn() -> Iterator[pa.RecordBatch]:
        yield batch(MESSAGE_ACTIONS, [at(DAY, 2)])
        raise EventFileError("messages.csv, line 3: broken")

    with pytest.raises(EventFileError, match="line 3"):
        warehouse.load([feed([at(DAY, 2)]), EventLoad(MESSAGE_ACTIONS, torn())], UTC)
    assert (times_of(warehouse), times_of(warehouse, MESSAGE_ACTIONS)) == ([at(DAY, 1)], [at(DAY, 1)])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warehouse.load([feed([at(DAY, 2)])], UTC, progress=stop)
    assert times_of(warehouse) == [at(DAY, 1)]
    # The failures left nothing behind that keeps the next load from working.
    warehouse.load([feed([at(DAY, 2)]), messages([at(DAY, 2)])], UTC)
    assert (times_of(warehouse), times_of(warehouse, MESSAGE_ACTIONS)) == ([at(DAY, 2)], [at(DAY, 2)])


def test_an_empty_load_changes_nothing(warehouse: DuckDBWarehouse) -> None:
    warehouse.load([feed([at(DAY)])], UTC)
    [loaded] = warehouse.load([EventLoad(FEED_ACTIONS, [])], UTC)
    assert (loaded.rows, loaded.days, times_of(warehouse)) == (0, (), [at(DAY)])


def test_one_misdated_event_does_not_make_loading_slow(warehouse: DuckDBWarehouse) -> None:
    def load(first: date, last: date) -> list[date]:
        [loaded] = warehouse.load([feed([at(first), *[at(DAY)] * 50_000, at(last)])], UTC)
        return list(loaded.days)

    first, last = date(1970, 1, 1), date(2099, 12, 31)
    near = calls_of(lambda: load(DAY - timedelta(days=1), DAY + timedelta(days=1)))
    # Walking over all the 47,000 days between took 16 s for a million rows.
    assert calls_of(lambda: load(first, last)) < 2 * near
    assert load(first, last) == [first, DAY, last]


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Santiago", date(2026, 9, 6), 23),  # midnight itself is skipped
        ("Asia/Kathmandu", date(2026, 3, 29), 24),  # +05:45
        ("Pacific/Kiritimati", date(2026, 1, 1), 24),  # +14
        ("Pacific/Pago_Pago", date(2026, 1, 1), 24),  # -11
    ],
)
def test_local_days_are_replaced_whole_also_when_clocks_change(
    warehouse: DuckDBWarehouse, zone: str, day: date, length: int
) -> None:
    # One event every quarter of an hour for five days, so that each local day has 4 an hour.
    quarters = [at(day - timedelta(days=2), 0) + timedelta(minutes=15 * k) for k in range(5 * 96)]
    warehouse.load([feed(quarters)], ZoneInfo(zone))
    query = Query("ledger", "SELECT rows FROM events.loaded_days WHERE event_date = $day", {"day": day})
    assert warehouse.rows(query) == [{"rows": 4 * length}]

    [loaded] = warehouse.load([feed([q for q in quarters if _local(q, zone) == day][:1])], ZoneInfo(zone))

    assert (loaded.days, loaded.rows) == ((day,), 1)
    left = times_of(warehouse)
    assert len(left) == len(quarters) - 4 * length + 1
    assert sum(isinstance(t, datetime) and _local(t, zone) == day for t in left) == 1


def _local(moment: datetime, zone: str) -> date:
    return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).date()


# ------------------------------------------------------------- current days


def test_a_day_is_current_until_its_events_are_loaded_again(warehouse: DuckDBWarehouse) -> None:
    def current() -> set[date]:
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


def test_figures_from_outdated_facts_are_not_current(warehouse: DuckDBWarehouse) -> None:
    columns = ", ".join(
        f"CAST(NULL AS {'DATE' if n == 'event_date' else 'INTEGER'}) AS {n}" for n, _ in USER_DAY.columns
    )
    facts = Query("facts", f"SELECT {columns} WHERE false")
    warehouse.replace_day(USER_DAY, DAY, facts)
    warehouse.load([feed([at(DAY)])], UTC)  # between the two steps of a run
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == set()

    warehouse.replace_day(USER_DAY, DAY, facts)
    assert warehouse.current_days(USER_DAY, DAY, DAY) == {DAY}
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == set(), "facts newer than what comes from them"
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert warehouse.current_days(FEED_DAILY, DAY, DAY) == {DAY}


# ------------------------------------------------------------ files and locks


@contextmanager
def held(path: Path, *, read_only: bool) -> Iterator[None]:
    """Another process that keeps the file open."""
    code = f"import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only={read_only}); print('open', flush=True)"
    command = [sys.executable, "-c", f"{code}; input()", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "open\n"
        try:
            yield
        finally:
            other.communicate("\n")


def test_a_locked_file_is_said_to_be_busy_within_the_timeout(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    hasty = open_in(tmp_path, lock_timeout_seconds=0.4)
    said = rf"{tmp_path / 'results.duckdb'} was kept open by another process for 0.4 s; close .* LOCK_TIMEOUT_SECONDS"
    with held(tmp_path / "results.duckdb", read_only=False):
        started = time.monotonic()
        with pytest.raises(WarehouseBusyError, match=said):
            hasty.computed_days(FEED_DAILY, DAY, DAY)
        with pytest.raises(WarehouseBusyError, match=said):
            hasty.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
        assert time.monotonic() - started < 20, "as long as others wait"
    with held(tmp_path / "results.duckdb", read_only=True):
        assert hasty.computed_days(FEED_DAILY, DAY, DAY) == set()
        with pytest.raises(WarehouseBusyError, match="kept open"):
            hasty.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    hasty.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert stored(hasty, DAY) == [1]


def test_a_file_that_is_no_database_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    for name, content in (("events.duckdb", b""), ("results.duckdb", b"SQLite format 3\x00" * 512)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(content)
        with pytest.raises(WarehouseError, match=f"{folder / name} cannot be opened as a DuckDB database"):
            open_in(folder).prepare()
        assert (folder / name).read_bytes() == content


def test_a_damaged_database_is_an_error(tmp_path: Path) -> None:
    open_in(tmp_path).load([feed(hours(DAY, range(2000)))], UTC)
    path = tmp_path / "events.duckdb"
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(WarehouseError, match=r"events\.duckdb"):
        open_in(tmp_path).rows(Query("count", "SELECT count(*) FROM events.feed_actions"))


def test_somebody_elses_database_gets_our_tables_beside_theirs(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "results.duckdb") as theirs:
        theirs.execute("CREATE TABLE mine AS SELECT 1 AS x")
    warehouse = open_in(tmp_path)
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 1))
    assert warehouse.rows(Query("theirs", "SELECT x FROM results.mine")) == [{"x": 1}]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="cannot be created: Not a directory"):
        open_in(tmp_path / "file" / "home").prepare()


FULL_DISK = """
import resource, sys
from pathlib import Path
from analytics_platform.warehouses.base import WarehouseError
from analytics_platform_tests.warehouses.rows import DAY, UTC, at, feed, open_in, times_of
warehouse = open_in(Path(sys.argv[1]))
warehouse.load([feed([at(DAY, 1)])], UTC)
resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, resource.RLIM_INFINITY))
import random
from datetime import timedelta
many = [at(DAY, 2) + timedelta(microseconds=random.getrandbits(35)) for _ in range(60_000)]
try:
    warehouse.load([feed(many)], UTC)
except WarehouseError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert times_of(warehouse) == [at(DAY, 1)]
warehouse.load([feed([at(DAY, 3)])], UTC)
assert times_of(open_in(Path(sys.argv[1]))) == [at(DAY, 3)]
"""


def test_no_room_left_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    # A limit on the size of files is what a process can have of a full disk without one.
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"writing {tmp_path} failed: ")
    assert "File too large" in done.stdout
