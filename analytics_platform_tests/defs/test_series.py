"""The table of quarter hours is kept up to the newest closed one, late rows are in it, and no interruption shows."""

import importlib.util
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from analytics_platform.defs.series import Memory, Plan, Refreshed, backfill, refresh
from analytics_platform.defs.series_reading import look, read
from analytics_platform.metrics.catalog import METRICS, Count, Source
from analytics_platform.metrics.events import METRIC_TABLES, arrow_schema
from analytics_platform.metrics.series import BUCKET, SeriesKey, Span, totals
from analytics_platform.metrics.series_grid import usual_events
from analytics_platform.metrics.tables import SERIES
from analytics_platform.queries import Query
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.base import EventLoad, Warehouse
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.metrics.product import Events, feed, message, simulated
from analytics_platform_tests.metrics.series_oracle import Cells, cells_of, standard
from analytics_platform_tests.queries.clickhouse import ClickHouse
from analytics_platform_tests.services import absent

BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 5, 5)
FIRST = DAY - timedelta(days=3)
PLAN = Plan(BERLIN, FIRST - timedelta(days=20))
EVERYTHING = simulated(Scenario(FIRST, 5, 60, 4, BERLIN))


def until(moment: datetime, events: Events = EVERYTHING) -> Events:
    """The events before that moment (aware)."""
    bound = moment.astimezone(UTC).replace(tzinfo=None)
    return Events([r for r in events.feed if r["time"] < bound], [r for r in events.messages if r["time"] < bound])


def put(warehouse: Warehouse, events: Events, *, append: bool = False) -> None:
    """Load those events."""
    loads = [
        EventLoad(table, pa.Table.from_pylist(rows, schema=arrow_schema(table)).to_batches())
        for table in METRIC_TABLES
        if (rows := events.of(table))
    ]
    warehouse.load(loads, BERLIN, append=append)


def cells(warehouse: Warehouse, *days: date) -> Cells:
    """What is stored of those days, or of all."""
    rows = warehouse.rows(Query("stored", "SELECT * FROM results.series_quarter_hour"))
    return cells_of([row for row in rows if not days or row["event_date"] in days])


def alive(found: Cells) -> Cells:
    """Without the rows of zeros, which tell of the days before."""
    return {key: cell for key, cell in found.items() if cell[0] or key[2] == "total"}


def at(clock: str, day: date = DAY) -> datetime:
    """That local time, aware."""
    return datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=BERLIN)


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "e.duckdb", tmp_path / "r.duckdb", tmp_path / "tmp", {"threads": "1"})


def looks(warehouse: Warehouse, memory: Memory, moments: Sequence[datetime]) -> list[Refreshed]:
    return [refresh(warehouse, PLAN, moment, {}, memory) for moment in moments]


def several(moment: str, count: int = 3) -> Events:
    """Views of so many users at that moment (naive UTC): enough to be noticed."""
    return Events([feed(9_001 + k, datetime.fromisoformat(moment)) for k in range(count)])


