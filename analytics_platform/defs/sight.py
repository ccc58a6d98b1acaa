"""What the agenda looks at, in this home: ledger, warehouse and settings.

Belongs here: answering the agenda's questions, each once per look. Does not: deciding (`agenda.py`), acting.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from analytics_platform import availability
from analytics_platform.agenda import Rules
from analytics_platform.availability import Answer, HourlyCounts, Policy
from analytics_platform.cadence import Period
from analytics_platform.defs.metrics import TABLES
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.syncs import SYNCS
from analytics_platform.metrics.tables import ResultTable
from analytics_platform.metrics.windows import day_start, days
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings
from analytics_platform.state.runs import Entry, RunLedger, Status
from analytics_platform.warehouses.base import Warehouse

# A report that waits for its data asks for it this often: a day of waiting must not cost more than the report.
_ASKED_AGAIN = timedelta(minutes=5)
# How long counts of past days are taken as they were: events of theirs may be loaded again.
_KEPT = timedelta(hours=1)


@dataclass
class Memory:
    """What one look leaves for the next in the same process.

    `counts`: hourly counts of past days by event table and day. `lacking`: what a source lacked of a period, and when.
    """

    counts: dict[tuple[str, date], HourlyCounts] = field(default_factory=dict)
    lacking: dict[tuple[str, Period], tuple[datetime, tuple[str, ...]]] = field(default_factory=dict)
    since: datetime | None = None
    # The last changes of the warehouse as of a look at delivered periods that left nothing to be done.
    settled: tuple[object, object] | None = None
    looked: str | None = None  # the moment of the last look at delivered periods

    def forget_old(self, now: datetime) -> None:
        """Begin anew after an hour."""
        if self.since is None or now > self.since + _KEPT:
            self.counts.clear()
            self.lacking.clear()
            self.since = now


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


@dataclass
class Computed:
    """When the days of first..last were computed, each table asked once: it costs the same for one day as for all."""

    warehouse: Warehouse
    first: date
    last: date
    _found: dict[str, Mapping[date, datetime]] = field(default_factory=dict)

    def computed_at(self, table: ResultTable, first: date, last: date) -> Mapping[date, datetime]:
        """As the warehouse's, for days within first..last."""
        if table.name not in self._found:
            self._found[table.name] = self.warehouse.computed_at(table, self.first, self.last)
        return {day: moment for day, moment in self._found[table.name].items() if first <= day <= last}


@dataclass(frozen=True)
class Desk:
    """What scheduling works with: the reports there are, the settings, the ledgers and the data."""

    reports: Mapping[str, Report[Any]]
    settings: Settings
    ledgers: Ledgers
    warehouse: Warehouse

    def sight(self, now: datetime, memory: Memory | None = None) -> "HomeSight":
        """A look at that moment."""
        return HomeSight(self.ledgers, self.warehouse, self.settings, now, memory or Memory())


