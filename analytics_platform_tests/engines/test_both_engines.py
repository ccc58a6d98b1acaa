"""The same events in two homes give the same tables, checks, reports and decisions, whichever the engine."""

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from analytics_platform.cadence import containing
from analytics_platform.defs import availability, late
from analytics_platform.defs.events import observations
from analytics_platform.defs.metrics import TABLES
from analytics_platform.defs.reports import rendering
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.defs.sight import Desk
from analytics_platform.metrics import facts
from analytics_platform.metrics.windows import days
from analytics_platform.queries import Query
from analytics_platform.reports import all_reports
from analytics_platform.reports.base import NothingToReportError
from analytics_platform.settings import Home
from analytics_platform_tests.engines.conftest import Both
from analytics_platform_tests.engines.places import DAYS, EMPTY, FIRST, LAST, SHORT, SILENT, STRANGE, ZONE, Place

Row = tuple[tuple[str, str, object], ...]
_WEEK = timedelta(days=7)


def stored(place: Place, table: str) -> list[Row]:
    """Every row of a result table with names, types and values, in an order of its own."""
    rows = place.warehouse.rows(Query("stored", f"SELECT * FROM results.{table}"))
    return sorted((tuple((n, type(v).__name__, v) for n, v in row.items()) for row in rows), key=repr)


@pytest.mark.parametrize("table", TABLES)
def test_every_row_of_every_table_is_the_same(both: Both, table: str) -> None:
    expected, found = (stored(place, table) for place in both.places)
    assert expected
    for left, right in zip(expected, found, strict=False):
        assert left == right
    assert len(found) == len(expected)


def test_the_strange_values_are_among_them(both: Both) -> None:
    """As they were in the files, less the blanks around them that the loader takes off."""
    query = Query("stored", "SELECT DISTINCT country FROM results.user_day")
    for place in both.places:
        found = {row["country"] for row in place.warehouse.rows(query)}
        assert found >= {text.strip() for text in STRANGE}


def test_the_days_are_computed_and_current_on_both(both: Both) -> None:
    for made in TABLES.values():
        for place in both.places:
            every = set(days(FIRST, LAST))
            assert set(place.warehouse.computed_days(made.table, FIRST - _WEEK, LAST + _WEEK)) == every
            assert set(place.warehouse.current_days(made.table, FIRST - _WEEK, LAST + _WEEK)) == every
            assert set(place.warehouse.computed_at(made.table, FIRST - _WEEK, LAST + _WEEK)) == every


def test_every_check_says_the_same(both: Both) -> None:
    expected, found = ([_check(e) for e in run.get_asset_check_evaluations()] for run in both.runs)
    assert len(expected) >= 5
    assert found == expected


def _check(evaluation: dg.AssetCheckEvaluation) -> tuple[object, ...]:
    metadata = {name: value.value for name, value in evaluation.metadata.items()}
    key = evaluation.asset_key.to_user_string()
    return key, evaluation.check_name, evaluation.passed, evaluation.severity, evaluation.description, metadata


def test_the_ui_shows_the_same_rows_windows_and_previews(both: Both) -> None:
    expected, found = (_shown(run) for run in both.runs)
    assert len(expected) == len(TABLES) * DAYS
    assert found == expected


def test_the_ui_shows_the_statement_that_the_engine_was_given(both: Both) -> None:
    query = facts.user_day(LAST, ZONE, set(days(FIRST, LAST - timedelta(days=1))))
    for run, text in zip(both.runs, (query.sql, query.clickhouse or query.sql), strict=True):
        [event] = [e for e in run.asset_materializations_for_node("facts__user_day") if e.partition == str(LAST)]
        assert event.metadata["query"].value == f"```sql\n{text.strip()}\n```"


def _shown(run: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dict[str, object]]:
    """What each materialisation shows, by asset and day."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for event in run.get_asset_materialization_events():
        assert event.asset_key
        metadata = event.step_materialization_data.materialization.metadata
        # The statement may be the engine's own.
        shown = {name: value.value for name, value in metadata.items() if name != "query"}
        found[event.asset_key.to_user_string(), str(event.partition)] = {**shown}
    return found


@pytest.mark.parametrize("day", [LAST, SHORT, EMPTY, SILENT])
@pytest.mark.parametrize("name", all_reports())
def test_every_report_is_the_same_to_the_byte(both: Both, name: str, day: date) -> None:
    report = all_reports()[name]
    period = containing(day, report.cadence)
    frames = [_frame(place, name, day) for place in both.places]
    # A table that is read when it is written keeps whom to ask.
    said = [repr(f).replace(repr(p.warehouse), "") for f, p in zip(frames, both.places, strict=True)]
    assert said[1] == said[0]
    if isinstance(frames[0], NothingToReportError):
        return
    assert report.numbers(frames[1]) == report.numbers(frames[0])
    if day != LAST:
        return  # drawing is the dear part, and of equal frames the same
    expected, found = (_drawn(place, name, frame) for place, frame in zip(both.places, frames, strict=True))
    assert found == expected, period


def _frame(place: Place, name: str, day: date) -> Any:
    report = all_reports()[name]
    try:
        return report.read(place.warehouse, containing(day, report.cadence), ZONE)
    except NothingToReportError as nothing:
        return nothing


def _drawn(place: Place, name: str, frame: Any) -> dict[str, object]:
    """Every file, and the messages, which hold texts and documents."""
    how = rendering(place.settings, "ru")
    report = all_reports()[name]
    drawn = report.draw(frame, how)
    return {**drawn, "messages": repr(report.compose(frame, drawn, how))}


def test_the_events_are_observed_alike(both: Both) -> None:
    expected, found = (
        [(o.asset_key, {n: v.value for n, v in o.metadata.items()}) for o in observations(p.warehouse, p.settings)]
        for p in both.places
    )
    assert found == expected


@pytest.mark.parametrize("day", [LAST, EMPTY, SILENT, LAST + timedelta(days=1)])
def test_the_sensors_decide_alike(both: Both, day: date, tmp_path: Path) -> None:
    """About that day, at noon of the next."""
    found = []
    moment = datetime.combine(day + timedelta(days=1), time(12), tzinfo=ZONE)
    for k, place in enumerate(both.places):
        ledgers = ledgers_of(Home(tmp_path / str(k)), place.settings)
        desk = Desk(all_reports(), place.settings, ledgers, place.warehouse)
        with dg.DagsterInstance.ephemeral() as instance:
            looked = availability.look(desk, instance, moment)
            past = late.look(place.warehouse, place.settings, instance, moment)
        found.append((looked.decisions, looked.requests, looked.lines, looked.errors, past.requests, past.said))
    assert found[1] == found[0]
    assert found[0][0]
