"""Visitor reports as runs: the form, what is stored and sent, what a rerun does, the schedules."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from analytics_platform.definitions import build_definitions
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.defs.visitor_times import JOB, WINDOW_JOB, cron_of, missed, visitor_jobs, visitor_schedules
from analytics_platform.defs.visitors import STEP, VisitConfig, config_of, window_of
from analytics_platform.metrics.tables import VISITOR_REPORTS
from analytics_platform.settings import Home, Settings
from analytics_platform.state.parts import State, Wanted
from analytics_platform.visitors.reporting import report_from_store
from analytics_platform.visitors.window import VisitWindow, between
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.defs.conftest import Place
from analytics_platform_tests.defs.videos import load_pages, page

DAY = datetime(2026, 3, 4)  # noqa: DTZ001 - naive UTC, as the warehouse stores it
SETTINGS = Settings(retry_pause_seconds=0)
WINDOW = between("2026-03-04T10:00Z", "2026-03-04T12:00Z", SETTINGS.zone)
EVENTS = [
    page("r1", "anna", DAY.replace(hour=10), "/en/", language="en", ip_address="10.0.0.1"),
    page("r2", "anna", DAY.replace(hour=11), "/en/about", language="de"),
    page("r3", "boris", DAY.replace(hour=11, minute=59, second=59, microsecond=999_999), "/"),
    page("r4", "boris", DAY.replace(hour=12), "/late"),
    page("r5", "carla", DAY.replace(hour=9, minute=59), "/early"),
]


@pytest.fixture
def visited(tmp_path: Path) -> Place:
    """A home with some page events."""
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    load_pages(warehouse, EVENTS)
    return Place(home, SETTINGS, warehouse)


def run(place: Place, config: dict[str, Any], job: str = JOB) -> dg.ExecuteInProcessResult:
    """One run of the job."""
    definitions = build_definitions(place.home, place.settings, warehouse=place.warehouse)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance, run_config={**config, **quiet}, raise_on_error=False
        )


def form(**fields: object) -> dict[str, Any]:
    """What an operator fills in."""
    return {"ops": {STEP: {"config": fields}}}


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    """What a run made, by asset."""
    return {m.asset_key.to_user_string(): m for m in result.asset_materializations_for_node(STEP)}


def outbox(place: Place) -> list[str]:
    """The files that were delivered."""
    return sorted(p.name for p in place.home.outbox.rglob("*") if p.is_file())


def test_the_report_of_a_window_is_stored_and_sent(visited: Place) -> None:
    result = run(visited, form(start="2026-03-04T10:00Z", end="2026-03-04T12:00Z"))
    assert result.success
    rows = visited.warehouse.stored_rows(VISITOR_REPORTS, DAY.date()).to_pylist()
    assert [(r["visitor"], r["n_interactions"], r["entry_page"], r["exit_page"]) for r in rows] == [
        ("anna", 2, "/en/", "/en/about"),
        ("boris", 1, "/", "/"),
    ]
    assert [json.loads(r["pages"]) for r in rows] == [["/en/", "/en/about"], ["/"]]
    assert (rows[0]["language"], rows[0]["ip_address"]) == ("en", "10.0.0.1"), "of the first event"
    made = materialised(result)
    assert set(made) == {"visitors/visitor_reports", "visitors/event_reports", "deliveries/visitors"}
    assert made["visitors/event_reports"].metadata["dagster/row_count"].value == 3
    delivered = outbox(visited)
    assert sum(name.endswith(".csv") for name in delivered) == 2
    texts = [p.read_text("utf-8") for p in visited.home.outbox.rglob("*") if p.suffix in (".txt", ".html")]
    assert texts
    assert not any("10.0.0.1" in text for text in texts), "addresses are in the files alone"


def test_the_last_minutes_end_now(visited: Place) -> None:
    recent = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=5)
    load_pages(visited.warehouse, [page("now", "dora", recent)])
    before = datetime.now(UTC).timestamp()
    result = run(visited, form(last_minutes=10, deliver=False))
    assert result.success
    shown = materialised(result)["visitors/visitor_reports"].metadata
    assert shown["dagster/row_count"].value == 1
    length = float(str(shown["window_end"].value)) - float(str(shown["window_start"].value))
    assert length == pytest.approx(600, abs=0.01)
    end = float(str(shown["window_end"].value))
    assert int(before) <= end <= datetime.now(UTC).timestamp(), "when the run was asked for"


def test_a_rerun_replaces_and_sends_nothing_again(visited: Place) -> None:
    config = form(start="2026-03-04T10:00Z", end="2026-03-04T12:00Z")
    assert run(visited, config).success
    first = report_from_store(visited.warehouse.table, WINDOW, SETTINGS.zone)
    sent = outbox(visited)
    load_pages(visited.warehouse, [event for event in EVENTS if event["visitor"] != "boris"])
    again = run(visited, form(start="2026-03-04T19:00+09:00", end="2026-03-04T13:00+01:00"))
    assert again.success
    second = report_from_store(visited.warehouse.table, WINDOW, SETTINGS.zone)
    assert second.visitors["visitor"].to_pylist() == ["anna"], "who is gone is gone"
    assert second.visitors["uuid"].to_pylist() == first.visitors["uuid"].to_pylist()[:1]
    assert (
        materialised(again)["visitors/visitor_reports"].metadata["gone since the last report of this window"].value == 1
    )
    assert outbox(visited) == sent
    assert run(visited, form(start="2026-03-04T10:00Z", end="2026-03-04T12:00Z", again=True)).success
    rounds = ledgers_of(visited.home, SETTINGS).deliveries
    assert {len(rounds.parts("visitors", f"{WINDOW.key}{number}")) for number in ("", " #2")} == {1}


def test_other_windows_of_the_day_stay(visited: Place) -> None:
    assert run(visited, config_of(WINDOW, deliver=False)).success
    other = VisitWindow(WINDOW.start - timedelta(hours=1), WINDOW.start)
    assert run(visited, config_of(other, deliver=False)).success
    assert report_from_store(visited.warehouse.table, WINDOW, SETTINGS.zone).visitors.num_rows == 2
    assert report_from_store(visited.warehouse.table, other, SETTINGS.zone).visitors["visitor"].to_pylist() == ["carla"]


def test_no_events_is_said(visited: Place) -> None:
    result = run(visited, form(start="2026-03-01", end="2026-03-02"))
    assert result.success
    made = materialised(result)
    assert made["visitors/visitor_reports"].metadata["dagster/row_count"].value == 0
    summary = str(made["visitors/visitor_reports"].metadata["summary"].value)
    assert "No events" in summary
    assert "The newest event known is of Mar 4, 2026, 12:00." in summary
    assert "deliveries/visitors" in made, "silence would be ambiguous"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "say which window: last_minutes, or both start and end"),
        ({"start": "2026-03-04"}, "say which window"),
        ({"last_minutes": 0}, "0 minutes are no window"),
        ({"last_minutes": 5, "start": "2026-03-04", "end": "2026-03-05"}, "two windows"),
        ({"start": "2026-03-05", "end": "2026-03-04"}, "not after its start"),
        ({"start": "yesterday", "end": "2026-03-04"}, "'yesterday' is no moment"),
    ],
)
def test_a_window_that_is_none_is_refused_in_a_sentence(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(dg.Failure, match=said):
        window_of(VisitConfig(**fields), SETTINGS, datetime(2026, 3, 10, tzinfo=UTC))


def test_the_saved_window_is_the_documented_one(visited: Place) -> None:
    job = visitor_jobs(SETTINGS)[WINDOW_JOB]
    config = job.config
    assert isinstance(config, dict)
    fields = config["ops"][STEP]["config"]
    window = window_of(VisitConfig(**fields), SETTINGS, datetime.now(UTC))
    assert window.key == "2019-06-21T15:00Z..2019-06-24T15:00Z"


def test_schedules_leave_no_gap_whenever_they_are_evaluated() -> None:
    settings = Settings(visitor_schedules="10=10,60=1440", visitor_delay_minutes=2)
    job = visitor_jobs(settings)[JOB]
    ten, hourly = visitor_schedules(settings, job)
    assert (ten.cron_schedule, hourly.cron_schedule) == ("*/10 * * * *", "0 */1 * * *")
    assert ten.default_status is dg.DefaultScheduleStatus.STOPPED
    windows = []
    with dg.instance_for_test() as instance:
        for minute in (10, 40):
            at = datetime(2026, 3, 4, 10, minute, tzinfo=UTC)
            # As a context manager: it opens the instance once more, which would stay Dagster's current one.
            with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
                requests = ten.evaluate_tick(context).run_requests or []
            for number, request in enumerate(requests):
                fields = request.run_config["ops"][STEP]["config"]
                windows.append((fields["start"], fields["end"]))
                tags = {**request.tags, "dagster/schedule_name": ten.name}
                instance.add_run(dg.DagsterRun(JOB, f"00000000-0000-0000-0000-0000000{minute}{number:03d}", tags=tags))
    starts = [start for start, _ in windows]
    assert windows[0] == ("2026-03-04T09:58:00+00:00", "2026-03-04T10:08:00+00:00")
    assert starts[1:] == [end for _, end in windows[:-1]], "three were missed, and are made up for"
    assert len(windows) == 4


def test_what_was_missed_is_made_up_for_three_hours_back() -> None:
    ten, planned = timedelta(minutes=10), datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    assert missed(None, planned, ten) == [planned]
    assert missed(planned - ten, planned, ten) == [planned]
    assert missed(planned - 3 * ten, planned, ten) == [planned - 2 * ten, planned - ten, planned]
    long_ago = missed(planned - timedelta(days=3), planned, ten)
    assert (len(long_ago), long_ago[0]) == (19, planned - timedelta(hours=3))
    assert missed(planned - timedelta(days=9), planned, timedelta(days=1)) == [planned]


@pytest.mark.parametrize(("state", "sent_again"), [(State.FAILED, True), (State.PENDING, False)])
def test_a_rerun_sends_what_never_arrived(visited: Place, state: State, sent_again: bool) -> None:
    ledger = ledgers_of(visited.home, SETTINGS).deliveries
    moment = datetime.now(UTC)
    wanted = Wanted("folder", str(visited.home.outbox), "", "everything", 0, "en", "", repeatable=True)
    [part] = ledger.enter("visitors", WINDOW.key, [wanted], moment, moment + timedelta(hours=1))
    if state is State.FAILED:
        ledger.give_up([part.id], "a disk that was full", moment, states=(State.PENDING,))
    assert run(visited, config_of(WINDOW, deliver=True)).success
    assert bool(ledger.parts("visitors", f"{WINDOW.key} #2")) is sent_again
    assert bool(outbox(visited)) is sent_again


def test_paces_as_cron() -> None:
    assert [cron_of(every) for every in (1, 15, 60, 360, 1440)] == [
        "*/1 * * * *",
        "*/15 * * * *",
        "0 */1 * * *",
        "0 */6 * * *",
        "0 0 * * *",
    ]


def test_a_report_is_of_the_local_day_in_which_its_window_begins(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    load_pages(warehouse, [page("r1", "anna", DAY.replace(hour=20))])
    settings = Settings(timezone="Asia/Tokyo", retry_pause_seconds=0)
    assert run(Place(home, settings, warehouse), form(start="2026-03-05", end="2026-03-06", deliver=False)).success
    assert warehouse.stored_rows(VISITOR_REPORTS, date(2026, 3, 5)).num_rows == 1
