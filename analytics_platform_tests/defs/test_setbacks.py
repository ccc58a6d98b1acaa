"""What goes wrong around a delivery, and that it neither loses a report nor sends it twice nor shouts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from analytics_platform.cadence import Cadence
from analytics_platform.channels.base import Outcome
from analytics_platform.defs import availability, deliveries, followups
from analytics_platform.defs import owner as owners
from analytics_platform.defs.liveness import end_dead_runs
from analytics_platform.defs.sight import Memory
from analytics_platform.reports.feed_daily import FeedDaily
from analytics_platform.state.runs import Owner, Status
from analytics_platform_tests.defs.conftest import FIRST, LAST
from analytics_platform_tests.defs.test_scheduling import (
    MORNING,
    Bench,
    bench,
    delivered,
    empty_bench,
    more_events,
    morning,
)
from analytics_platform_tests.recording import Recording, office_of

__all__ = ["bench", "delivered", "empty_bench", "morning"]  # fixtures


def later(bench: Bench) -> datetime:
    """An hour from now, with corrections for days long past."""
    bench.settings = bench.settings.model_copy(update={"correction_days": 10_000})
    return datetime.now(bench.settings.zone) + timedelta(hours=1)


def status(bench: Bench) -> Status | None:
    entry = bench.ledgers.runs.entry("feed_daily", LAST)
    return entry.status if entry else None


def test_a_network_outage_is_tried_again_and_not_called_uncertain(bench: Bench) -> None:
    bench.channel.outcome = Outcome.NOT_SENT
    bench.work(MORNING)
    assert status(bench) is Status.SENDING
    soon = datetime.now(UTC) + timedelta(minutes=2)
    assert deliveries.due(bench.office, soon - timedelta(minutes=2)) == []
    assert deliveries.due(bench.office, soon) == [("feed_daily", str(LAST))]
    bench.channel.outcome = Outcome.SENT
    deliveries.send_due(bench.office, Owner("later", "here", 1), soon)
    assert status(bench) is Status.DELIVERED
    assert bench.ledgers.problems.open() == []
    assert {key for key, _ in bench.channel.sent} == {f"feed_daily/{LAST}"}


def test_a_failed_try_is_not_told_before_it_is_given_up(bench: Bench) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    bench.channel.outcome = Outcome.NOT_SENT
    bench.work(MORNING)
    owners.collect_failures(bench.instance, bench.settings, bench.ledgers, before)
    assert bench.ledgers.problems.open() == []


def test_one_reports_error_in_the_look_for_corrections_stops_nobody(bench: Bench) -> None:
    loose = "grace=-1d hours=off volume=0"
    both = {"reports": ("feed_daily", "app_daily"), "gate_message_actions": loose}
    bench.settings = bench.settings.model_copy(update=both)
    bench.work(MORNING)
    now = later(bench)
    more_events(bench, LAST, 400)
    for request in bench.late(now):
        bench.run(request)

    class Broken(FeedDaily):
        def numbers(self, frame: Any) -> Any:
            raise ZeroDivisionError("bad figure")

    desk = bench.desk
    desk = type(desk)({**desk.reports, "feed_daily": Broken()}, desk.settings, desk.ledgers, desk.warehouse)
    requests, errors, cursor = followups.correction_requests(desk, bench.instance, now, None)
    assert [r.job_name for r in requests] == ["report_correction"]
    assert errors == ["feed_daily: looking for corrections: ZeroDivisionError: bad figure"]
    assert cursor == now.isoformat()
    # The minutely look at the report is well, and must not give the all-clear for this.
    availability.look(bench.desk, bench.instance, MORNING)
    [problem] = bench.ledgers.problems.open()
    assert (problem.subject, problem.owner_of) == ("corrections feed_daily", "feed_daily")
    followups.correction_requests(bench.desk, bench.instance, now, None)
    assert bench.ledgers.problems.open() == []


def test_a_tick_with_an_error_is_red(bench: Bench) -> None:
    class Broken(FeedDaily):
        @property
        def cadence(self) -> Cadence:  # type: ignore[override]
            raise ZeroDivisionError("bad calendar")

    reports = {"feed_daily": Broken()}
    sensor = availability.availability_sensor(bench.settings, reports, bench.ledgers, [], lambda: bench.place.warehouse)
    with pytest.raises(availability.SchedulingError, match="feed_daily: ZeroDivisionError: bad calendar"):
        sensor.evaluate_tick(dg.build_sensor_context(instance=bench.instance))
    [problem] = bench.ledgers.problems.open()
    assert problem.kind == "tick"


def test_of_two_schedulers_one_corrects(delivered: Bench) -> None:
    bench = delivered
    now = later(bench)
    more_events(bench, LAST, 400)
    bench.run(bench.late(now)[0])
    [request] = bench.late(now)
    entry = bench.ledgers.runs.entry("feed_daily", LAST)
    assert entry
    assert bench.ledgers.runs.corrected(entry, entry.numbers, now, now)
    assert bench.ledgers.runs.corrected(entry, entry.numbers, now, now) is None
    assert bench.run(request).success
    assert len(bench.channel.sent) == 2


def test_a_correction_that_did_not_get_through_goes_on_by_itself(delivered: Bench) -> None:
    bench = delivered
    now = later(bench)
    more_events(bench, LAST, 400)
    bench.run(bench.late(now)[0])
    bench.channel.outcome = Outcome.NOT_SENT
    [request] = bench.late(now)
    assert not bench.run(request).success
    bench.channel.outcome = Outcome.SENT
    assert bench.late(now + timedelta(hours=1)) == [], "it is written down, and goes on by itself"
    deliveries.send_due(bench.office, Owner("later", "here", 1), datetime.now(UTC) + timedelta(minutes=2))
    assert bench.texts()[-1].startswith("Correction")
    assert bench.ledgers.deliveries.due(datetime.now(UTC) + timedelta(hours=1)) == []


def test_late_data_is_computed_by_one_run_at_a_time(delivered: Bench) -> None:
    bench = delivered
    now = later(bench)
    more_events(bench, LAST, 400)
    [request] = bench.late(now)
    # Keys are of half an hour: a minute later it is the same one, unless the clock strikes in between.
    soon = now + timedelta(minutes=1) if now.timestamp() % 1800 < 1700 else now
    assert [r.run_key for r in bench.late(soon)] == [request.run_key]
    from analytics_platform.definitions import build_definitions

    job = build_definitions(bench.place.home, bench.settings).resolve_job_def("daily_metrics")
    bench.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert bench.late(now + timedelta(hours=1)) == []


def test_a_period_given_up_for_want_of_data_goes_out_when_it_comes(delivered: Bench) -> None:
    day, bench = LAST + timedelta(days=1), delivered
    due = MORNING + timedelta(days=1)
    bench.run(bench.tick(due + timedelta(hours=24)).requests[0])
    [request] = bench.tick(due + timedelta(hours=24)).requests
    for _ in range(3):
        assert not bench.run(request).success
    entry = bench.ledgers.runs.entry("feed_daily", day)
    assert entry
    assert (entry.status, entry.attempts) == (Status.FAILED, 3)
    assert "has no feed events" in entry.reason
    now = later(bench)
    more_events(bench, day, 700)
    bench.settings = bench.settings.model_copy(update={"gate_feed_actions": "grace=-1d hours=off volume=0"})
    for request in bench.late(now):
        bench.run(request)
    assert bench.late(now) == []
    entry = bench.ledgers.runs.entry("feed_daily", day)
    assert entry
    assert (entry.status, entry.attempts) == (Status.WAITING, 0)
    [request] = bench.tick(due + timedelta(hours=25)).requests
    assert bench.run(request).success
    entry = bench.ledgers.runs.entry("feed_daily", day)
    assert entry
    assert entry.status is Status.DELIVERED


def test_a_digest_is_sent_once_though_some_days_had_no_events(bench: Bench) -> None:
    """And what it said had nothing is made when its data comes."""
    day = LAST + timedelta(days=1)
    bench.settings = bench.settings.model_copy(update={"backlog_limit": 2})
    bench.ledgers.runs.settle("feed_daily", LAST - timedelta(days=3), MORNING)
    for now in (MORNING + timedelta(days=4), MORNING + timedelta(days=4, minutes=1)):
        while (request := next(iter(bench.tick(now).requests), None)) and "digest" in str(request.tags) + str(
            request.job_name
        ):
            bench.run(request)
        if request and request.job_name == "daily_metrics":
            bench.run(request)
    digests = [text for text in bench.texts() if "missed reports in one" in text]
    assert len(digests) == 1
    assert "Mar 12, 2026: no data" in digests[0]
    entry = bench.ledgers.runs.entry("feed_daily", day)
    assert entry
    assert (entry.status, entry.numbers) == (Status.PRELIMINARY, ())


@pytest.mark.parametrize("minutes", [10])
def test_an_owner_who_cannot_be_reached_does_not_make_the_others_hear_it_again(bench: Bench, minutes: int) -> None:
    settings = bench.settings.model_copy(update={"owner_emails": ("b@example.org",), "owner_telegram_chat_ids": ("1",)})
    good, bad = Recording(name="telegram"), Recording(Outcome.REFUSED, name="email")
    office = office_of(bench.place.home, settings, [good, bad])

    now = datetime.now(UTC)
    bench.ledgers.problems.record("job daily_metrics", "failed", "no such column", now)
    for minute in range(minutes):
        owners.tell(office, now + timedelta(minutes=minute))
    told = [m.plain for _, messages in good.sent for m in messages]  # type: ignore[union-attr]
    assert len(told) == 2, "the problem, and that the other owner cannot be told"
    assert "owner b@example.org" in told[1]


def test_a_run_killed_before_it_held_a_lock_is_ended_after_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analytics_platform.definitions import build_definitions
    from analytics_platform.defs import liveness

    job = build_definitions(bench.place.home, bench.settings).resolve_job_def("daily_metrics")
    run = bench.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert end_dead_runs(bench.place.home, bench.instance) == []
    monkeypatch.setattr(liveness, "_NO_LOCK_FOR", timedelta(0))
    assert end_dead_runs(bench.place.home, bench.instance) == [run.run_id]
    assert bench.tick(MORNING).requests


def test_an_event_misdated_into_the_future_does_not_open_the_gate(bench: Bench) -> None:
    day = LAST + timedelta(days=1)
    more_events(bench, day, 700)
    more_events(bench, day + timedelta(days=3_650), 1)
    gate = bench.desk.sight(MORNING + timedelta(days=1)).gate
    from analytics_platform.cadence import Period
    from analytics_platform.reports import all_reports

    assert "last event 12:00" in str(gate(all_reports()["feed_daily"], Period(day, day)))


def test_a_messenger_that_never_was_does_not_hold_the_app_report(bench: Bench) -> None:
    from analytics_platform.cadence import Period
    from analytics_platform.reports import all_reports
    from analytics_platform.warehouses.duckdb import DuckDBWarehouse

    place = bench.place.home.path / "feed_only"
    bench.warehouse = DuckDBWarehouse(place / "events.duckdb", place / "results.duckdb", place / "tmp")
    bench.place = type(bench.place)(bench.place.home, bench.settings, bench.warehouse)
    sight = bench.desk.sight(MORNING)
    assert "no events" in str(sight.gate(all_reports()["app_daily"], Period(FIRST, FIRST)))
    more_events(bench, FIRST, 50)
    assert "message_actions" not in str(
        bench.desk.sight(MORNING).gate(all_reports()["app_daily"], Period(FIRST, FIRST))
    )


def test_after_an_outage_nobody_is_told_of_what_is_sent_a_minute_later(empty_bench: Bench) -> None:
    empty_bench.work(MORNING + timedelta(hours=6))
    assert empty_bench.ledgers.problems.open() == []
    assert len(empty_bench.channel.sent) == 1


def test_what_is_still_on_its_way_long_after_is_told(empty_bench: Bench) -> None:
    noon = MORNING + timedelta(hours=6)
    empty_bench.tick(noon)
    assert empty_bench.ledgers.problems.open() == []
    empty_bench.tick(noon + timedelta(minutes=11))
    empty_bench.tick(noon + timedelta(minutes=12))
    [late] = empty_bench.ledgers.problems.open()
    assert (late.kind, late.times) == ("late", 1)
    assert "to be computed first" in late.text


def test_a_look_that_found_nothing_is_repeated_only_after_a_change(delivered: Bench) -> None:
    bench = delivered
    now, memory = later(bench), Memory()

    def look(moment: datetime) -> list[dg.RunRequest]:
        return followups.correction_requests(bench.desk, bench.instance, moment, None, memory=memory)[0]

    assert look(now) == []
    more_events(bench, LAST, 400)
    [compute] = look(now)
    bench.run(compute)
    assert [r.job_name for r in look(now + timedelta(hours=1))] == ["report_correction"]
