"""The look of every quarter of an hour over simulated events: what is found, told, and that each bucket counts once."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.findings import Direction, What
from analytics_platform.alerts.incident import Incident, Kind, Mute, Reason, Status
from analytics_platform.channels.base import Recipient
from analytics_platform.defs.alerts import ANOMALIES, LookError, held_back, reported, said, tick, wanted
from analytics_platform.defs.office import Office
from analytics_platform.defs.resources import Ledgers, ledgers_of
from analytics_platform.defs.telling import Teller, Told, to_tell, week_to_tell
from analytics_platform.defs.watching import Looked, Tower, look
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.metrics.tables import SERIES
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query
from analytics_platform.reports import all_reports
from analytics_platform.settings import Home, Settings
from analytics_platform.simulate.generator import generate
from analytics_platform.simulate.incidents import outage, spike
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import State
from analytics_platform.warehouses.base import EventLoad, Row, WarehouseError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at

if TYPE_CHECKING:
    import pyarrow as pa

FIRST, DAYS = date(2026, 3, 2), 16
SPIKE = datetime(2026, 3, 15, 15, 0, tzinfo=UTC)
OUTAGE = datetime(2026, 3, 16, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
# Shortly after a quarter of an hour has closed.
SOON = timedelta(minutes=3)


@pytest.fixture(scope="session")
def watched_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two weeks, a spike of an hour, an outage of an hour and a half; the series of all days counted."""
    home = Home(tmp_path_factory.mktemp("watched") / "home")
    settings = Settings(start_date=FIRST)
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    extra = (spike(SPIKE, 60, 4.0), outage(FEED_ACTIONS.name, OUTAGE, 90))
    scenario = Scenario(FIRST, DAYS, 6_000, seed=11, zone=ZoneInfo("UTC"), incidents=False, extra=extra)
    days = list(generate(scenario))
    loads = [
        EventLoad(FEED_ACTIONS, [b for d in days for b in d.feed.to_batches()]),
        EventLoad(MESSAGE_ACTIONS, [b for d in days for b in d.messages.to_batches()]),
    ]
    warehouse.load(loads, ZoneInfo("UTC"))
    tower = Tower.of(warehouse, settings, ledgers_of(home, settings))
    while look(tower, SPIKE - timedelta(hours=6)).missing:
        pass
    home.state.unlink()
    return home.path


@pytest.fixture(scope="session")
def told_home(watched_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after the spike, of which everything was told."""
    copied = shutil.copytree(watched_home, tmp_path_factory.mktemp("told") / "home")
    home = Watched(Home(copied), Settings(start_date=FIRST))
    home.through(SPIKE - QUARTER, SPIKE + timedelta(hours=4), tell=True)
    return home.home.path


class Watched:
    """A copy of that home, and one process that looks."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.home = home
        self.settings = settings
        self.warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
        self.ledgers = ledgers_of(home, settings)
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)
        folder = Recipient("folder", str(home.outbox))
        self.office = Office(home, settings, self.ledgers, all_reports(), [folder], clock=lambda: self.moment)
        self.tower = Tower.of(self.warehouse, settings, self.ledgers)

    def look(self, moment: datetime) -> Looked:
        self.moment = moment
        return look(self.tower, moment)

    def tell(self) -> Told:
        return Teller(self.office, self.warehouse, Owner("test", "here", 1)).tell(self.moment)

    def through(self, start: datetime, end: datetime, *, tell: bool = False, anew: bool = False) -> list[Told]:
        """A look after each quarter of an hour. `anew`: each by a process of its own."""
        told = []
        moment = start
        while moment <= end:
            if anew:
                self.tower = Tower.of(self.warehouse, self.settings, self.ledgers)
            self.look(moment + SOON)
            told += [self.tell()] if tell else []
            moment += QUARTER
        return told

    @property
    def incidents(self) -> list[Incident]:
        return self.ledgers.incidents.listing()


Make = Callable[..., Watched]


@pytest.fixture
def watched(watched_home: Path, tmp_path: Path) -> Make:
    def make(name: str = "home", **settings: object) -> Watched:
        shutil.copytree(watched_home, tmp_path / name)
        chosen = {"start_date": FIRST, **settings}
        return Watched(Home(tmp_path / name), Settings(**chosen))  # type: ignore[arg-type]  # names and values as given

    return make


