"""Whether it all works: daemon alive, reports out in time, no open problems.

Belongs here: looking and saying. Does not: telling anybody (`defs/owner.py`), mending.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from analytics_platform.agenda import SETTLED, due_moment
from analytics_platform.cadence import last_complete
from analytics_platform.defs.claims import subject_of
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.sight import Desk, rules_of
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings
from analytics_platform.state.runs import Status

# The daemon writes its heartbeat every 30 s; sensors tick every minute.
_DAEMON_SILENT = timedelta(minutes=5)
# How long the scheduler is given to do something about a period before it is called missing.
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `subject` names it as a problem when only this look can notice it."""

    name: str
    well: bool
    says: str
    subject: str = ""


def examine(desk: Desk, instance: dg.DagsterInstance, now: datetime) -> list[Finding]:
    """Every finding, good and bad."""
    scheduled = (desk.reports[name] for name in desk.settings.reports if name in desk.reports)
    return [
        *_daemon(instance, now),
        *(_report(report, desk.settings, desk.ledgers, now) for report in scheduled),
        *_problems(desk.ledgers),
    ]


def unseen(
    reports: Mapping[str, Report[Any]], settings: Settings, ledgers: Ledgers, now: datetime
) -> Iterator[tuple[str, str, str]]:
    """(subject, sentence, report) of periods that should be out by now and are not, though nothing else says why.

    Such as when the data-availability sensor is stopped or its ticks fail. Reports that were never scheduled are not
    expected.
    """
    known = {p.subject for p in ledgers.problems.open()}
    for name in settings.reports:
        finding = _report(reports[name], settings, ledgers, now)
        if not finding.well and finding.subject not in known and not _touched(reports[name], settings, ledgers, now):
            yield finding.subject, finding.says, name


def _touched(report: Report[Any], settings: Settings, ledgers: Ledgers, now: datetime) -> bool:
    """Whether something has just been done about the period: it was reset, asked for, begun."""
    period = last_complete(report.cadence, now.astimezone(settings.zone).date())
    entry = ledgers.runs.entry(report.name, period.last)
    # What was handed over and failed is told of by the delivery.
    return entry is not None and (now < entry.updated_at + PATIENCE or entry.delivery is not None)


def _daemon(instance: dg.DagsterInstance, now: datetime) -> Iterator[Finding]:
    beat = instance.get_daemon_heartbeats().get("SENSOR")
    if beat is None:  # cron may do its work
        yield Finding("daemon", True, "has never run here")
        return
    silent = now - datetime.fromtimestamp(beat.timestamp, UTC)
    well = silent < _DAEMON_SILENT
    minutes = int(silent.total_seconds() // 60)
    says = "runs" if well else f"silent for {minutes} minutes: start it with analytics-platform serve"
    yield Finding("daemon", well, says, "daemon")


def _report(report: Report[Any], settings: Settings, ledgers: Ledgers, now: datetime) -> Finding:
    """The last period that should be out by now."""
    rules = rules_of(settings)
    period = last_complete(report.cadence, now.astimezone(settings.zone).date())
    entry = ledgers.runs.entry(report.name, period.last)
    name, subject = f"report {report.name}", subject_of(report.name, period)
    if entry and entry.status in (*SETTLED, Status.SENDING):  # what has not arrived is a problem of its own
        return Finding(name, True, f"{period} {entry.status.value}", subject)
    cursor = ledgers.runs.settled_until(report.name)
    if cursor is None:
        return Finding(name, True, "not scheduled yet: neither daemon nor `schedule` has looked")
    if period.last <= cursor and not entry:
        return Finding(name, True, f"scheduled from the period after {cursor} on", subject)
    due = due_moment(period, rules)
    if now < due + rules.late_after or period.last < settings.start_date:
        return Finding(name, True, f"{period} is due at {due.astimezone(settings.zone):%Y-%m-%d %H:%M}", subject)
    stands = f"{entry.status.value}: {entry.reason}".rstrip(": ") if entry else "never started"
    hours = int((now - due).total_seconds() // 3600)
    return Finding(name, False, f"{period} was due {hours} h ago and is not out ({stands})", subject)


def _problems(ledgers: Ledgers) -> Iterator[Finding]:
    problems = ledgers.problems.open()
    if not problems:
        yield Finding("problems", True, "none")
    for problem in problems:
        first = problem.text.splitlines()[0] if problem.text else ""
        yield Finding(problem.subject, False, f"{problem.kind}: {first}".rstrip(": "))
