"""From a tick to a delivered report and what follows it: requests, ledger, problems, corrections, digests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pytest

from analytics_platform.cadence import Cadence, Period
from analytics_platform.channels.base import Outcome
from analytics_platform.definitions import build_definitions
from analytics_platform.defs import availability, followups
from analytics_platform.defs import owner as owners
from analytics_platform.defs.claims import MISSING
from analytics_platform.defs.office import Office
from analytics_platform.defs.resources import Ledgers, ledgers_of
from analytics_platform.defs.sight import Desk
from analytics_platform.messages import Text
from analytics_platform.metrics.events import FEED_ACTIONS, arrow_schema
from analytics_platform.metrics.windows import day_window
from analytics_platform.reports import all_reports
from analytics_platform.reports.feed_daily import FeedDaily
from analytics_platform.settings import Settings
from analytics_platform.state.runs import Status
from analytics_platform.warehouses.base import EventLoad, Warehouse
from analytics_platform_tests.defs.conftest import FIRST, LAST, ZONE, Place, place
from analytics_platform_tests.defs.test_runs import failure
from analytics_platform_tests.recording import Recording, office_of

MORNING = datetime(2026, 3, 12, 11, 0, tzinfo=ZoneInfo(ZONE))  # LAST is 11 March


@dataclass
class Bench:
    """A home, an instance and a channel; `tick` looks as the sensor does, `work` also runs what is asked for."""

    place: Place
    settings: Settings
    instance: dg.DagsterInstance
    channel: Recording = field(default_factory=Recording)
    keys: list[str] = field(default_factory=list)
    warehouse: Warehouse | None = None

    @property
    def ledgers(self) -> Ledgers:
        return ledgers_of(self.place.home, self.settings)

    @property
    def office(self) -> Office:
        return office_of(self.place.home, self.settings, [self.channel])

    @property
    def desk(self) -> Desk:
        return Desk(all_reports(), self.settings, self.ledgers, self.warehouse or self.place.warehouse)

    def tick(self, now: datetime) -> availability.Look:
        return availability.look(self.desk, self.instance, now)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        self.keys.append(str(request.run_key))
        definitions = build_definitions(
            self.place.home, self.settings, office=self.office, warehouse=self.place.warehouse
        )
        return definitions.resolve_job_def(str(request.job_name)).execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            partition_key=request.partition_key,
            tags=dict(request.tags),
            run_config={**request.run_config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def work(self, now: datetime) -> list[str]:
        """Tick and run until nothing more is asked for; the run keys."""
        asked: list[str] = []
        while requests := self.tick(now).requests:
            for request in requests:
                assert request.run_key not in self.keys, "asked for twice"
                asked.append(str(request.run_key))
                self.run(request)
        return asked

    def late(self, now: datetime) -> list[dg.RunRequest]:
        """What the look at delivered periods asks for."""
        return followups.correction_requests(self.desk, self.instance, now, None)[0]

    def texts(self) -> list[str]:
        found: list[str] = []
        for _, messages in self.channel.sent:
            found += [m.plain for m in messages if isinstance(m, Text)]
        return found


@contextmanager
def bench_of(place: Place) -> Iterator[Bench]:
    """A bench in that home, which makes the feed's report alone."""
    settings = place.settings.model_copy(update={"reports": ("feed_daily",), "gate_feed_actions": "grace=-3h"})
    with dg.DagsterInstance.ephemeral() as instance:
        yield Bench(place, settings, instance)


@pytest.fixture
def bench(computed: Place) -> Iterator[Bench]:
    """All figures up to LAST are there."""
    with bench_of(computed) as made:
        yield made


@pytest.fixture
def empty_bench(loaded: Place) -> Iterator[Bench]:
    """No day is computed."""
    with bench_of(loaded) as made:
        yield made


@dataclass(frozen=True)
class Morning:
    """A home in which LAST was delivered at MORNING, and what the channel has of it."""

    home: Path
    channel: Recording