@pytest.fixture
def told(told_home: Path, tmp_path: Path) -> Watched:
    """A home in which the spike is history; it is four hours later."""
    home = Watched(Home(shutil.copytree(told_home, tmp_path / "told")), Settings(start_date=FIRST))
    home.moment = SPIKE + timedelta(hours=4) + SOON
    return home


def plain(incidents: list[Incident]) -> list[tuple[object, ...]]:
    """What must not depend on how often or by whom it was looked."""
    return [
        (one.key, one.status, one.started, one.recovered_at, one.revision, one.loud_revision, len(one.members))
        for one in incidents
    ]


def test_a_spike_is_one_message_that_is_edited_until_it_is_closed(told: Watched) -> None:
    [incident] = told.incidents
    assert incident.kind is Kind.ANOMALY
    assert incident.direction is Direction.UP
    assert {"feed_users", "views", "likes"} <= {m.series.metric for m in incident.members}
    assert incident.started == SPIKE
    assert incident.recovered_at == SPIKE + timedelta(hours=1)
    assert incident.status is Status.CLOSED
    assert incident.id is not None
    reasons = [change.what for change in told.ledgers.incidents.history(incident.id)]
    assert (reasons[0], reasons[-1]) == (Reason.OPENED, Reason.CLOSED)
    assert Reason.RECOVERED in reasons
    [folder] = (path for path in (told.home.outbox / "alerts").iterdir() if path.name == "1")
    text = (folder / "01-text.txt").read_text("utf-8")
    assert "Closed" in text
    assert "lasted 1 h" in text
    assert "broad" in text
    assert any(path.suffix == ".png" for path in folder.iterdir())


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


def test_the_first_look_has_history_and_judges_the_newest_quarter_of_an_hour_alone(watched: Make) -> None:
    home = watched()
    looked = home.look(SPIKE + timedelta(hours=3) + SOON)  # the spike is over and no news
    assert looked.judged == {FEED_ACTIONS.name: 1, MESSAGE_ACTIONS.name: 1}
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


class Breaking(DuckDBWarehouse):
    """Cannot answer one query, as when a statement runs out of memory."""

    def __init__(self, name: str, home: Home) -> None:
        super().__init__(home.events, home.results, home.scratch)
        self._name = name

    def rows(self, query: Query) -> list[Row]:
        if query.name == self._name:
            raise WarehouseError("out of memory")
        return super().rows(query)


def test_text_goes_even_when_its_explanation_cannot_be_made(watched: Make) -> None:
    home = watched()
    home.through(SPIKE, SPIKE + QUARTER)
    broken = Breaking("leaves", home.home)
    told = Teller(home.office, broken, Owner("test", "here", 1)).tell(home.moment)
    assert len(told.lines) == 1
    assert not told.troubled
    [problem] = home.ledgers.problems.open()
    assert "out of memory" in problem.text
    assert "went without it" in problem.text


def test_what_is_muted_is_judged_and_not_told(watched: Make) -> None:
    home = watched()
    home.ledgers.mutes.add(Mute(SPIKE + timedelta(days=1), service="feed"), SPIKE - timedelta(hours=1))
    told = home.through(SPIKE - QUARTER, SPIKE + timedelta(hours=4), tell=True)
    assert [line for one in told for line in one.lines] == []
    [incident] = home.incidents
    assert incident.status is Status.CLOSED
    assert to_tell(home.office, home.moment) == []
    assert not (home.home.outbox / "alerts").exists()


def test_in_quiet_hours_only_what_is_critical_is_told(watched: Make) -> None:
    home = watched(alert_rule="quiet=14:00-16:30")
    told = home.through(SPIKE - QUARTER, SPIKE + timedelta(hours=1), tell=True)
    lines = [line for one in told for line in one.lines]
    [incident] = home.incidents
    assert bool(lines) is (incident.severity.value == "critical")


def test_killed_between_handing_over_and_saying_so_the_same_card_is_handed_over_again(watched: Make) -> None:
    home = watched()
    home.through(SPIKE, SPIKE + QUARTER)
    teller = Teller(home.office, home.warehouse, Owner("test", "here", 1))
    teller.tell(home.moment)
    [incident] = home.incidents
    # As if it had been killed before the word: the ledger of incidents knows nothing, that of deliveries all.
    with home.ledgers.incidents._database.write() as con:
        from sqlalchemy import text

        con.execute(text("UPDATE incidents SET said_revision = 0"))
    teller.tell(home.moment)
    parts = [p for p in home.ledgers.deliveries.parts("alerts", str(incident.id)) if p.state is State.SENT]
    assert {p.attempts for p in parts} == {1}
    assert to_tell(home.office, home.moment) == []


