"""Entries in the warehouse: which days are written when, and the monthly report that waits for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pytest

from analytics_platform.defs.claims import now
from analytics_platform.funnels.records import Change, NewEntry
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS, ResultTable, result_schema
from analytics_platform.state.runs import Status
from analytics_platform.warehouses.base import Warehouse
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.defs.conftest import Place
from analytics_platform_tests.defs.test_scheduling import Bench
from analytics_platform_tests.funnel_home import LANGUAGE, OTHER, FunnelHome, connected

# Late in the evening of UTC: the next day in Moscow and in Tokyo.
FIRST = datetime(2026, 3, 9, 22, 30, tzinfo=UTC)
DAY = timedelta(days=1)
MOSCOW = ZoneInfo("Europe/Moscow")
MORNING = datetime(2026, 4, 1, 11, tzinfo=MOSCOW)


@pytest.fixture(scope="module")
def entered(tmp_path_factory: pytest.TempPathFactory) -> FunnelHome:
    path = tmp_path_factory.mktemp("entered") / "home"
    made = FunnelHome(path, connected(None, None, START_DATE="2026-02-01")).prepared()
    with made.lease() as kept:
        for day in range(4):
            people = [
                NewEntry(f"person{day}.{n}@example.org", (LANGUAGE, OTHER)[n % 2], n, 1 + n, 7, FIRST - DAY)
                for n in range(3)
            ]
            assert made.ledger.enter(kept.now(), people, FIRST + day * DAY) == 3
    return made


@pytest.fixture
def place(entered: FunnelHome, tmp_path: Path) -> FunnelHome:
    """On each of four days three people entered who had bought before; nothing is in the warehouse."""
    return entered.copied(tmp_path / "home")


def days(first: int, last: int) -> list[date]:
    return [date(2026, 3, day) for day in range(first, last + 1)]


def ids_by_day(place: FunnelHome) -> dict[date, list[int]]:
    """The entries in the warehouse under each day, that have any."""
    found: dict[date, list[int]] = {}
    for row in place.stored():
        found.setdefault(row["event_date"], []).append(row["entry_id"])
    return found


def expected(place: FunnelHome, zone: str) -> dict[date, list[int]]:
    found: dict[date, list[int]] = {}
    for entry in place.entries():
        found.setdefault(entry.entered_at.astimezone(ZoneInfo(zone)).date(), []).append(entry.id)
    return found


@dataclass
class Dying:
    """The warehouse, whose process ends after some days were written."""

    real: Warehouse
    after: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def store_day(self, table: ResultTable, day: date, rows: pa.Table) -> int:
        if not self.after:
            raise KeyboardInterrupt
        self.after -= 1
        return self.real.store_day(table, day, rows)


# ------------------------------------------------------------------------- publishing


def test_all_entries_are_published_once(place: FunnelHome) -> None:
    done = place.publish()
    assert done.figures == {"days": 4, "dagster/row_count": 12}
    assert done.lines == ("conversions: 4 days brought up to date in the warehouse, 12 entries",)
    assert ids_by_day(place) == expected(place, "UTC")
    assert all(row["already_customer"] for row in place.stored())
    assert place.publish().figures == {"days": 0, "dagster/row_count": 0}


def test_what_becomes_of_an_entry_replaces_its_day_alone(place: FunnelHome) -> None:
    place.publish()
    with place.lease() as kept:
        new = [NewEntry("late@example.org", LANGUAGE, 9, 9, 7)]
        place.ledger.enter(kept.now(), new, FIRST + 2 * DAY)
    assert place.publish().figures["days"] == 1
    [row] = [row for row in place.stored() if not row["already_customer"]]
    assert row["seconds_to_purchase"] is None
    with place.lease() as kept:
        bought = Change(
            row["entry_id"], LANGUAGE, purchased_at=FIRST + 3 * DAY + timedelta(seconds=1, milliseconds=500)
        )
        assert place.ledger.settle(kept.now(), [bought], now()) == 1
    assert place.publish().figures == {"days": 1, "dagster/row_count": 4}
    [again] = [one for one in place.stored() if one["entry_id"] == row["entry_id"]]
    assert again == {**row, "seconds_to_purchase": 86_401}
    assert len(place.stored()) == 13


def test_under_another_time_zone_all_days_are_written_anew(place: FunnelHome) -> None:
    place.publish()
    tokyo = place.but(TIMEZONE="Asia/Tokyo")
    done = tokyo.publish()
    assert ids_by_day(tokyo) == expected(place, "Asia/Tokyo")
    assert tokyo.days() == days(9, 13), "the first one is empty now"
    assert done.figures == {"days": 5, "dagster/row_count": 12}
    assert tokyo.publish().figures["days"] == 0
    place.publish()
    assert ids_by_day(place) == expected(place, "UTC")


@pytest.mark.parametrize("after", [1, 4])
def test_a_change_of_the_time_zone_that_was_cut_off_is_gone_on_with(place: FunnelHome, after: int) -> None:
    place.publish()
    tokyo = place.but(TIMEZONE="Asia/Tokyo")
    with pytest.raises(KeyboardInterrupt):
        tokyo.publish(Dying(tokyo.warehouse, after))
    tokyo.publish()
    assert ids_by_day(tokyo) == expected(place, "Asia/Tokyo")
    assert tokyo.publish().figures["days"] == 0


@pytest.mark.parametrize("after", [1, 3])
def test_a_new_warehouse_gets_everything_even_after_it_was_cut_off(place: FunnelHome, after: int) -> None:
    place.publish()
    for path in place.path.glob("results.duckdb*"):
        path.unlink()
    with pytest.raises(KeyboardInterrupt):
        place.publish(Dying(place.warehouse, after))
    place.publish()
    assert ids_by_day(place) == expected(place, "UTC")


def test_a_warehouse_that_was_left_and_is_come_back_to_is_brought_up_to_date(place: FunnelHome) -> None:
    place.publish()
    left = {path: path.read_bytes() for path in place.path.glob("results.duckdb")}
    with place.lease() as kept:
        place.ledger.enter(kept.now(), [NewEntry("late@example.org", LANGUAGE, 9, 9, 7)], FIRST + 2 * DAY)
    assert place.publish().figures["days"] == 1
    for path, content in left.items():  # as it was before: another one, or restored from a copy
        path.write_bytes(content)
    assert len(place.stored()) == 12
    assert place.publish().figures == {"days": 4, "dagster/row_count": 13}
    assert ids_by_day(place) == expected(place, "UTC")
    assert place.publish().figures["days"] == 0


def test_what_a_process_that_lost_its_turn_wrote_after_us_does_not_stay(place: FunnelHome) -> None:
    place.publish()
    place.warehouse.store_day(FUNNEL_CONVERSIONS, days(10, 10)[0], result_schema(FUNNEL_CONVERSIONS).empty_table())
    assert place.publish().figures["days"] == 4
    assert ids_by_day(place) == expected(place, "UTC")


def test_a_home_without_entries_publishes_that_there_are_none(tmp_path: Path) -> None:
    place = FunnelHome(tmp_path / "home", connected(None, None))
    began = now()
    assert place.publish().figures == {"days": 0, "dagster/row_count": 0}
    until = place.ledger.standing().published_until
    assert until
    assert until >= began


# ------------------------------------------------------------------------- the report


@pytest.fixture
def bench(place: FunnelHome) -> Iterator[Bench]:
    """The monthly report alone, and nothing published yet."""
    moscow = place.but(TIMEZONE="Europe/Moscow", REPORTS="funnels_monthly", START_DATE="2026-03-01")
    place.warehouse.prepare()
    with dg.DagsterInstance.ephemeral() as instance:
        warehouse = moscow.warehouse
        assert isinstance(warehouse, DuckDBWarehouse)
        yield Bench(Place(moscow.home, moscow.settings, warehouse), moscow.settings, instance)


def published_until(place: FunnelHome, moment: datetime) -> None:
    with place.lease() as kept:
        place.ledger.published(kept.now(), moment, ())


def test_the_report_waits_for_a_sync_after_the_end_of_the_month(bench: Bench, place: FunnelHome) -> None:
    assert bench.tick(MORNING - timedelta(minutes=1)).lines == [
        "funnels_monthly: 2026-03-01..2026-03-31 is due on 2026-04-01 at 11:00"
    ]
    assert bench.tick(MORNING).requests == []
    [line] = bench.tick(MORNING).lines
    assert "funnels/conversions: was never brought up to date" in line
    published_until(place, datetime(2026, 3, 31, 20, 59, 59, tzinfo=UTC))
    [line] = bench.tick(MORNING).lines
    assert "funnels/conversions: up to date until 2026-03-31 23:59, the period ends at 2026-04-01 00:00" in line
    place.but(TIMEZONE="Europe/Moscow").publish()
    assert len(bench.work(MORNING)) == 1
    [text] = bench.texts()
    assert text.startswith("E-mail funnels, Mar 1, 2026 – Mar 31, 2026\n--------------------\n")
    assert "Preliminary" not in text
    entry = bench.ledgers.runs.entry("funnels_monthly", date(2026, 3, 31))
    assert entry
    assert entry.status is Status.DELIVERED
    assert bench.work(MORNING + timedelta(minutes=5)) == []


def test_after_a_day_of_waiting_it_goes_out_as_preliminary(bench: Bench) -> None:
    assert bench.work(MORNING) == []
    assert bench.work(MORNING + timedelta(hours=23)) == []
    assert len(bench.work(MORNING + timedelta(hours=24))) == 1
    [text] = bench.texts()
    assert text.startswith("Preliminary: the data is not complete\nfunnels/conversions: was never brought up to date")
