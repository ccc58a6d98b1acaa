"""What is due is done once, in order; what is not there yet is waited for and, in the end, not for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.agenda import Action, Decision, Rules, decide, due_moment
from analytics_platform.availability import Answer
from analytics_platform.cadence import Cadence, Frequency, Period
from analytics_platform.reports.base import Number, Report
from analytics_platform.state.runs import Entry, Owner, Status

ZONE = ZoneInfo("Europe/Moscow")
RULES = Rules(
    zone=ZONE,
    report_time=time(11),
    start_date=date(2026, 1, 1),
    attempts=3,
    retry_pause=timedelta(minutes=5),
    late_after=timedelta(hours=3),
    backlog_limit=7,
)
MISSING = "feed_actions: last event 23:12, 48 min short"


class Daily(Report[None]):
    """A daily report that is never built here."""

    name = "daily"
    verb = "daily"
    title = "Daily"
    about = ""
    cadence = Cadence(Frequency.DAILY)
    sources = ("feed_actions",)
    tables = ("feed_daily",)

    def read(self, reader: Any, period: Period, zone: ZoneInfo) -> None:
        raise NotImplementedError

    def numbers(self, frame: None) -> tuple[Number, ...]:
        raise NotImplementedError

    def compose(self, frame: None, drawn: Any, rendering: Any) -> Sequence[Any]:
        raise NotImplementedError


class Weekly(Daily):
    """The same every Monday."""

    name = "weekly"
    cadence = Cadence(Frequency.WEEKLY, weekday=0)


@dataclass
class World:
    """A ledger and data in memory; `run` does what a decision says, as a run would."""

    report: Report[Any] = field(default_factory=Daily)
    settled: date | None = None
    entries: dict[date, Entry] = field(default_factory=dict)
    missing: dict[date, str] = field(default_factory=dict)
    stale: set[date] = field(default_factory=set)
    sent_as: Status = Status.DELIVERED  # SENDING: a part of it could not be sent at once
    delivered: list[tuple[Period, str]] = field(default_factory=list)

    def settled_until(self, report: str) -> date | None:
        return self.settled

    def entry(self, report: str, period_end: date) -> Entry | None:
        return self.entries.get(period_end)

    def unfinished(self, report: str) -> Sequence[Entry]:
        return [e for e in self.entries.values() if not e.settled]

    def gate(self, report: Report[Any], period: Period) -> Answer:
        lacking = self.missing.get(period.last)
        return Answer((lacking,) if lacking else ())

    def max_wait(self, report: Report[Any]) -> timedelta:
        return timedelta(hours=24)

    def outdated(self, report: Report[Any], period: Period) -> Sequence[date]:
        return [day for day in period.days if day in self.stale]

    def put(self, period: Period, status: Status, now: datetime, **more: Any) -> None:
        old = self.entries.get(period.last)
        blank = entry(period, status, now) if old is None else old
        self.entries[period.last] = replace(blank, status=status, updated_at=now, **more)

    def decide(self, now: datetime) -> Decision:
        decision = decide(self.report, self, RULES, now)
        if decision.settled:
            self.settled = decision.settled
        return decision

    def run(self, now: datetime) -> Decision:
        decision = self.decide(now)
        match decision.action:
            case Action.COMPUTE:
                self.stale -= set(decision.days)
            case Action.SEND:
                self.put(decision.period, self.sent_as, now)
                self.delivered.append((decision.period, "whole"))
            case Action.SEND_PRELIMINARY:
                self.put(decision.period, Status.PRELIMINARY, now)
                self.delivered.append((decision.period, "preliminary"))
            case Action.CATCH_UP:
                for period in decision.missed:
                    self.put(period, self.sent_as, now)
                    self.delivered.append((period, "digest"))
            case _:
                pass
        return decision


def entry(period: Period, status: Status, now: datetime, **more: Any) -> Entry:
    """A ledger row."""
    made = Entry(report="daily", period=period, status=status, created_at=now, updated_at=now)
    return replace(made, **more)


def at(text: str) -> datetime:
    """A moment in the reports' zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def day(text: str) -> Period:
    """A period of one day."""
    return Period(date.fromisoformat(text), date.fromisoformat(text))


def test_a_report_that_never_ran_begins_with_yesterday_and_waits_for_its_hour() -> None:
    world = World()
    early = world.decide(at("2026-11-21 10:59"))
    assert (early.action, early.period, early.due) == (Action.NOTHING, day("2026-11-20"), False)
    assert early.reason == "2026-11-20 is due on 2026-11-21 at 11:00"
    due = world.decide(at("2026-11-21 11:00"))
    assert (due.action, due.period, due.due) == (Action.SEND, day("2026-11-20"), True)


