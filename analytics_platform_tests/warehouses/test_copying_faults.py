"""Copies that break off, and warehouses that others change: what is found, said and mended."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import pyarrow as pa
import pytest

from analytics_platform.metrics.events import EVENT_TABLES, FEED_ACTIONS, MESSAGE_ACTIONS, EventTable
from analytics_platform.metrics.tables import STANDARD_TABLES
from analytics_platform.metrics.windows import Window, day_window
from analytics_platform.warehouses.base import EventLoad, Loaded, WarehouseError
from analytics_platform.warehouses.copying import CopyError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.forked import Parent, parent
from analytics_platform_tests.warehouses import copies
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.copies import (
    BASIS,
    COMPUTED,
    FIRST,
    LAST,
    OTHERS,
    RESULTS,
    SHORT_DAY,
    SOME,
    ZONE,
    Whole,
    cells,
    change,
    copied,
    some,
    summary,
    touched,
    within,
)
from analytics_platform_tests.warehouses.rows import at, batch, feed, open_in

# ---------------------------------------------------- started once more


class Torn(DuckDBWarehouse):
    """Breaks off while the events of a day are read."""

    def event_batches(self, table: EventTable, window: Window) -> Iterator[pa.RecordBatch]:
        """The first batch and no more, of the messages of SHORT_DAY."""
        yield from super().event_batches(table, window)
        if table is MESSAGE_ACTIONS and window == day_window(SHORT_DAY, ZONE):
            raise ConnectionResetError("the line is dead")


def test_broken_off_in_a_batch_the_day_is_as_it_was_and_the_next_copy_goes_on(
    source: DuckDBWarehouse, target: DuckDBWarehouse
) -> None:
    torn = Torn(source.events, source.results, source.scratch, source.config, basis=BASIS)
    with pytest.raises(ConnectionResetError):
        copied(torn, target)
    window = day_window(SHORT_DAY, ZONE)
    assert [list(target.event_batches(table, window)) for table in EVENT_TABLES] == [[], [], [], []]

    done = touched(copied(source, target))

    assert min(done["feed_actions"]) == SHORT_DAY
    assert cells(target) == within(cells(source), source)


@pytest.fixture(scope="module")
def forks() -> Iterator[Parent]:
    """A process that has imported what a copy needs."""
    with parent(copies.__name__, "duckdb", "pyarrow.compute") as found:
        yield found


@pytest.mark.parametrize("after", ["feed_actions 3", "message_actions 5", "user_day 4", "first_seen 3"])
def test_killed_it_is_started_again(
    forks: Parent, source: DuckDBWarehouse, target: DuckDBWarehouse, after: str
) -> None:
    folders = [str(warehouse.events.parent) for warehouse in (source, target)]
    process = forks.start(f"{copies.__name__}:main", *folders, after)
    try:
        said = process.stdout.read().splitlines()
        assert process.wait() == -9, process.stderr.read()
    finally:
        process.end()
    assert any(line.startswith(after) for line in said)

    done = touched(copied(source, target, tables=SOME))

    # What was said to be done was done.
    name, number = after.split()
    assert min(done.get(name, [date.max])) > FIRST + timedelta(days=int(number) - 1)
    assert some(cells(target)) == some(within(cells(source), source))


def test_a_server_that_fails_in_between_is_asked_again(
    source: DuckDBWarehouse, target: DuckDBWarehouse, clickhouse: ClickHouse
) -> None:
    server = open_at(clickhouse.empty_database(), basis=BASIS)
    for code, pattern in ((241, "INSERT INTO .*message_actions"), (241, f"REPLACE PARTITION '{COMPUTED[2]}'")):
        clickhouse.fail(pattern, code=code)
        with pytest.raises(WarehouseError):
            copied(source, server, tables=SOME)
    copied(source, server, tables=SOME)
    assert some(cells(server)) == some(within(cells(source), source))
    clickhouse.drop("MD5", times=9)
    with pytest.raises(WarehouseError):
        copied(server, target, only="events")


# ------------------------------------------------- behind our back


@pytest.fixture(scope="module")
def before(whole: Whole) -> dict[str, list[str]]:
    """Every cell of `twin`, as long as nobody changed it."""
    return cells(open_in(whole.target, basis=BASIS))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM feed_actions WHERE rowid = (SELECT min(rowid) FROM feed_actions WHERE {day})",
        "INSERT INTO feed_actions SELECT * FROM feed_actions WHERE {day} LIMIT 1",
        # Neither rows nor lengths nor the number of values change.
        "UPDATE feed_actions SET country = 'Latvia' WHERE country = 'Russia' AND {day}",
        "UPDATE feed_actions SET os = CASE os WHEN 'iOS' THEN 'Android' WHEN 'Android' THEN 'iOS' END "
        "WHERE user_id IN (900, 902) AND {day}",
        "UPDATE feed_actions SET time = time + INTERVAL 1 MICROSECOND WHERE user_id = 902 AND {day}",
        "UPDATE feed_actions SET age = NULL WHERE age = 7 AND {day}",
    ],
)
def test_a_day_that_was_changed_is_copied_anew(
    source: DuckDBWarehouse, twin: DuckDBWarehouse, before: dict[str, list[str]], statement: str
) -> None:
    noon = at(SHORT_DAY)
    change(twin, "events", statement.format(day=f"time > '{noon - timedelta(hours=3)}' AND time < '{noon}'"))
    assert cells(twin) != before

    done = copied(source, twin, tables=["feed_actions", "message_actions"])
    assert touched(done) == {"feed_actions": [SHORT_DAY]}
    assert cells(twin) == before


def test_a_result_that_was_changed_is_copied_anew_with_what_comes_from_it(
    source: DuckDBWarehouse, twin: DuckDBWarehouse
) -> None:
    change(twin, "results", f"UPDATE feed_daily SET ctr = ctr + 0.00000001 WHERE event_date = '{SHORT_DAY}'")
    assert touched(copied(source, twin)) == {"feed_daily": [SHORT_DAY]}

    change(twin, "results", f"UPDATE post_day SET likes = likes + 1 WHERE event_date = '{SHORT_DAY}'")
    # Stored after them, post_day makes these two outdated.
    found = touched(copied(source, twin))
    assert found == {name: [SHORT_DAY] for name in ("post_day", "first_seen", "app_daily")}
    assert cells(twin) == within(cells(source), source)
    for table in STANDARD_TABLES:
        assert twin.current_days(table, FIRST, LAST) == set(COMPUTED)


def test_events_that_are_copied_anew_bring_their_results_again(source: DuckDBWarehouse, twin: DuckDBWarehouse) -> None:
    change(twin, "events", f"DELETE FROM message_actions WHERE CAST(time AS DATE) = '{SHORT_DAY}'")
    would = copied(source, twin, dry_run=True)
    done = copied(source, twin)
    later = [day for day in COMPUTED if day >= SHORT_DAY]
    # Series are of the day's events alone; all else that comes from messages may take attributes from earlier days.
    of_the_day = {"message_actions": [SHORT_DAY], "series_quarter_hour": [SHORT_DAY]}
    from_other_events = {table.name for table in OTHERS}
    assert touched(done) == {name: later for name in RESULTS if name not in from_other_events} | of_the_day
    assert (touched(would), summary(would)) == (touched(done), summary(done))
    assert cells(twin) == within(cells(source), source)


def test_events_that_the_source_does_not_have_are_said(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    stray = at(LAST, 10)
    target.load([feed([stray, stray])], ZONE)
    for dry_run in (True, False):
        with pytest.raises(CopyError) as said:
            copied(source, target, dry_run=dry_run)
        assert str(said.value) == (
            f"feed_actions of {LAST}: {source.place} has no events, {target.place} has 2; a copy replaces days and "
            "deletes none: delete them there, or leave that day out"
        )


class Forgetful(DuckDBWarehouse):
    """Loses an event of every load."""

    def load(self, loads: Sequence[EventLoad], *rest: object, **more: object) -> list[Loaded]:
        """All but one row of the first table."""
        done = super().load(loads, *rest, **more)  # type: ignore[arg-type]
        change(self, "events", "DELETE FROM feed_actions WHERE rowid = (SELECT min(rowid) FROM feed_actions)")
        return done


def test_a_day_that_does_not_arrive_whole_is_an_error(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    forgetful = Forgetful(target.events, target.results, target.scratch, target.config, basis=BASIS)
    with pytest.raises(CopyError) as said:
        copied(source, forgetful, tables=["feed_actions"])
    day = FIRST
    rows = sum(b.num_rows for b in source.event_batches(FEED_ACTIONS, day_window(day, ZONE)))
    assert str(said.value) == (
        f"feed_actions of {day} is not the same after copying: rows is {rows} in {source.place} and {rows - 1} in "
        f"{target.place}; see that nobody else writes there, and start the copy again"
    )


class Busy(DuckDBWarehouse):
    """Gets more events while it is read."""

    def event_batches(self, table: EventTable, window: Window) -> Iterator[pa.RecordBatch]:
        """What is there after one more was loaded."""
        self.load([EventLoad(table, [batch(table, [window.start], user_id=77)])], ZONE, append=True)
        yield from super().event_batches(table, window)


def test_a_source_that_changes_meanwhile_is_said(source: DuckDBWarehouse, target: DuckDBWarehouse) -> None:
    busy = Busy(source.events, source.results, source.scratch, source.config, basis=BASIS)
    with pytest.raises(CopyError, match=r"changed in .* while it was copied; start the copy again$"):
        copied(busy, target)
    copied(source, target, only="events")
    expected = within(cells(source), source)
    assert {name: cells(target)[name] for name in ("events.feed_actions", "events.message_actions")} == {
        name: expected[name] for name in ("events.feed_actions", "events.message_actions")
    }
