"""series/quarter_hour: the asset of whole days, and what keeps it up to the newest bucket between its runs.

Belongs here: which days and buckets are counted when. Does not: SQL (`metrics/series.py`), reading the table
(`defs/series_reading.py`), judging.

Today's older buckets are taken as they are stored, and once an hour all of today is counted anew, so that rows which
came late are in. What is stored is never made less: a look of an earlier moment, or beside another process, leaves the
buckets that are there. Whatever is written of another day is that whole day. So a day whose last bucket is there was
counted as a whole at the moment that the ledger names, and is outdated by what was loaded afterwards.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from analytics_platform.defs.events import event_key
from analytics_platform.defs.metrics import QUARTERS
from analytics_platform.defs.tables import table_asset
from analytics_platform.metrics import series
from analytics_platform.metrics.catalog import METRICS, Metric
from analytics_platform.metrics.dimensions import DIMENSIONS, Dimension, Labels
from analytics_platform.metrics.events import METRIC_TABLES
from analytics_platform.metrics.series import BUCKET, Span, bucket_of
from analytics_platform.metrics.series_changes import Counted, counted, noticeable
from analytics_platform.metrics.tables import SERIES
from analytics_platform.metrics.windows import EPOCH, Window, day_window, days, local_day
from analytics_platform.queries import Query, compose
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

HISTORY_DAYS = 28
_RECOUNTED = timedelta(hours=1)
_WHOLE_EVERY = timedelta(hours=1)
_DAY = timedelta(days=1)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """Which series there are, and of which days: the part of settings and catalogue that the table depends on."""

    zone: ZoneInfo
    start_date: date
    labels: Labels = field(default_factory=Labels)
    sliced_by: Sequence[str] = series.SLICED_BY
    metrics: Sequence[Metric] = METRICS
    dimensions: Sequence[Dimension] = DIMENSIONS
    history_days: int = HISTORY_DAYS

    @classmethod
    def of(
        cls, settings: Settings, metrics: Sequence[Metric] = METRICS, dimensions: Sequence[Dimension] = DIMENSIONS
    ) -> "Plan":
        """As the settings say."""
        known = {d.name for d in dimensions}
        ways = tuple(name for name in settings.alert_dimensions if name in known)
        return cls(settings.zone, settings.start_date, settings.labels, ways, metrics, dimensions)

    def statement(self, day: date, spans: Mapping[str, Span] | None = None) -> Query:
        """The rows of that day, see `metrics.series.series_day`."""
        return series.series_day(
            day,
            self.zone,
            self.labels,
            spans,
            metrics=self.metrics,
            sliced_by=self.sliced_by,
            dimensions=self.dimensions,
        )


@dataclass
class Memory:
    """What a process knows of the table between two looks. Begun anew, everything is counted once more.

    `until`: by service, the end (naive UTC) of its newest bucket. `whole_at`: when today was last counted as a whole.
    `days`: totals of days that may still change, as the caller knows them. `computed`: when the days were computed, as
    last seen in the ledger; `own`: those that were written from here since. `todo`: days of the history to compute,
    oldest first; None before the first look. `overslept`: looks have failed for so long that days may have been left
    unfinished. `newest`: of sources, by table. `changed`, `rewritten`: what the caller is to be told.
    """

    until: dict[str, datetime] = field(default_factory=dict)
    whole_at: datetime | None = None
    days: dict[date, dict[tuple[str, datetime], Counted]] = field(default_factory=dict)
    computed: dict[date, datetime] = field(default_factory=dict)
    todo: list[date] | None = None
    overslept: bool = False
    own: set[date] = field(default_factory=set)
    newest: dict[str, datetime] = field(default_factory=dict)
    changed: set[tuple[str, datetime]] = field(default_factory=set)
    rewritten: set[date] = field(default_factory=set)


@dataclass(frozen=True)
class Refreshed:
    """What a look brought. Sources are event tables; moments are aware UTC.

    `until`: the end of the newest closed bucket, by source; what is stored may go further. `fresh`: buckets new since
    the last look of this memory, as (start of the first, end of the last); a source without new ones is missing.
    `changed`: starts of older buckets, by source, of which a total has become noticeably different since it was last
    told: by more than 1 % of what was counted and by more than 2 events. The table has the exact figures all the same.
    `rewritten`: days (local) of the history that were computed since the last look, by this one or by a run. `missing`:
    days of the history that are still to be computed.
    """

    until: Mapping[str, datetime]
    fresh: Mapping[str, tuple[datetime, datetime]]
    changed: Mapping[str, tuple[datetime, ...]]
    rewritten: tuple[date, ...]
    missing: int

    @property
    def rebuild(self) -> bool:
        """Whether what was kept of older buckets is out of date."""
        return bool(self.changed or self.rewritten)

    @property
    def said(self) -> str:
        """One line for a log."""
        parts = [f"{source} until {end:%H:%M} UTC" for source, end in self.until.items()]
        if count := sum(map(len, self.changed.values())):
            parts.append(f"{count} older quarter hours changed")
        if self.rewritten:
            parts.append(f"{len(self.rewritten)} days of the history computed")
        if self.missing:
            parts.append(f"{self.missing} more to compute")
        return ", ".join(parts) or "nothing is watched"


def refresh(
    warehouse: Warehouse,
    plan: Plan,
    now: datetime,
    lateness: Mapping[str, timedelta],
    memory: Memory,
    *,
    budget_seconds: float = 20,
    progress: Progress | None = None,
) -> Refreshed:
    """Bring the table up to the newest closed buckets, and as much of its history as the budget allows.

    `now`: aware. `lateness`: by source (event table), for how long after its end a bucket is left alone; none is 0.
    `progress` gets (days done, days) of the history. Killed anywhere, every day is as it was or as it is to be.
    """
    deadline = time.monotonic() + budget_seconds
    moment = now.astimezone(UTC).replace(tzinfo=None)
    tables = {s.name: s.table for s in series.services(plan.metrics)}
    closed = {name: bucket_of(moment - lateness.get(table, timedelta())) for name, table in tables.items()}
    # A source that turns out to be later than thought takes no bucket back.
    until = {name: max(end, memory.until.get(name, end)) for name, end in closed.items()}
    before = dict(memory.until)
    missing = 0
    if until:
        today = local_day(moment, plan.zone)
        yesterday = day_window(today - _DAY, plan.zone)
        memory.overslept |= any(end < yesterday.start for end in memory.until.values())
        whole = memory.whole_at is None or moment - memory.whole_at >= _WHOLE_EVERY
        _recent_days(warehouse, plan, today, until, memory, whole=whole)
        if whole or memory.todo is None:
            _check_history(warehouse, plan, today, memory)
            memory.whole_at = moment
        missing = _history(warehouse, plan, memory, deadline, progress)
    changed: dict[str, list[datetime]] = {}
    for name, bucket in sorted(memory.changed):
        changed.setdefault(tables[name], []).append(_aware(bucket))
    found = Refreshed(
        {tables[name]: _aware(end) for name, end in until.items()},
        {
            tables[name]: (_aware(before.get(name, end - BUCKET)), _aware(end))
            for name, end in until.items()
            if end > before.get(name, EPOCH)
        },
        {source: tuple(buckets) for source, buckets in changed.items()},
        tuple(sorted(memory.rewritten)),
        missing,
    )
    memory.changed.clear()
    memory.rewritten.clear()
    return found


def _recent_days(
    warehouse: Warehouse, plan: Plan, today: date, until: Mapping[str, datetime], memory: Memory, *, whole: bool
) -> None:
    """Yesterday and today, in this order: what is new, what may have changed, or all of it."""
    for day in (today - _DAY, today):
        window = day_window(day, plan.zone)
        ends = {name: min(end, window.end) for name, end in until.items()}
        if day < plan.start_date or all(end <= window.start for end in ends.values()):
            continue
        new = any(end > memory.until.get(name, EPOCH) for name, end in ends.items())
        # Of yesterday the ledger tells whether anything was loaded since; today there always is.
        if not new and not (whole and (day == today or _outdated(warehouse, day, plan.zone))):
            continue
        stored = _stored_until(warehouse, day, window)
        since = dict.fromkeys(ends, window.start)
        if day == today and day in memory.days and not whole:
            for name in ends:
                kept = min(memory.until.get(name, EPOCH), stored.get(name, EPOCH)) - _RECOUNTED
                since[name] = max(kept, window.start)
        spans = {name: Span(since[name], max(end, stored.get(name, end))) for name, end in ends.items()}
        warehouse.replace_day(SERIES, day, plan.statement(day, spans))
        memory.own.add(day)
        _compare(warehouse, day, Window(min(span.since for span in spans.values()), window.end), memory)
    memory.until = dict(until)
    memory.days = {day: marks for day, marks in memory.days.items() if day >= today - _DAY}


def _stored_until(warehouse: Warehouse, day: date, window: Window) -> dict[str, datetime]:
    """By service, the end of the newest bucket that is there of the day."""
    found: dict[str, datetime] = {}
    for row in warehouse.rows(series.extent(day, day)):
        service, newest = str(row["service"]), row["newest"]
        if isinstance(newest, datetime):
            # Beyond the day are rows of the same date in another time zone.
            found[service] = max(found.get(service, EPOCH), min(newest + BUCKET, window.end))
    return found


def _outdated(warehouse: Warehouse, day: date, zone: ZoneInfo) -> bool:
    warehouse.note_changes(day, day, zone)
    return day not in warehouse.current_days(SERIES, day, day)


def _compare(warehouse: Warehouse, day: date, window: Window, memory: Memory) -> None:
    """Note the buckets of that part of the day that were there before and are noticeably different now."""
    now = counted(warehouse.rows(series.series_rows(window, totals=True)))
    known = memory.days.get(day)
    if known is None:
        memory.days[day] = dict(now)
        return
    for key in {key for key in known if key[1] >= window.start} | now.keys():
        name, bucket = key
        if bucket >= memory.until.get(name, EPOCH):
            known[key] = now.get(key, {})
        # What is not named stays as it was: many small changes in the end are a large one.
        elif noticeable(known.get(key, {}), now.get(key, {})):
            memory.changed.add(key)
            known[key] = now.get(key, {})


def _history(warehouse: Warehouse, plan: Plan, memory: Memory, deadline: float, progress: Progress | None) -> int:
    """The days before yesterday: compute what is to be computed until the deadline; returns how many remain."""
    todo = memory.todo or []
    count = len(todo)
    for done in range(1, count + 1):
        if done > 1 and time.monotonic() > deadline:
            break
        day = todo[0]
        warehouse.replace_day(SERIES, day, plan.statement(day))
        memory.own.add(day)
        memory.rewritten.add(day)
        todo.pop(0)
        if progress:
            progress(done, count)
    if count:
        # From here on, another moment in the ledger is another's work.
        memory.computed |= warehouse.computed_at(SERIES, min(memory.own), max(memory.own))
        memory.own.clear()
    return len(todo)


def _check_history(warehouse: Warehouse, plan: Plan, today: date, memory: Memory) -> None:
    """What the ledger says of the days before: those to compute, and those that a run has computed meanwhile."""
    first, last = max(plan.start_date, today - timedelta(days=plan.history_days)), today - 2 * _DAY
    if first > today:
        return
    computed = dict(warehouse.computed_at(SERIES, first, today))
    if memory.todo is not None:
        again = {day for day, at in computed.items() if memory.computed.get(day) != at}
        memory.rewritten |= {day for day in again - memory.own if day <= last}
        if today - _DAY in again:
            _compare(warehouse, today - _DAY, day_window(today - _DAY, plan.zone), memory)
    whole = set(warehouse.current_days(SERIES, first, last)) if first <= last else set()
    if memory.todo is None or memory.overslept:
        whole -= unfinished_days(warehouse, plan, first, last)
    memory.todo = _worth_computing(warehouse, plan, [day for day in days(first, last) if day not in whole], computed)
    memory.computed = computed
    memory.overslept = False
    memory.own.clear()


def unfinished_days(warehouse: Warehouse, plan: Plan, first: date, last: date) -> set[date]:
    """The days of first..last that lack buckets, metrics or dimensions: of another plan, or not over then."""
    found: dict[date, dict[tuple[str, str, str], tuple[datetime, float]]] = {}
    for row in warehouse.rows(series.extent(first, last)):
        day, newest = row["event_date"], row["newest"]
        if isinstance(day, date) and isinstance(newest, datetime):
            place = (str(row["service"]), str(row["metric"]), str(row["dimension"]))
            found.setdefault(day, {})[place] = newest, float(str(row["most"] or 0))
    lacking: set[date] = set()
    for day in days(first, last):
        end, have = day_window(day, plan.zone).end - BUCKET, found.get(day, {})
        for key in series.totals(plan.metrics):
            newest, most = have.get((key.service, key.metric, key.dimension), (EPOCH, 0.0))
            sliced = not most or all((key.service, key.metric, name) in have for name in plan.sliced_by)
            if newest < end or not sliced:
                lacking.add(day)
    return lacking


def _worth_computing(
    warehouse: Warehouse, plan: Plan, wanted: Sequence[date], computed: Collection[date]
) -> list[date]:
    """Of the days, those from the first event on: before, there is nothing that a zero would say."""
    if all(day in computed for day in wanted):
        return list(wanted)
    spans = [warehouse.rows(compose("event_span", table=s.table))[0] for s in series.services(plan.metrics)]
    begun = min((t for span in spans if isinstance(t := span["first_time"], datetime)), default=None)
    return [day for day in wanted if day in computed or (begun and day >= local_day(begun, plan.zone))]


def backfill(
    warehouse: Warehouse, plan: Plan, first: date, last: date, progress: Progress | None = None
) -> Sequence[date]:
    """Compute the local days first..last (both included, all of them over) that are missing, outdated or unfinished.

    Returns those computed. `progress` gets (days done, days). Days before the first event are left out.
    """
    whole = set(warehouse.current_days(SERIES, first, last)) - unfinished_days(warehouse, plan, first, last)
    computed = warehouse.computed_days(SERIES, first, last)
    todo = _worth_computing(warehouse, plan, [day for day in days(first, last) if day not in whole], computed)
    for done, day in enumerate(todo, start=1):
        warehouse.replace_day(SERIES, day, plan.statement(day))
        if progress:
            progress(done, len(todo))
    return todo


def series_assets(
    partitions: dg.DailyPartitionsDefinition,
    metrics: Sequence[Metric],
    dimensions: Sequence[Dimension],
    engine: str,
) -> list[dg.AssetsDefinition]:
    """The asset, for that catalogue: whole days, from the events alone."""
    return [
        table_asset(
            QUARTERS,
            SERIES,
            partitions,
            group="alerts",
            engine=engine,
            reads=(),
            events=[event_key(table) for table in METRIC_TABLES],
            statement=lambda day, settings: (Plan.of(settings, metrics, dimensions).statement(day), None),
            about="Watched metrics of every 15 minutes, in total and by the dimensions that alerts look at, without "
            "gaps. Kept up to the newest quarter hour by the alerts' sensor; a run counts whole days.",
        )
    ]


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