def test_the_due_moment_is_local_wall_time_over_the_change_of_clocks() -> None:
    rules = replace(RULES, zone=ZoneInfo("Europe/Berlin"))
    assert due_moment(day("2026-03-28"), rules) == datetime(2026, 3, 29, 9, 0, tzinfo=UTC)
    assert due_moment(day("2026-03-27"), rules) == datetime(2026, 3, 28, 10, 0, tzinfo=UTC)


def test_a_delivered_period_is_never_asked_for_again_and_the_next_follows() -> None:
    world = World()
    world.run(at("2026-11-21 11:00"))
    for moment in ("2026-11-21 11:01", "2026-11-21 23:59", "2026-11-22 10:59"):
        assert world.run(at(moment)).action is Action.NOTHING
    assert world.run(at("2026-11-22 11:00")).period == day("2026-11-21")
    assert [p for p, _ in world.delivered] == [day("2026-11-20"), day("2026-11-21")]


def test_a_backlog_goes_out_oldest_first_one_period_at_a_time() -> None:
    world = World(settled=date(2026, 11, 15))
    said = [world.run(at("2026-11-21 12:00")) for _ in range(6)]
    assert [d.period.last.day for d in said[:5]] == [16, 17, 18, 19, 20]
    assert [d.backlog for d in said[:5]] == [5, 4, 3, 2, 1]
    assert said[0].overdue
    assert said[5].action is Action.NOTHING


def test_after_a_long_outage_one_digest_and_then_the_latest_report() -> None:
    world = World(settled=date(2026, 11, 1))
    first = world.run(at("2026-11-21 12:00"))
    assert first.action is Action.CATCH_UP
    assert (first.missed[0], first.missed[-1]) == (day("2026-11-02"), day("2026-11-19"))
    second = world.run(at("2026-11-21 12:01"))
    assert (second.action, second.period) == (Action.SEND, day("2026-11-20"))
    assert [how for _, how in world.delivered] == ["digest"] * 18 + ["whole"]


def test_exactly_the_limit_is_still_a_report_each() -> None:
    world = World(settled=date(2026, 11, 13))
    assert world.decide(at("2026-11-21 12:00")).action is Action.SEND
    assert World(settled=date(2026, 11, 12)).decide(at("2026-11-21 12:00")).action is Action.CATCH_UP


def test_it_waits_for_data_says_what_is_missing_and_since_when_that_is_late() -> None:
    world = World(missing={date(2026, 11, 20): MISSING})
    soon = world.decide(at("2026-11-21 13:59"))
    assert (soon.action, soon.late, soon.missing) == (Action.WAIT, False, MISSING)
    assert soon.reason == f"2026-11-20 waits for data: {MISSING}; goes out as preliminary at 2026-11-22 11:00"
    assert world.decide(at("2026-11-21 14:00")).late


def test_after_the_longest_wait_it_goes_out_as_preliminary() -> None:
    world = World(settled=date(2026, 11, 19), missing={date(2026, 11, 20): MISSING})
    assert world.run(at("2026-11-22 10:59")).action is Action.WAIT
    sent = world.run(at("2026-11-22 11:00"))
    assert (sent.action, sent.missing) == (Action.SEND_PRELIMINARY, MISSING)
    assert world.delivered == [(day("2026-11-20"), "preliminary")]


def test_overdue_is_late_at_once_whatever_the_setting() -> None:
    world = World(report=Weekly(), settled=date(2026, 11, 8), missing={date(2026, 11, 15): MISSING})
    lazy = replace(RULES, late_after=timedelta(days=9))

    def late(moment: str) -> bool:
        world.max_wait = lambda report: timedelta(days=30)  # type: ignore[method-assign]
        return decide(world.report, world, lazy, at(moment)).late

    # Due on Monday 16; two days of being due are the one rule for every frequency.
    assert not late("2026-11-17 23:59")
    assert late("2026-11-18 00:00")


def test_outdated_days_are_computed_before_anything_is_sent() -> None:
    world = World(stale={date(2026, 11, 20)})
    assert world.run(at("2026-11-21 11:00")).action is Action.COMPUTE
    assert world.run(at("2026-11-21 11:01")).action is Action.SEND


def test_a_running_period_is_left_alone_and_holds_the_ones_behind_it() -> None:
    world = World(settled=date(2026, 11, 18))
    now = at("2026-11-21 12:00")
    world.put(day("2026-11-19"), Status.RUNNING, now, owner=Owner("abcdef123456", "host", 1, ""))
    said = world.decide(now)
    assert (said.action, said.period) == (Action.RUNNING, day("2026-11-19"))
    assert "abcdef12" in said.reason


