"""The funnels' month from the warehouse to its messages, and when it is due."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.cadence import Period, period_of
from analytics_platform.language import LANGUAGES, Language
from analytics_platform.messages import Album, Document, Text
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS
from analytics_platform.reports import all_reports
from analytics_platform.reports.base import Rendering
from analytics_platform.reports.funnels_monthly import REPORT
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.queries.duck import DuckDB

ZONE = ZoneInfo("Europe/Berlin")
OCTOBER = Period(date(2026, 10, 1), date(2026, 10, 31))


@pytest.fixture(scope="module")
def warehouse() -> Iterator[DuckDB]:
    with DuckDB([FUNNEL_CONVERSIONS]) as engine:
        engine.put(f"results.{FUNNEL_CONVERSIONS.name}", [entry(k) for k in range(120)])
        yield engine


def entry(number: int) -> Mapping[str, object]:
    """One a day from 1 August at 22:30 UTC, which is the next local day; every fourth buys on the third day after."""
    entered = datetime(2026, 8, 1, 22, 30, tzinfo=UTC) + timedelta(days=number)
    return {
        "event_date": entered.astimezone(ZONE).date(),
        "entry_id": number,
        "funnel_type": "language",
        "test_id": number % 3,
        "entered_at": entered.replace(tzinfo=None),
        "seconds_to_purchase": None if number % 4 else 2 * 86_400,
        "already_customer": number % 10 == 1,
    }


def expected(first: datetime, end: datetime, as_of: datetime) -> tuple[int, int]:
    """Entries and purchases, from the same rows by hand."""
    ours = [row for row in map(entry, range(120)) if not row["already_customer"]]
    times = [(datetime.fromisoformat(f"{row['entered_at']}+00:00"), row["seconds_to_purchase"]) for row in ours]
    inside = [(at, waited) for at, waited in times if first <= at < end]
    return len(inside), sum(waited is not None and at + timedelta(days=2) < as_of for at, waited in inside)


def test_it_reads_its_month_and_the_one_before(warehouse: DuckDB) -> None:
    september, october, november = (datetime(2026, month, 1, tzinfo=ZONE).astimezone(UTC) for month in (9, 10, 11))
    frame = REPORT.read(warehouse, OCTOBER, ZONE)
    [month], [before], [since] = frame.month.groups, frame.before.groups, frame.before_since.groups
    assert (month.entries, month.purchased) == expected(october, november, november)
    assert (before.entries, before.purchased) == expected(september, october, october)
    assert (since.entries, since.purchased) == expected(september, october, november)
    assert frame.weeks.groups[0].week == date(2026, 8, 31)
    assert frame.weeks.groups[-1].week == date(2026, 10, 26)


def test_months_of_a_zone_other_than_the_rows_days_are_whole(warehouse: DuckDB) -> None:
    tokyo, new_york = (REPORT.read(warehouse, OCTOBER, ZoneInfo(z)) for z in ("Asia/Tokyo", "America/New_York"))
    for frame, zone in ((tokyo, "Asia/Tokyo"), (new_york, "America/New_York")):
        begin, end = (datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) for month in (10, 11))
        assert frame.month.groups[0].entries == expected(begin, end, end)[0]


@pytest.mark.parametrize("code", LANGUAGES)
def test_it_sends_text_chart_and_table(warehouse: DuckDB, code: str) -> None:
    frame, rendering = REPORT.read(warehouse, OCTOBER, ZONE), Rendering(Language(code), ZONE)
    text, album, table = REPORT.compose(frame, REPORT.draw(frame, rendering), rendering)
    assert isinstance(text, Text)
    assert "language: " in text.plain
    assert isinstance(album, Album)
    assert album.pictures[0].content.startswith(b"\x89PNG")
    assert album.pictures[0].filename == "funnels_monthly_2026-10-31.png"
    assert isinstance(table, Document)
    assert table.filename == "funnels_monthly_2026-10-31.csv"
    assert table.content.startswith(b"\xef\xbb\xbfby")


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_month_without_entries_is_sent_as_text(warehouse: DuckDB, code: str) -> None:
    rendering = Rendering(Language(code), ZONE)
    frame = REPORT.read(warehouse, Period(date(2025, 1, 1), date(2025, 1, 31)), ZONE)
    drawn = REPORT.draw(frame, rendering)
    messages: Sequence[object] = REPORT.compose(frame, drawn, rendering)
    assert (len(messages), drawn) == (1, {})
    assert [(number.name, number.value) for number in REPORT.numbers(frame)] == [
        ("Language tests: entries", 0),
        ("Language tests: conversion", None),
        ("Other tests: entries", 0),
        ("Other tests: conversion", None),
    ]
    assert all(Language("ru").say(number.name) != number.name for number in REPORT.numbers(frame))


def test_its_figures_are_entries_and_conversion_of_the_funnels_there_are(warehouse: DuckDB) -> None:
    frame = REPORT.read(warehouse, OCTOBER, ZONE)
    entries, conversion = REPORT.numbers(frame)
    assert (entries.name, conversion.name) == ("Language tests: entries", "Language tests: conversion")
    assert (entries.value, conversion.share) == (frame.month.groups[0].entries, True)


def test_a_funnel_that_nobody_entered_this_month_keeps_its_figures() -> None:
    with DuckDB([FUNNEL_CONVERSIONS]) as engine:
        september = [{**entry(k), "funnel_type": "non_language"} for k in range(40, 50)]
        engine.put(f"results.{FUNNEL_CONVERSIONS.name}", [*september, *(entry(k) for k in range(70, 80))])
        frame = REPORT.read(engine, OCTOBER, ZONE)
    figures = {number.name: number.value for number in REPORT.numbers(frame)}
    assert list(figures) == [
        "Language tests: entries",
        "Language tests: conversion",
        "Other tests: entries",
        "Other tests: conversion",
    ]
    assert (figures["Other tests: entries"], figures["Other tests: conversion"]) == (0, None)


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_month_of_customers_alone_has_a_table_and_no_empty_chart(code: str) -> None:
    rendering = Rendering(Language(code), ZONE)
    with DuckDB([FUNNEL_CONVERSIONS]) as engine:
        customers = [{**entry(k), "seconds_to_purchase": None, "already_customer": True} for k in range(70, 75)]
        engine.put(f"results.{FUNNEL_CONVERSIONS.name}", customers)
        frame = REPORT.read(engine, OCTOBER, ZONE)
    text, table = REPORT.compose(frame, REPORT.draw(frame, rendering), rendering)
    assert isinstance(text, Text)
    assert text.plain.splitlines()[2].startswith("language: ")
    assert isinstance(table, Document)


@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 2])
def test_an_entry_counts_once_and_as_it_is_now_whatever_days_it_stands_under(shift: int) -> None:
    bought = {**entry(70), "seconds_to_purchase": 60, "already_customer": False}
    day = entry(70)["event_date"]
    assert isinstance(day, date)
    old = {**bought, "seconds_to_purchase": None, "event_date": day + timedelta(days=shift)}
    with DuckDB([FUNNEL_CONVERSIONS]) as engine:
        engine.put(f"results.{FUNNEL_CONVERSIONS.name}", [old, bought])
        [group] = REPORT.read(engine, OCTOBER, ZONE).month.groups
    assert (group.entries, group.purchased) == (1, 1)


def test_it_comes_on_the_first_for_the_month_before_and_hangs_on_the_funnels_alone() -> None:
    assert all_reports()["funnels_monthly"] is REPORT
    assert (REPORT.verb, REPORT.title) == ("funnels", "E-mail funnels")
    assert period_of(date(2026, 11, 1), REPORT.cadence) == OCTOBER
    assert (REPORT.sources, REPORT.tables, REPORT.syncs) == ((), (), ("funnels/conversions",))
    assert all(report.syncs == () for report in all_reports().values() if report is not REPORT)


def test_a_warehouse_without_any_entry_has_nothing_to_hide(tmp_path: Path) -> None:
    fresh = DuckDBWarehouse(tmp_path / "events.duckdb", tmp_path / "results.duckdb", tmp_path / "tmp")
    assert REPORT.read(fresh, OCTOBER, ZONE).empty
