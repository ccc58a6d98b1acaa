"""What is to be done now, report by report: nothing, wait, compute, send, send as preliminary, catch up.

Belongs here: the one decision that sensor, command line and dry run share. Does not: doing it, storing it, clocks; what
it must know it asks through `Sight`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from analytics_platform.availability import Answer
from analytics_platform.cadence import Cadence, Period, before, due_periods, is_period, upcoming
from analytics_platform.reports.base import Report
from analytics_platform.state.runs import Entry, Status

SETTLED = (Status.DELIVERED, Status.PRELIMINARY)


class Action(StrEnum):
    """What is to be done for a report."""

    NOTHING = "nothing due"
    WAIT = "wait for data"
    PAUSE = "wait before another try"
    RUNNING = "running"
    COMPUTE = "compute"  # the days it reads are missing or outdated
    SEND = "send"
    SEND_PRELIMINARY = "send as preliminary"
    CATCH_UP = "send missed periods as one digest"


@dataclass(frozen=True)
class Rules:
    """The settings that decisions depend on. `report_time` is local; `max_wait` counts from the moment of being due."""

    zone: ZoneInfo
    report_time: time
    start_date: date
    attempts: int
    retry_pause: timedelta
    late_after: timedelta
    backlog_limit: int


class Sight(Protocol):
    """What a decision may look at."""

    def settled_until(self, report: str) -> date | None:
        """The ledger's cursor."""
        ...

    def entry(self, report: str, period_end: date) -> Entry | None:
        """The ledger's row."""
        ...

    def unfinished(self, report: str) -> Sequence[Entry]:
        """The ledger's rows that readers do not have."""
        ...

    def gate(self, report: Report[Any], period: Period) -> Answer:
        """Whether the period's data is there."""
        ...

    def max_wait(self, report: Report[Any]) -> timedelta:
        """After which a report goes out without all of its data."""
        ...

    def outdated(self, report: Report[Any], period: Period) -> Sequence[date]:
        """The days it reads that are not computed, or older than their events."""
        ...


@dataclass(frozen=True)
class Decision:
    """What is to be done for one report, and why. `settled` is where the ledger's cursor can be moved to."""

    report: str
    action: Action
    reason: str
    run_on: date  # next_run, as the cadence names it
    period: Period
    due_at: datetime  # aware, UTC
    due: bool = False
    overdue: bool = False
    late: bool = False
    missing: str = ""
    settled: date | None = None
    days: tuple[date, ...] = ()  # COMPUTE: which
    missed: tuple[Period, ...] = ()  # CATCH_UP: which
    backlog: int = 0  # due periods, this one included
    given_up: tuple[Entry, ...] = field(default=())


def due_moment(period: Period, rules: Rules) -> datetime:
    """When a period's report is due: REPORT_TIME on the day after its end, as aware UTC."""
    local = datetime.combine(period.last + timedelta(days=1), rules.report_time, tzinfo=rules.zone)
    return local.astimezone(UTC)


def decide(report: Report[Any], sight: Sight, rules: Rules, now: datetime) -> Decision:
    """What is to be done for the report at `now` (aware). Reads only."""
    today = now.astimezone(rules.zone).date()
    cursor = sight.settled_until(report.name)
    if cursor is None:
        cursor = before(_first(report.cadence, rules, today), report.cadence)
    given_up: list[Entry] = []
    settled = cursor
    while True:
        coming = upcoming(settled, report.cadence, today)
        # Asked only when it is due: a quiet tick is one of a thousand a day.
        entry = sight.entry(report.name, coming.period.last) if coming.due else None
        if coming.due and coming.period.first < rules.start_date:  # no data of all its days, and no partition
            settled = coming.period.last
            continue
        if not coming.due or entry is None or not _is_over(entry, rules):
            break
        if entry.status is Status.FAILED or entry.status is Status.READY:
            given_up.append(entry)
        settled = coming.period.last
    base = Decision(
        report.name,
        Action.NOTHING,
        "",
        coming.run,
        coming.period,
        due_moment(coming.period, rules),
        overdue=coming.overdue,
        # Never ahead of today: a START_DATE of next year, put right tomorrow, must not silence the report till then.
        settled=settled if settled != sight.settled_until(report.name) and settled < today else None,
        given_up=tuple(given_up),
    )
    view = _View(report, sight, rules, now)
    main = _at_cursor(view, entry, base)
    if main.action in (Action.NOTHING, Action.WAIT, Action.PAUSE, Action.RUNNING):
        behind = _reopened(report, sight, rules, settled)
        if behind:
            due_at = due_moment(behind.period, rules)
            again = replace(base, period=behind.period, due_at=due_at, due=True, overdue=True, backlog=1)
            return _one(view, behind, again)
    return main


@dataclass(frozen=True)
class _View:
    """What every part of a decision looks at."""

    report: Report[Any]
    sight: Sight
    rules: Rules
    now: datetime