def test_a_failure_is_tried_again_after_a_pause_and_given_up_after_three() -> None:
    world = World()
    now = at("2026-11-21 11:00")
    world.put(day("2026-11-20"), Status.FAILED, now, attempts=1, reason="no space left")
    paused = world.decide(now + timedelta(minutes=4))
    assert paused.action is Action.PAUSE
    assert "no space left" in paused.reason
    assert world.decide(now + timedelta(minutes=5)).action is Action.SEND
    world.put(day("2026-11-20"), Status.FAILED, now, attempts=3)
    given_up = world.decide(now + timedelta(hours=1))
    assert [e.period for e in given_up.given_up] == [day("2026-11-20")]
    assert given_up.action is Action.NOTHING
    # Told once: the cursor is past it.
    assert world.decide(now + timedelta(hours=2)).given_up == ()


def test_what_may_have_arrived_is_not_tried_again_and_does_not_hold_the_next() -> None:
    world = World()
    now = at("2026-11-21 11:00")
    world.put(day("2026-11-20"), Status.FAILED, now, attempts=1, delivering=True)
    assert world.decide(now + timedelta(hours=1)).given_up[0].delivering
    assert world.decide(at("2026-11-22 11:00")).period == day("2026-11-21")


@pytest.mark.parametrize("reason", ["1 of 3 parts goes on", "its process ended while delivering"])
def test_what_is_on_its_way_is_over_and_neither_given_up_nor_late(reason: str) -> None:
    world = World()
    now = at("2026-11-21 11:00")
    # However often it was begun.
    world.put(day("2026-11-20"), Status.SENDING, now, attempts=9, delivering=True, reason=reason)
    for moment in (now, at("2026-11-22 10:59")):
        said = world.decide(moment)
        assert (said.action, said.due, said.late, said.given_up) == (Action.NOTHING, False, False, ())
        assert said.period == day("2026-11-21")
    assert world.settled == date(2026, 11, 20)
    world.run(at("2026-11-22 11:00"))
    assert world.delivered == [(day("2026-11-21"), "whole")]


def test_what_is_on_its_way_is_left_alone_behind_the_cursor_too_until_it_is_ready_again() -> None:
    world = World(settled=date(2026, 11, 20))
    now = at("2026-11-21 12:00")
    for status in (Status.SENDING, Status.DELIVERED):
        world.put(day("2026-11-19"), status, now, attempts=1, delivering=True)
        assert world.run(now).action is Action.NOTHING
    # It failed in the end: told by the deliveries, and left to a person.
    world.put(day("2026-11-19"), Status.FAILED, now)
    assert (world.decide(now).action, world.decide(now).given_up) == (Action.NOTHING, ())
    # Its process had ended before anything was written down for anybody.
    world.put(day("2026-11-19"), Status.READY, now)
    assert world.run(now).period == day("2026-11-19")
    assert world.run(now).action is Action.NOTHING


def test_reports_on_their_way_hold_no_other_up_after_an_outage_either() -> None:
    world = World(settled=date(2026, 11, 1), sent_as=Status.SENDING)
    assert world.run(at("2026-11-21 12:00")).action is Action.CATCH_UP
    assert world.run(at("2026-11-21 12:01")).period == day("2026-11-20")
    assert world.run(at("2026-11-21 12:02")).action is Action.NOTHING
    assert {e.status for e in world.entries.values()} == {Status.SENDING}
    assert [how for _, how in world.delivered] == ["digest"] * 18 + ["whole"]


def test_a_period_sent_by_hand_ahead_of_the_backlog_is_not_sent_twice_and_skips_nothing() -> None:
    world = World(settled=date(2026, 11, 17))
    world.put(day("2026-11-20"), Status.DELIVERED, at("2026-11-21 10:00"))
    for _ in range(4):
        world.run(at("2026-11-21 12:00"))
    assert [p.last.day for p, _ in world.delivered] == [18, 19]
    assert world.decide(at("2026-11-21 12:00")).period == day("2026-11-21")


def test_what_a_person_resets_is_sent_again_after_what_is_due_and_without_what_lies_between() -> None:
    world = World(settled=date(2026, 11, 19))
    world.put(day("2026-11-02"), Status.WAITING, at("2026-11-21 10:00"))
    assert world.run(at("2026-11-21 12:00")).period == day("2026-11-20")
    said = world.run(at("2026-11-21 12:01"))
    assert (said.action, said.period) == (Action.SEND, day("2026-11-02"))
    assert world.run(at("2026-11-21 12:02")).action is Action.NOTHING


def test_it_goes_out_while_the_one_that_is_due_waits_for_data() -> None:
    world = World(settled=date(2026, 11, 19), missing={date(2026, 11, 20): MISSING})
    world.put(day("2026-11-02"), Status.WAITING, at("2026-11-21 10:00"))
    assert world.run(at("2026-11-21 12:00")).period == day("2026-11-02")
    assert world.run(at("2026-11-21 12:01")).action is Action.WAIT