@dataclass
class HomeSight:
    """One look at a moment. Implements `agenda.Sight`."""

    ledgers: Ledgers
    warehouse: Warehouse
    settings: Settings
    now: datetime  # aware
    memory: Memory = field(default_factory=Memory)
    _answers: dict[tuple[str, Period], tuple[str, ...]] = field(default_factory=dict)
    _days: dict[tuple[str, date, date], set[date]] = field(default_factory=dict)
    _span: tuple[date, date] | None = None

    @property
    def runs(self) -> RunLedger:
        """Which reports ran."""
        return self.ledgers.runs

    @cached_property
    def _standing(self) -> tuple[Mapping[str, date], Mapping[tuple[str, date], Entry]]:
        cursors, unfinished = self.runs.standing()
        return cursors, {(e.report, e.period.last): e for e in unfinished}

    def settled_until(self, report: str) -> date | None:
        """See `agenda.Sight`."""
        return self._standing[0].get(report)

    def entry(self, report: str, period_end: date) -> Entry | None:
        """See `agenda.Sight`."""
        return self._standing[1].get((report, period_end)) or self.runs.entry(report, period_end)

    def unfinished(self, report: str) -> Sequence[Entry]:
        """See `agenda.Sight`."""
        return [e for (name, _), e in self._standing[1].items() if name == report]

    def running(self) -> bool:
        """Whether any report is claimed by a run."""
        return any(e.status is Status.RUNNING for e in self._standing[1].values())

    def gate(self, report: Report[Any], period: Period) -> Answer:
        """See `agenda.Sight`. Reports of the same period share what was found about a source."""
        found = {source: self._source(source, period) for source in report.sources}
        # A source that never had an event is one that this product does not have, as long as another one has.
        used = {s: lines for s, lines in found.items() if lines != (f"{s}: no events",)} or found
        behind = tuple(line for sync in report.syncs if (line := self._behind(sync, period)))
        return Answer((*(line for lines in used.values() for line in lines), *behind))

    def max_wait(self, report: Report[Any]) -> timedelta:
        """See `agenda.Sight`: the longest of its sources."""
        waits = [self.settings.gates[source].max_wait for source in report.sources]
        return max([*waits, *(Policy().max_wait for _ in report.syncs)], default=timedelta())

    def outdated(self, report: Report[Any], period: Period) -> Sequence[date]:
        """See `agenda.Sight`."""
        start = self.settings.start_date
        first = start if report.whole_history else period.first - timedelta(days=report.lookback_days)
        return self.outdated_days(report, max(first, start), period.last)

    def outdated_days(self, report: Report[Any], first: date, last: date) -> Sequence[date]:
        """The days of first..last for which a table of the report is missing or older than its events."""
        current = [self._current(name, first, last) for name in report.tables]
        return [day for day in days(first, last) if not all(day in known for known in current)]

    def settled(self, report: Report[Any], period: Period) -> bool:
        """Whether nothing of the period waits to be written by the syncs that the report hangs on, if any."""
        return all(SYNCS[sync].settled(self.ledgers, self._end(period)) for sync in report.syncs)

    def prefetch(self, first: date, last: date) -> None:
        """Ask for the days of first..last at once: a table costs the same for sixty days as for one."""
        self._span = (first, last)

    def _current(self, name: str, first: date, last: date) -> Collection[date]:
        asked = (min(first, self._span[0]), max(last, self._span[1])) if self._span else (first, last)
        found = self._days.get((name, *asked))
        if found is None:
            found = set(self.warehouse.current_days(TABLES[name].table, *asked)) if asked[0] <= asked[1] else set()
            self._days[name, *asked] = found
        return found

    def _behind(self, sync: str, period: Period) -> str:
        """What is missing of a table that is brought up to date from elsewhere: nothing once the period is in it."""
        zone = self.settings.zone
        end = self._end(period)
        until = SYNCS[sync].until(self.ledgers)
        if until is None:
            return f"{sync}: was never brought up to date"
        if until < end:
            said = (f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" for moment in (until, end))
            return f"{sync}: up to date until {next(said)}, the period ends at {next(said)}"
        return ""

    def _end(self, period: Period) -> datetime:
        return day_start(period.last + timedelta(days=1), self.settings.zone).replace(tzinfo=UTC)

    def _source(self, source: str, period: Period) -> tuple[str, ...]:
        found = self._answers.get((source, period))
        if found is None:
            asked, lacking = self.memory.lacking.get((source, period), (None, ()))
            if asked and asked <= self.now < asked + _ASKED_AGAIN:
                return lacking
            zone = self.settings.zone
            observed = availability.observe(self.warehouse, source, period, zone, self.memory.counts)
            found = availability.missing(self.settings.gates[source], period, observed, self.now, zone)
            self._answers[source, period] = found
            self.memory.lacking.pop((source, period), None)
            if found:
                self.memory.lacking[source, period] = self.now, found
        return found
