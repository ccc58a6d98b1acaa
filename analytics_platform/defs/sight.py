"""What the agenda looks at, in this home: ledger, warehouse and settings.

Belongs here: answering the agenda's questions, each once per look. Does not: deciding (`agenda.py`), acting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from analytics_platform import availability
from analytics_platform.agenda import Rules
from analytics_platform.availability import Answer, HourlyCounts
from analytics_platform.cadence import Period
from analytics_platform.defs.metrics import TABLES
from analytics_platform.defs.resources import Ledgers
from analytics_platform.metrics.windows import days
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings
from analytics_platform.state.runs import Entry, RunLedger, Status
from analytics_platform.warehouses.base import Warehouse

# Hourly counts of past days by event table and day: they hardly ever change, and a waiting report asks every minute.
History = dict[tuple[str, date], HourlyCounts]


def rules_of(settings: Settings) -> Rules:
    """The settings that decisions depend on."""
    return Rules(
        settings.zone,
        settings.report_time,
        settings.start_date,
        settings.report_attempts,
        timedelta(seconds=settings.retry_pause_seconds),
        timedelta(hours=settings.late_after_hours),
        settings.backlog_limit,
    )


@dataclass(frozen=True)
class Desk:
    """What scheduling works with: the reports there are, the settings, the ledgers and the data."""

    reports: Mapping[str, Report[Any]]
    settings: Settings
    ledgers: Ledgers
    warehouse: Warehouse

    def sight(self, now: datetime, history: History | None = None) -> "HomeSight":
        """A look at that moment."""
        return HomeSight(self.ledgers.runs, self.warehouse, self.settings, now, {} if history is None else history)


@dataclass
class HomeSight:
    """One look at a moment. Implements `agenda.Sight`."""

    runs: RunLedger
    warehouse: Warehouse
    settings: Settings
    now: datetime  # aware
    history: History = field(default_factory=dict)
    _answers: dict[tuple[str, Period], tuple[str, ...]] = field(default_factory=dict)

    def settled_until(self, report: str) -> date | None:
        """See `agenda.Sight`."""
        return self.runs.settled_until(report)

    def entry(self, report: str, period_end: date) -> Entry | None:
        """See `agenda.Sight`."""
        return self.runs.entry(report, period_end)

    def unfinished(self, report: str) -> Sequence[Entry]:
        """See `agenda.Sight`."""
        statuses = (Status.WAITING, Status.READY, Status.RUNNING, Status.FAILED)
        return self.runs.entries(report, statuses=statuses)

    def gate(self, report: Report[Any], period: Period) -> Answer:
        """See `agenda.Sight`. Reports of the same period share what was found about a source."""
        found = {source: self._source(source, period) for source in report.sources}
        # A source that never had an event is one that this product does not have, as long as another one has.
        used = {s: lines for s, lines in found.items() if lines != (f"{s}: no events",)} or found
        return Answer(tuple(line for lines in used.values() for line in lines))

    def max_wait(self, report: Report[Any]) -> timedelta:
        """See `agenda.Sight`: the longest of its sources."""
        return max((self.settings.gates[source].max_wait for source in report.sources), default=timedelta())

    def outdated(self, report: Report[Any], period: Period) -> Sequence[date]:
        """See `agenda.Sight`."""
        start = self.settings.start_date
        first = start if report.whole_history else period.first - timedelta(days=report.lookback_days)
        return self.outdated_days(report, max(first, start), period.last)

    def outdated_days(self, report: Report[Any], first: date, last: date) -> Sequence[date]:
        """The days of first..last for which a table of the report is missing or older than its events."""
        wanted = list(days(first, last))
        if not wanted:
            return []
        current = [set(self.warehouse.current_days(TABLES[name].table, first, last)) for name in report.tables]
        return [day for day in wanted if not all(day in known for known in current)]

    def _source(self, source: str, period: Period) -> tuple[str, ...]:
        found = self._answers.get((source, period))
        if found is None:
            zone = self.settings.zone
            observed = availability.observe(self.warehouse, source, period, zone, self.history)
            found = availability.missing(self.settings.gates[source], period, observed, self.now, zone)
            self._answers[source, period] = found
        return found