@pytest.fixture(scope="module")
def morning(computed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Morning:
    """To be copied."""
    home = shutil.copytree(computed_home, tmp_path_factory.mktemp("morning") / "home")
    with bench_of(place(home)) as bench:
        assert bench.work(MORNING) == [f"feed_daily/{LAST}#1"]
        return Morning(home, bench.channel)


@pytest.fixture
def delivered(morning: Morning, tmp_path: Path) -> Iterator[Bench]:
    """All figures up to LAST are there, and its report has gone out."""
    with bench_of(place(shutil.copytree(morning.home, tmp_path / "home"))) as made:
        made.channel.sent += morning.channel.sent
        made.keys.append(f"feed_daily/{LAST}#1")
        yield made


def more_events(bench: Bench, day: date, count: int) -> None:
    """Load views that come late."""
    start = day_window(day, bench.settings.zone).start + timedelta(hours=12)
    events = [{"user_id": 1, "post_id": 1, "action": "view", "time": start} for _ in range(count)]
    batch = pa.RecordBatch.from_pylist(events, schema=arrow_schema(FEED_ACTIONS))
    bench.place.warehouse.load([EventLoad(FEED_ACTIONS, [batch])], bench.settings.zone, append=True)


def test_before_the_hour_nothing_is_asked_of_data_or_instance(bench: Bench) -> None:
    class Untouched:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked")

    bench.warehouse = Untouched()
    found = bench.tick(MORNING - timedelta(minutes=1))
    assert (found.requests, found.errors) == ([], [])
    assert found.lines == ["feed_daily: 2026-03-11 is due on 2026-03-12 at 11:00"]


def test_first_the_figures_then_the_report_and_then_silence(empty_bench: Bench) -> None:
    asked = empty_bench.work(MORNING)
    assert [key.partition("@")[0] for key in asked] == [
        f"daily_metrics/{LAST - timedelta(days=7)}..{LAST}",
        f"feed_daily/{LAST}#1",
    ]
    [(key, _)] = empty_bench.channel.sent
    assert key == f"feed_daily/{LAST}"
    entry = empty_bench.ledgers.runs.entry("feed_daily", LAST)
    assert entry
    assert (entry.status, entry.attempts) == (Status.DELIVERED, 1)
    assert [n["name"] for n in entry.numbers] == ["DAU", "Views", "Likes", "CTR"]
    for minutes in (1, 60, 600):
        assert empty_bench.work(MORNING + timedelta(minutes=minutes)) == []
    assert empty_bench.ledgers.runs.settled_until("feed_daily") == LAST


def test_a_tick_repeated_after_a_restart_asks_with_the_same_key(empty_bench: Bench) -> None:
    [first] = empty_bench.tick(MORNING).requests
    [second] = empty_bench.tick(MORNING + timedelta(minutes=1)).requests
    assert first.run_key == second.run_key
    empty_bench.run(first)
    [first] = empty_bench.tick(MORNING).requests
    [second] = empty_bench.tick(MORNING).requests
    assert first.run_key == second.run_key == f"feed_daily/{LAST}#1"


def test_what_is_under_way_is_not_asked_for_again(bench: Bench) -> None:
    [request] = bench.tick(MORNING).requests
    definitions = build_definitions(bench.place.home, bench.settings, office=bench.office)
    job = definitions.resolve_job_def(str(request.job_name))
    bench.instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
    found = bench.tick(MORNING + timedelta(minutes=1))
    assert found.requests == []
    assert "its run is queued or starting" in found.lines[0]


def test_one_reports_error_never_stops_anothers(empty_bench: Bench) -> None:
    empty_bench.settings = empty_bench.settings.model_copy(update={"reports": ("app_daily", "feed_daily")})

    class Broken(FeedDaily):
        name = "app_daily"

        @property
        def cadence(self) -> Cadence:  # type: ignore[override]
            raise ZeroDivisionError("division by zero")

    desk = Desk(
        {**all_reports(), "app_daily": Broken()}, empty_bench.settings, empty_bench.ledgers, empty_bench.place.warehouse
    )
    found = availability.look(desk, empty_bench.instance, MORNING)
    assert found.errors == ["app_daily: ZeroDivisionError: division by zero"]
    assert [r.job_name for r in found.requests] == ["daily_metrics"]
    [problem] = empty_bench.ledgers.problems.open()
    assert (problem.subject, problem.kind, problem.owner_of) == ("report app_daily", "tick", "app_daily")
    empty_bench.tick(MORNING + timedelta(minutes=1))
    assert empty_bench.ledgers.problems.open() == []


def test_incomplete_data_is_waited_for_told_once_and_goes_out_marked(bench: Bench) -> None:
    day = LAST + timedelta(days=1)
    noon = day_window(day, bench.settings.zone).start + timedelta(hours=12)
    events = [
        {"user_id": k % 40, "post_id": 1, "action": "view", "time": noon - timedelta(minutes=k)} for k in range(700)
    ]
    batch = pa.RecordBatch.from_pylist(events, schema=arrow_schema(FEED_ACTIONS))
    bench.place.warehouse.load([EventLoad(FEED_ACTIONS, [batch])], bench.settings.zone)
    bench.work(MORNING)
    due = MORNING + timedelta(days=1)
    assert bench.work(due) == []
    entry = bench.ledgers.runs.entry("feed_daily", day)
    assert entry
    assert entry.status is Status.WAITING
    assert entry.reason.startswith("feed_actions: last event 12:00, 12 h short")
    assert bench.ledgers.problems.open() == []
    for minutes in (180, 181, 300):
        bench.work(due + timedelta(minutes=minutes))
    [late] = bench.ledgers.problems.open()
    assert late.kind == "late"
    assert late.text.startswith("2026-03-12 waits for data: feed_actions: last event 12:00")
    assert late.text.endswith("goes out as preliminary at 2026-03-14 11:00")
    assert late.times == 1
    sent = bench.work(due + timedelta(hours=24))
    assert sent[-1] == f"feed_daily/{day}#1"
    assert bench.texts()[-1].startswith("Preliminary: the data is not complete\nfeed_actions: last event 12:00")
    entry = bench.ledgers.runs.entry("feed_daily", day)
    assert entry
    assert entry.status is Status.PRELIMINARY
    owners.close_recovered(bench.instance, bench.ledgers, due + timedelta(hours=25))
    assert bench.ledgers.problems.open() == []


def test_a_delivery_that_is_uncertain_is_given_up_told_and_sent_again_after_a_reset(bench: Bench) -> None:
    bench.channel.outcome = Outcome.UNCERTAIN
    bench.work(MORNING)
    assert bench.work(MORNING + timedelta(hours=1)) == []
    assert len(bench.channel.sent) == 1
    [problem] = bench.ledgers.problems.open()
    assert (problem.subject, problem.kind) == (f"delivery feed_daily {LAST}", "delivery")
    assert "uncertain (held)" in problem.text
    bench.channel.outcome = Outcome.SENT
    bench.ledgers.runs.reset("feed_daily", LAST, MORNING + timedelta(hours=2))
    assert bench.work(MORNING + timedelta(hours=3)) == [f"feed_daily/{LAST}#2"]
    owners.close_recovered(bench.instance, bench.ledgers, MORNING + timedelta(hours=4))
    assert bench.ledgers.problems.open() == []


def test_after_an_outage_one_digest_and_the_latest_in_full(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"backlog_limit": 3})
    bench.ledgers.runs.settle("feed_daily", FIRST + timedelta(days=3), MORNING)
    asked = bench.work(MORNING)
    assert asked[-1] == f"feed_daily/{LAST}#1"
    digest = bench.texts()[0]
    assert digest.startswith("News feed: 5 missed reports in one")
    assert digest.count("DAU ") == 5
    assert len(bench.channel.sent) == 2
    entries = bench.ledgers.runs.entries("feed_daily")
    assert [e.status for e in entries] == [Status.DELIVERED] * 6
    assert entries[-1].reason.startswith("in the digest of")