def test_the_first_look_computes_the_history_from_the_first_event_on(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:07")))
    told: list[tuple[int, int]] = []
    found = refresh(warehouse, PLAN, at("12:07"), {}, Memory(), progress=lambda done, days: told.append((done, days)))
    assert found.missing == 0
    assert found.rewritten == (FIRST, FIRST + timedelta(days=1))
    assert told == [(1, 2), (2, 2)]
    assert found.until == {"feed_actions": at("12:00"), "message_actions": at("12:00")}
    assert found.fresh["feed_actions"] == (at("11:45"), at("12:00"))
    assert "feed_actions until 10:00 UTC" in found.said
    for back in (1, 2, 3):
        day = DAY - timedelta(days=back)
        assert alive(cells(warehouse, day)) == alive(standard(EVERYTHING, day, BERLIN))
    stored = cells(warehouse)
    assert max(key[4] for key in stored) == datetime.fromisoformat("2026-05-05 09:45")
    assert min(key[4] for key in stored) == datetime.fromisoformat("2026-05-01 22:00")


def test_looks_through_a_day_and_a_night_leave_what_whole_days_would(warehouse: DuckDBWarehouse) -> None:
    memory, moment, fresh, seen = Memory(), at("22:02"), [], until(at("22:02"))
    put(warehouse, seen)
    while moment < at("02:00", DAY + timedelta(days=1)):
        found = refresh(warehouse, PLAN, moment, {"message_actions": timedelta(minutes=20)}, memory)
        fresh.append(found.fresh["feed_actions"])
        assert not found.changed
        following = moment + timedelta(minutes=15)
        news = until(following)
        put(warehouse, Events(news.feed[len(seen.feed) :], news.messages[len(seen.messages) :]), append=True)
        moment, seen = following, news
    assert [a[1] for a in fresh[:-1]] == [b[0] for b in fresh[1:]]  # none twice, none left out
    assert alive(cells(warehouse, DAY)) == alive(standard(EVERYTHING, DAY, BERLIN))
    newest = {
        service: max(key[4] for key in cells(warehouse) if key[0] == service) for service in ("feed", "messenger")
    }
    assert newest["feed"] - newest["messenger"] == 2 * BUCKET


def test_a_look_without_news_writes_nothing(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    refresh(warehouse, PLAN, at("12:01"), {}, memory)
    before = warehouse.computed_at(SERIES, FIRST, DAY)
    found = refresh(warehouse, PLAN, at("12:14"), {}, memory)
    assert (found.fresh, found.changed, found.rewritten) == ({}, {}, ())
    assert warehouse.computed_at(SERIES, FIRST, DAY) == before


def test_rows_that_come_late_correct_their_quarter_and_are_told_of(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    looks(warehouse, memory, [at("12:01")])
    late = several("2026-05-05 09:31")  # half an hour old
    older = Events([], [message(9_002 + k, 1, datetime.fromisoformat("2026-05-05 03:05")) for k in range(3)])
    yesterday = several("2026-05-04 10:01")
    for more in (late, older, yesterday):
        put(warehouse, more, append=True)
    [soon, hourly] = looks(warehouse, memory, [at("12:16"), at("13:02")])
    assert soon.changed == {"feed_actions": (at("11:30"),)}
    assert hourly.changed == {
        "feed_actions": (at("12:00", DAY - timedelta(days=1)),),
        "message_actions": (at("05:00"),),
    }
    assert soon.rebuild
    assert not looks(warehouse, memory, [at("13:16")])[0].rebuild
    everything = until(at("12:00"))
    everything.feed.extend(late.feed + yesterday.feed)
    everything.messages.extend(older.messages)
    stored = alive(
        {k: c for k, c in cells(warehouse, DAY).items() if k[4] < datetime.fromisoformat("2026-05-05 11:15")}
    )
    expected = alive(standard(everything, DAY, BERLIN))
    assert stored == {k: c for k, c in expected.items() if k[4] < datetime.fromisoformat("2026-05-05 11:15")}


def test_a_row_or_two_are_counted_but_not_told_of_until_they_add_up(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    looks(warehouse, memory, [at("12:01")])
    [[before]] = read(warehouse, at("11:30"), at("11:45"), [SeriesKey("feed", "views")]).values.tolist()
    told = []
    for k, clock in enumerate(("12:16", "12:31")):
        put(warehouse, several("2026-05-05 09:31", 2), append=True)
        [found] = looks(warehouse, memory, [at(clock)])
        told.append(found.changed)
        grid = read(warehouse, at("11:30"), at("11:45"), [SeriesKey("feed", "views")])
        assert grid.values.tolist() == [[before + 2 * (k + 1)]]
    assert told == [{}, {"feed_actions": (at("11:30"),)}]


def test_a_look_of_another_moment_takes_no_quarter_back(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("18:00")))
    running = Memory()
    looks(warehouse, running, [at("18:01")])
    stored = cells(warehouse, DAY)
    # As of before, as of yesterday, and one that leaves the last hour alone.
    waiting = {"feed_actions": timedelta(hours=1), "message_actions": timedelta(hours=1)}
    for moment, wait in ((at("14:00"), {}), (at("14:00", DAY - timedelta(days=1)), {}), (at("18:02"), waiting)):
        found = refresh(warehouse, PLAN, moment, wait, Memory(todo=[]))
        assert found.until["feed_actions"] <= at("17:00")
        assert cells(warehouse, DAY) == stored
    assert alive(cells(warehouse, DAY - timedelta(days=1))) == alive(
        standard(EVERYTHING, DAY - timedelta(days=1), BERLIN)
    )
    [following] = looks(warehouse, running, [at("18:16")])
    assert not following.changed
    assert following.fresh["feed_actions"] == (at("18:00"), at("18:15"))


def test_a_day_that_lost_its_quarters_is_counted_again_and_not_filled_with_zeros(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    looks(warehouse, memory, [at("12:01")])
    stored, start = cells(warehouse, DAY), datetime.fromisoformat("2026-05-04 22:00")
    lost = dict.fromkeys(("feed", "messenger"), Span(start, start + 8 * BUCKET))
    warehouse.replace_day(SERIES, DAY, PLAN.statement(DAY, lost))
    looks(warehouse, memory, [at("12:16")])
    assert {key: cell for key, cell in cells(warehouse, DAY).items() if key in stored} == stored


def test_a_day_that_failing_looks_left_in_the_middle_is_computed_whole(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, EVERYTHING)
    memory = Memory()
    looks(warehouse, memory, [at("12:00", FIRST), at("12:15", FIRST)])
    assert FIRST in warehouse.current_days(SERIES, FIRST, FIRST)
    [found] = looks(warehouse, memory, [at("12:15")])
    assert FIRST in found.rewritten
    assert alive(cells(warehouse, FIRST)) == alive(standard(EVERYTHING, FIRST, BERLIN))
    assert not memory.overslept


def test_after_the_zone_has_changed_no_quarter_is_there_twice(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    refresh(warehouse, PLAN, at("12:01"), {}, Memory())
    moved, memory = Plan(ZoneInfo("America/New_York"), PLAN.start_date), Memory()
    for clock in ("12:16", "12:31", "13:31"):
        refresh(warehouse, moved, at(clock), {}, memory)
    rows = warehouse.rows(Query("stored", "SELECT * FROM results.series_quarter_hour"))
    assert len(rows) == len(cells_of(rows))


def test_a_new_slice_value_does_not_change_the_quarters_before(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    looks(warehouse, memory, [at("12:01")])
    put(warehouse, Events([feed(1, datetime.fromisoformat("2026-05-05 10:05"), os="Windows")]), append=True)
    [found] = looks(warehouse, memory, [at("12:16")])
    assert not found.rebuild
    grid = read(warehouse, at("11:00"), at("12:15"), [SeriesKey("feed", "views", "os", "Windows")])
    assert grid.values.tolist() == [[0, 0, 0, 0, 1]]


def test_days_that_a_run_or_another_process_computed_meanwhile_are_told_of(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    looks(warehouse, memory, [at("12:01")])
    put(warehouse, Events([feed(9_003, datetime.fromisoformat("2026-05-03 10:01"))]), append=True)
    warehouse.replace_day(SERIES, DAY - timedelta(days=2), PLAN.statement(DAY - timedelta(days=2)))
    [found] = looks(warehouse, memory, [at("13:01")])
    assert found.rewritten == (DAY - timedelta(days=2),)


def test_a_budget_bounds_a_look_and_the_next_goes_on(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    first = refresh(warehouse, PLAN, at("12:01"), {}, memory, budget_seconds=0)
    assert (len(first.rewritten), first.missing) == (1, 1)
    second = refresh(warehouse, PLAN, at("12:02"), {}, memory, budget_seconds=0)
    assert (len(second.rewritten), second.missing) == (1, 0)
    assert "1 more to compute" in first.said


class Killed(BaseException):
    """The process ends here."""


def test_killed_between_days_everything_is_made_up_for(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))

    def die(done: int, days: int) -> None:
        raise Killed(f"{done} of {days}")

    for _ in range(3):  # each time a day further
        try:
            refresh(warehouse, PLAN, at("12:01"), {}, Memory(), progress=die)
        except Killed:
            continue
    assert refresh(warehouse, PLAN, at("12:01"), {}, Memory()).missing == 0
    for back in (1, 2, 3):
        day = DAY - timedelta(days=back)
        assert alive(cells(warehouse, day)) == alive(standard(EVERYTHING, day, BERLIN))


def test_days_that_were_left_in_the_middle_are_computed_whole_later(warehouse: DuckDBWarehouse) -> None:
    """Stopped in the evening and started days later: the ledger calls the day current, its last hours are missing."""
    put(warehouse, EVERYTHING)
    refresh(warehouse, PLAN, at("20:00", FIRST), {}, Memory())
    assert FIRST in warehouse.current_days(SERIES, FIRST, FIRST)
    refresh(warehouse, PLAN, at("12:00"), {}, Memory())
    assert alive(cells(warehouse, FIRST)) == alive(standard(EVERYTHING, FIRST, BERLIN))


def test_a_newly_chosen_slice_or_metric_is_computed_for_the_history(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    refresh(warehouse, PLAN, at("12:01"), {}, Memory())
    metrics = (*METRICS, Count("shares", Source.FEED, "", "action = 'share'", watched=True))
    more = Plan(BERLIN, PLAN.start_date, sliced_by=("os", "source", "country"), metrics=metrics)
    found = refresh(warehouse, more, at("12:02"), {}, Memory())
    assert len(found.rewritten) == 2
    stored = cells(warehouse, FIRST)
    assert {key[2] for key in stored} == {"total", "os", "source", "country"}
    assert "shares" in {key[1] for key in stored}
    assert refresh(warehouse, more, at("12:03"), {}, Memory()).rewritten == ()


def test_a_source_that_turns_out_to_be_later_takes_no_quarter_back(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    memory = Memory()
    looks(warehouse, memory, [at("12:01")])
    found = refresh(warehouse, PLAN, at("12:16"), {"feed_actions": timedelta(hours=1)}, memory)
    assert found.until["feed_actions"] == at("12:00")
    assert list(found.fresh) == ["message_actions"]


def test_history_for_a_replay_is_computed_once(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, EVERYTHING)
    every = [FIRST + timedelta(days=k) for k in range(4)]
    told: list[tuple[int, int]] = []
    assert backfill(warehouse, PLAN, FIRST - timedelta(days=9), DAY, lambda *done: told.append(done)) == every
    assert told == [(k, 4) for k in range(1, 5)]
    assert backfill(warehouse, PLAN, FIRST - timedelta(days=9), DAY) == []


def test_arrays_have_every_quarter_and_nan_where_nothing_is_known(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, until(at("12:00")))
    refresh(warehouse, PLAN, at("12:01"), {}, Memory())
    start, end = at("00:00", FIRST) - timedelta(hours=1), at("13:00")
    grid = read(warehouse, start, end, totals())
    assert grid.keys == totals()
    assert grid.values.shape == (6, 3 * 96 + 14 * 4) == (6, len(grid.times))
    assert (grid.times[0], np.unique(np.diff(grid.times)).tolist()) == (int(start.timestamp()), [900])
    assert np.isnan(grid.values[:, :4]).all()
    assert np.isnan(grid.values[:, -4:]).all()
    assert not np.isnan(grid.values[0, 4:-4]).any()
    ctr = grid.keys.index(SeriesKey("feed", "ctr"))
    assert np.isnan(grid.base[0]).all()
    assert np.array_equal(np.isnan(grid.values[ctr, 4:-4]), grid.base[ctr, 4:-4] == 0)
    expected = standard(EVERYTHING, FIRST, BERLIN)
    for row, key in enumerate(grid.keys):
        column = [expected[key.service, key.metric, "total", "all", t][0] for t in sorted({k[4] for k in expected})]
        assert np.array_equal(grid.values[row, 4:100], np.array(column, dtype=float), equal_nan=True)
    everything = read(warehouse, start, end)
    assert everything.keys[:6] == tuple(sorted(totals()))
    assert {key.dimension for key in everything.keys[6:]} == {"os", "source"}
    again = read(warehouse, end - timedelta(hours=2), end, everything.keys)
    assert np.array_equal(again.values, everything.values[:, -8:], equal_nan=True)
    nobody = read(warehouse, start, end, [SeriesKey("feed", "views", "os", "Plan 9")])
    assert np.isnan(nobody.values).all()
    assert read(warehouse, start - timedelta(days=900), start - timedelta(days=899)).values.shape == (0, 96)


def test_quarters_before_the_first_event_of_a_service_say_nothing(warehouse: DuckDBWarehouse) -> None:
    put(warehouse, Events(until(at("12:00")).feed, [message(1, 2, datetime.fromisoformat("2026-05-05 08:01"))]))
    refresh(warehouse, PLAN, at("12:01"), {}, Memory())
    grid = read(warehouse, at("00:00"), at("12:00")).since_first_event()
    sent = grid.values[grid.keys.index(SeriesKey("messenger", "messages_sent"))]
    assert np.isnan(sent[:40]).all()
    assert sent[40:].tolist() == [1, *[0] * 7]


def test_a_look_counts_the_rows_of_the_last_quarters_and_finds_the_newest_event(warehouse: DuckDBWarehouse) -> None:
    events = until(at("12:00"))
    silent = [row for row in events.messages if row["time"] < datetime.fromisoformat("2026-05-03 10:00")]
    put(warehouse, Events(events.feed, silent))
    memory = Memory()
    for _ in range(2):
        found = look(warehouse, PLAN, at("11:55"), memory)
        assert found.newest["message_actions"] == max(row["time"] for row in silent).replace(tzinfo=UTC)
        assert found.rows["message_actions"] == {}
        bucket = datetime.fromisoformat("2026-05-05 09:15")
        expected = sum(bucket <= row["time"] < bucket + BUCKET for row in events.feed)
        assert found.rows["feed_actions"].get(bucket.replace(tzinfo=UTC), 0) == expected
    assert look(warehouse, PLAN, at("12:00", FIRST - timedelta(days=9)), Memory()).newest == {
        "feed_actions": None,
        "message_actions": None,
    }


def test_what_is_usual_is_the_median_of_the_largest_count_at_that_time_of_day(warehouse: DuckDBWarehouse) -> None:
    noon = datetime.fromisoformat("2026-05-05 10:01")
    days = (4, 10, 900)
    rows = [feed(1, noon - timedelta(days=k)) for k, count in enumerate(days) for _ in range(count)]
    put(warehouse, Events(rows))
    backfill(warehouse, PLAN, DAY - timedelta(days=2), DAY)
    usual = usual_events(read(warehouse, at("00:00", DAY - timedelta(days=2)), at("00:00", DAY + timedelta(days=1))))
    assert usual["feed_actions"][40] == 10
    assert usual["feed_actions"].sum() == 10
    assert usual["message_actions"].sum() == 0


def test_on_clickhouse_it_is_the_same() -> None:
    if importlib.util.find_spec("chdb") is None:
        absent("ClickHouse's embedded engine not installed (pip install chdb)")
    with ClickHouse((SERIES,)) as engine:
        warehouse, memory, seen = engine.warehouse, Memory(), until(at("12:00"))
        put(warehouse, seen)
        first = refresh(warehouse, PLAN, at("12:01"), {}, memory)
        assert (first.missing, len(first.rewritten)) == (0, 2)
        put(warehouse, several("2026-05-05 09:31"), append=True)
        found = refresh(warehouse, PLAN, at("12:16"), {}, memory)
        assert found.changed == {"feed_actions": (at("11:30"),)}
        assert found.fresh["feed_actions"] == (at("12:00"), at("12:15"))
        assert alive(cells(warehouse, FIRST)) == alive(standard(EVERYTHING, FIRST, BERLIN))
        grid = read(warehouse, at("11:30"), at("12:15"))
        assert grid.values.shape[1] == 3
        assert not np.isnan(grid.values[:3]).all()
        assert look(warehouse, PLAN, at("12:00"), memory).newest["feed_actions"] is not None
        assert backfill(warehouse, PLAN, FIRST, DAY - timedelta(days=1)) == []
