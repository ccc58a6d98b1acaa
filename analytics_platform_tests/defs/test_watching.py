"""The look of every quarter of an hour over simulated events: what is found, and that each bucket counts once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from analytics_platform.alerts.findings import Direction, What
from analytics_platform.alerts.incident import Kind, Status
from analytics_platform.defs.alerts import ANOMALIES, LookError, reported, said, tick
from analytics_platform.defs.telling import Teller
from analytics_platform.defs.watching import Looked, Tower, look
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.metrics.tables import SERIES
from analytics_platform.metrics.windows import Window
from analytics_platform.state.owners import Owner
from analytics_platform.warehouses.base import EventLoad
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.defs.watched import OUTAGE, QUARTER, SOON, SPIKE, Breaking, Make, plain
from analytics_platform_tests.warehouses.clickhouse_open import open_at


def test_what_is_found_does_not_depend_on_restarts_or_on_missed_ticks(watched: Make) -> None:
    start, end = SPIKE - QUARTER, SPIKE + timedelta(hours=2)
    steady, restarted, late = watched("a"), watched("b"), watched("c")
    steady.through(start, end)
    restarted.through(start, end, anew=True)
    late.look(start + SOON)
    missed = late.look(end + SOON)
    assert missed.judged[FEED_ACTIONS.name] == (end - start) // QUARTER
    assert plain(steady.incidents) == plain(restarted.incidents) == plain(late.incidents)


def test_clickhouse_finds_and_tells_the_same(
    watched: Make, watched_home: Path, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    start, end = SPIKE - QUARTER, SPIKE + timedelta(hours=2)
    embedded = watched("embedded")
    served = watched("served")
    warehouse = open_at(clickhouse.empty_database("alerts"))
    warehouse.prepare()
    whole = Window(datetime(2026, 3, 1), datetime(2026, 3, 20))  # noqa: DTZ001 - naive UTC, as events have it
    loads = [
        EventLoad(table, embedded.warehouse.event_batches(table, whole)) for table in (FEED_ACTIONS, MESSAGE_ACTIONS)
    ]
    warehouse.load(loads, ZoneInfo("UTC"))
    served.tower = Tower.of(warehouse, served.settings, served.ledgers)
    while look(served.tower, start + SOON).missing:
        pass
    for home in (embedded, served):
        home.look(start + SOON)
        home.look(end + SOON)  # what was missed, at once
    assert plain(embedded.incidents) == plain(served.incidents)
    assert len(embedded.incidents) == 1
    told = [
        Teller(home.office, used, Owner("test", "here", 1)).tell(home.moment)
        for home, used in ((embedded, embedded.warehouse), (served, warehouse))
    ]
    assert told[0].lines == told[1].lines
    assert told[0].explanations == told[1].explanations
    assert told[0].pictures == told[1].pictures


def test_a_bucket_is_judged_by_one_process_only(watched: Make) -> None:
    home = watched()
    home.look(SPIKE + SOON)
    other = Tower.of(home.warehouse, home.settings, home.ledgers)
    first = home.look(SPIKE + QUARTER + SOON)
    second = look(other, SPIKE + QUARTER + SOON)
    assert first.judged == {FEED_ACTIONS.name: 1, MESSAGE_ACTIONS.name: 1}
    assert first.findings
    assert second.judged == {}
    assert len(home.incidents) == 1


def test_the_first_look_of_all_judges_the_last_hour_and_no_more(watched: Make) -> None:
    home = watched()
    looked = home.look(SPIKE + timedelta(hours=3) + SOON)  # the spike is over and no news
    assert looked.judged == {FEED_ACTIONS.name: 4, MESSAGE_ACTIONS.name: 4}
    assert home.incidents == []
    assert home.look(SPIKE + timedelta(hours=3) + 2 * SOON).judged == {}
    assert looked.next_at == SPIKE + timedelta(hours=3) + QUARTER


def test_a_silent_source_is_late_data_and_no_fall_until_it_speaks_again(watched: Make) -> None:
    home = watched()
    home.through(OUTAGE - QUARTER, OUTAGE + timedelta(hours=1), tell=True)
    [late] = home.incidents
    assert (late.kind, late.source, late.status) == (Kind.LATE_DATA, FEED_ACTIONS.name, Status.OPEN)
    assert abs(late.started - OUTAGE) < QUARTER
    card = (home.home.outbox / "alerts" / str(late.id) / "01-text.txt").read_text("utf-8")
    assert "feed_actions" in card
    assert "%" not in card  # nothing is said to have fallen
    home.through(OUTAGE + timedelta(minutes=75), OUTAGE + timedelta(hours=4), tell=True)
    fell = [one for one in home.incidents if one.kind is Kind.ANOMALY]
    assert [one.direction for one in fell] == [Direction.DOWN]
    assert {m.what for m in fell[0].members if m.series.is_total} >= {What.ZERO}
    assert fell[0].started == OUTAGE
    assert fell[0].recovered_at == OUTAGE + timedelta(minutes=90)
    [late] = [one for one in home.incidents if one.kind is Kind.LATE_DATA]
    assert late.status is not Status.OPEN


def test_a_source_that_is_loaded_once_a_day_is_not_late_all_day(watched: Make) -> None:
    home = watched()
    ended = datetime(2026, 3, 18, 0, 0, tzinfo=UTC)  # after the last event
    for hours in (8, 9, 10):
        looked = home.look(ended + timedelta(hours=hours) + SOON)
        assert set(looked.held) == {FEED_ACTIONS.name}
    assert home.incidents == []


def test_quarters_of_an_hour_missed_for_too_long_are_passed_over_and_the_owner_hears_of_it(watched: Make) -> None:
    home = watched(alert_catch_up_hours=2)
    home.look(SPIKE - timedelta(hours=2) + SOON)
    looked = tick(home.office, home.tower, SPIKE + timedelta(hours=4) + SOON)
    assert looked.judged[FEED_ACTIONS.name] == 8
    begin, end = looked.passed_over[FEED_ACTIONS.name]
    assert (begin, end) == (SPIKE - timedelta(hours=2), SPIKE + timedelta(hours=2))
    problems = [p.text for p in home.ledgers.problems.open()]
    assert any("ALERT_CATCH_UP_HOURS" in text and FEED_ACTIONS.name in text for text in problems)


def test_an_error_of_a_look_reaches_the_owner_and_is_over_with_the_next(watched: Make) -> None:
    home = watched()
    broken = Breaking("arrivals", home.home)
    with pytest.raises(LookError, match="metrics were not checked: WarehouseError: out of memory"):
        tick(home.office, Tower.of(broken, home.settings, home.ledgers), SPIKE + SOON)
    assert [p.subject for p in home.ledgers.problems.open()] == ["alerts"]
    tick(home.office, home.tower, SPIKE + SOON)
    assert home.ledgers.problems.open() == []


def test_a_look_shows_in_the_ui_what_it_judged_and_whether_all_is_well(watched: Make) -> None:
    home = watched()
    home.look(SPIKE + SOON)
    looked = home.look(SPIKE + QUARTER + SOON)
    made, unusual, on_time = reported(home.office, looked, 0.1)
    assert isinstance(made, dg.AssetMaterialization)
    assert made.asset_key == ANOMALIES
    assert made.metadata["judged"].value == 2
    assert "views" in str(made.metadata["findings"].value)
    assert isinstance(unusual, dg.AssetCheckEvaluation)
    assert isinstance(on_time, dg.AssetCheckEvaluation)
    assert (unusual.passed, on_time.passed) == (False, True)
    assert "unusual" in said(looked)
    assert reported(home.office, Looked(), 0.1) == []


def test_nothing_is_judged_while_history_is_incomplete(watched: Make) -> None:
    home = watched()
    home.home.results.unlink()
    home.warehouse.prepare()
    home.tower.memory.todo = None
    first = look(home.tower, SPIKE + SOON)
    while first.missing:  # a machine that is busy does fewer days a look
        assert first.judged == {}
        first = look(home.tower, SPIKE + SOON)
    assert first.judged == {FEED_ACTIONS.name: 4, MESSAGE_ACTIONS.name: 4}


def test_a_holiday_of_the_calendar_leaves_more_room(watched: Make) -> None:
    from analytics_platform.alerts.occasions import Occasion, OccasionKind

    home = watched()
    day = Occasion("festival", OccasionKind.HOLIDAY, SPIKE - timedelta(hours=3), SPIKE + timedelta(hours=9), slack=20.0)
    home.ledgers.calendar.add(day, SPIKE - timedelta(days=1))
    home.through(SPIKE - QUARTER, SPIKE + timedelta(hours=2))
    assert home.incidents == []


def test_what_breaks_between_two_detectors_is_over_with_the_next_look(
    watched: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analytics_platform.detectors import recent

    home = watched(alert_rules="likes: detector=corridor")
    home.look(SPIKE - QUARTER + SOON)
    with monkeypatch.context() as broken:
        broken.setattr(recent.Recent, "next", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            home.look(SPIKE + SOON)
    assert home.look(SPIKE + SOON).judged == {FEED_ACTIONS.name: 1, MESSAGE_ACTIONS.name: 1}


def test_a_look_of_an_earlier_moment_takes_nothing_away(watched: Make) -> None:
    home = watched()
    home.look(SPIKE + timedelta(hours=2) + SOON)
    stored = home.warehouse.stored_rows(SERIES, SPIKE.date())
    look(Tower.of(home.warehouse, home.settings, home.ledgers), SPIKE + SOON)
    assert home.warehouse.stored_rows(SERIES, SPIKE.date()).num_rows >= stored.num_rows