def test_late_data_is_computed_again_and_corrected_once(delivered: Bench) -> None:
    bench = delivered
    later = datetime.now(bench.settings.zone) + timedelta(hours=1)
    bench.settings = bench.settings.model_copy(update={"correction_days": 10_000})
    assert bench.late(later) == []
    more_events(bench, LAST, 400)
    [compute] = bench.late(later)
    assert compute.job_name == "daily_metrics"
    bench.run(compute)
    assert bench.late(datetime.now(bench.settings.zone)) == [], "figures may still move: not yet"
    [correction] = bench.late(later)
    assert correction.job_name == "report_correction"
    assert bench.run(correction).success
    said = bench.texts()[-1]
    assert said.startswith("Correction: ")
    assert "Views: " in said
    assert "Likes: " not in said, "likes have not moved"
    assert bench.late(later + timedelta(days=1)) == []
    assert len(bench.channel.sent) == 2
    entry = bench.ledgers.runs.entry("feed_daily", LAST)
    assert entry
    assert entry.corrected_at


def test_a_move_within_the_tolerance_is_not_worth_a_message(delivered: Bench) -> None:
    bench = delivered
    bench.settings = bench.settings.model_copy(update={"correction_days": 10_000, "correction_tolerance": 0.9})
    more_events(bench, LAST, 10)
    later = datetime.now(bench.settings.zone) + timedelta(hours=1)
    [compute] = bench.late(later)
    bench.run(compute)
    assert bench.late(later) == []
    assert len(bench.channel.sent) == 1


