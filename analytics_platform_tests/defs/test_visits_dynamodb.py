"""Visitor reports on DynamoDB: the same report by every way in, written back, errors as one sentence."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.artifacts import Artifacts
from analytics_platform.defs.resources import visits_of, write_back_of
from analytics_platform.defs.visitors import keep, report_of, write_back
from analytics_platform.settings import Home, Settings, SettingsError
from analytics_platform.visitors.window import between
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests import dynamodb_service
from analytics_platform_tests.cli.conftest import aside
from analytics_platform_tests.defs.conftest import Place
from analytics_platform_tests.defs.test_visitors import EVENTS, form, materialised, outbox, run
from analytics_platform_tests.defs.videos import load_pages
from analytics_platform_tests.sources.test_dynamodb_export import full

SETTINGS = Settings(retry_pause_seconds=0)
TOKYO = ZoneInfo("Asia/Tokyo")
WINDOW = between("2026-03-04T10:00Z", "2026-03-04T12:00Z", SETTINGS.zone)


def item(event: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """The event as the site keeps it, times as they were written in Tokyo, with the keys of the index."""
    time = event["time"]
    assert isinstance(time, datetime)
    moment = time.replace(tzinfo=UTC)
    texts = {k: str(v) for k, v in event.items() if k != "time"}
    texts["created"] = moment.astimezone(TOKYO).isoformat(timespec="microseconds")
    texts["bucket"] = f"{moment:%Y-%m-%d}#{hash(texts['request_id']) % 2}"
    texts["ts"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    return {name: {"S": text} for name, text in texts.items()}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """DynamoDB with the events and two empty tables for reports."""
    with dynamodb_service.moto() as found:
        dynamodb_service.make_table(found, "events")
        dynamodb_service.make_table(found, "visitor-reports", "uuid", index=False)
        dynamodb_service.make_table(found, "event-reports", index=False)
        dynamodb_service.put(found, "events", [item(event) for event in EVENTS])
        yield found


@pytest.fixture
def settings(address: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """That lead there."""
    dynamodb_service.only_test_credentials(monkeypatch)
    return Settings(
        retry_pause_seconds=0,
        visits_source="dynamodb",
        dynamodb_table="events",
        dynamodb_endpoint_url=address,
        dynamodb_region=dynamodb_service.REGION,
        dynamodb_index=dynamodb_service.INDEX,
        dynamodb_shards=2,
    )


@pytest.mark.slow
def test_the_report_is_the_warehouses_by_every_way_in(settings: Settings, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    load_pages(warehouse, EVENTS)
    made_at = datetime(2026, 3, 5, tzinfo=UTC)
    ours = report_of(warehouse, SETTINGS, WINDOW, made_at).report
    assert ours.visitors.num_rows == 2
    content, arn = [item(event) for event in EVENTS], f"arn:aws:dynamodb:{dynamodb_service.REGION}:1:table/events"
    full(tmp_path / "export", "0100", content, made_at, tableArn=arn)
    for access in ("scan", "index", "export"):
        ways = {"dynamodb_access": access, "dynamodb_export": str(tmp_path / "export")}
        theirs = report_of(warehouse, settings.model_copy(update=ways), WINDOW, made_at).report
        assert theirs.visitors.equals(ours.visitors), access
        assert theirs.events.equals(ours.events), access


@pytest.mark.slow
def test_a_run_reads_from_there_and_writes_back_and_takes_away_who_is_gone(
    settings: Settings, address: str, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={"dynamodb_visitor_reports": "visitor-reports", "dynamodb_event_reports": "event-reports"}
    )
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    warehouse.prepare()
    place = Place(home, settings, warehouse)
    result = run(place, form(start=WINDOW.start.isoformat(), end=WINDOW.end.isoformat(), deliver=False))
    assert result.success
    assert materialised(result)["visitors/visitor_reports"].metadata["source"].value == "DynamoDB events"
    written = dynamodb_service.stored(address, "visitor-reports", "uuid")
    assert sorted(one["visitor"]["S"] for one in written.values()) == ["anna", "boris"]
    assert set(dynamodb_service.stored(address, "event-reports", "request_id")) == {"r1", "r2", "r3"}

    without = [event for event in EVENTS if event["visitor"] == "anna"]
    load_pages(warehouse, without)
    report = report_of(warehouse, SETTINGS, WINDOW, datetime(2026, 3, 5, tzinfo=UTC)).report
    artifacts = Artifacts(home.artifacts)
    first = keep(warehouse, settings, artifacts, report)
    assert (len(first.gone), first.gone_events) == (1, ("r3",))
    # A run that ended here has stored the report, and has taken nobody away: the next one does.
    kept = keep(warehouse, settings, artifacts, report)
    assert (kept.gone, kept.gone_events) == (first.gone, first.gone_events)
    write_back(settings, artifacts, report, kept)
    later = keep(warehouse, settings, artifacts, report)
    assert (later.gone, later.gone_events) == ((), ())
    assert set(dynamodb_service.stored(address, "event-reports", "request_id")) == {"r1", "r2"}
    written = dynamodb_service.stored(address, "visitor-reports", "uuid")
    assert [one["visitor"]["S"] for one in written.values()] == ["anna"]


@pytest.mark.slow
def test_a_refused_write_back_is_repeated_for_the_same_window_and_readers_have_their_report(
    settings: Settings, address: str, tmp_path: Path
) -> None:
    there = {"dynamodb_visitor_reports": "visitor-reports", "dynamodb_event_reports": "nowhere"}
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    warehouse.prepare()
    place = Place(home, settings.model_copy(update=there), warehouse)
    result = run(place, form(start=WINDOW.start.isoformat(), end=WINDOW.end.isoformat()))
    assert not result.success
    assert set(materialised(result)) == {"visitors/visitor_reports", "visitors/event_reports", "deliveries/visitors"}
    assert outbox(place)
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "'nowhere'" in str(failed.step_failure_data)


@pytest.mark.slow
def test_items_that_are_no_events_are_left_out_aloud(settings: Settings, address: str, tmp_path: Path) -> None:
    dynamodb_service.make_table(address, "odd")
    odd: dynamodb_service.Item = {
        "request_id": {"S": "r9"},
        "visitor": {"S": "v"},
        "created": {"M": {"at": {"S": "noon"}}},
    }
    dynamodb_service.put(address, "odd", [*map(item, EVENTS), odd])
    there = {"VISITS_SOURCE": "dynamodb", "DYNAMODB_TABLE": "odd", "DYNAMODB_ENDPOINT_URL": address}
    there |= {"DYNAMODB_REGION": settings.dynamodb_region, "DYNAMODB_ON_ERROR": "skip"}
    window = ("--from", "2026-03-04T10:00Z", "--to", "2026-03-04T12:00Z")
    done = aside(tmp_path, "visitors", *window, "--deliver", "--home", tmp_path / "home", settings=there)
    assert "2 visitors, 3 events from" in done.out
    assert "items that are no events were left out: 1; the first: DynamoDB table 'odd' in " in done.err
    assert "item request_id 'r9', attribute created: " in done.err
    told = [path.read_text("utf-8") for path in (tmp_path / "home" / "outbox").rglob("*.txt")]
    assert any("Left out, as they are no events = 1" in text for text in told)


def test_a_source_that_is_not_set_up_is_one_sentence(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    warehouse.prepare()
    result = run(Place(home, Settings(visits_source="dynamodb"), warehouse), form(last_minutes=5))
    [failed] = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert data.description == "VISITS_SOURCE is dynamodb: set DYNAMODB_TABLE to the table of page events."


@pytest.mark.slow
def test_a_table_that_is_not_there_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    warehouse.prepare()
    place = Place(home, settings.model_copy(update={"dynamodb_table": "nothing"}), warehouse)
    result = run(place, form(start="2026-03-04", end="2026-03-05", deliver=False))
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert "'nothing'" in str(data.description)


def test_settings_that_lack_something_are_refused() -> None:
    with pytest.raises(SettingsError, match="set DYNAMODB_TABLE"):
        visits_of(Settings(visits_source="dynamodb"))
    with pytest.raises(SettingsError, match="DYNAMODB_ACCESS is index"):
        visits_of(Settings(visits_source="dynamodb", dynamodb_table="t", dynamodb_access="index"))
    with pytest.raises(SettingsError, match="DYNAMODB_EVENT_REPORTS is not set"):
        write_back_of(Settings(dynamodb_visitor_reports="v"))
    assert visits_of(Settings()) is None
    assert write_back_of(Settings()) is None