def test_a_false_alarm_raises_the_threshold_and_a_verdict_is_told(told: Watched) -> None:
    home = told
    [incident] = home.incidents
    assert incident.id is not None
    after = home.ledgers.incidents.feedback(incident.id, Verdict.FALSE_ALARM, "ann", home.moment)
    assert after.reason in (Reason.JUDGED, Reason.BY_HAND)
    from analytics_platform.defs.followed import rules_of

    watch = rules_of(home.settings, home.ledgers, home.moment).watch
    assert watch.rule("views").sensitivity < 1 == watch.rule("senders").sensitivity


def test_the_note_of_the_week_goes_out_once_on_monday(told: Watched) -> None:
    home = told
    home.ledgers.incidents.feedback(1, Verdict.REAL, "ann", home.moment)
    home.tell()
    home.moment = datetime(2026, 3, 16, 10, 59, tzinfo=UTC)
    assert week_to_tell(home.office, home.moment) is None  # before REPORT_TIME
    home.moment = datetime(2026, 3, 16, 11, 0, tzinfo=UTC)
    assert week_to_tell(home.office, home.moment) is not None
    home.tell()
    text = (home.home.outbox / "alerts" / "week 2026-03-09" / "01-text.txt").read_text("utf-8")
    assert "100" in text  # percent: one incident, and it was real
    assert week_to_tell(home.office, home.moment) is None


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
    assert first.judged == {FEED_ACTIONS.name: 1, MESSAGE_ACTIONS.name: 1}


def ledgers(home: Watched) -> Ledgers:
    """Of another process."""
    return ledgers_of(home.home, home.settings)


def test_a_holiday_of_the_calendar_leaves_more_room(watched: Make) -> None:
    from analytics_platform.alerts.occasions import Occasion, OccasionKind

    home = watched()
    day = Occasion("festival", OccasionKind.HOLIDAY, SPIKE - timedelta(hours=3), SPIKE + timedelta(hours=9), slack=20.0)
    ledgers(home).calendar.add(day, SPIKE - timedelta(days=1))
    home.through(SPIKE - QUARTER, SPIKE + timedelta(hours=2))
    assert home.incidents == []


class Deaf(DuckDBWarehouse):
    """Cannot be read at all any more."""

    def rows(self, query: Query) -> list[Row]:
        raise WarehouseError(f"{query.name}: the disk is gone")

    def table(self, query: Query) -> "pa.Table":
        raise WarehouseError(f"{query.name}: the disk is gone")


def test_without_the_warehouse_an_alert_goes_with_what_is_stored_of_it(watched: Make) -> None:
    home = watched()
    home.through(SPIKE, SPIKE + QUARTER)
    deaf = Deaf(home.home.events, home.home.results, home.home.scratch)
    told = Teller(home.office, deaf, Owner("test", "here", 1)).tell(home.moment)
    assert not told.troubled
    [incident] = home.incidents
    text = (home.home.outbox / "alerts" / str(incident.id) / "01-text.txt").read_text("utf-8")
    lead = incident.member(incident.lead) if incident.lead else None
    assert lead is not None
    assert f"{lead.value:,.0f} instead of {lead.expected:,.0f}" in text


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


def test_nobody_to_tell_asks_for_no_run_and_is_the_owners_to_know(watched: Make) -> None:
    home = watched(delivery_channel="subscribers")
    home.through(SPIKE, SPIKE + QUARTER)
    office = Office(home.home, home.settings, home.ledgers, all_reports(), clock=lambda: home.moment)
    assert wanted(office, home.moment)
    with dg.DagsterInstance.ephemeral() as instance:
        why = held_back(office, instance, home.moment)
    assert "nobody gets alerts" in why
    assert [p.subject for p in home.ledgers.problems.open()] == ["alerts"]


def test_a_look_of_an_earlier_moment_takes_nothing_away(watched: Make) -> None:
    home = watched()
    home.look(SPIKE + timedelta(hours=2) + SOON)
    stored = home.warehouse.stored_rows(SERIES, SPIKE.date())
    look(Tower.of(home.warehouse, home.settings, home.ledgers), SPIKE + SOON)
    assert home.warehouse.stored_rows(SERIES, SPIKE.date()).num_rows >= stored.num_rows
