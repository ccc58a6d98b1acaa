"""Schedules and sensors ticked on an ephemeral instance."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from analytics_platform.definitions import build_definitions
from analytics_platform.metrics.events import EVENT_TABLES
from analytics_platform.settings import Home, Settings
from analytics_platform_tests.defs.conftest import LAST, Place


def tick(settings: Settings, at: datetime) -> dg.RunRequest | dg.SkipReason:
    """What the daily schedule answers at that moment."""
    definitions = build_definitions(Home(Path("home")), settings)
    schedule = definitions.get_repository_def().get_schedule_def("daily_metrics_schedule")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=definitions.get_repository_def()
        )
        answer = schedule.evaluate_tick(context)
    return answer.run_requests[0] if answer.run_requests else dg.SkipReason(answer.skip_message)


def test_at_eleven_local_time_the_day_before_is_reported() -> None:
    settings = Settings(timezone="Asia/Tokyo", start_date=date(2026, 1, 1))
    request = tick(settings, datetime(2026, 11, 21, 11, 0, tzinfo=ZoneInfo("Asia/Tokyo")))
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-11-20"
    assert request.run_key == "daily_metrics/2026-11-20"


def test_the_local_day_counts_not_the_utc_day() -> None:
    # 02:00 UTC on the 21st is still the 20th in Los Angeles.
    settings = Settings(timezone="America/Los_Angeles", start_date=date(2026, 1, 1))
    request = tick(settings, datetime(2026, 11, 21, 2, 0, tzinfo=UTC))
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-11-19"


def test_before_the_first_partition_the_schedule_skips_with_the_reason() -> None:
    settings = Settings(timezone="UTC", start_date=date(2026, 11, 21))
    answer = tick(settings, datetime(2026, 11, 21, 11, 0, tzinfo=UTC))
    assert isinstance(answer, dg.SkipReason)
    assert "START_DATE" in str(answer.skip_message)


@pytest.mark.parametrize(
    ("token", "chats", "status"), [(None, (), "STOPPED"), ("12345678:" + "a" * 35, ("-1001",), "RUNNING")]
)
def test_reports_go_out_by_themselves_only_when_there_is_somebody_to_tell(
    token: str | None, chats: tuple[str, ...], status: str
) -> None:
    settings = Settings(telegram_bot_token=token, telegram_chat_ids=chats)  # type: ignore[arg-type]
    definitions = build_definitions(Home(Path("home")), settings)
    sensor = definitions.get_repository_def().get_sensor_def("data_availability")
    assert sensor.default_status.value == status


def test_the_sensor_observes_the_last_event_without_a_run(loaded: Place) -> None:
    definitions = build_definitions(loaded.home, loaded.settings, warehouse=loaded.warehouse)
    sensor = definitions.get_repository_def().get_sensor_def("observe_events")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            repository_def=definitions.get_repository_def(),
        )
        data = sensor.evaluate_tick(context)
    assert not data.run_requests
    observed = {event.asset_key.to_user_string(): event.metadata for event in data.asset_events}
    assert set(observed) == {f"events/{table.name}" for table in EVENT_TABLES}
    assert observed["events/feed_actions"]["last_event_day"].value == LAST.isoformat()
    assert int(str(observed["events/feed_actions"]["dagster/row_count"].value)) > 0
