"""Both reports are the oracle's, cell by cell, wherever the events are: two warehouses, and a table in memory."""

import csv
import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from analytics_platform.language import Language
from analytics_platform.metrics.events import PAGE_EVENTS
from analytics_platform.metrics.tables import EVENT_REPORTS, STANDARD_TABLES, VISITOR_REPORTS, result_schema
from analytics_platform.queries import Query
from analytics_platform.visitors.reporting import (
    UnsettledError,
    VisitReport,
    events_csv,
    make_report,
    report_from_store,
    visitors_csv,
)
from analytics_platform.visitors.window import VisitWindow, between
from analytics_platform.warehouses.base import EventLoad, Warehouse
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform.warehouses.scratch import Scratch
from analytics_platform_tests.queries.clickhouse import ClickHouse
from analytics_platform_tests.services import absent
from analytics_platform_tests.visitors import oracle, sample
from analytics_platform_tests.visitors.sample import Row

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
DOCUMENTED = between("2019-06-22", "2019-06-25", TOKYO)
MADE = datetime.fromisoformat("2019-06-26T09:00:00.5+09:00")
ENGLISH, RUSSIAN = Language("en"), Language("ru")

Read = Callable[[Query], pa.Table]
Hold = Callable[[Sequence[Row]], Read]


@contextmanager
def _scratch(rows: Sequence[Row]) -> Iterator[Read]:
    with Scratch.of(PAGE_EVENTS, sample.batches(rows), "500MB") as scratch:
        yield scratch.table


def _duckdb(folder: Path, rows: Sequence[Row]) -> Read:
    place = folder / f"{len(list(folder.iterdir()))}"
    warehouse = DuckDBWarehouse(place / "events.duckdb", place / "results.duckdb", place / "scratch")
    warehouse.load([EventLoad(PAGE_EVENTS, sample.batches(rows))], BERLIN)
    return warehouse.table


def _clickhouse(engine: ClickHouse, rows: Sequence[Row]) -> Read:
    engine.warehouse.server.command(f"TRUNCATE TABLE `{engine.warehouse.layout.database}`.page_events", name="empty")
    engine.put("events.page_events", rows)
    return engine.warehouse.table


@pytest.fixture(scope="module")
def clickhouse_engine() -> Iterator[ClickHouse]:
    if importlib.util.find_spec("chdb") is None:
        absent("ClickHouse's embedded engine not installed (pip install chdb)")
    with ClickHouse(STANDARD_TABLES) as engine:
        yield engine


@pytest.fixture(params=["in memory", "DuckDB", "ClickHouse"])
def hold(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hold]:
    """Puts events into one of the places and gives the way to ask them; earlier ones are gone."""
    if request.param == "DuckDB":
        yield lambda rows: _duckdb(tmp_path, rows)
    elif request.param == "ClickHouse":
        engine: ClickHouse = request.getfixturevalue("clickhouse_engine")
        yield lambda rows: _clickhouse(engine, rows)
    else:

        def read(rows: Sequence[Row]) -> Read:
            def ask(query: Query) -> pa.Table:
                with _scratch(rows) as asked:
                    return asked(query)

            return ask

        yield read


def assert_right(report: VisitReport, rows: Sequence[Row]) -> None:
    """Every cell of both tables is the oracle's, in its order, and so are the types."""
    for table, found in ((VISITOR_REPORTS, report.visitors), (EVENT_REPORTS, report.events)):
        assert found.schema.equals(result_schema(table))
    asked = (rows, report.window, report.made_at, report.zone)
    assert report.events.to_pylist() == oracle.event_rows(*asked)
    visitors = report.visitors.to_pylist()
    for row in visitors:
        assert row.pop("uuid") == report.window.report_id(row["visitor"])
    assert visitors == oracle.visitor_rows(*asked)


def test_the_documented_figures(hold: Hold) -> None:
    rows = sample.documented()
    assert (len(rows), len({row["visitor"] for row in rows}), len({row["property"] for row in rows})) == (55, 13, 1)
    report = make_report(hold(rows), DOCUMENTED, MADE, TOKYO)
    assert_right(report, rows)
    assert report.events.num_rows == 21
    assert report.visitors["n_interactions"].to_pylist() == [5, 3, 2, 2, 2, 2, 2, 2, 1]
    pages = report.events["page"].to_pylist()
    assert {page: pages.count(page) for page in pages} == {"/en/": 12, "/": 9}
    assert set(report.events["action"].to_pylist()) == {"action"}
    assert set(report.events["type"].to_pylist()) == {"page"}  # not the property's
    assert set(report.visitors["pages"].to_pylist()) == {'["/", "/en/"]', '["/"]'}