def _at_cursor(view: _View, entry: Entry | None, base: Decision) -> Decision:
    """What is to be done for the next period in order."""
    report, rules, now = view.report, view.rules, view.now
    today = now.astimezone(rules.zone).date()
    begins_early = base.period.first < rules.start_date
    if now < base.due_at or base.period.last >= today or begins_early:
        local = base.due_at.astimezone(rules.zone)
        note = f" (before START_DATE, {rules.start_date})" if begins_early else ""
        return replace(base, reason=f"{base.period} is due on {local:%Y-%m-%d at %H:%M}{note}")
    last_end = before(base.period, report.cadence)
    due = [p for p in due_periods(last_end, report.cadence, today) if due_moment(p, rules) <= now]
    base = replace(base, due=True, backlog=len(due))
    if len(due) > rules.backlog_limit and not (entry and entry.status is Status.RUNNING):
        ready = _ready(view, due[:-1])
        if len(ready) > 1:
            return _catch_up(view, base, ready)
    return _one(view, entry, base)


def _one(view: _View, entry: Entry | None, base: Decision) -> Decision:
    """What is to be done for a single due period."""
    rules, now = view.rules, view.now
    late = base.overdue or now >= base.due_at + rules.late_after
    if entry and entry.status is Status.RUNNING:
        who = f"run {entry.owner.run_id[:8]}" if entry.owner else "a run"
        return replace(base, action=Action.RUNNING, late=late, reason=f"{base.period} is being made by {who}")
    if entry and entry.status is Status.FAILED and now < entry.updated_at + rules.retry_pause:
        again = (entry.updated_at + rules.retry_pause).astimezone(rules.zone)
        reason = f"{base.period} failed ({entry.reason}); next try at {again:%H:%M}"
        return replace(base, action=Action.PAUSE, late=late, reason=reason)
    return _send(view, replace(base, late=late))


def _ready(view: _View, periods: Sequence[Period]) -> list[Period]:
    """The first of the periods, as far as their data is there or they have waited long enough for it."""
    found = []
    for period in periods:
        waited = view.now >= due_moment(period, view.rules) + view.sight.max_wait(view.report)
        if view.sight.gate(view.report, period).missing and not waited:
            break
        found.append(period)
    return found


def _reopened(report: Report[Any], sight: Sight, rules: Rules, settled: date) -> Entry | None:
    """The oldest period behind the cursor that is to be made after all: a person reset it, or began it and lost it.

    What is running is left alone, and so is what is no period any more since START_DATE or the cadence changed.
    """
    behind = [
        e
        for e in sight.unfinished(report.name)
        if e.status is not Status.RUNNING
        and not _is_over(e, rules)
        and rules.start_date <= e.period.first
        and e.period.last <= settled
        and is_period(e.period, report.cadence)
    ]
    return min(behind, key=lambda e: e.period, default=None)


def _first(cadence: Cadence, rules: Rules, today: date) -> Period:
    """The first period of a report that has never run: the one that its cadence names, not begun before START_DATE."""
    coming = upcoming(None, cadence, today)
    while coming.period.first < rules.start_date:
        coming = upcoming(coming.period.last, cadence, today)
    return coming.period


def _is_over(entry: Entry, rules: Rules) -> bool:
    """Whether nothing more is done for that period by itself."""
    if entry.status in (*SETTLED, Status.SENDING):
        return True
    if entry.status is Status.FAILED and entry.delivering:
        return True
    # READY: given back by a process that was killed. One that is killed each time must not hold up the rest for ever.
    return entry.status in (Status.FAILED, Status.READY) and entry.attempts >= rules.attempts


def _catch_up(view: _View, base: Decision, missed: Sequence[Period]) -> Decision:
    span = Period(missed[0].first, missed[-1].last)
    days = tuple(view.sight.outdated(view.report, span))
    what = f"{len(missed)} periods were missed, {missed[0].last} to {missed[-1].last}"
    if days:
        return replace(base, action=Action.COMPUTE, days=days, reason=f"{what}; {_days(days)} to be computed first")
    return replace(base, action=Action.CATCH_UP, missed=tuple(missed), reason=f"{what}: one digest instead")


def _send(view: _View, base: Decision) -> Decision:
    report, sight, rules, now = view.report, view.sight, view.rules, view.now
    answer = sight.gate(report, base.period)
    missing = str(answer)
    give_up_at = base.due_at + sight.max_wait(report)
    behind = f" ({base.backlog} periods behind)" if base.backlog > 1 else ""
    if answer.missing and now < give_up_at:
        until = give_up_at.astimezone(rules.zone)
        return replace(
            base,
            action=Action.WAIT,
            missing=missing,
            reason=f"{base.period} waits for data: {missing}; goes out as preliminary at {until:%Y-%m-%d %H:%M}",
        )
    days = tuple(sight.outdated(report, base.period))
    if days:
        return replace(
            base,
            action=Action.COMPUTE,
            days=days,
            missing=missing,
            reason=f"{base.period}: {_days(days)} to be computed first{behind}",
        )
    if answer.missing:
        return replace(
            base,
            action=Action.SEND_PRELIMINARY,
            missing=missing,
            reason=f"{base.period} goes out as preliminary: {missing}{behind}",
        )
    return replace(base, action=Action.SEND, reason=f"{base.period} is ready{behind}")


def _days(days: Sequence[date]) -> str:
    if len(days) == 1:
        return f"{days[0]} is"
    return f"{len(days)} days from {days[0]} to {days[-1]} are"