def test_old_periods_that_run_or_are_none_any_more_hold_nothing_up() -> None:
    world = World(report=Weekly(), settled=date(2026, 11, 15))
    for odd in (day("2026-10-31"), Period(date(2025, 12, 29), date(2026, 1, 4))):
        world.put(odd, Status.FAILED, at("2026-11-20 10:00"), attempts=1)
    world.put(Period(date(2026, 10, 5), date(2026, 10, 11)), Status.RUNNING, at("2026-11-20 10:00"))
    assert world.decide(at("2026-11-21 12:00")).action is Action.NOTHING


def test_a_process_that_is_killed_each_time_is_not_started_for_ever() -> None:
    world = World()
    now = at("2026-11-21 11:00")
    world.put(day("2026-11-20"), Status.READY, now, attempts=2, reason="its process ended without a word")
    assert world.decide(now).action is Action.SEND
    world.put(day("2026-11-20"), Status.READY, now, attempts=3, reason="its process ended without a word")
    assert [e.period for e in world.decide(now).given_up] == [day("2026-11-20")]


def test_a_start_date_in_the_future_leaves_the_cursor_where_it_is() -> None:
    world = World(settled=date(2026, 11, 18))
    later = replace(RULES, start_date=date(2027, 1, 1))
    said = decide(world.report, world, later, at("2026-11-21 12:00"))
    assert (said.action, said.settled) == (Action.NOTHING, date(2026, 11, 20))
    assert decide(world.report, World(), later, at("2026-11-21 12:00")).settled is None


def test_a_digest_waits_for_data_as_a_report_does() -> None:
    missing = {date(2026, 11, d): MISSING for d in range(2, 21)}
    world = World(settled=date(2026, 11, 1), missing=missing)
    world.max_wait = lambda report: timedelta(days=30)  # type: ignore[method-assign]
    assert world.run(at("2026-11-21 12:00")).action is Action.WAIT
    for d in range(2, 12):
        del world.missing[date(2026, 11, d)]
    said = world.run(at("2026-11-21 13:00"))
    assert (said.action, said.missed[-1]) == (Action.CATCH_UP, day("2026-11-11"))
    assert world.run(at("2026-11-21 13:01")).action is Action.WAIT


@pytest.mark.parametrize("moment", ["2026-11-21 14:01"])
@pytest.mark.parametrize("why", ["running", "outdated", "failed"])
def test_late_for_whatever_reason(moment: str, why: str) -> None:
    world = World(stale={date(2026, 11, 20)} if why == "outdated" else set())
    if why != "outdated":
        status = Status.RUNNING if why == "running" else Status.FAILED
        world.put(day("2026-11-20"), status, at(moment), attempts=1)
    assert world.decide(at(moment)).late
    assert not world.decide(at("2026-11-21 13:59")).late


def test_nothing_before_the_start_date_is_expected() -> None:
    rules = replace(RULES, start_date=date(2026, 11, 25))
    said = decide(Daily(), World(), rules, at("2026-11-21 12:00"))
    assert (said.action, said.period) == (Action.NOTHING, day("2026-11-25"))


def test_a_period_that_began_before_the_start_date_is_passed_over() -> None:
    rules = replace(RULES, start_date=date(2026, 11, 11))  # a Wednesday
    said = decide(Weekly(), World(settled=date(2026, 11, 1)), rules, at("2026-11-18 12:00"))
    assert said.period == Period(date(2026, 11, 16), date(2026, 11, 22))


@pytest.mark.parametrize("seed", range(5))
def test_a_scheduler_that_is_up_now_and_then_loses_and_repeats_nothing(seed: int) -> None:
    import random

    chance = random.Random(seed)
    world = World(report=chance.choice([Daily(), Weekly()]), settled=date(2026, 3, 1))
    now = at("2026-03-02 00:00")
    for _ in range(400):
        now += timedelta(minutes=chance.choice([5, 60, 700, 5000, 20_000]))
        late = now.date() - timedelta(days=chance.randint(1, 3))
        world.missing = {late: MISSING} if chance.random() < 0.3 else {}
        world.sent_as = chance.choice([Status.SENDING, Status.DELIVERED])
        for e in world.unfinished(""):
            if e.status is Status.SENDING and chance.random() < 0.3:
                world.put(e.period, Status.DELIVERED, now)
        for _ in range(chance.randint(1, 4)):
            world.run(now)
    while world.run(now).action is not Action.NOTHING:
        world.missing = {}
    periods = [p for p, _ in world.delivered]
    assert periods == sorted(set(periods))
    gaps = {b.first - a.last for a, b in pairwise(periods)}
    assert gaps == {timedelta(days=1)}