# Start, end, zone; events and visitors.
WINDOWS = (
    ("2019-06-20", "2019-06-21", "Asia/Tokyo", (12, 4)),
    ("2019-06-21", "2019-06-22", "Asia/Tokyo", (22, 11)),
    ("2019-06-20", "2019-06-25", "Asia/Tokyo", (55, 13)),
    # The same moments under other offsets, whose texts sort apart from +09:00's.
    ("2019-06-19T15:00Z", "2019-06-20T11:00-04:00", "UTC", (12, 4)),
    ("2019-06-21T00:00+09:00", "2019-06-21T08:00-07:00", "Europe/Berlin", (22, 11)),
    # Half-open: the first event is in, the last one is not.
    ("2019-06-20T18:35:06.523086+09:00", "2019-06-24T22:48:34.201263+09:00", "Asia/Tokyo", (54, 13)),
    ("2019-06-20T18:35:06.523087+09:00", "2019-06-24T22:48:34.201264+09:00", "Asia/Tokyo", (54, 13)),
)


def test_windows_of_any_offset(hold: Hold) -> None:
    rows = sample.documented()
    read = hold(rows)
    for start, end, zone, counts in WINDOWS:
        report = make_report(read, between(start, end, ZoneInfo(zone)), MADE, ZoneInfo(zone))
        assert (report.events.num_rows, report.visitors.num_rows) == counts
        assert_right(report, rows)


def test_a_rerun_gives_the_same_rows_ids_and_order(hold: Hold) -> None:
    rows = sample.documented()
    first = make_report(hold(rows), DOCUMENTED, MADE, TOKYO)
    Random(1).shuffle(rows)
    window = between("2019-06-21T17:00", "2019-06-24T15:00Z", BERLIN)
    # Events loaded once more, in another order, under another spelling of the window.
    again = make_report(hold([*rows, *rows[:20]]), window, MADE, TOKYO)
    assert again == first
    assert len(set(first.visitors["uuid"].to_pylist())) == 9


def test_hard_events(hold: Hold) -> None:
    """Ties, copies that differ, missing values, texts that break things: small tables, many of them."""
    random = Random(20_190_624)
    window = between("2019-06-22T00:30Z", "2019-06-22T05:00Z", TOKYO)
    tables = [sample.random_events(random, count) for count in (1, 5, 40, 400, 1500)]
    for rows in (*tables, sample.twins(random, 500)):
        assert_right(make_report(hold(rows), window, MADE, TOKYO), rows)


def test_a_day_with_an_hour_twice(hold: Hold) -> None:
    start = datetime.fromisoformat("2026-10-24T21:30")
    rows = [sample.event(k, f"v{k % 5}", start + timedelta(minutes=30 * k)) for k in range(60)]
    report = make_report(hold(rows), between("2026-10-25", "2026-10-26", BERLIN), MADE, BERLIN)
    assert report.events.num_rows == 50
    assert_right(report, rows)
    written = events_csv(report, ENGLISH, bom=False).decode().splitlines()
    assert [line for line in written if "T02:30" in line and "+02:00" in line]
    assert [line for line in written if "T02:30" in line and "+01:00" in line]