def test_a_second_run_of_a_delivered_period_sends_nothing_and_says_so(delivered: Bench) -> None:
    bench = delivered
    again = bench.run(
        dg.RunRequest(run_key="by hand", job_name="report_feed_daily", partition_key=LAST.isoformat(), tags={})
    )
    assert again.success
    assert len(bench.channel.sent) == 1


def test_a_period_that_another_live_run_is_at_is_left_to_it(bench: Bench) -> None:
    from analytics_platform.defs.liveness import this_host
    from analytics_platform.state.runs import Owner

    other = Owner("another", "other-machine" + this_host(), 1, "")
    now = datetime.now(bench.settings.zone)
    bench.ledgers.runs.claim(
        "feed_daily", Period(LAST, LAST), other, now, lease=timedelta(hours=1), gone=lambda _: False
    )
    result = bench.run(
        dg.RunRequest(run_key="second", job_name="report_feed_daily", partition_key=LAST.isoformat(), tags={})
    )
    assert not result.success
    assert "is being made by run another" in failure(result)
    assert bench.channel.sent == []
    # Its lease ends it, though nothing can be proven about another machine.
    ended = bench.ledgers.runs.release_dead(now + timedelta(hours=2), lambda _: False)
    assert [e.status for e in ended] == [Status.READY]


def test_a_run_that_fails_before_it_claims_anything_is_asked_for_again_under_a_new_key(bench: Bench) -> None:
    [request] = bench.tick(MORNING).requests
    definitions = build_definitions(bench.place.home, bench.settings, office=bench.office)
    job = definitions.resolve_job_def(str(request.job_name))
    run = bench.instance.create_run_for_job(job, tags=dict(request.tags))
    bench.instance.report_run_failed(run, "the code server was gone")
    [again] = bench.tick(MORNING + timedelta(minutes=10)).requests
    assert (again.tags, again.run_key) == (request.tags, f"feed_daily/{LAST}#2")


def test_the_sensor_ticks_without_a_run_and_remembers_its_cursor(bench: Bench) -> None:
    definitions = build_definitions(bench.place.home, bench.settings, office=bench.office)
    repository = definitions.get_repository_def()
    context = dg.build_sensor_context(instance=bench.instance, repository_def=repository)
    data = repository.get_sensor_def("data_availability").evaluate_tick(context)
    assert data.cursor
    assert datetime.fromisoformat(data.cursor)
    assert {r.job_name for r in data.run_requests or ()} <= {"daily_metrics", "report_feed_daily"}
    assert MISSING not in {tag for r in data.run_requests or () for tag in r.tags}
