"""From one warehouse to another and back: every cell arrives; what is left out, and said."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics.events import EVENT_TABLES, EventTable
from analytics_platform.metrics.tables import (
    FEED_DAILY,
    FIRST_SEEN,
    SERIES,
    STANDARD_TABLES,
    ResultTable,
    user_day_table,
)
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query, compose
from analytics_platform.warehouses.copying import (
    CopyError,
    copy,
    event_fingerprint,
    result_fingerprint,
    table_names,
)
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.queries import cases
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.copies import (
    BASIS,
    COMPUTED,
    EVENTS,
    FIRST,
    LAST,
    OTHERS,
    RESULTS,
    SHORT_DAY,
    ZONE,
    Whole,
    cells,
    compute,
    copied,
    hashes,
    summary,
    touched,
    within,
)
from analytics_platform_tests.warehouses.rows import feed, hours, messages, open_in

# ------------------------------------------------------------- the whole


def test_every_cell_arrives_and_nothing_is_done_twice(whole: Whole, twin: DuckDBWarehouse) -> None:
    source, target, done = open_in(whole.source, basis=BASIS), twin, whole.done
    assert hashes(whole.source) == whole.before

    there, here = cells(source), cells(target)
    assert len(here["events.feed_actions"]) < len(there["events.feed_actions"])
    assert here == within(there, source)
    assert (done.notes, [t.name for t in done.tables]) == ((), [*EVENTS, *RESULTS])
    by_table = summary(done)
    assert by_table["feed_actions"][1] == len(here["events.feed_actions"])
    assert [by_table[name][0] for name in RESULTS] == [len(COMPUTED)] * len(RESULTS)
    for table in STANDARD_TABLES:
        assert target.current_days(table, FIRST, LAST) == source.current_days(table, FIRST, LAST) == set(COMPUTED)
    count = (LAST - FIRST).days + 1
    assert sorted(whole.steps) == sorted((name, k, count) for name in table_names() for k in range(1, count + 1))

    again = copied(source, target)
    assert touched(again) == {}
    assert {n: (e, r) for n, (_, r, e) in summary(again).items()} == {n: (c, 0) for n, (c, _, _) in by_table.items()}
    assert hashes(whole.source) == whole.before


def test_to_clickhouse_and_back_every_cell_is_the_same(
    source: DuckDBWarehouse, target: DuckDBWarehouse, clickhouse: ClickHouse
) -> None:
    server = open_at(clickhouse.empty_database(), basis=BASIS)
    expected = within(cells(source), source)

    there = copied(source, server)
    assert cells(server) == expected
    assert touched(copied(source, server)) == {}
    back = copied(server, target)

    assert cells(target) == expected
    assert summary(back) == summary(there)
    for table in STANDARD_TABLES:
        assert target.current_days(table, FIRST, LAST) == server.current_days(table, FIRST, LAST) == set(COMPUTED)
    # Days that the server computes itself from what it got are the same, too.
    compute(server, cases.DAYS[-1:])
    assert cells(server) == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "UTC"])
@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 4, 5), date(2026, 10, 25), date(2026, 11, 1)])
def test_a_local_day_has_its_own_length(tmp_path: Path, bare: Path, zone: str, day: date) -> None:
    place = ZoneInfo(zone)
    window, tick = day_window(day, place), timedelta(microseconds=1)
    times = [window.start - tick, window.start, window.start + timedelta(hours=3), window.end - tick, window.end]
    source, target = (open_in(Path(shutil.copytree(bare, tmp_path / name))) for name in ("source", "target"))
    source.load([feed(times), messages(times[1:3])], place)

    tables = ["feed_actions", "message_actions"]
    done = copy(source, target, day, day, place, tables=tables)

    assert summary(done) == {"feed_actions": (1, 3, 0), "message_actions": (1, 2, 0)}
    asked = Query("times", "SELECT time FROM events.feed_actions ORDER BY time")
    assert [row["time"] for row in target.rows(asked)] == times[1:4]
    wider = copy(source, target, day - timedelta(days=1), day + timedelta(days=1), place, tables=tables)
    assert summary(wider)["feed_actions"] == (2, 2, 1)


SEVERAL_ROWS = [table for table in (*EVENT_TABLES, *STANDARD_TABLES) if table != FEED_DAILY]


def figures(engine: DuckDB, rows: list[dict[str, object]], asked: Query, name: str) -> object:
    """What the query says of a table of those rows."""
    engine.remove(name)
    engine.put(name, rows)
    return engine.rows(asked)


@pytest.mark.parametrize("table", SEVERAL_ROWS, ids=lambda t: t.name)
def test_no_two_cells_change_places_unseen(source: DuckDBWarehouse, table: EventTable | ResultTable) -> None:
    # Nothing that is added up by column can tell: which value stands in which row is in the weights alone.
    if isinstance(table, EventTable):
        window = day_window(SHORT_DAY, ZONE)
        name, asked = f"events.{table.name}", event_fingerprint(table, window)
        rows = [row for b in source.event_batches(table, window) for row in b.to_pylist()]
    else:
        name, asked = f"results.{table.name}", result_fingerprint(table, SHORT_DAY, SHORT_DAY)
        rows = source.stored_rows(table, SHORT_DAY).to_pylist()
    one = rows[0]
    swapped = 0
    with DuckDB(STANDARD_TABLES) as engine:
        whole = figures(engine, rows, asked, name)
        assert figures(engine, rows[::-1], asked, name) == whole
        for column in one:
            rest = {key: value for key, value in one.items() if key != column}
            for k, other in enumerate(rows[1:], 1):
                if other[column] != one[column] and any(other[key] != value for key, value in rest.items()):
                    pair = [{**one, column: other[column]}, {**other, column: one[column]}]
                    assert figures(engine, [*pair, *rows[1:k], *rows[k + 1 :]], asked, name) != whole, column
                    swapped += 1
                    break
    assert swapped >= len(one) - 3  # event_date, and columns with the same in every row


# ------------------------------------------------------ what is left out


def test_outdated_days_are_left_out_and_named(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    source.load([feed(hours(cases.DAYS[3], [9, 10]))], ZONE)
    outdated = [day for day in COMPUTED if day >= cases.DAYS[3]]
    # Quarter hours come from the events of their day alone.
    # Rankings and reports of visitors come from other events.
    others: dict[str, list[date]] = {table.name: [] for table in OTHERS}
    by_table = {**dict.fromkeys(RESULTS, outdated), SERIES.name: [cases.DAYS[3]], **others}

    done = copied(source, target)

    assert {t.name: t.outdated for t in done.tables} == {**{name: [] for name in EVENTS}, **by_table}
    for table in STANDARD_TABLES:
        assert target.computed_days(table, FIRST, LAST) == set(COMPUTED) - set(by_table[table.name])

    compute(source, outdated)
    done = copied(source, target)
    # The days after a changed one lose the zeros of slices that it has no more.
    assert touched(done) == {name: outdated for name in RESULTS if name not in others}
    assert not any(t.outdated for t in done.tables)
    assert cells(target) == within(cells(source), source)


def test_days_of_other_settings_are_not_current(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    there = open_in(source.events.parent, basis="another zone")
    done = copied(there, open_in(target.events.parent, basis="another zone"))
    assert {t.name: t.outdated for t in done.tables}["user_day"] == COMPUTED
    assert touched(done).keys() == set(EVENTS)


def test_first_days_from_before_the_range_are_missed(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    which = [FIRST_SEEN.name]
    [note] = copy(source, target, SHORT_DAY, LAST, ZONE, tables=which).notes
    assert note.startswith(f"the source knows first days of users and posts from {COMPUTED[0]} on; ")
    assert note.endswith(f": copy from {COMPUTED[0]} on")
    assert copy(source, target, SHORT_DAY, LAST, ZONE, tables=["user_day"]).notes == ()
    copy(source, target, FIRST, SHORT_DAY, ZONE, tables=which)
    assert copy(source, target, SHORT_DAY, LAST, ZONE, tables=which).notes == ()


def test_only_events_only_results_or_single_tables(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    assert touched(copied(source, target, tables=["message_actions", "feed_daily"])).keys() == {
        "message_actions",
        "feed_daily",
    }
    assert list(summary(copied(source, target, only="events"))) == EVENTS
    assert list(summary(copied(source, target, only="results"))) == RESULTS
    with pytest.raises(ValueError, match=f"there is no table 'users'; there are feed_actions, .*{RESULTS[-1]}"):
        copied(source, target, tables=["user_day", "users"])


def test_a_day_without_rows_is_a_computed_day(source: DuckDBWarehouse, twin: DuckDBWarehouse) -> None:
    empty = COMPUTED[-1]
    assert source.stored_rows(user_day_table(), empty).num_rows == 0
    assert empty in twin.computed_days(user_day_table(), empty, empty)
    assert empty in twin.computed_days(FIRST_SEEN, empty, empty)
    # Computed with rows meanwhile, it is replaced by none.
    query = compose("feed_daily", {"event_date": cases.DAYS[3]})
    moved = Query(
        "moved", f"SELECT DATE '{empty}' AS event_date, dau, views, likes, ctr FROM ({query.sql})", query.params
    )
    twin.replace_day(FEED_DAILY, empty, moved)
    assert touched(copied(source, twin)) == {"feed_daily": [empty]}
    assert cells(twin) == within(cells(source), source)


# ------------------------------------------------------------- dry, wrong


def test_a_dry_run_says_it_all_and_writes_nothing(
    source: DuckDBWarehouse, target: DuckDBWarehouse, whole: Whole, twin: DuckDBWarehouse
) -> None:
    would = copied(source, target, dry_run=True)
    assert not target.events.parent.exists()
    assert (summary(would), touched(would)) == (summary(whole.done), touched(whole.done))
    written = {p.name: p.stat().st_mtime_ns for p in twin.events.parent.glob("*.duckdb")}
    assert touched(copied(source, twin, dry_run=True)) == {}
    assert {p.name: p.stat().st_mtime_ns for p in twin.events.parent.glob("*.duckdb")} == written


def test_a_warehouse_is_not_copied_into_itself(source: DuckDBWarehouse, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source.events.parent)
    for same in (source, open_in(source.events.parent), open_in(tmp_path / "link")):
        with pytest.raises(CopyError, match="is both where to copy from and where to copy to; name another warehouse"):
            copied(source, same)


def test_a_source_that_is_not_there_is_one_sentence_and_stays_away(tmp_path: Path, target: DuckDBWarehouse) -> None:
    with pytest.raises(CopyError, match=rf"^{tmp_path}/nowhere/events\.duckdb does not exist: correct the folder"):
        copied(open_in(tmp_path / "nowhere"), target)
    assert not (tmp_path / "nowhere").exists()
    assert not target.events.exists()


def test_days_may_be_any(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    far = date(2030, 1, 1)
    assert set(summary(copy(source, target, far, far, ZONE)).values()) == {(0, 0, 0)}
    assert set(summary(copy(source, target, far, far - timedelta(days=1), ZONE)).values()) == {(0, 0, 0)}