@pytest.mark.parametrize("engine", ["DuckDB", "ClickHouse"])
def test_a_stored_report_is_read_as_it_was_made(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> None:
    warehouse: Warehouse
    if engine == "DuckDB":
        warehouse = DuckDBWarehouse(tmp_path / "events.duckdb", tmp_path / "results.duckdb", tmp_path / "scratch")
    else:
        warehouse = request.getfixturevalue("clickhouse_engine").warehouse
    window = between("2019-06-22T00:30Z", "2019-06-22T05:00Z", BERLIN)
    wider = VisitWindow(window.start, window.end + timedelta(hours=1))
    rows = sample.random_events(Random(7), 400)
    made = [_report(rows, one, BERLIN) for one in (wider, window)]
    for report in made:
        for table, found in ((VISITOR_REPORTS, report.visitors), (EVENT_REPORTS, report.events)):
            warehouse.store_part(table, report.window.day(BERLIN), report.window.bounds, found)
    asked: list[int] = []

    def read(query: Query) -> pa.Table:
        found = warehouse.table(query)
        asked.append(found.num_rows)
        return found

    for report in made:
        assert report_from_store(read, report.window, BERLIN) == report
    # No other window's rows are read.
    assert asked == [n for report in made for n in (report.visitors.num_rows, report.events.num_rows)]
    never = VisitWindow(window.start, window.end + timedelta(hours=2))
    empty = report_from_store(read, never, BERLIN)
    assert (empty.empty, empty.made_at) == (True, never.end)
    assert empty.visitors.schema == result_schema(VISITOR_REPORTS)


def test_no_event_is_an_empty_report(hold: Hold) -> None:
    for rows in ([], sample.documented()):
        report = make_report(hold(rows), between("2019-06-22", "2019-06-24", TOKYO), MADE, TOKYO)
        assert report.empty
        assert_right(report, rows)
        assert visitors_csv(report, ENGLISH, bom=False).count(b"\r\n") == 1
    assert not make_report(hold(sample.documented()), DOCUMENTED, MADE, TOKYO).empty


def test_tables_that_do_not_fit_each_other_are_read_again() -> None:
    """Events that arrive between the two statements never make two reports that contradict each other."""
    rows = sample.documented()
    calls: list[str] = []

    def arriving(settled: int) -> Read:
        def ask(query: Query) -> pa.Table:
            calls.append(query.name)
            with _scratch(rows if len(calls) >= settled else rows[: -1 - 2 * (settled - len(calls))]) as read:
                return read(query)

        return ask

    report = make_report(arriving(4), DOCUMENTED, MADE, TOKYO)
    assert len(calls) == 6
    assert_right(report, rows)
    calls.clear()
    with pytest.raises(UnsettledError, match=r"keep arriving.*make them again later, or of a window that ends earlier"):
        make_report(arriving(7), DOCUMENTED, MADE, TOKYO)
    assert len(calls) == 6


def test_the_moment_of_making_has_an_offset() -> None:
    with pytest.raises(ValueError, match=r"the moment of making.*has no offset"):
        make_report(lambda _: pa.table({}), DOCUMENTED, MADE.replace(tzinfo=None), TOKYO)


# --------------------------------------------------------------------------------------------------------------- CSV


def _report(rows: Sequence[Row], window: VisitWindow = DOCUMENTED, zone: ZoneInfo = TOKYO) -> VisitReport:
    with _scratch(rows) as read:
        return make_report(read, window, MADE, zone)


def test_csv_has_every_column_with_local_times() -> None:
    report = _report(sample.documented())
    content = visitors_csv(report, ENGLISH, bom=True)
    assert content.startswith(b"\xef\xbb\xbfevent_date,window_start,")
    [first, *others] = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert list(first) == [name for name, _ in VISITOR_REPORTS.columns]
    assert len(others) == 8
    assert first["event_date"] == "2019-06-22"
    assert first["window_start"] == "2019-06-22T00:00:00.000000+09:00"
    assert first["timestamp"] == "2019-06-26T09:00:00.500000+09:00"
    assert (first["n_interactions"], first["adblock"], others[0]["adblock"]) == ("5", "true", "false")
    assert (first["ip_address"], first["pages"], first["sender_id"]) == ("203.0.113.0", '["/", "/en/"]', "")
    events = csv.DictReader(io.StringIO(events_csv(report, ENGLISH, bom=False).decode(), newline=""))
    times = [row["created"] for row in events]
    assert len(times) == 21
    assert times[-1] == "2019-06-24T22:48:34.201263+09:00"


def test_csv_is_delimited_as_the_readers_spreadsheet_has_it() -> None:
    content = events_csv(_report(sample.documented()), RUSSIAN, bom=False).decode()
    assert content.startswith("event_date;window_start;window_end;")
    assert {len(row) for row in csv.reader(io.StringIO(content, newline=""), delimiter=";")} == {10}


def test_no_cell_is_a_formula_and_every_text_arrives() -> None:
    texts = [*sample.HOSTILE, "=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=x", "＝1", "'x"]
    moment = sample.utc(sample.LAST)
    rows = [
        sample.event(k, f"{text} {k}", moment - timedelta(seconds=k), text, user_agent=text, language=text)
        for k, text in enumerate(texts)
    ]
    report = _report(rows)
    for language, delimiter in ((ENGLISH, ","), (RUSSIAN, ";")):
        content = visitors_csv(report, language, bom=True).decode("utf-8-sig")
        found = list(csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter))
        assert len(found) == len(texts)
        for row, stored in zip(found, report.visitors.to_pylist(), strict=True):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝")) for cell in row.values())
            assert row["entry_page"].removeprefix("'") == stored["entry_page"].removeprefix("'")
            assert row["user_agent"].removeprefix("'") == stored["user_agent"].removeprefix("'")


def test_big_reports_are_whole() -> None:
    start = sample.utc(sample.FIRST)
    rows = [sample.event(k, f"v{k % 9000}", start + timedelta(seconds=k)) for k in range(25_000)]
    window = VisitWindow(DOCUMENTED.start - timedelta(days=2), DOCUMENTED.end)
    report = _report(rows, window)
    assert (report.visitors.num_rows, report.events.num_rows) == (9000, 25_000)
    assert len(set(report.visitors["uuid"].to_pylist())) == 9000
    assert events_csv(report, ENGLISH, bom=False).count(b"\r\n") == 25_001
